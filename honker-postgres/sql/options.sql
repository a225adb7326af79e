-- The options of a job, as a JSON object.

-- Reads them. Unknown keys and wrong types are errors that name them.
CREATE OR REPLACE FUNCTION _options(argument text, given json) RETURNS _job
LANGUAGE plpgsql AS $$
DECLARE
  job _job;
  key text;
  value json;
  needs_key text;
BEGIN
  job.unique_until := 'settled';
  job.on_conflict := 'keep';
  FOR key, value IN SELECT each.key, each.value FROM json_each(given) each LOOP
    CASE key
      WHEN 'run_at' THEN job.run_at := _integer_or_null(argument, key, value);
      WHEN 'delay_s' THEN job.delay_s := _integer_or_null(argument, key, value);
      WHEN 'priority' THEN job.priority := _integer(argument, key, value);
      WHEN 'max_attempts' THEN job.max_attempts := _integer(argument, key, value);
      WHEN 'expires_s' THEN job.expires_s := _integer_or_null(argument, key, value);
      WHEN 'metadata' THEN
        IF json_typeof(value) = 'object' THEN
          job.metadata := _texts(value);
        ELSIF json_typeof(value) <> 'null' THEN
          PERFORM _wrong(argument, key, value, 'an object of texts or null');
        END IF;
      WHEN 'concurrency_key' THEN job.concurrency_key := _text_or_null(argument, key, value);
      WHEN 'batch_id' THEN job.batch_id := _integer_or_null(argument, key, value);
      WHEN 'member' THEN
        IF json_typeof(value) = 'object' THEN
          job.member_job_id := _whole(value -> 'job_id');
          IF json_typeof(value -> 'worker_id') = 'string' AND (SELECT count(*) FROM json_object_keys(value)) = 2 THEN
            job.member_worker_id := value ->> 'worker_id';
          END IF;
        END IF;
        IF json_typeof(value) <> 'null' AND (job.member_job_id IS NULL OR job.member_worker_id IS NULL) THEN
          PERFORM _wrong(argument, key, value, '{"job_id": integer, "worker_id": text} or null');
        END IF;
      WHEN 'max_run_s' THEN job.max_run_s := _integer_or_null(argument, key, value);
      WHEN 'unique_key' THEN job.unique_key := _text_or_null(argument, key, value);
      WHEN 'unique_until' THEN job.unique_until := _one_of(argument, key, value, 'settled', 'claimed');
      WHEN 'unique_for_s' THEN job.unique_for_s := _integer_or_null(argument, key, value);
      WHEN 'on_conflict' THEN job.on_conflict := _one_of(argument, key, value, 'keep', 'replace');
      ELSE PERFORM _unknown_key(argument, key);
    END CASE;
    IF key IN ('unique_until', 'unique_for_s', 'on_conflict') AND json_typeof(value) <> 'null' THEN
      needs_key := coalesce(needs_key, key);
    END IF;
  END LOOP;
  IF needs_key IS NOT NULL AND job.unique_key IS NULL THEN
    PERFORM _invalid(format('%s: %s is given without unique_key', argument, needs_key));
  END IF;
  RETURN job;
END $$;

-- An error if a job cannot be enqueued, whatever is in the database.
CREATE OR REPLACE FUNCTION _check_options(now bigint, job _job) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  wrong text;
BEGIN
  IF job.metadata IS NOT NULL THEN
    IF octet_length(job.metadata) > 8192 THEN
      PERFORM _invalid(format('metadata has %s bytes, more than 8192', octet_length(job.metadata)));
    END IF;
    SELECT each.key INTO wrong FROM json_each(job.metadata::json) each WHERE json_typeof(each.value) <> 'string' LIMIT 1;
    IF FOUND THEN
      PERFORM _invalid(format('metadata must be a JSON object of texts: ''%s'' is none', wrong));
    END IF;
  END IF;
  IF job.concurrency_key = '' THEN
    PERFORM _invalid('concurrency_key must not be empty');
  END IF;
  IF job.member_job_id IS NOT NULL AND job.batch_id IS NULL THEN
    PERFORM _invalid('member is given without batch_id');
  END IF;
  IF job.max_run_s < 1 THEN
    PERFORM _invalid(format('max_run_s must be at least 1, not %s', job.max_run_s));
  END IF;
  IF job.unique_key = '' THEN
    PERFORM _invalid('unique_key must not be empty');
  END IF;
  IF job.unique_for_s < 1 THEN
    PERFORM _invalid(format('unique_for_s must be at least 1, not %s', job.unique_for_s));
  END IF;
  PERFORM _after(now, 'unique_for_s', job.unique_for_s - 1);
