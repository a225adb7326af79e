-- Unique keys: of a queue's jobs with the same key there is one.
--
-- Who has a key is a row of _honker_unique, which is locked before the row of any job (options.sql). The row may say what is not so
-- any more: a key is taken through the second until, and while its job is live; with mode 'claimed' only while it waits.

-- What may still become of a job: gone, waiting, claimed, or, if no claim may take it any more, why it is to be moved to the dead.
CREATE OR REPLACE FUNCTION _prospect(now bigint, the_id bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  live record;
BEGIN
  SELECT l.state, l.claim_expires_at, l.expires_at, l.attempts, l.max_attempts INTO live FROM _honker_live l WHERE l.id = the_id;
  RETURN CASE
    WHEN NOT FOUND THEN 'gone'
    WHEN live.state NOT IN ('pending', 'blocked', 'processing') THEN 'claimed'
    WHEN live.state = 'processing' AND live.claim_expires_at >= now THEN 'claimed'
    WHEN live.expires_at <= now THEN 'expired'
    WHEN live.attempts >= live.max_attempts THEN 'max attempts exceeded'
    WHEN live.state = 'processing' THEN 'claimed'
    ELSE 'waiting' END;
END $$;

-- As _prospect; a job that no claim may take is moved to the dead, unless somebody has locked it, which counts as a claim.
CREATE OR REPLACE FUNCTION _settled_prospect(now bigint, the_id bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  prospect text := _prospect(now, the_id);
BEGIN
  IF prospect IN ('gone', 'waiting', 'claimed') THEN
    RETURN prospect;
  END IF;
  PERFORM FROM _honker_live l WHERE l.id = the_id FOR UPDATE SKIP LOCKED;
  IF FOUND AND _try_keys(the_id) THEN
    -- As it is now.
    prospect := _prospect(now, the_id);
    IF prospect IN ('gone', 'waiting', 'claimed') THEN
      RETURN prospect;
    END IF;
    PERFORM _dead_letter(now, the_id, prospect);
    RETURN 'gone';
  END IF;
  RETURN CASE WHEN EXISTS (SELECT FROM _honker_live l WHERE l.id = the_id) THEN 'claimed' ELSE 'gone' END;
END $$;

-- Who has a key whose row is locked, if anybody. For an enqueue: with mode 'claimed', a claim that is open is waited for, and later
-- ones step over the job until this transaction ends, so that whoever claims it sees what this transaction has changed.
CREATE OR REPLACE FUNCTION _holder(now bigint, key_row _honker_unique, enqueues boolean, OUT id bigint, OUT is_waiting boolean)
LANGUAGE plpgsql AS $$
DECLARE
  prospect text;
BEGIN
  IF enqueues AND key_row.mode = 'claimed' THEN
    PERFORM FROM _honker_live l WHERE l.id = key_row.job_id FOR KEY SHARE;
  END IF;
  prospect := _settled_prospect(now, key_row.job_id);
  IF prospect = 'waiting' OR prospect = 'claimed' AND key_row.mode <> 'claimed' OR key_row.until >= now THEN
    id := key_row.job_id;
    is_waiting := prospect = 'waiting';
  END IF;
END $$;

-- Gives a key to a job, unless somebody else has it: the answer is NULL then, or else who has it. Waits for whoever holds it in an
-- open transaction.
CREATE OR REPLACE FUNCTION _take_key(now bigint, the_queue text, the_key text, the_id bigint, the_mode text, the_until bigint,
  enqueues boolean, OUT id bigint, OUT is_waiting boolean)
LANGUAGE plpgsql AS $$
DECLARE
  key_row _honker_unique;
BEGIN
  -- So often that only a trigger that keeps the row away can be why.
  FOR round IN 1 .. 1000 LOOP
    INSERT INTO _honker_unique AS u (queue, key, job_id, mode, until) VALUES (the_queue, the_key, the_id, the_mode, the_until)
      ON CONFLICT ON CONSTRAINT _honker_unique_pkey DO NOTHING;
    IF FOUND THEN
      RETURN;
    END IF;
    SELECT * INTO key_row FROM _honker_unique u WHERE u.queue = the_queue AND u.key = the_key FOR UPDATE;
    IF FOUND THEN
      IF key_row.job_id = the_id THEN
        RETURN;
      END IF;
      SELECT holder.id, holder.is_waiting INTO id, is_waiting FROM _holder(now, key_row, enqueues) holder;
      IF id IS NOT NULL THEN
        RETURN;
      END IF;
      UPDATE _honker_unique u SET job_id = the_id, mode = the_mode, until = the_until WHERE u.queue = the_queue AND u.key = the_key;
      IF FOUND THEN
        RETURN;
      END IF;
      -- What was moved to the dead has freed its key.
    END IF;
  END LOOP;
  PERFORM _refused('enqueued', '_honker_unique');
END $$;

-- The key of a job that has just left the live table is free, unless it is taken by time.
CREATE OR REPLACE FUNCTION _free_key(now bigint, the_id bigint) RETURNS void
LANGUAGE sql AS $$
  DELETE FROM _honker_unique u WHERE u.job_id = the_id AND (u.until IS NULL OR u.until < now)
$$;

-- A job that waits again, or is to be live again, takes its key, if it has one. False: somebody else has it, and the job cannot do
-- without; with 'claimed' it may stay beside.
CREATE OR REPLACE FUNCTION _take_key_again(now bigint, the_id bigint, the_queue text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  options record;
  other bigint;
BEGIN
  SELECT o.unique_key, coalesce(o.unique_until, 'settled') AS mode INTO options
  FROM _honker_job_options o WHERE o.job_id = the_id AND o.unique_key IS NOT NULL;
  IF NOT FOUND THEN
    RETURN true;
  END IF;
  SELECT taken.id INTO other FROM _take_key(now, the_queue, options.unique_key, the_id, options.mode, NULL, false) taken;
  RETURN other IS NULL OR options.mode = 'claimed';
END $$;
