-- Event streams, and what they share with notifications: numbers that are given when a row is inserted, and rows that appear when it
-- is committed. A reader that goes by numbers would pass over the row of a transaction that commits late.
--
-- So a publisher, before it takes a number, takes a shared lock whose number says what the last one was. It keeps the lock until its
-- transaction ends, and all its numbers are higher. A reader looks up the last number, then the lowest such lock, and then,
-- with a new snapshot, reads no further than the lower of the two: whatever is not visible up to there never will be.

-- The number of the lock of a publisher of a sequence; the kinds are 1, events, and 2, notifications.
CREATE OR REPLACE FUNCTION _publisher_lock(kind int, last bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT 7525233502359388160 + kind * 281474976710656 + (last & 281474976710655)
$$;

-- The last number that was given.
CREATE OR REPLACE FUNCTION _last(kind int) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  IF kind = 1 THEN
    RETURN (SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END FROM _honker_stream_offset_seq s);
  END IF;
  RETURN (SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END FROM _honker_notifications_id_seq s);
END $$;

-- Before a number is taken. One lock is enough for a transaction: later numbers are higher still.
CREATE OR REPLACE FUNCTION _publishing(kind int) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  setting text := 'honker.publishing_' || kind;
  last bigint;
BEGIN
  IF current_setting(setting, true) = '1' THEN
    RETURN;
  END IF;
  last := _last(kind);
  PERFORM pg_advisory_xact_lock_shared(_publisher_lock(kind, last));
  PERFORM set_config(setting, '1', true);
END $$;

-- The number up to which everything is there that ever will be. Publishers in this transaction do not count: what they have
-- published is visible here.
CREATE OR REPLACE FUNCTION _settled_up_to(kind int) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  last bigint;
  lowest bigint;
BEGIN
  -- In this order: whoever takes a lock after it was looked for takes a number above the last one of before.
  last := _last(kind);
  SELECT min(((l.classid::bigint << 32) | l.objid::bigint) & 281474976710655) INTO lowest
  FROM pg_catalog.pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
    AND l.classid::bigint >> 16 = _publisher_lock(kind, 0) >> 48 AND l.pid IS DISTINCT FROM pg_backend_pid();
  RETURN least(last, lowest);
END $$;

CREATE OR REPLACE FUNCTION honker_stream_publish(topic text, key text, payload text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  published bigint;
BEGIN
  IF topic IS NULL OR payload IS NULL THEN
    PERFORM _not_null('{topic,key,payload}', '{TEXT,"",TEXT}', topic IS NULL, false, payload IS NULL);
  END IF;
  PERFORM _publishing(1);
  INSERT INTO _honker_stream AS s (topic, key, payload, created_at) VALUES (topic, key, payload, _now()) RETURNING s."offset" INTO published;
  IF published IS NULL THEN
    PERFORM _refused('published', '_honker_stream');
  END IF;
  PERFORM _wake('t:' || topic);
  RETURN published;
END $$;

-- Up to so many events of a topic after an offset, oldest first; all of them if at_most is negative.
CREATE OR REPLACE FUNCTION _stream_read(the_topic text, after bigint, at_most bigint)
RETURNS TABLE ("offset" bigint, topic text, key text, payload text, created_at bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  last bigint;
BEGIN
  PERFORM _check_isolation();
  -- Nothing there, and nothing to find out: the common answer.
  IF at_most = 0 OR NOT EXISTS (SELECT FROM _honker_stream s WHERE s.topic = the_topic AND s."offset" > after) THEN
    IF at_most <> 0 THEN
      PERFORM _move_check();
    END IF;
    RETURN;
  END IF;
  last := _settled_up_to(1);
  RETURN QUERY SELECT s."offset", s.topic::text, s.key, s.payload, s.created_at FROM _honker_stream s
    WHERE s.topic = the_topic AND s."offset" > after AND s."offset" <= last
    ORDER BY s."offset" LIMIT CASE WHEN at_most >= 0 THEN at_most END;
END $$;

CREATE OR REPLACE FUNCTION honker_stream_read_since(topic text, "offset" bigint, "limit" bigint) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  PERFORM _not_null('{topic,offset,limit}', '{TEXT,INTEGER,INTEGER}', topic IS NULL, "offset" IS NULL, "limit" IS NULL);
  RETURN '[' || coalesce((SELECT string_agg(row_to_json(e.*)::text, ',') FROM _stream_read(topic, "offset", "limit") e), '') || ']';
END $$;

CREATE OR REPLACE FUNCTION honker_stream_save_offset(consumer text, topic text, "offset" bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  PERFORM _not_null('{consumer,topic,offset}', '{TEXT,TEXT,INTEGER}', consumer IS NULL, topic IS NULL, "offset" IS NULL);
  INSERT INTO _honker_stream_consumers AS c (name, topic, "offset") VALUES (consumer, topic, "offset")
  ON CONFLICT ON CONSTRAINT _honker_stream_consumers_pkey DO UPDATE SET "offset" = excluded."offset" WHERE excluded."offset" > c."offset";
  RETURN FOUND::int;
END $$;

CREATE OR REPLACE FUNCTION honker_stream_get_offset(consumer text, topic text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  PERFORM _not_null('{consumer,topic}', '{TEXT,TEXT}', consumer IS NULL, topic IS NULL);
  RETURN coalesce((SELECT c."offset" FROM _honker_stream_consumers c WHERE c.name = consumer AND c.topic = topic), 0);
END $$;

-- Reads what is kept of a topic, and whether events may be removed that a consumer has not finished.
CREATE OR REPLACE FUNCTION _retention(options_json text, may_pass boolean, OUT given text[], OUT keep_s bigint, OUT keep_n bigint,
  OUT past_consumers boolean)
LANGUAGE plpgsql AS $$
DECLARE
  key text;
  value json;
BEGIN
  past_consumers := false;
  given := '{}';
  FOR key, value IN SELECT each.key, each.value FROM json_each(_object('options', options_json)) each LOOP
    given := given || key;
    CASE
      WHEN key = 'keep_s' THEN keep_s := CASE WHEN json_typeof(value) <> 'null' THEN _at_least(1, 'options', key, value) END;
      WHEN key = 'keep_n' THEN keep_n := CASE WHEN json_typeof(value) <> 'null' THEN _at_least(0, 'options', key, value) END;
      WHEN key = 'past_consumers' AND may_pass THEN
        IF json_typeof(value) <> 'boolean' THEN
          PERFORM _wrong('options', key, value, 'a boolean');
        END IF;
        past_consumers := value::text::boolean;
      ELSE PERFORM _unknown_key('options', key);
    END CASE;
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION honker_stream_configure(topic text, options_json text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  keep record;
BEGIN
  PERFORM _not_null('{topic,options_json}', '{TEXT,TEXT}', topic IS NULL, options_json IS NULL);
  SELECT * INTO keep FROM _retention(options_json, false);
  INSERT INTO _honker_streams AS s (topic, keep_s, keep_n) VALUES (topic, keep.keep_s, keep.keep_n)
  ON CONFLICT ON CONSTRAINT _honker_streams_pkey DO UPDATE
    SET keep_s = CASE WHEN 'keep_s' = ANY (keep.given) THEN excluded.keep_s ELSE s.keep_s END,
      keep_n = CASE WHEN 'keep_n' = ANY (keep.given) THEN excluded.keep_n ELSE s.keep_n END;
  DELETE FROM _honker_streams s WHERE s.topic = topic AND s.keep_s IS NULL AND s.keep_n IS NULL;
  RETURN 1;
END $$;

-- Removes the events of a topic that are not kept any more, oldest first, at most 1,000; how many those were.
CREATE OR REPLACE FUNCTION _trim(now bigint, the_topic text, the_keep_s bigint, the_keep_n bigint, past_consumers boolean) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  own _honker_streams;
  surplus bigint;
  finished bigint;
  removed bigint;
BEGIN
  SELECT * INTO own FROM _honker_streams s WHERE s.topic = the_topic;
  the_keep_s := coalesce(the_keep_s, own.keep_s);
  the_keep_n := coalesce(the_keep_n, own.keep_n);
  IF the_keep_n IS NOT NULL THEN
    SELECT s."offset" INTO surplus FROM _honker_stream s WHERE s.topic = the_topic ORDER BY s."offset" DESC LIMIT 1 OFFSET the_keep_n;
  END IF;
  IF surplus IS NULL AND the_keep_s IS NULL THEN
    RETURN 0;
  END IF;
  IF NOT past_consumers THEN
    SELECT min(c."offset") INTO finished FROM _honker_stream_consumers c WHERE c.topic = the_topic;
  END IF;
  WITH old AS MATERIALIZED (
    SELECT s."offset", s.created_at, row_number() OVER (ORDER BY s."offset") AS at,
      sum(octet_length(s.payload)) OVER (ORDER BY s."offset") AS bytes,
      bool_and(coalesce(s."offset" <= surplus, false) OR coalesce(s.created_at <= _before(now, the_keep_s), false)) OVER (ORDER BY s."offset") AS is_over
    FROM (SELECT * FROM _honker_stream s WHERE s.topic = the_topic AND s."offset" <= coalesce(finished, 9223372036854775807)
      ORDER BY s."offset" LIMIT 1000) s)
  DELETE FROM _honker_stream s USING old WHERE s."offset" = old."offset" AND old.is_over AND (old.at = 1 OR old.bytes <= 8000000);
  GET DIAGNOSTICS removed = ROW_COUNT;
  RETURN removed;
END $$;

CREATE OR REPLACE FUNCTION honker_stream_trim(topic text, options_json text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  keep record;
BEGIN
  PERFORM _not_null('{topic,options_json}', '{TEXT,TEXT}', topic IS NULL, options_json IS NULL);
  SELECT * INTO keep FROM _retention(options_json, true);
  RETURN _trim(_now(), topic, keep.keep_s, keep.keep_n, keep.past_consumers);
END $$;