END $$;

CREATE OR REPLACE FUNCTION _has_options(job _job) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
  SELECT (job).metadata IS NOT NULL OR (job).unique_key IS NOT NULL OR (job).concurrency_key IS NOT NULL
    OR (job).batch_id IS NOT NULL OR (job).member_job_id IS NOT NULL OR (job).max_run_s IS NOT NULL
$$;

-- The key that jobs of a queue share, as the number of a lock.
CREATE OR REPLACE FUNCTION _key_lock(the_queue text, key text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT 7524670552405966848 + (hashtextextended(the_queue || chr(1) || key, 0) & 281474976710655)
$$;

-- Locks what jobs share with others, before their rows are locked: concurrency keys, unique keys, batches, in this order, each
-- sorted. Whoever settles jobs that have options does this first.
CREATE OR REPLACE FUNCTION _lock_keys(ids bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  at record;
BEGIN
  FOR at IN
    SELECT DISTINCT _key_lock(coalesce(live.queue, slots.queue), o.concurrency_key) AS number
    FROM _honker_job_options o LEFT JOIN _honker_live live ON live.id = o.job_id LEFT JOIN _honker_slots slots ON slots.job_id = o.job_id
    WHERE o.job_id = ANY (ids) AND o.concurrency_key IS NOT NULL AND coalesce(live.queue, slots.queue) IS NOT NULL
    ORDER BY number
  LOOP
    PERFORM pg_advisory_xact_lock(at.number);
  END LOOP;
  -- Those that they have, and those that they will want to have again, which may be others' now.
  PERFORM FROM (
      SELECT u.queue, u.key FROM _honker_unique u WHERE u.job_id = ANY (ids)
      UNION
      SELECT coalesce((SELECT l.queue FROM _honker_live l WHERE l.id = o.job_id), (SELECT d.queue FROM _honker_dead d WHERE d.id = o.job_id)),
        o.unique_key COLLATE "C"
      FROM _honker_job_options o WHERE o.job_id = ANY (ids) AND o.unique_key IS NOT NULL
      ORDER BY 1, 2) wanted,
    LATERAL (SELECT FROM _honker_unique u WHERE u.queue = wanted.queue AND u.key = wanted.key FOR UPDATE) locked;
  PERFORM FROM _honker_batches b
    WHERE b.id IN (SELECT o.batch_id FROM _honker_job_options o WHERE o.job_id = ANY (ids)) ORDER BY b.id FOR UPDATE;
END $$;

-- As _lock_keys, of one job and without waiting: whoever holds its row already must not. Whether all could be had.
CREATE OR REPLACE FUNCTION _try_keys(the_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  job record;
BEGIN
  SELECT live.queue, o.concurrency_key, o.unique_key, o.batch_id INTO job
  FROM _honker_job_options o JOIN _honker_live live ON live.id = o.job_id WHERE o.job_id = the_id;
  IF NOT FOUND THEN
    RETURN true;
  END IF;
  IF job.concurrency_key IS NOT NULL AND NOT pg_try_advisory_xact_lock(_key_lock(job.queue, job.concurrency_key)) THEN
    RETURN false;
  END IF;
  -- Whoever has it: a job that goes back wants to have it again.
  IF job.unique_key IS NOT NULL AND EXISTS (SELECT FROM _honker_unique u WHERE u.queue = job.queue AND u.key = job.unique_key) THEN
    PERFORM FROM _honker_unique u WHERE u.queue = job.queue AND u.key = job.unique_key FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
      RETURN false;
    END IF;
  END IF;
  IF job.batch_id IS NOT NULL AND EXISTS (SELECT FROM _honker_batches b WHERE b.id = job.batch_id) THEN
    PERFORM FROM _honker_batches b WHERE b.id = job.batch_id FOR UPDATE SKIP LOCKED;
    RETURN FOUND;
  END IF;
  RETURN true;
END $$;

-- Metadata as part of a JSON answer: an object of texts, or NULL. What other SQL has stored is made one, or left out.
CREATE OR REPLACE FUNCTION _metadata(stored text) RETURNS json
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF stored IS NULL OR json_typeof(stored::json) <> 'object' THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT '{' || coalesce(string_agg(to_json(each.key)::text || ':'
      || CASE WHEN json_typeof(each.value) = 'string' THEN each.value::text ELSE to_json(each.value::text)::text END, ','), '') || '}'
    FROM json_each(stored::json) each);
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$;
