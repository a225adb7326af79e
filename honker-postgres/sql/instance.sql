-- Processes that listen and work, and what becomes of the jobs of dead ones.
--
-- The listening connection of a process holds a lock for as long as it lives; the server frees it when the connection ends. A lost
-- connection is not a dead process: dead is whose lock is absent, and which has not been seen for 15 s, both for 15 s since the
-- server started. Locks are looked at, never tried: to try one would make its owner look dead to who looks at that moment.

-- The number of the lock of an instance: 32 hexadecimal digits.
CREATE OR REPLACE FUNCTION _instance_lock(id text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT 7524952027382677504 + (hashtextextended(id, 0) & 281474976710655)
$$;

-- The locks of instances that are held.
CREATE OR REPLACE FUNCTION _instance_locks() RETURNS SETOF bigint
LANGUAGE sql AS $$
  SELECT (l.classid::bigint << 32) | l.objid::bigint FROM pg_catalog.pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.classid::bigint >> 16 = _instance_lock('') >> 48
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
$$;

-- On the listening connection, after LISTEN honker.
CREATE OR REPLACE FUNCTION _listen(the_id text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  -- Shared: a new connection need not wait until the server knows that the old one is gone.
  PERFORM pg_advisory_lock_shared(_instance_lock(the_id));
  -- Whoever has seen the lock absent before this does not remove a row that is new.
  INSERT INTO _honker_listeners AS l (id, since) VALUES (the_id, _now())
  ON CONFLICT ON CONSTRAINT _honker_listeners_pkey DO UPDATE SET since = excluded.since;
END $$;

CREATE OR REPLACE FUNCTION _unlisten(the_id text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM _honker_listeners l WHERE l.id = the_id;
  PERFORM pg_advisory_unlock_shared(_instance_lock(the_id));
END $$;

CREATE OR REPLACE FUNCTION _instance_register(the_id text, the_pid bigint, the_host text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  INSERT INTO _honker_instances AS i (id, pid, host, started_at, seen_at) VALUES (the_id, the_pid, the_host, now, now)
  ON CONFLICT ON CONSTRAINT _honker_instances_pkey DO UPDATE SET seen_at = excluded.seen_at, absent_since = NULL;
END $$;

-- The instance of a worker's id, <name>@<instance>, is alive. Said once in a second by each connection, and not where somebody else
-- says it at the moment.
CREATE OR REPLACE FUNCTION _seen(the_worker text, now bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF left(right(the_worker, 33), 1) = '@' AND current_setting('honker.seen_at', true) IS DISTINCT FROM now::text THEN
    PERFORM _instance_seen_at(right(the_worker, 32), now);
    PERFORM set_config('honker.seen_at', now::text, false);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION _instance_seen_at(the_id text, now bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM _honker_instances i WHERE i.id = the_id AND i.seen_at < now FOR NO KEY UPDATE SKIP LOCKED;
  IF FOUND THEN
    UPDATE _honker_instances i SET seen_at = now WHERE i.id = the_id;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION _instance_seen(the_id text) RETURNS void
LANGUAGE sql AS $$ SELECT _instance_seen_at(the_id, _now()) $$;

-- Notes whose locks are absent; those that are dead. Listeners without a lock are forgotten, so that nobody sends for their sake.
CREATE OR REPLACE FUNCTION _instances_look() RETURNS TABLE (id text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  now bigint := _now();
  held bigint[] := ARRAY(SELECT _instance_locks());
  started bigint := floor(date_part('epoch', pg_postmaster_start_time()));
BEGIN
  UPDATE _honker_instances i SET absent_since = CASE WHEN _instance_lock(i.id) = ANY (held) THEN NULL ELSE now END
  WHERE i.id IN (
    SELECT j.id FROM _honker_instances j
    WHERE (_instance_lock(j.id) = ANY (held)) = (j.absent_since IS NOT NULL) OR j.absent_since < started
    FOR NO KEY UPDATE SKIP LOCKED);
  DELETE FROM _honker_listeners l WHERE l.since < now - 15 AND _instance_lock(l.id) <> ALL (held);
  RETURN QUERY SELECT i.id::text FROM _honker_instances i
    WHERE i.absent_since <= now - 15 AND i.seen_at <= now - 15 AND _is_dead(now, i) ORDER BY i.id;
END $$;

CREATE OR REPLACE FUNCTION _is_dead(now bigint, instance _honker_instances) RETURNS boolean
LANGUAGE sql AS $$
  SELECT (instance).absent_since <= now - 15 AND (instance).seen_at <= now - 15
    AND (instance).absent_since >= floor(date_part('epoch', pg_postmaster_start_time()))
    AND _instance_lock((instance).id) NOT IN (SELECT _instance_locks())
$$;

-- Gives back jobs of an instance that is dead, at most 1,000: they are pending again, as they were before they were claimed, but for
-- the attempt; one whose attempts are exhausted is dead, and counted as such: whoever rescues counts for nobody. With the last of them the instance is forgotten, and the lock that it held
-- is free. Nothing happens if it lives.
CREATE OR REPLACE FUNCTION _rescue(the_id text, OUT rescued bigint, OUT is_all boolean)
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  dead _honker_instances;
  job record;
  found_all bigint := 0;
BEGIN
  rescued := 0;
  is_all := false;
  SELECT * INTO dead FROM _honker_instances i WHERE i.id = the_id FOR UPDATE SKIP LOCKED;
  IF NOT FOUND OR NOT _is_dead(now, dead) THEN
    RETURN;
  END IF;
  FOR job IN
    SELECT l.id, l.queue, l.attempts >= l.max_attempts AS is_exhausted FROM _honker_live l
    WHERE l.state = 'processing' AND right(l.worker_id, 33) = '@' || the_id ORDER BY l.id LIMIT 1000 FOR UPDATE SKIP LOCKED
  LOOP
    found_all := found_all + 1;
    CONTINUE WHEN NOT _try_keys(job.id);
    IF job.is_exhausted THEN
      PERFORM _dead_letter(now, job.id, 'max attempts exceeded');
    ELSE
      UPDATE _honker_live l SET state = 'pending', worker_id = NULL, claim_expires_at = NULL WHERE l.id = job.id;
      IF EXISTS (SELECT FROM _honker_job_options o WHERE o.job_id = job.id) THEN
        PERFORM _returned(now, job.id, job.queue);
      END IF;
    END IF;
    PERFORM _wake('q:' || job.queue);
    rescued := rescued + 1;
  END LOOP;
  PERFORM _count_noted(now);
  is_all := NOT EXISTS (SELECT FROM _honker_live l WHERE l.state = 'processing' AND right(l.worker_id, 33) = '@' || the_id);
  IF is_all THEN
    -- The owner of the lock may be alive again under the same name: then it is that one's.
    DELETE FROM _honker_locks l
    WHERE l.name = dead.info::json ->> 'lock' AND l.owner = dead.info::json ->> 'owner'
      AND NOT EXISTS (SELECT FROM _honker_instances i WHERE i.info = dead.info AND i.id <> the_id);
    IF FOUND THEN
      PERFORM _wake('s:');
    END IF;
    DELETE FROM _honker_instances i WHERE i.id = the_id;
  END IF;
END $$;
