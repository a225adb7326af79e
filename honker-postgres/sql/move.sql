-- Taking all that is here to another database (honker move), as on a file: a row of the settings says that it is moved, and how far
-- that is; triggers say so to whoever writes, and who only waits is told when he looks. While it is `moving`, what runs may end:
-- jobs are settled, with their results, steps, callbacks and offsets. From `closed` on nothing changes any more; `moved` is the end.
--
-- The message begins with HONKER_MOVED, by which libhonker knows it. Who adds something gets an SQLSTATE of honker's own, by which
-- drivers know it. Otherwise it is that of any trigger that raises: a claim or a sweep passes over what is refused so.

CREATE OR REPLACE FUNCTION _move_state() RETURNS text
LANGUAGE sql STABLE AS $$ SELECT s.value FROM _honker_settings s WHERE s.name = 'move' $$;

-- The id of the move that has filled this database.
CREATE OR REPLACE FUNCTION _move_arrived() RETURNS text
LANGUAGE sql STABLE AS $$ SELECT s.value FROM _honker_settings s WHERE s.name = 'move.arrived' $$;

CREATE OR REPLACE FUNCTION _move_message(state json) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT format(CASE WHEN state ->> 'stage' = 'moved' THEN 'HONKER_MOVED: this database has moved to %s (move %s); open that one'
    ELSE 'HONKER_MOVED: this database is being moved to %s (move %s); open that one when it is done' END, state ->> 'to', state ->> 'id')
$$;

-- For who finds nothing here, and would wait in vain; in one stage, or in all.
CREATE OR REPLACE FUNCTION _move_check(the_stage text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  state json;
BEGIN
  SELECT s.value INTO state FROM _honker_settings s WHERE s.name = 'move';
  IF FOUND AND (the_stage IS NULL OR state ->> 'stage' = the_stage) THEN
    RAISE EXCEPTION '%', _move_message(state) USING ERRCODE = 'HK005';
  END IF;
END $$;

CREATE OR REPLACE FUNCTION _move_refuses() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = CASE WHEN TG_OP = 'INSERT' AND TG_TABLE_NAME = ANY (
    '{_honker_live,_honker_job_options,_honker_unique,_honker_batches,_honker_stream,_honker_notifications}'::text[])
    THEN 'HK005' ELSE 'P0001' END;
END $$;

-- A job is added: only by a batch whose last member was settled.
CREATE OR REPLACE FUNCTION _move_refuses_jobs() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM honker._honker_batches b, unnest(ARRAY[b.on_finished, b.on_success]) callback
    WHERE b.finished_at IS NOT NULL AND callback::json ->> 'queue' = NEW.queue AND callback::json ->> 'payload' = NEW.payload)
  THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'HK005';
END $$;

-- The tables that hold what is moved. The others are about processes, and stay.
CREATE OR REPLACE FUNCTION _move_tables() RETURNS text[]
LANGUAGE sql IMMUTABLE AS $$
  SELECT '{live,dead,done,job_options,unique,blocked,slots,steps,results,batches,queues,scheduler_tasks,schedule_options,stream,
    stream_consumers,streams,notifications,locks,rate_limits,settings}'::text[]
$$;

-- Moves, their beginning and their end come one after the other. What one side has said is not to be lost in a crash when the other one
-- relies on it, so this transaction is durable, whatever the role's others are.
CREATE OR REPLACE FUNCTION _move_lock() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(7524107602452545537);
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION _move_triggers_drop() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT t.tgname AS name, t.tgrelid::regclass AS on_table FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'honker'::regnamespace AND starts_with(t.tgname, '_honker_move_')
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', found.name, found.on_table);
  END LOOP;
END $$;

-- A trigger for each row that refuses a change of a table.
CREATE OR REPLACE FUNCTION _move_refuse(the_table text, verb text, condition text, message text, by text DEFAULT '_move_refuses') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER %I BEFORE %s ON %I FOR EACH ROW %s EXECUTE FUNCTION %I(%L)', '_honker_move_' || lower(verb), verb,
    '_honker_' || the_table, CASE WHEN condition IS NOT NULL THEN 'WHEN (' || condition || ')' END, by, message);
END $$;

