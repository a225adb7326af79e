-- Putting jobs into a queue.

-- How often a job may be claimed whose enqueue does not say.
CREATE OR REPLACE FUNCTION _max_attempts(the_queue text) RETURNS bigint
LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT q.max_attempts FROM _honker_queues q WHERE q.name = the_queue), 3)
$$;

-- An error if the JSON of a claim could not hold a job: a value has at most a gigabyte, and a byte takes up to six in JSON.
CREATE OR REPLACE FUNCTION _check_length(the_payload text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF octet_length(the_payload) > 170000000 AND octet_length(to_json(the_payload)::text) > 1000000000 THEN
    RAISE EXCEPTION 'the payload takes too many bytes in the JSON of a claim' USING ERRCODE = 'HK004';
  END IF;
END $$;

-- Puts a job with options into its queue, with its times worked out already.
CREATE OR REPLACE FUNCTION _put(now bigint, job _job, the_run_at bigint, the_expires_at bigint, OUT id bigint, OUT status text)
LANGUAGE plpgsql AS $$
DECLARE
  holder record;
BEGIN
  PERFORM _check_options(now, job);
  IF octet_length(job.payload) > 170000000 THEN
    PERFORM _check_length(job.payload);
  END IF;
  job.max_attempts := coalesce(job.max_attempts, _max_attempts(job.queue));
  job.priority := coalesce(job.priority, 0);
  status := 'enqueued';
  id := nextval('honker._honker_live_id_seq');
  IF job.unique_key IS NOT NULL THEN
    IF job.on_conflict = 'keep' THEN
      -- Without locking anything, if that is enough. With mode 'claimed' it is not: the job that waits must not be claimed before what
      -- this transaction changes can be seen.
      SELECT u.job_id INTO holder FROM _honker_unique u
      WHERE u.queue = job.queue AND u.key = job.unique_key AND u.mode <> 'claimed'
        AND _prospect(now, u.job_id) IN ('waiting', 'claimed');
      IF FOUND THEN
        id := holder.job_id;
        status := 'exists';
        RETURN;
      END IF;
    END IF;
    SELECT taken.id, taken.is_waiting INTO holder
    FROM _take_key(now, job.queue, job.unique_key, id, coalesce(job.unique_until, 'settled'), now + (job.unique_for_s - 1), true) taken;
    IF holder.id IS NOT NULL THEN
      id := holder.id;
      status := 'exists';
      IF job.on_conflict = 'replace' AND holder.is_waiting AND _replace(now, id, job, the_run_at, the_expires_at) THEN
        status := 'replaced';
      END IF;
      RETURN;
    END IF;
  END IF;
  IF job.batch_id IS NOT NULL THEN
    PERFORM _batch_join(now, job.batch_id, job.member_job_id, job.member_worker_id);
  END IF;
  INSERT INTO _honker_live AS live (id, queue, payload, priority, run_at, max_attempts, created_at, expires_at)
  VALUES (id, job.queue, job.payload, job.priority, the_run_at, job.max_attempts, now, the_expires_at);
  IF NOT FOUND THEN
    PERFORM _refused('enqueued', '_honker_live');
  END IF;
  IF _has_options(job) THEN
    INSERT INTO _honker_job_options AS o (job_id, metadata, unique_key, unique_until, concurrency_key, batch_id, max_run_s)
    VALUES (id, job.metadata, job.unique_key, CASE WHEN job.unique_key IS NOT NULL THEN coalesce(job.unique_until, 'settled') END,
      job.concurrency_key, job.batch_id, job.max_run_s);
  END IF;
  PERFORM _wake('q:' || job.queue);
END $$;

-- A trigger of the user's has kept a row from being changed, without an error of its own.
CREATE OR REPLACE FUNCTION _refused(done text, the_table text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'not %: a trigger on % has kept it from that', done, the_table USING ERRCODE = '27000';
END $$;

-- A job that waits becomes another one, and keeps its id, its key and its batch. Its key is locked; false if its row is locked by
-- somebody else, or does not wait any more.
CREATE OR REPLACE FUNCTION _replace(now bigint, the_id bigint, job _job, the_run_at bigint, the_expires_at bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM _honker_live l WHERE l.id = the_id AND l.state IN ('pending', 'blocked') FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE _honker_live l
  SET payload = job.payload, priority = job.priority, run_at = the_run_at, expires_at = the_expires_at,
    max_attempts = job.max_attempts, attempts = 0, state = 'pending'
  WHERE l.id = the_id;
  IF NOT FOUND THEN
    PERFORM _refused('replaced', '_honker_live');
  END IF;
  INSERT INTO _honker_job_options AS o (job_id, metadata, unique_key, unique_until, concurrency_key, max_run_s)
  VALUES (the_id, job.metadata, job.unique_key, coalesce(job.unique_until, 'settled'), job.concurrency_key, job.max_run_s)
  ON CONFLICT ON CONSTRAINT _honker_job_options_pkey
    DO UPDATE SET metadata = excluded.metadata, concurrency_key = excluded.concurrency_key, max_run_s = excluded.max_run_s;
  DELETE FROM _honker_blocked b WHERE b.job_id = the_id;
  DELETE FROM _honker_steps s WHERE s.job_id = the_id;
  UPDATE _honker_unique u SET until = now + (job.unique_for_s - 1)
  WHERE u.queue = job.queue AND u.key = job.unique_key AND (u.until IS NULL OR u.until < now + (job.unique_for_s - 1));
  PERFORM _wake('q:' || job.queue);
  RETURN true;
END $$;

-- Puts a job into its queue: with the options that it has.
CREATE OR REPLACE FUNCTION _put_now(now bigint, job _job, OUT id bigint, OUT status text)
LANGUAGE plpgsql AS $$
BEGIN
  SELECT put.id, put.status INTO id, status
  FROM _put(now, job, CASE WHEN job.delay_s IS NULL THEN coalesce(job.run_at, now) ELSE _after(now, 'delay', job.delay_s) END,
    _after(now, 'expires', job.expires_s)) put;
END $$;

CREATE OR REPLACE FUNCTION honker_enqueue(queue text, payload text, run_at bigint DEFAULT NULL, delay bigint DEFAULT NULL,
  priority bigint DEFAULT 0, max_attempts bigint DEFAULT NULL, expires bigint DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  now bigint := _now();
  id bigint;
  anybody_listens boolean;
BEGIN
  IF queue IS NULL OR payload IS NULL OR priority IS NULL THEN
    PERFORM _not_null('{queue,payload,run_at,delay,priority}', '{TEXT,TEXT,"","",INTEGER}',
      queue IS NULL, payload IS NULL, false, false, priority IS NULL);
  END IF;
  IF octet_length(payload) > 170000000 THEN
    PERFORM _check_length(payload);
  END IF;
  IF delay IS NOT NULL THEN
    run_at := _after(now, 'delay', delay);
  END IF;
  IF expires IS NOT NULL THEN
    expires := _after(now, 'expires', expires);
  END IF;
  INSERT INTO _honker_live AS live (queue, payload, priority, run_at, max_attempts, created_at, expires_at)
  VALUES (queue, payload, priority, coalesce(run_at, now),
    coalesce(max_attempts, (SELECT q.max_attempts FROM _honker_queues q WHERE q.name = queue), 3), now, expires)
  RETURNING live.id, EXISTS (SELECT FROM _honker_listeners) INTO id, anybody_listens;
  IF id IS NULL THEN
    PERFORM _refused('enqueued', '_honker_live');
  END IF;
  -- As _wake, which would look by a statement of its own.
  IF anybody_listens OR current_setting('honker.wake', true) = 'collect' THEN
    PERFORM _wake('q:' || queue);
  END IF;
  RETURN id;
END $$;

CREATE OR REPLACE FUNCTION honker_enqueue_with(queue text, payload text, options_json text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  job _job;
  put record;
BEGIN
  PERFORM _not_null('{queue,payload,options_json}', '{TEXT,TEXT,TEXT}', queue IS NULL, payload IS NULL, options_json IS NULL);
  job := _options('options', _object('options', options_json));
  job.queue := queue;
  job.payload := payload;
  SELECT * INTO put FROM _put_now(_now(), job);
  RETURN '{"id":' || put.id || ',"status":"' || put.status || '"}';
END $$;

-- For libhonker, which knows by itself whom to wake once this is committed: as honker_enqueue, without gathering it.
CREATE OR REPLACE FUNCTION _enqueue_plain(queue text, payload text, run_at bigint, delay bigint, priority bigint, max_attempts bigint,
  expires bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  now bigint := _now();
  id bigint;
BEGIN
  IF octet_length(payload) > 170000000 THEN
    PERFORM _check_length(payload);
  END IF;
  IF delay IS NOT NULL THEN
    run_at := _after(now, 'delay', delay);
  END IF;
  IF expires IS NOT NULL THEN
    expires := _after(now, 'expires', expires);
  END IF;
  INSERT INTO _honker_live AS live (queue, payload, priority, run_at, max_attempts, created_at, expires_at)
  VALUES (queue, payload, priority, coalesce(run_at, now),
    coalesce(max_attempts, (SELECT q.max_attempts FROM _honker_queues q WHERE q.name = queue), 3), now, expires)
  RETURNING live.id INTO id;
  IF id IS NULL THEN
    PERFORM _refused('enqueued', '_honker_live');
  END IF;
  IF current_setting('honker.wake', true) IS DISTINCT FROM 'collect' THEN
    PERFORM _wake('q:' || queue);
  END IF;
  RETURN id;
END $$;

-- For libhonker: a job with options, which are what has no argument of its own, or NULL.
CREATE OR REPLACE FUNCTION _enqueue(the_queue text, the_payload text, the_run_at bigint, the_delay bigint, the_priority bigint,
  the_max_attempts bigint, the_expires bigint, options text) RETURNS TABLE (id bigint, status text)
LANGUAGE plpgsql AS $$
DECLARE
  job _job;
BEGIN
  IF options IS NOT NULL THEN
    job := _options('options', _object('options', options));
  END IF;
  job.queue := the_queue;
  job.payload := the_payload;
  job.run_at := the_run_at;
  job.delay_s := the_delay;
  job.priority := the_priority;
  job.max_attempts := the_max_attempts;
  job.expires_s := the_expires;
  RETURN QUERY SELECT put.id, put.status FROM _put_now(_now(), job) put;
END $$;

-- All of them or none, in the order given; n counts from 0.
CREATE OR REPLACE FUNCTION _enqueue_many(queues text[], payloads text[], run_ats bigint[], delays bigint[], priorities bigint[],
  max_attempts bigint[], expires bigint[], options text[]) RETURNS TABLE (n bigint, id bigint, status text)
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  job _job;
  spec record;
  added bigint;
BEGIN
  IF array_remove(options, NULL) IS NULL OR array_remove(options, NULL) = '{}' THEN
    IF EXISTS (SELECT FROM unnest(payloads) p WHERE octet_length(p) > 170000000) THEN
      PERFORM _check_length(p) FROM unnest(payloads) p;
    END IF;
    RETURN QUERY
      WITH specs AS MATERIALIZED (
        SELECT s.queue, s.payload, s.priority,
          CASE WHEN s.delay IS NULL THEN coalesce(s.run_at, now) ELSE _after(now, 'delay', s.delay) END AS run_at,
          s.max_attempts, _after(now, 'expires', s.expires) AS expires_at, s.at
        FROM unnest(queues, payloads, run_ats, delays, priorities, _enqueue_many.max_attempts, _enqueue_many.expires) WITH ORDINALITY
          AS s (queue, payload, run_at, delay, priority, max_attempts, expires, at)
      ), settings AS MATERIALIZED (
        SELECT each.queue, _max_attempts(each.queue) AS max_attempts FROM (SELECT DISTINCT specs.queue FROM specs) each
      ), added AS (
        INSERT INTO _honker_live AS live (queue, payload, priority, run_at, max_attempts, created_at, expires_at)
        SELECT specs.queue, specs.payload, coalesce(specs.priority, 0), specs.run_at,
          coalesce(specs.max_attempts, settings.max_attempts), now, specs.expires_at
        FROM specs JOIN settings ON settings.queue = specs.queue ORDER BY specs.at
        RETURNING live.id
      )
      SELECT row_number() OVER (ORDER BY added.id) - 1, added.id, 'enqueued' FROM added ORDER BY added.id;
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added <> cardinality(queues) THEN
      PERFORM _refused('enqueued', '_honker_live');
    END IF;
    PERFORM _wake('q:' || each.queue) FROM (SELECT DISTINCT q AS queue FROM unnest(queues) q) each;
    RETURN;
  END IF;
  FOR spec IN
    SELECT * FROM unnest(queues, payloads, run_ats, delays, priorities, _enqueue_many.max_attempts, _enqueue_many.expires,
      _enqueue_many.options) WITH ORDINALITY AS s (queue, payload, run_at, delay, priority, max_attempts, expires, options, at)
  LOOP
    job := CASE WHEN spec.options IS NOT NULL THEN _options('options', _object('options', spec.options)) END;
    job.queue := spec.queue;
    job.payload := spec.payload;
    job.run_at := spec.run_at;
    job.delay_s := spec.delay;
    job.priority := spec.priority;
    job.max_attempts := spec.max_attempts;
    job.expires_s := spec.expires;
    n := spec.at - 1;
    SELECT put.id, put.status INTO id, status FROM _put_now(now, job) put;
    RETURN NEXT;
  END LOOP;
END $$;
