-- Batches: jobs that are waited for together, by jobs that are enqueued when the last of them has ended.
--
-- The row of a batch counts its members, each in one place. Every change of a member is counted in its own transaction under the
-- lock of the row, and the one that leaves a sealed batch without a pending member finishes it: its callbacks are enqueued in that
-- transaction too, so each exactly once. What was counted of a member whose options stay is in their column batch_exit.

-- Reads a callback, checks it, and answers it as it is stored.
CREATE OR REPLACE FUNCTION _callback(now bigint, name text, value json) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  member record;
  stored jsonb := '{"options": {}}';
  given text;
BEGIN
  IF json_typeof(value) <> 'object' THEN
    PERFORM _invalid(name || ' must be a JSON object');
  END IF;
  FOR member IN SELECT each.key, each.value, json_typeof(each.value) AS type FROM json_each(value) each LOOP
    CASE
      WHEN member.key IN ('queue', 'payload') AND member.type = 'string' THEN
        stored := jsonb_set(stored, ARRAY[member.key], member.value::jsonb);
      WHEN member.key IN ('queue', 'payload') THEN PERFORM _invalid(format('%s in %s must be a text', member.key, name));
      WHEN member.key = 'options' AND member.type = 'object' THEN
        stored := jsonb_set(stored, '{options}', member.value::jsonb);
        given := member.value::text;
      WHEN member.key = 'options' AND member.type = 'null' THEN NULL;
      WHEN member.key = 'options' THEN PERFORM _invalid(format('options in %s must be an object', name));
      ELSE PERFORM _unknown_key(name, member.key);
    END CASE;
  END LOOP;
  FOREACH given IN ARRAY ARRAY['queue', 'payload'] LOOP
    IF NOT stored ? given THEN
      PERFORM _invalid(format('%s has no ''%s''', name, given));
    END IF;
  END LOOP;
  FOREACH given IN ARRAY ARRAY['batch_id', 'member'] LOOP
    IF (stored -> 'options') ? given THEN
      -- That batch might be sealed by then, and its callback would fail whoever ends the last member.
      PERFORM _invalid(format('options in %s must not have ''%s''', name, given));
    END IF;
  END LOOP;
  -- The id that takes most room.
  PERFORM _check_times(now, job), _check_options(now, job)
  FROM _callback_job(now, 'options in ' || name, 9223372036854775807, stored) job;
  RETURN stored::text;
END $$;

CREATE OR REPLACE FUNCTION _check_times(now bigint, job _job) RETURNS void
LANGUAGE sql AS $$
  SELECT _after(now, 'delay', (job).delay_s), _after(now, 'expires', (job).expires_s)
$$;

-- The job that a stored callback is. Its metadata name the batch.
CREATE OR REPLACE FUNCTION _callback_job(now bigint, argument text, batch bigint, stored jsonb) RETURNS _job
LANGUAGE plpgsql AS $$
DECLARE
  job _job := _options(argument, (stored -> 'options')::json);
BEGIN
  job.metadata := _texts((coalesce(job.metadata, '{}')::jsonb || jsonb_build_object('batch_id', batch::text))::json);
  job.queue := stored ->> 'queue';
  job.payload := stored ->> 'payload';
  RETURN job;
END $$;

