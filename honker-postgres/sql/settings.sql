-- What is set for a queue, for every process at once.

-- Reads one setting; an error that says what is wrong with it.
CREATE OR REPLACE FUNCTION _check_setting(key text, value json) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  member record;
  members text[] := '{}';
  number double precision;
BEGIN
  CASE key
    WHEN 'paused' THEN
      IF json_typeof(value) <> 'boolean' THEN
        PERFORM _wrong('settings', key, value, 'a boolean or null');
      END IF;
    WHEN 'concurrency', 'concurrency_per_key', 'max_attempts' THEN PERFORM _at_least(1, 'settings', key, value);
    WHEN 'keep_done_s', 'keep_dead_s' THEN PERFORM _at_least(0, 'settings', key, value);
    WHEN 'rate', 'retry' THEN
      IF json_typeof(value) <> 'object' THEN
        PERFORM _wrong('settings', key, value,
          CASE key WHEN 'rate' THEN 'an object of limit and per_s' ELSE 'an object of base_s, factor, max_s and jitter' END || ' or null');
      END IF;
      FOR member IN SELECT each.key AS name, each.value FROM json_each(value) each LOOP
        members := members || member.name;
        CASE key || '.' || member.name
          WHEN 'rate.limit', 'rate.per_s' THEN PERFORM _at_least(1, 'settings', key || '.' || member.name, member.value);
          WHEN 'retry.base_s', 'retry.max_s' THEN PERFORM _at_least(0, 'settings', key || '.' || member.name, member.value);
          WHEN 'retry.factor', 'retry.jitter' THEN
            number := CASE WHEN json_typeof(member.value) = 'number' THEN member.value::text::double precision END;
            IF number IS NULL OR member.name = 'factor' AND number < 1 OR member.name = 'jitter' AND (number < 0 OR number > 1) THEN
              PERFORM _wrong('settings', key || '.' || member.name, member.value,
                CASE member.name WHEN 'factor' THEN 'a number at least 1 or null' ELSE 'a number from 0 to 1 or null' END);
            END IF;
          ELSE PERFORM _unknown_key('settings', key || '.' || member.name);
        END CASE;
      END LOOP;
      IF key = 'rate' AND NOT 'limit' = ANY (members) THEN
        PERFORM _invalid('settings: rate has no limit');
      ELSIF key = 'rate' AND NOT 'per_s' = ANY (members) THEN
        PERFORM _invalid('settings: rate has no per_s');
      END IF;
    ELSE PERFORM _unknown_key('settings', key);
  END CASE;
END $$;

