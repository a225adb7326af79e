-- Maintenance: once a minute one of those who work or lead removes what is kept no longer, and sees to what plain SQL and crashed
-- clients have left behind. A run goes through stages, a transaction each, and stays at one as long as there is something to do.

CREATE OR REPLACE FUNCTION _maintenance_due() RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  last bigint := (SELECT s.value::bigint FROM _honker_settings s WHERE s.name = 'maintenance');
BEGIN
  IF last <= now AND now - last < 60 THEN
    RETURN false;
  END IF;
  RETURN EXISTS (SELECT FROM _honker_job_options) OR EXISTS (SELECT FROM _honker_unique) OR EXISTS (SELECT FROM _honker_queues)
    OR EXISTS (SELECT FROM _honker_slots) OR EXISTS (SELECT FROM _honker_blocked) OR EXISTS (SELECT FROM _honker_steps)
    OR EXISTS (SELECT FROM _honker_batches) OR EXISTS (SELECT FROM _honker_done) OR EXISTS (SELECT FROM _honker_streams)
    OR EXISTS (SELECT FROM _honker_settings s WHERE s.name = 'notifications.keep_s')
    OR EXISTS (SELECT FROM _honker_counters c WHERE c.minute > 0 AND c.minute < now / 60 - 1440)
    OR EXISTS (SELECT FROM _honker_listeners l WHERE l.since < now - 60) OR EXISTS (SELECT FROM _honker_instances i WHERE i.seen_at < now - 60);
END $$;

-- Begins a run, unless somebody has in this minute.
CREATE OR REPLACE FUNCTION _maintenance_begin() RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  IF NOT _maintenance_due() THEN
    RETURN false;
  END IF;
  INSERT INTO _honker_settings AS s (name, value) VALUES ('maintenance', now::text)
  ON CONFLICT ON CONSTRAINT _honker_settings_pkey DO UPDATE SET value = excluded.value
  WHERE s.value::bigint > now OR now - s.value::bigint >= 60;
  RETURN FOUND;
END $$;

CREATE OR REPLACE FUNCTION _is_nowhere(the_id bigint) RETURNS boolean
LANGUAGE sql AS $$
  SELECT NOT EXISTS (SELECT FROM _honker_live l WHERE l.id = the_id) AND NOT EXISTS (SELECT FROM _honker_dead d WHERE d.id = the_id)
    AND NOT EXISTS (SELECT FROM _honker_done d WHERE d.id = the_id)
$$;