-- Enqueues what was stored. What cannot be a job any more, because somebody's SQL has changed it, is dead-lettered as it is: the
-- members of the batch are not to be kept from ending for it.
CREATE OR REPLACE FUNCTION _call_back(now bigint, batch bigint, stored text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  job _job;
  the_queue text := '';
  is_malformed boolean := false;
BEGIN
  BEGIN
    the_queue := coalesce(stored::jsonb ->> 'queue', '');
    job := _callback_job(now, 'the callback of batch ' || batch, batch, stored::jsonb);
    -- What fitted when the batch was created is not to overflow later.
    job.delay_s := _after_at_most(now, job.delay_s) - now;
    job.expires_s := _after_at_most(now, job.expires_s) - now;
    job.unique_for_s := _after_at_most(now, job.unique_for_s) - now;
    PERFORM _check_options(now, job);
    is_malformed := job.queue IS NULL OR job.payload IS NULL;
  EXCEPTION WHEN data_exception OR SQLSTATE 'HK001' THEN
    is_malformed := true;
  END;
  IF is_malformed THEN
    INSERT INTO _honker_dead AS d (id, queue, payload, run_at, max_attempts, last_error, created_at, died_at)
    VALUES (nextval('honker._honker_live_id_seq'), the_queue, stored, now, 3, 'malformed row', now, now);
  ELSE
    PERFORM _note('enqueued', put.id, job.queue) FROM _put_now(now, job) put WHERE put.status = 'enqueued';
  END IF;
END $$;

CREATE OR REPLACE FUNCTION honker_batch_create(options_json text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  key text;
  value json;
  on_finished text;
  on_success text;
  keep_s bigint := 86400;
  batch bigint;
BEGIN
  PERFORM _not_null('{options_json}', '{TEXT}', options_json IS NULL);
  FOR key, value IN SELECT each.key, each.value FROM json_each(_object('options', options_json)) each LOOP
    CONTINUE WHEN json_typeof(value) = 'null' AND key IN ('on_finished', 'on_success', 'keep_s');
    CASE key
      WHEN 'on_finished' THEN on_finished := _callback(now, key, value);
      WHEN 'on_success' THEN on_success := _callback(now, key, value);
      WHEN 'keep_s' THEN
        keep_s := _whole(value);
        IF keep_s IS NULL OR keep_s < 0 THEN
          PERFORM _invalid('options: keep_s must be an integer that is not negative, or null');
        END IF;
      ELSE PERFORM _unknown_key('options', key);
    END CASE;
  END LOOP;
  INSERT INTO _honker_batches AS b (on_finished, on_success, keep_s) VALUES (on_finished, on_success, keep_s) RETURNING b.id INTO batch;
  RETURN batch;
END $$;

-- Finishes a sealed batch without a pending member.
CREATE OR REPLACE FUNCTION _batch_finish(now bigint, the_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  batch _honker_batches;
BEGIN
  UPDATE _honker_batches b SET finished_at = now WHERE b.id = the_id AND b.finished_at IS NULL RETURNING * INTO batch;
  IF NOT FOUND THEN
    PERFORM _refused('finished', '_honker_batches');
  END IF;
  IF batch.on_finished IS NOT NULL THEN
    PERFORM _call_back(now, the_id, batch.on_finished);
  END IF;
  IF batch.on_success IS NOT NULL AND batch.dead = 0 AND batch.cancelled = 0 THEN
    PERFORM _call_back(now, the_id, batch.on_success);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION honker_batch_seal(batch_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  now bigint := _now();
  batch _honker_batches;
BEGIN
  PERFORM _not_null('{batch_id}', '{INTEGER}', batch_id IS NULL);
  SELECT * INTO batch FROM _honker_batches b WHERE b.id = batch_id FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM _invalid('there is no batch ' || batch_id);
  END IF;
  IF batch.sealed_at IS NOT NULL THEN
    RETURN 0;
  END IF;
  UPDATE _honker_batches b SET sealed_at = now WHERE b.id = batch_id;
  IF NOT FOUND THEN
    PERFORM _refused('sealed', '_honker_batches');
  END IF;
  IF batch.pending <= 0 THEN
    PERFORM _batch_finish(now, batch_id);
  END IF;
  RETURN 1;
END $$;

CREATE OR REPLACE FUNCTION honker_batch_get(batch_id bigint) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  PERFORM _not_null('{batch_id}', '{INTEGER}', batch_id IS NULL);
  RETURN coalesce((
    SELECT row_to_json(each.*)::text FROM (
      SELECT b.total, b.pending, b.done, b.dead, b.cancelled, b.sealed_at IS NOT NULL AS sealed, b.finished_at
      FROM _honker_batches b WHERE b.id = batch_id) each), '');
END $$;

-- Counts a job that is enqueued into a batch.
CREATE OR REPLACE FUNCTION _batch_join(now bigint, batch bigint, member_job_id bigint, member_worker_id text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  is_sealed boolean;
BEGIN
  SELECT b.sealed_at IS NOT NULL INTO is_sealed FROM _honker_batches b WHERE b.id = batch FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM _invalid('there is no batch ' || batch);
  END IF;
  IF is_sealed AND NOT EXISTS (
      SELECT FROM _honker_job_options o JOIN _honker_live l ON l.id = o.job_id
      WHERE o.job_id = member_job_id AND o.batch_id = batch AND l.state = 'processing' AND l.worker_id = member_worker_id
        AND l.claim_expires_at >= now) THEN
    PERFORM _invalid(format('batch %s is sealed: only a running member of it may add jobs (option member)', batch));
  END IF;
  UPDATE _honker_batches b SET total = b.total + 1, pending = b.pending + 1 WHERE b.id = batch;
  IF NOT FOUND THEN
    PERFORM _refused('counted', '_honker_batches');
  END IF;
END $$;

-- Counts what has become of a job if it is a member of a batch: done, dead, cancelled, or NULL if it is live again. The batch is
-- finished if that was the last. kept says that the options of the job stay.
CREATE OR REPLACE FUNCTION _batch_count(now bigint, the_id bigint, standing text, kept boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  member record;
  is_over boolean;
BEGIN
  SELECT o.batch_id, o.batch_exit INTO member FROM _honker_job_options o WHERE o.job_id = the_id AND o.batch_id IS NOT NULL;
  IF NOT FOUND OR member.batch_exit IS NOT DISTINCT FROM standing THEN
    RETURN;
  END IF;
  IF kept THEN
    UPDATE _honker_job_options o SET batch_exit = standing WHERE o.job_id = the_id;
  END IF;
  UPDATE _honker_batches b
  SET pending = b.pending + (standing IS NULL)::int - (member.batch_exit IS NULL)::int,
    done = b.done + coalesce(standing = 'done', false)::int - coalesce(member.batch_exit = 'done', false)::int,
    dead = b.dead + coalesce(standing = 'dead', false)::int - coalesce(member.batch_exit = 'dead', false)::int,
    cancelled = b.cancelled + coalesce(standing = 'cancelled', false)::int - coalesce(member.batch_exit = 'cancelled', false)::int
  WHERE b.id = member.batch_id
  RETURNING b.sealed_at IS NOT NULL AND b.finished_at IS NULL AND b.pending <= 0 INTO is_over;
  -- No row: the batch was finished long ago, and is gone.
  IF is_over THEN
    PERFORM _batch_finish(now, member.batch_id);
  END IF;
END $$;