CREATE OR REPLACE FUNCTION honker_queue_configure(queue text, settings_json text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  given json;
  setting record;
  before _honker_queues;
  merged jsonb;
BEGIN
  PERFORM _not_null('{queue,settings_json}', '{TEXT,TEXT}', queue IS NULL, settings_json IS NULL);
  given := _object('settings', settings_json);
  FOR setting IN SELECT each.key, each.value FROM json_each(given) each LOOP
    -- A default has to be one of something.
    IF json_typeof(setting.value) <> 'null' OR setting.key NOT IN ('paused', 'concurrency', 'concurrency_per_key', 'rate',
        'max_attempts', 'retry', 'keep_done_s', 'keep_dead_s') THEN
      PERFORM _check_setting(setting.key, setting.value);
    END IF;
  END LOOP;
  -- Those who claim by these settings come before or after.
  PERFORM pg_advisory_xact_lock(_queue_lock(queue));
  SELECT * INTO before FROM _honker_queues q WHERE q.name = queue FOR UPDATE;
  merged := jsonb_strip_nulls(coalesce(before.settings::jsonb, '{}') || given::jsonb);
  IF merged = coalesce(before.settings::jsonb, '{}') THEN
    RETURN 1;
  END IF;
  IF merged = '{}' THEN
    DELETE FROM _honker_queues q WHERE q.name = queue;
  ELSE
    INSERT INTO _honker_queues AS q (name, settings, paused, concurrency, concurrency_per_key, rate_limit, rate_per_s, max_attempts,
      keep_done_s, keep_dead_s, is_limited)
    VALUES (queue, merged::text, coalesce((merged ->> 'paused')::boolean, false), (merged ->> 'concurrency')::bigint,
      (merged ->> 'concurrency_per_key')::bigint, (merged #>> '{rate,limit}')::bigint, (merged #>> '{rate,per_s}')::bigint,
      (merged ->> 'max_attempts')::bigint, coalesce((merged ->> 'keep_done_s')::bigint, 0), (merged ->> 'keep_dead_s')::bigint,
      merged ?| '{concurrency,concurrency_per_key,rate}')
    ON CONFLICT ON CONSTRAINT _honker_queues_pkey DO UPDATE SET settings = excluded.settings, paused = excluded.paused,
      concurrency = excluded.concurrency, concurrency_per_key = excluded.concurrency_per_key, rate_limit = excluded.rate_limit,
      rate_per_s = excluded.rate_per_s, max_attempts = excluded.max_attempts, keep_done_s = excluded.keep_done_s,
      keep_dead_s = excluded.keep_dead_s, is_limited = excluded.is_limited,
      window_start = CASE WHEN q.rate_per_s IS NOT DISTINCT FROM excluded.rate_per_s THEN q.window_start END,
      window_count = CASE WHEN q.rate_per_s IS NOT DISTINCT FROM excluded.rate_per_s THEN q.window_count END;
  END IF;
  PERFORM _wake('q:' || queue);
  RETURN 1;
END $$;

-- What holds for a queue, by its row: the members of a JSON object.
CREATE OR REPLACE FUNCTION _settings(settings text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  given jsonb := coalesce(settings, '{}');
  retry jsonb := given -> 'retry';
BEGIN
  RETURN '"paused":' || coalesce(given ->> 'paused', 'false')
    || ',"concurrency":' || coalesce(given ->> 'concurrency', 'null')
    || ',"concurrency_per_key":' || coalesce(given ->> 'concurrency_per_key', 'null')
    || ',"rate":' || coalesce('{"limit":' || (given #>> '{rate,limit}') || ',"per_s":' || (given #>> '{rate,per_s}') || '}', 'null')
    || ',"max_attempts":' || coalesce(given ->> 'max_attempts', '3')
    || ',"retry":' || CASE WHEN retry IS NULL THEN 'null'
      ELSE '{"base_s":' || coalesce(retry ->> 'base_s', '15') || ',"factor":' || coalesce(retry ->> 'factor', '2.0')
        || ',"max_s":' || coalesce(retry ->> 'max_s', '3600') || ',"jitter":' || coalesce(retry ->> 'jitter', '0.1') || '}' END
    || ',"keep_done_s":' || coalesce(given ->> 'keep_done_s', '0')
    || ',"keep_dead_s":' || coalesce(given ->> 'keep_dead_s', 'null');
END $$;

CREATE OR REPLACE FUNCTION honker_queue_settings(queue text) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  PERFORM _not_null('{queue}', '{TEXT}', queue IS NULL);
  RETURN '{' || _settings((SELECT q.settings FROM _honker_queues q WHERE q.name = queue)) || '}';
END $$;

-- The names of queues that have settings or jobs. It reads all of them.
CREATE OR REPLACE FUNCTION _queue_names() RETURNS SETOF text
LANGUAGE sql AS $$
  SELECT l.queue FROM _honker_live l UNION SELECT d.queue FROM _honker_dead d UNION SELECT d.queue FROM _honker_done d
  UNION SELECT q.name FROM _honker_queues q
$$;

CREATE OR REPLACE FUNCTION honker_queues() RETURNS text
LANGUAGE sql AS $$
  SELECT '[' || coalesce(string_agg('{"queue":' || to_json(n)::text || ','
    || _settings((SELECT q.settings FROM _honker_queues q WHERE q.name = n)) || '}', ',' ORDER BY n COLLATE "C"), '') || ']'
  FROM _queue_names() n
$$;
