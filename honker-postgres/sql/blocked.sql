-- Limits for each concurrency key: the slots that claimed jobs have, and the jobs that wait for one.
--
-- A job that is claimed and has a key has a slot, which counts while its claim is valid. A job that a claim meets and whose key is
-- at its limit is set aside: its state is blocked, and a row of _honker_blocked says where it belongs in the order. Whoever frees a
-- slot brings the best of its key back. All of that is done under the key's lock (_key_lock).

-- How many slots of a key count, as far as there are no more than at_most. Its lock is held, where the answer has to be exact.
CREATE OR REPLACE FUNCTION _held(now bigint, the_queue text, the_key text, at_most bigint) RETURNS bigint
LANGUAGE sql AS $$
  SELECT count(*) FROM (
    SELECT FROM _honker_slots s JOIN _honker_live l ON l.id = s.job_id
    WHERE s.queue = the_queue AND s.key = the_key AND l.state = 'processing' AND l.queue = s.queue AND l.claim_expires_at >= now
    LIMIT at_most) held
$$;

-- Jobs of these that were claimed just now have their slots.
CREATE OR REPLACE FUNCTION _take_slots(ids bigint[]) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO _honker_slots AS s (job_id, queue, key)
  SELECT l.id, l.queue, o.concurrency_key FROM _honker_job_options o JOIN _honker_live l ON l.id = o.job_id
  WHERE o.job_id = ANY (ids) AND o.concurrency_key IS NOT NULL
  ON CONFLICT ON CONSTRAINT _honker_slots_pkey DO UPDATE SET queue = excluded.queue, key = excluded.key
$$;

-- A job is not claimed any more, or nowhere: its slot is free, and the best job that waits for it is pending.
CREATE OR REPLACE FUNCTION _free_slot(now bigint, the_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  slot record;
BEGIN
  DELETE FROM _honker_slots s WHERE s.job_id = the_id RETURNING s.queue, s.key INTO slot;
  IF FOUND AND slot.key IS NOT NULL THEN
    PERFORM _bring_back_one(now, slot.queue, slot.key);
  END IF;
END $$;

-- A blocked job is pending again; whether it was blocked.
CREATE OR REPLACE FUNCTION _unblock(the_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  the_queue text;
BEGIN
  -- Also if a trigger of the user's keeps it from being pending: it would be found again and again.
  DELETE FROM _honker_blocked b WHERE b.job_id = the_id;
  UPDATE _honker_live l SET state = 'pending' WHERE l.id = the_id AND l.state = 'blocked' RETURNING l.queue INTO the_queue;
  IF FOUND THEN
    PERFORM _wake('q:' || the_queue);
    RETURN true;
  END IF;
  RETURN false;
END $$;

-- The best job that waits for a slot of this key is pending again, and whatever has expired before it; whether there was one.
CREATE OR REPLACE FUNCTION _bring_back_one(now bigint, the_queue text, the_key text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  best record;
BEGIN
  FOR best IN
    SELECT b.job_id, coalesce(b.expires_at <= now, false) AS has_expired FROM _honker_blocked b
    WHERE b.queue = the_queue AND b.key = the_key ORDER BY b.priority DESC, b.run_at, b.job_id LIMIT 1000
  LOOP
    IF _unblock(best.job_id) AND NOT best.has_expired THEN
      RETURN true;
    END IF;
  END LOOP;
  RETURN false;
END $$;

-- Keys for which jobs wait although slots are free, of up to 1,000 that are looked at, from this one on.
CREATE OR REPLACE FUNCTION _waiting_in_vain(now bigint, the_queue text, per_key bigint, from_key text)
RETURNS TABLE (key text, free bigint, looked_at bigint)
LANGUAGE sql AS $$
  WITH RECURSIVE keys (key) AS (
    (SELECT b.key FROM _honker_blocked b WHERE b.queue = the_queue AND b.key >= from_key ORDER BY b.key LIMIT 1)
    UNION ALL
    SELECT (SELECT b.key FROM _honker_blocked b WHERE b.queue = the_queue AND b.key > keys.key ORDER BY b.key LIMIT 1)
    FROM keys WHERE keys.key IS NOT NULL)
  SELECT looked.key, per_key - _held(now, the_queue, looked.key, per_key), row_number() OVER ()
  FROM (SELECT keys.key FROM keys WHERE keys.key IS NOT NULL LIMIT 1000) looked
$$;

-- Brings back jobs that wait although slots of their keys are free; whether there was one. Each key is looked at some time: where a
-- look that has found none has ended, the next one of this connection begins.
CREATE OR REPLACE FUNCTION _bring_back_waiting(now bigint, the_queue text, per_key bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  setting text := 'honker.waiting_' || (hashtext(the_queue) & 15);
  from_key text := coalesce(current_setting(setting, true), '');
  waiting record;
  found_any boolean := false;
BEGIN
  FOR waiting IN SELECT * FROM _waiting_in_vain(now, the_queue, per_key, from_key) LOOP
    IF waiting.free > 0 AND pg_try_advisory_xact_lock(_key_lock(the_queue, waiting.key)) THEN
      FOR each IN 1 .. per_key - _held(now, the_queue, waiting.key, per_key) LOOP
        EXIT WHEN NOT _bring_back_one(now, the_queue, waiting.key);
        found_any := true;
      END LOOP;
    END IF;
  END LOOP;
  IF NOT found_any THEN
    from_key := CASE WHEN waiting.looked_at >= 1000 THEN waiting.key ELSE '' END;
    IF from_key IS DISTINCT FROM coalesce(current_setting(setting, true), '') THEN
      PERFORM set_config(setting, from_key, false);
    END IF;
  END IF;
  RETURN found_any;
END $$;

-- The jobs of a queue that has no limit for a key any more are pending again, at most so many; how many those were.
CREATE OR REPLACE FUNCTION _bring_back_all(the_queue text, at_most bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[] := ARRAY(
    SELECT b.job_id FROM _honker_blocked b WHERE b.queue = the_queue ORDER BY b.key LIMIT at_most FOR UPDATE SKIP LOCKED);
BEGIN
  DELETE FROM _honker_blocked b WHERE b.job_id = ANY (ids);
  UPDATE _honker_live l SET state = 'pending' WHERE l.id = ANY (ids) AND l.state = 'blocked';
  RETURN cardinality(ids);
END $$;

-- Sets pending jobs aside whose keys are locked; how many those were. A job that somebody else has locked stays.
CREATE OR REPLACE FUNCTION _set_aside(ids bigint[]) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  set_aside bigint;
BEGIN
  WITH locked AS MATERIALIZED (
    SELECT l.id, l.queue, l.priority, l.run_at, l.expires_at, o.concurrency_key
    FROM _honker_live l JOIN _honker_job_options o ON o.job_id = l.id
    WHERE l.id = ANY (ids) AND l.state = 'pending' AND o.concurrency_key IS NOT NULL FOR UPDATE OF l SKIP LOCKED
  ), added AS (
    INSERT INTO _honker_blocked AS b (job_id, queue, key, priority, run_at, expires_at)
    SELECT locked.id, locked.queue, locked.concurrency_key, locked.priority, locked.run_at, locked.expires_at FROM locked
    ON CONFLICT ON CONSTRAINT _honker_blocked_pkey DO UPDATE
      SET queue = excluded.queue, key = excluded.key, priority = excluded.priority, run_at = excluded.run_at,
        expires_at = excluded.expires_at)
  UPDATE _honker_live l SET state = 'blocked' FROM locked WHERE l.id = locked.id;
  GET DIAGNOSTICS set_aside = ROW_COUNT;
  RETURN set_aside;
END $$;
