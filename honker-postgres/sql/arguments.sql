-- Arguments: what is wrong with one is an error that names it.

CREATE OR REPLACE FUNCTION _invalid(message text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', message USING ERRCODE = 'HK001';
END $$;

-- Raises if one of these is NULL; the argument at index n is the one at n + 1 here.
CREATE OR REPLACE FUNCTION _not_null(names text[], kinds text[], VARIADIC are_null boolean[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  FOR at IN 1 .. cardinality(are_null) LOOP
    IF are_null[at] THEN
      PERFORM _invalid(format('Invalid function parameter type Null at index %s: %s must be %s', at - 1, names[at], kinds[at]));
    END IF;
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION _overflows(now bigint, argument text, seconds bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RAISE EXCEPTION '% is out of range: % + % seconds overflows', argument, now, seconds USING ERRCODE = 'HK001';
END $$;

-- now + seconds; an error that names the argument the seconds came from if there is no such time.
CREATE OR REPLACE FUNCTION _after(now bigint, argument text, seconds bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN seconds IS NULL THEN NULL
    WHEN seconds <= 9223372036854775807 - greatest(now, 0) AND seconds >= (-9223372036854775807 - 1) - least(now, 0) THEN now + seconds
    ELSE _overflows(now, argument, seconds) END
$$;

-- now + seconds, or the end of time.
CREATE OR REPLACE FUNCTION _after_at_most(now bigint, seconds bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN seconds IS NULL THEN NULL WHEN seconds <= 9223372036854775807 - greatest(now, 0) THEN now + seconds ELSE 9223372036854775807 END
$$;

-- now - seconds, or the beginning or the end of time.
CREATE OR REPLACE FUNCTION _before(now bigint, seconds bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN seconds IS NOT NULL
    THEN greatest(least(now::numeric - seconds, 9223372036854775807), -9223372036854775808)::bigint END
$$;

CREATE OR REPLACE FUNCTION _object(argument text, given text) RETURNS json
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  reason text;
BEGIN
  BEGIN
    IF json_typeof(given::json) = 'object' THEN
      RETURN given::json;
    END IF;
    reason := 'it is of type ' || json_typeof(given::json);
  EXCEPTION WHEN data_exception THEN
    reason := SQLERRM;
  END;
  RAISE EXCEPTION '% must be a JSON object: %', argument, reason USING ERRCODE = 'HK001';
END $$;

CREATE OR REPLACE FUNCTION _unknown_key(argument text, key text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM _invalid(format('%s: unknown key ''%s''', argument, key));
END $$;

CREATE OR REPLACE FUNCTION _wrong(argument text, key text, value json, expected text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM _invalid(format('%s: %s must be %s, not %s', argument, key, expected, left(value::text, 40)));
END $$;

-- The whole number that a JSON value is; NULL if it is none.
CREATE OR REPLACE FUNCTION _whole(value json) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN json_typeof(value) = 'number' AND value::text ~ '^-?[0-9]{1,19}$'
      AND value::text::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 THEN value::text::bigint END
$$;

CREATE OR REPLACE FUNCTION _integer(argument text, key text, value json) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  number bigint := _whole(value);
BEGIN
  IF number IS NULL THEN
    PERFORM _wrong(argument, key, value, 'an integer');
  END IF;
  RETURN number;
END $$;

CREATE OR REPLACE FUNCTION _integer_or_null(argument text, key text, value json) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  number bigint := _whole(value);
BEGIN
  IF number IS NULL AND json_typeof(value) <> 'null' THEN
    PERFORM _wrong(argument, key, value, 'an integer or null');
  END IF;
  RETURN number;
END $$;

CREATE OR REPLACE FUNCTION _at_least(lowest bigint, argument text, key text, value json) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  number bigint := _whole(value);
BEGIN
  IF number IS NULL OR number < lowest THEN
    PERFORM _wrong(argument, key, value, format('an integer of at least %s or null', lowest));
  END IF;
  RETURN number;
END $$;

CREATE OR REPLACE FUNCTION _text(argument text, key text, value json, expected text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
  IF json_typeof(value) <> 'string' THEN
    PERFORM _wrong(argument, key, value, expected);
  END IF;
  RETURN value #>> '{}';
END $$;

CREATE OR REPLACE FUNCTION _text_or_null(argument text, key text, value json) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
  IF json_typeof(value) = 'null' THEN
    RETURN NULL;
  END IF;
  RETURN _text(argument, key, value, 'a text or null');
END $$;

-- One of two texts; the first for null.
CREATE OR REPLACE FUNCTION _one_of(argument text, key text, value json, first text, second text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
  IF json_typeof(value) = 'null' THEN
    RETURN first;
  END IF;
  IF json_typeof(value) <> 'string' OR value #>> '{}' NOT IN (first, second) THEN
    PERFORM _wrong(argument, key, value, format('"%s", "%s" or null', first, second));
  END IF;
  RETURN value #>> '{}';
END $$;

-- A JSON object of texts, without insignificant white space.
CREATE OR REPLACE FUNCTION _texts(value json) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT '{' || coalesce(string_agg(to_json(each.key)::text || ':' || each.value::text, ',' ORDER BY each.key COLLATE "C"), '') || '}'
  FROM jsonb_each(value::jsonb) each
$$;
