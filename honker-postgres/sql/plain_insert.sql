-- Rows that are inserted by plain SQL: they wake whoever waits, as those of our functions do, which set honker.inside for themselves.
-- What a trigger of the user's inserts while a function of ours runs is plain SQL as well.

-- Wakes for each of these. The triggers that call it have the rights of whoever inserts, and his search path.
CREATE OR REPLACE FUNCTION _wake_all(items text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('honker.wake', true) = 'collect' OR EXISTS (SELECT FROM _honker_listeners) THEN
    PERFORM _wake(item) FROM unnest(items) item;
  END IF;
END $$;

-- That it is a call of ours each finds out by itself: a condition of the trigger would be read anew from its text for each statement.
CREATE OR REPLACE FUNCTION _wake_for_jobs() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF pg_catalog.current_setting('honker.inside', true) OPERATOR(pg_catalog.=) 'on' AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1 THEN
    RETURN NULL;
  END IF;
  PERFORM honker._wake_all(ARRAY(SELECT DISTINCT 'q:' OPERATOR(pg_catalog.||) queue FROM new_rows));
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION _wake_for_events() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF pg_catalog.current_setting('honker.inside', true) OPERATOR(pg_catalog.=) 'on' AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1 THEN
    RETURN NULL;
  END IF;
  PERFORM honker._wake_all(ARRAY(SELECT DISTINCT 't:' OPERATOR(pg_catalog.||) topic FROM new_rows));
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION _wake_for_notifications() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF pg_catalog.current_setting('honker.inside', true) OPERATOR(pg_catalog.=) 'on' AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 1 THEN
    RETURN NULL;
  END IF;
  PERFORM honker._wake_all(ARRAY(SELECT DISTINCT 'c:' OPERATOR(pg_catalog.||) channel FROM new_rows));
  RETURN NULL;
END $$;

-- The number of the sequence is taken after this (stream.sql). Within a call of ours as well: a trigger of the user's may publish there.
CREATE OR REPLACE FUNCTION _publishing_events() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM _publishing(1);
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION _publishing_notifications() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM _publishing(2);
  RETURN NULL;
END $$;

DO $$
DECLARE
  wanted record;
BEGIN
  FOR wanted IN SELECT * FROM (VALUES
    ('_honker_wake', '_honker_live', 'AFTER INSERT', 'REFERENCING NEW TABLE AS new_rows', '_wake_for_jobs'),
    ('_honker_wake', '_honker_stream', 'AFTER INSERT', 'REFERENCING NEW TABLE AS new_rows', '_wake_for_events'),
    ('_honker_wake', '_honker_notifications', 'AFTER INSERT', 'REFERENCING NEW TABLE AS new_rows', '_wake_for_notifications'),
    ('_honker_publish', '_honker_stream', 'BEFORE INSERT', '', '_publishing_events'),
    ('_honker_publish', '_honker_notifications', 'BEFORE INSERT', '', '_publishing_notifications')
  ) AS t (name, on_table, time, transition, does) LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = ('honker.' || wanted.on_table)::regclass AND g.tgname = wanted.name) THEN
      EXECUTE format('CREATE TRIGGER %I %s ON %I %s FOR EACH STATEMENT EXECUTE FUNCTION %I()',
        wanted.name, wanted.time, wanted.on_table, wanted.transition, wanted.does);
    END IF;
  END LOOP;
END $$;