CREATE OR REPLACE FUNCTION _expire_done(now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[] := ARRAY(
    SELECT d.id FROM _honker_done d LEFT JOIN _honker_queues q ON q.name = d.queue
    WHERE d.finished_at <= now - coalesce(q.keep_done_s, 0) LIMIT 1000 FOR UPDATE OF d SKIP LOCKED);
  the_id bigint;
BEGIN
  DELETE FROM _honker_done d WHERE d.id = ANY (ids);
  FOR the_id IN SELECT o.job_id FROM _honker_job_options o WHERE o.job_id = ANY (ids) ORDER BY o.job_id LOOP
    PERFORM _gone(now, the_id, 'done');
  END LOOP;
  RETURN cardinality(ids);
END $$;

CREATE OR REPLACE FUNCTION _expire_dead(now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  kept record;
  removed bigint := 0;
BEGIN
  FOR kept IN SELECT q.name, q.keep_dead_s FROM _honker_queues q WHERE q.keep_dead_s IS NOT NULL ORDER BY q.name LOOP
    EXIT WHEN removed >= 1000;
    removed := removed + _purge(now, kept.name, _before(now, kept.keep_dead_s - 1), 1000 - removed);
  END LOOP;
  RETURN removed;
END $$;

-- What belongs to jobs that are nowhere, or members of batches that have ended without anybody counting it.
CREATE OR REPLACE FUNCTION _mend_options(now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  stray record;
  mended bigint := 0;
BEGIN
  FOR stray IN
    SELECT o.job_id, o.batch_exit, _is_nowhere(o.job_id) AS is_nowhere, EXISTS (SELECT FROM _honker_dead d WHERE d.id = o.job_id) AS is_dead
    FROM _honker_job_options o
    WHERE NOT EXISTS (SELECT FROM _honker_live l WHERE l.id = o.job_id)
      AND (_is_nowhere(o.job_id) OR o.batch_id IS NOT NULL AND o.batch_exit IS NULL)
    ORDER BY o.job_id LIMIT 1000
  LOOP
    PERFORM _lock_keys(ARRAY[stray.job_id]);
    CONTINUE WHEN EXISTS (SELECT FROM _honker_live l WHERE l.id = stray.job_id);
    IF stray.is_nowhere THEN
      PERFORM _left(now, stray.job_id, NULL, coalesce(stray.batch_exit, 'done'), false);
    ELSE
      PERFORM _batch_count(now, stray.job_id, CASE WHEN stray.is_dead THEN 'dead' ELSE 'done' END, true);
    END IF;
    mended := mended + 1;
  END LOOP;
  RETURN mended;
END $$;

CREATE OR REPLACE FUNCTION _mend_slots(now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  stray record;
  mended bigint := 0;
BEGIN
  FOR stray IN
    SELECT s.job_id, s.queue, s.key FROM _honker_slots s
    WHERE NOT EXISTS (SELECT FROM _honker_live l WHERE l.id = s.job_id AND l.state = 'processing')
    ORDER BY s.queue, s.key LIMIT 1000
  LOOP
    PERFORM pg_advisory_xact_lock(_key_lock(stray.queue, stray.key));
    IF NOT EXISTS (SELECT FROM _honker_live l WHERE l.id = stray.job_id AND l.state = 'processing') THEN
      PERFORM _free_slot(now, stray.job_id);
      mended := mended + 1;
    END IF;
  END LOOP;
  RETURN mended;
END $$;

CREATE OR REPLACE FUNCTION _mend_blocked() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  mended bigint;
  unblocked bigint;
BEGIN
  DELETE FROM _honker_blocked b WHERE b.job_id IN (
    SELECT c.job_id FROM _honker_blocked c
    WHERE NOT EXISTS (SELECT FROM _honker_live l WHERE l.id = c.job_id AND l.state = 'blocked') LIMIT 1000 FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS mended = ROW_COUNT;
  UPDATE _honker_live l SET state = 'pending' WHERE l.id IN (
    SELECT m.id FROM _honker_live m
    WHERE m.state = 'blocked' AND NOT EXISTS (SELECT FROM _honker_blocked b WHERE b.job_id = m.id) LIMIT 1000 FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS unblocked = ROW_COUNT;
  RETURN mended + unblocked;
END $$;

CREATE OR REPLACE FUNCTION _mend_keys(now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  stray record;
  mended bigint := 0;
BEGIN
  FOR stray IN
    SELECT k.queue, k.key FROM _honker_unique k
    WHERE (k.until IS NULL OR k.until < now) AND NOT EXISTS (SELECT FROM _honker_live l WHERE l.id = k.job_id)
    ORDER BY k.queue, k.key LIMIT 1000 FOR UPDATE SKIP LOCKED
  LOOP
    -- As it is now that its row is locked: a job that is new may have it.
    DELETE FROM _honker_unique u
    WHERE u.queue = stray.queue AND u.key = stray.key AND (u.until IS NULL OR u.until < now)
      AND NOT EXISTS (SELECT FROM _honker_live l WHERE l.id = u.job_id);
    mended := mended + FOUND::int;
  END LOOP;
  RETURN mended;
END $$;

-- Batches whose members have ended without anybody counting it, because somebody's SQL has removed their options.
CREATE OR REPLACE FUNCTION _mend_batches(now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  batch _honker_batches;
  mended bigint := 0;
BEGIN
  FOR batch IN
    SELECT * FROM _honker_batches b
    WHERE b.finished_at IS NULL AND (b.sealed_at IS NOT NULL AND b.pending <= 0 OR b.pending > 0 AND NOT EXISTS (
      SELECT FROM _honker_job_options o WHERE o.batch_id = b.id AND o.batch_exit IS NULL))
    ORDER BY b.id LIMIT 1000 FOR UPDATE
  LOOP
    -- As it is now that its row is locked: a member may have come in the meantime.
    CONTINUE WHEN EXISTS (SELECT FROM _honker_job_options o WHERE o.batch_id = batch.id AND o.batch_exit IS NULL);
    UPDATE _honker_batches b SET done = b.done + greatest(b.pending, 0), pending = 0 WHERE b.id = batch.id;
    IF batch.sealed_at IS NOT NULL THEN
      PERFORM _batch_finish(now, batch.id);
    END IF;
    mended := mended + 1;
  END LOOP;
  RETURN mended;
END $$;

CREATE OR REPLACE FUNCTION _expire_batches(now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  removed bigint;
BEGIN
  DELETE FROM _honker_batches b WHERE b.id IN (
    SELECT o.id FROM _honker_batches o
    WHERE o.finished_at IS NOT NULL AND (o.finished_at + coalesce(o.keep_s, 86400)) <= now LIMIT 1000 FOR UPDATE SKIP LOCKED);
  GET DIAGNOSTICS removed = ROW_COUNT;
  RETURN removed;
END $$;

CREATE OR REPLACE FUNCTION _expire_events(now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  topic text;
  removed bigint := 0;
BEGIN
  FOR topic IN SELECT s.topic FROM _honker_streams s ORDER BY s.topic LOOP
    removed := removed + _trim(now, topic, NULL, NULL, false);
    EXIT WHEN removed >= 1000;
  END LOOP;
  RETURN removed;
END $$;

-- One stage of a run; the next one, NULL if the run is over.
CREATE OR REPLACE FUNCTION _maintenance_step(stage bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  done bigint;
BEGIN
  CASE stage
    WHEN 0 THEN done := _expire_done(now);
    WHEN 1 THEN done := _expire_dead(now);
    WHEN 2 THEN done := _mend_options(now);
    WHEN 3 THEN
      DELETE FROM _honker_steps s WHERE (s.job_id, s.name) IN (
        SELECT o.job_id, o.name FROM _honker_steps o WHERE _is_nowhere(o.job_id) LIMIT 1000);
      GET DIAGNOSTICS done = ROW_COUNT;
    WHEN 4 THEN done := _mend_slots(now);
    WHEN 5 THEN done := _mend_blocked();
    WHEN 6 THEN done := _mend_keys(now);
    WHEN 7 THEN done := _mend_batches(now);
    WHEN 8 THEN done := _expire_batches(now);
    WHEN 9 THEN done := _expire_events(now);
    WHEN 10 THEN
      done := coalesce(_prune(_before(now, (SELECT s.value::bigint - 1 FROM _honker_settings s WHERE s.name = 'notifications.keep_s')), NULL), 0);
    WHEN 11 THEN done := _add_up(now);
    WHEN 12 THEN
      PERFORM _rescue(dead.id) FROM _instances_look() dead;
      done := 0;
    ELSE RETURN NULL;
  END CASE;
  RETURN CASE WHEN done > 0 THEN stage ELSE stage + 1 END;
END $$;
