-- The way out of the live table. What belongs to a job is seen to in the same transaction: its key and its slot are free, its batch
-- counts it, and unless it is dead or kept, nothing of it stays.

-- Sees to what belongs to a job whose row has left just now, by the exit done, dead or cancelled. Its keys are locked.
CREATE OR REPLACE FUNCTION _left(now bigint, the_id bigint, the_queue text, exit text, kept boolean) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM _honker_job_options o WHERE o.job_id = the_id) THEN
    RETURN;
  END IF;
  PERFORM _free_key(now, the_id);
  PERFORM _free_slot(now, the_id);
  IF exit <> 'done' THEN
    DELETE FROM _honker_blocked b WHERE b.job_id = the_id;
  END IF;
  PERFORM _batch_count(now, the_id, exit, kept);
  IF NOT kept THEN
    PERFORM _forget(the_id);
  END IF;
END $$;

-- Removes what belonged to a job that is nowhere any more.
CREATE OR REPLACE FUNCTION _forget(the_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM _honker_job_options o WHERE o.job_id = the_id;
  DELETE FROM _honker_steps s WHERE s.job_id = the_id;
END $$;

-- A job that was dead or done is nowhere any more.
CREATE OR REPLACE FUNCTION _gone(now bigint, the_id bigint, exit text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM _honker_job_options o WHERE o.job_id = the_id) THEN
    -- It may have come there by somebody's SQL.
    PERFORM _batch_count(now, the_id, exit, false);
    PERFORM _forget(the_id);
  END IF;
END $$;

-- Sees to what belongs to a job that was claimed and is pending again. Its keys are locked.
CREATE OR REPLACE FUNCTION _returned(now bigint, the_id bigint, the_queue text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM _take_key_again(now, the_id, the_queue);
  PERFORM _free_slot(now, the_id);
END $$;

-- Keeps a job that was acked, if its queue keeps done jobs; whether it does. Its result is kept for as long.
CREATE OR REPLACE FUNCTION _keep_done(now bigint, job _honker_live) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  keep_s bigint;
BEGIN
  SELECT q.keep_done_s INTO keep_s FROM _honker_queues q WHERE q.name = job.queue AND q.keep_done_s > 0;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO _honker_done AS d (id, queue, payload, priority, run_at, attempts, max_attempts, created_at, finished_at)
  VALUES (job.id, job.queue, job.payload, job.priority, job.run_at, job.attempts, job.max_attempts, job.created_at, now)
  ON CONFLICT ON CONSTRAINT _honker_done_pkey DO UPDATE
    SET queue = excluded.queue, payload = excluded.payload, priority = excluded.priority, run_at = excluded.run_at,
      attempts = excluded.attempts, max_attempts = excluded.max_attempts, created_at = excluded.created_at,
      finished_at = excluded.finished_at;
  -- One that has expired stays so.
  UPDATE _honker_results r SET expires_at = _after_at_most(now, keep_s)
  WHERE r.job_id = job.id AND r.expires_at > now AND r.expires_at < _after_at_most(now, keep_s);
  RETURN true;
END $$;