-- All tables, in one order, so that two who lock them do not wait for each other.
CREATE OR REPLACE FUNCTION _move_lock_tables() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE (SELECT 'LOCK TABLE ' || string_agg(format('%I', '_honker_' || name), ', ' ORDER BY n) || ' IN SHARE ROW EXCLUSIVE MODE'
    FROM unnest(_move_tables()) WITH ORDINALITY t (name, n));
END $$;

-- Rows of the settings that are about this place may change.
CREATE OR REPLACE FUNCTION _move_own(the_row text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT format('NOT (%1$s.name = ''move'' OR starts_with(%1$s.name, ''move.'') OR %1$s.name = ''maintenance'')', the_row) $$;

CREATE OR REPLACE FUNCTION _move_begin(the_id text, the_to text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  state text;
  message text;
  the_table text;
BEGIN
  PERFORM _move_lock();
  state := (SELECT s.value FROM _honker_settings s WHERE s.name = 'move');
  IF state IS NOT NULL THEN
    RETURN state;
  END IF;
  PERFORM _move_lock_tables();
  state := json_build_object('id', the_id, 'to', the_to, 'stage', 'moving', 'at', _now());
  message := _move_message(state::json);
  INSERT INTO _honker_settings (name, value) VALUES ('move', state);
  FOREACH the_table IN ARRAY '{stream,notifications,locks,rate_limits,scheduler_tasks,schedule_options,batches,queues,streams}'::text[] LOOP
    PERFORM _move_refuse(the_table, 'INSERT', NULL, message);
  END LOOP;
  PERFORM _move_refuse('scheduler_tasks', 'UPDATE', NULL, message), _move_refuse('scheduler_tasks', 'DELETE', NULL, message),
    _move_refuse('settings', 'INSERT', _move_own('NEW'), message),
    _move_refuse('live', 'INSERT', NULL, message, '_move_refuses_jobs'),
    _move_refuse('live', 'UPDATE', 'NEW.state = ''processing'' AND (OLD.state <> ''processing''
      OR OLD.worker_id IS DISTINCT FROM NEW.worker_id OR OLD.attempts <> NEW.attempts)', message);
  PERFORM _wake_all();
  RETURN state;
END $$;

-- Whoever waits, for whatever, looks.
CREATE OR REPLACE FUNCTION _wake_all() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM _honker_listeners) THEN
    PERFORM pg_notify('honker', '["*"]');
  END IF;
END $$;

CREATE OR REPLACE FUNCTION _move_claims(OUT n bigint, OUT until bigint)
LANGUAGE sql AS $$
  SELECT count(*), max(l.claim_expires_at) FROM _honker_live l WHERE l.state = 'processing' AND l.claim_expires_at >= _now()
$$;

-- Gives back up to 1,000 jobs that are claimed, as if their workers had released them; how many those were.
CREATE OR REPLACE FUNCTION _move_give_back() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  job record;
  given bigint := 0;
BEGIN
  FOR job IN
    SELECT l.id, l.worker_id FROM _honker_live l WHERE l.state = 'processing' AND l.claim_expires_at >= now ORDER BY l.id LIMIT 1000
  LOOP
    -- One that somebody's SQL has claimed in a way of its own lapses in its time.
    given := given + honker_release(job.id, coalesce(job.worker_id, ''), 0);
  END LOOP;
  RETURN given;
END $$;

CREATE OR REPLACE FUNCTION _move_stop_all(state json) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  message text := _move_message(state);
  the_table text;
  verb text;
BEGIN
  PERFORM _move_triggers_drop();
  UPDATE _honker_settings SET value = state::text WHERE name = 'move';
  FOREACH the_table IN ARRAY _move_tables() LOOP
    FOREACH verb IN ARRAY '{INSERT,UPDATE,DELETE}'::text[] LOOP
      PERFORM _move_refuse(the_table, verb,
        CASE WHEN the_table = 'settings' THEN _move_own(CASE verb WHEN 'INSERT' THEN 'NEW' ELSE 'OLD' END) END, message);
    END LOOP;
    EXECUTE format('CREATE TRIGGER _honker_move_truncate BEFORE TRUNCATE ON %I EXECUTE FUNCTION _move_refuses(%L)',
      '_honker_' || the_table, message);
  END LOOP;
  PERFORM _wake_all();
END $$;

-- What is said of the move, which has to be there.
CREATE OR REPLACE FUNCTION _move_current() RETURNS json
LANGUAGE plpgsql AS $$
DECLARE
  state json;
BEGIN
  PERFORM _move_lock();
  SELECT s.value INTO state FROM _honker_settings s WHERE s.name = 'move';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'this database is not being moved' USING ERRCODE = 'HK002';
  END IF;
  PERFORM _move_lock_tables();
  RETURN state;
END $$;

-- Lets nobody change anything any more, if no claim is valid; whether that is so.
CREATE OR REPLACE FUNCTION _move_close() RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  state json := _move_current();
BEGIN
  IF state ->> 'stage' <> 'moving' THEN
    RETURN true;
  END IF;
  IF (SELECT c.n FROM _move_claims() c) > 0 THEN
    RETURN false;
  END IF;
  PERFORM _move_stop_all((state::jsonb || '{"stage": "closed"}')::json);
  RETURN true;
END $$;

CREATE OR REPLACE FUNCTION _move_end() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  state json := _move_current();
BEGIN
  IF state ->> 'stage' <> 'moved' THEN
    PERFORM _move_stop_all((state::jsonb || '{"stage": "moved"}')::json);
  END IF;
END $$;

-- The database stays: whoever calls this has seen to it that nothing of it is elsewhere.
CREATE OR REPLACE FUNCTION _move_cancel() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  state json := _move_current();
BEGIN
  IF state ->> 'stage' = 'moved' THEN
    RAISE EXCEPTION 'a move that is over cannot be cancelled: %', _move_message(state) USING ERRCODE = 'HK002';
  END IF;
  PERFORM _move_triggers_drop();
  DELETE FROM _honker_settings WHERE name = 'move';
  PERFORM _wake_all();
END $$;

-- The highest ids that tables have given, where they have given any.
CREATE OR REPLACE FUNCTION _move_last_ids() RETURNS TABLE (name text, last bigint)
LANGUAGE sql AS $$
  SELECT 'live', s.last_value FROM _honker_live_id_seq s WHERE s.is_called
  UNION ALL SELECT 'stream', s.last_value FROM _honker_stream_offset_seq s WHERE s.is_called
  UNION ALL SELECT 'notifications', s.last_value FROM _honker_notifications_id_seq s WHERE s.is_called
  UNION ALL SELECT 'batches', s.last_value FROM _honker_batches_id_seq s WHERE s.is_called
$$;

-- The end of filling this database: it says by which move, and from where; ids go on where the others ended.
CREATE OR REPLACE FUNCTION _move_arrive(the_id text, the_from text, tables text[], ids bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  the_last bigint;
  the_name text;
BEGIN
  FOR the_name, the_last IN SELECT t.name, greatest(t.last, l.last)
    FROM unnest(tables, ids) t (name, last) LEFT JOIN _move_last_ids() l ON l.name = t.name
  LOOP
    PERFORM setval(format('honker.%I', '_honker_' || the_name || CASE the_name WHEN 'stream' THEN '_offset_seq' ELSE '_id_seq' END),
      the_last, true);
  END LOOP;
  -- The columns that a file does not have.
  UPDATE _honker_queues q SET paused = coalesce((s.settings ->> 'paused')::boolean, false),
    concurrency = (s.settings ->> 'concurrency')::bigint, concurrency_per_key = (s.settings ->> 'concurrency_per_key')::bigint,
    rate_limit = (s.settings #>> '{rate,limit}')::bigint, rate_per_s = (s.settings #>> '{rate,per_s}')::bigint,
    max_attempts = (s.settings ->> 'max_attempts')::bigint, keep_done_s = coalesce((s.settings ->> 'keep_done_s')::bigint, 0),
    keep_dead_s = (s.settings ->> 'keep_dead_s')::bigint,
    is_limited = jsonb_strip_nulls(s.settings) ?| '{concurrency,concurrency_per_key,rate}'
  FROM (SELECT name, q.settings::jsonb AS settings FROM _honker_queues q) s WHERE s.name = q.name;
  INSERT INTO _honker_settings (name, value) VALUES ('move.from', the_from), ('move.arrived', the_id);
END $$;
