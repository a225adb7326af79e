-- What the holder of a claim does with its job, and cancelling. Each answers 1 if and only if something changed because of the call;
-- 0 means that the claim was no longer the caller's: it lapsed, went to another worker, or the job is gone.
--
-- A job without options in a queue without settings is acked by the one statement that deletes its row. Otherwise a look says what there
-- is to see to.

-- The claim of a worker, if it is valid: the row may be read without a lock, since only what the caller does ends such a claim.
CREATE OR REPLACE FUNCTION _claim_of(now bigint, the_id bigint, the_worker text,
  OUT held boolean, OUT queue text, OUT attempts bigint, OUT max_attempts bigint, OUT has_options boolean, OUT keeps_done boolean,
  OUT is_limited boolean)
LANGUAGE plpgsql AS $$
BEGIN
  SELECT true, l.queue, l.attempts, l.max_attempts, o.job_id IS NOT NULL, coalesce(q.keep_done_s > 0, false), coalesce(q.is_limited, false)
  INTO held, queue, attempts, max_attempts, has_options, keeps_done, is_limited
  FROM _honker_live l LEFT JOIN _honker_job_options o ON o.job_id = l.id LEFT JOIN _honker_queues q ON q.name = l.queue
  WHERE l.id = the_id AND l.worker_id = the_worker AND l.state = 'processing' AND l.claim_expires_at >= now;
END $$;

-- Acks a job without options in a queue without settings, in one statement; if it does not, it is up to _end.
CREATE OR REPLACE FUNCTION _ack_plain(now bigint, the_id bigint, the_worker text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM _honker_live l
  WHERE l.id = the_id AND l.worker_id = the_worker AND l.claim_expires_at >= now
    AND NOT EXISTS (SELECT FROM _honker_job_options o WHERE o.job_id = the_id)
    AND NOT EXISTS (SELECT FROM _honker_queues q WHERE q.name = l.queue);
  RETURN FOUND;
END $$;

-- Ends a job for good: done, or dead of this.
CREATE OR REPLACE FUNCTION _end(now bigint, the_id bigint, the_worker text, exit text, reason text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  claim record;
  job _honker_live;
  kept boolean := exit = 'dead';
BEGIN
  SELECT * INTO claim FROM _claim_of(now, the_id, the_worker);
  IF claim.held IS NULL THEN
    RETURN false;
  END IF;
  IF claim.has_options THEN
    PERFORM _lock_keys(ARRAY[the_id]);
  ELSIF exit = 'done' AND NOT claim.keeps_done THEN
    DELETE FROM _honker_live l WHERE l.id = the_id AND l.worker_id = the_worker AND l.claim_expires_at >= now;
    IF NOT FOUND THEN
      PERFORM _check_not_held(now, the_id, the_worker);
      RETURN false;
    END IF;
    IF claim.is_limited THEN
      PERFORM _wake('q:' || claim.queue);
    END IF;
    RETURN true;
  END IF;
  DELETE FROM _honker_live l WHERE l.id = the_id AND l.worker_id = the_worker AND l.claim_expires_at >= now RETURNING * INTO job;
  IF NOT FOUND THEN
    PERFORM _check_not_held(now, the_id, the_worker);
    RETURN false;
  END IF;
  IF exit = 'dead' THEN
    PERFORM _bury(now, job, reason);
  ELSIF claim.keeps_done THEN
    kept := _keep_done(now, job);
  END IF;
  IF claim.has_options THEN
    PERFORM _left(now, the_id, job.queue, exit, kept);
  END IF;
  IF claim.is_limited THEN
    PERFORM _wake('q:' || claim.queue);
  END IF;
  RETURN true;
END $$;

-- A change that changed nothing: an error if that is a trigger's doing.
CREATE OR REPLACE FUNCTION _check_not_held(now bigint, the_id bigint, the_worker text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM _honker_live l WHERE l.id = the_id AND l.worker_id = the_worker AND l.claim_expires_at >= now) THEN
    PERFORM _refused('settled', '_honker_live');
  END IF;
END $$;

-- The job goes back, and is due at this second; with gives_back this attempt does not count.
CREATE OR REPLACE FUNCTION _give_back(now bigint, the_id bigint, the_worker text, the_run_at bigint, gives_back boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  claim record;
BEGIN
  SELECT * INTO claim FROM _claim_of(now, the_id, the_worker);
  IF claim.held IS NULL THEN
    RETURN false;
  END IF;
  IF claim.has_options THEN
    PERFORM _lock_keys(ARRAY[the_id]);
  END IF;
  UPDATE _honker_live l
  SET state = 'pending', run_at = the_run_at, worker_id = NULL, claim_expires_at = NULL,
    attempts = CASE WHEN gives_back THEN greatest(l.attempts - 1, 0) ELSE l.attempts END
  WHERE l.id = the_id AND l.state = 'processing' AND l.worker_id = the_worker AND l.claim_expires_at >= now;
  IF NOT FOUND THEN
    PERFORM _check_not_held(now, the_id, the_worker);
    RETURN false;
  END IF;
  IF claim.has_options THEN
    PERFORM _returned(now, the_id, claim.queue);
  END IF;
  PERFORM _wake('q:' || claim.queue);
  PERFORM _note(CASE WHEN gives_back THEN 'released' ELSE 'retried' END, the_id, claim.queue);
  RETURN true;
END $$;

CREATE OR REPLACE FUNCTION _retry(now bigint, the_id bigint, the_worker text, the_delay bigint, the_default bigint, reason text)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  claim record;
BEGIN
  SELECT * INTO claim FROM _claim_of(now, the_id, the_worker);
  IF claim.held IS NULL THEN
    RETURN false;
  END IF;
  IF claim.attempts >= claim.max_attempts THEN
    RETURN _end(now, the_id, the_worker, 'dead', reason);
  END IF;
  RETURN _give_back(now, the_id, the_worker,
    _after(now, 'delay_s', coalesce(the_delay, _retry_delay(claim.queue, claim.attempts), the_default)), false);
END $$;

-- Settles one job, in a way that has a name.
CREATE OR REPLACE FUNCTION _settle_one(now bigint, the_worker text, the_id bigint, kind text, the_delay bigint, the_default bigint,
  reason text) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  CASE kind
    WHEN 'ack' THEN RETURN _end(now, the_id, the_worker, 'done', NULL);
    WHEN 'retry' THEN RETURN _retry(now, the_id, the_worker, the_delay, the_default, reason);
    WHEN 'fail' THEN RETURN _end(now, the_id, the_worker, 'dead', reason);
    WHEN 'release' THEN
      RETURN _give_back(now, the_id, the_worker, _after(now, 'delay_s', coalesce(the_delay, 0)), true);
    ELSE PERFORM _invalid(format('there is no settlement %s', kind));
  END CASE;
END $$;

CREATE OR REPLACE FUNCTION _settle(the_worker text, the_id bigint, kind text, the_delay bigint, the_default bigint, reason text)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  PERFORM _seen(the_worker, now);
  RETURN _settle_one(now, the_worker, the_id, kind, the_delay, the_default, reason);
END $$;

CREATE OR REPLACE FUNCTION honker_ack(job_id bigint, worker_id text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  now bigint := _now();
BEGIN
  IF job_id IS NULL OR worker_id IS NULL THEN
    PERFORM _not_null('{job_id,worker_id}', '{INTEGER,TEXT}', job_id IS NULL, worker_id IS NULL);
  END IF;
  IF strpos(worker_id, '@') > 0 THEN
    PERFORM _seen(worker_id, now);
  END IF;
  RETURN (_ack_plain(now, job_id, worker_id) OR _end(now, job_id, worker_id, 'done', NULL))::int;
END $$;

-- Acks what the worker holds of these; how many those were.
CREATE OR REPLACE FUNCTION _ack_all(now bigint, ids bigint[], the_worker text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  slow bigint[];
  acked bigint;
  one bigint;
BEGIN
  slow := ARRAY(
    SELECT l.id FROM _honker_live l LEFT JOIN _honker_job_options o ON o.job_id = l.id LEFT JOIN _honker_queues q ON q.name = l.queue
    WHERE l.id = ANY (ids) AND (o.job_id IS NOT NULL OR q.name IS NOT NULL) ORDER BY l.id);
  -- In the order of ids: two that ack the same jobs wait for each other in the same order.
  WITH held AS MATERIALIZED (
    SELECT l.id FROM _honker_live l
    WHERE l.id = ANY (ids) AND l.worker_id = the_worker AND l.claim_expires_at >= now AND (slow = '{}' OR l.id <> ALL (slow))
    ORDER BY l.id FOR UPDATE)
  DELETE FROM _honker_live l USING held WHERE l.id = held.id;
  GET DIAGNOSTICS acked = ROW_COUNT;
  IF slow <> '{}' THEN
    PERFORM _lock_keys(slow);
    FOREACH one IN ARRAY slow LOOP
      acked := acked + _end(now, one, the_worker, 'done', NULL)::int;
    END LOOP;
  END IF;
  RETURN acked;
END $$;

CREATE OR REPLACE FUNCTION honker_ack_batch(ids_json text, worker_id text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  ids bigint[];
  is_wrong boolean;
BEGIN
  PERFORM _not_null('{ids_json,worker_id}', '{TEXT,TEXT}', ids_json IS NULL, worker_id IS NULL);
  BEGIN
    SELECT coalesce(array_agg(_whole(each.value)), '{}'), coalesce(bool_or(_whole(each.value) IS NULL), false) INTO ids, is_wrong
    FROM json_array_elements(ids_json::json) each;
  EXCEPTION WHEN data_exception THEN
    is_wrong := true;
  END;
  IF is_wrong THEN
    PERFORM _invalid('ids_json must be a JSON array of integer ids');
  END IF;
  PERFORM _seen(worker_id, now);
  RETURN _ack_all(now, ids, worker_id);
END $$;

CREATE OR REPLACE FUNCTION honker_retry(job_id bigint, worker_id text, delay_s bigint, error text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  PERFORM _not_null('{job_id,worker_id,delay_s,error}', '{INTEGER,TEXT,INTEGER,TEXT}',
    job_id IS NULL, worker_id IS NULL, delay_s IS NULL, error IS NULL);
  PERFORM _after(now, 'delay_s', delay_s);
  PERFORM _seen(worker_id, now);
  RETURN _retry(now, job_id, worker_id, delay_s, NULL, error)::int;
END $$;

CREATE OR REPLACE FUNCTION honker_release(job_id bigint, worker_id text, delay_s bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  PERFORM _not_null('{job_id,worker_id,delay_s}', '{INTEGER,TEXT,INTEGER}', job_id IS NULL, worker_id IS NULL, delay_s IS NULL);
  PERFORM _seen(worker_id, now);
  RETURN _give_back(now, job_id, worker_id, _after(now, 'delay_s', delay_s), true)::int;
END $$;

CREATE OR REPLACE FUNCTION honker_fail(job_id bigint, worker_id text, error text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  PERFORM _not_null('{job_id,worker_id,error}', '{INTEGER,TEXT,TEXT}', job_id IS NULL, worker_id IS NULL, error IS NULL);
  PERFORM _seen(worker_id, now);
  RETURN _end(now, job_id, worker_id, 'dead', error)::int;
END $$;

CREATE OR REPLACE FUNCTION _heartbeat(now bigint, the_id bigint, the_worker text, extend_s bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  until CONSTANT bigint := _after(now, 'extend_s', extend_s);
BEGIN
  UPDATE _honker_live l SET claim_expires_at = until
  WHERE l.id = the_id AND l.state = 'processing' AND l.worker_id = the_worker AND l.claim_expires_at >= now;
  IF NOT FOUND THEN
    PERFORM _check_not_held(now, the_id, the_worker);
    RETURN false;
  END IF;
  RETURN true;
END $$;

CREATE OR REPLACE FUNCTION honker_heartbeat(job_id bigint, worker_id text, extend_s bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  PERFORM _not_null('{job_id,worker_id,extend_s}', '{INTEGER,TEXT,INTEGER}', job_id IS NULL, worker_id IS NULL, extend_s IS NULL);
  PERFORM _seen(worker_id, now);
  RETURN _heartbeat(now, job_id, worker_id, extend_s)::int;
END $$;

-- Removes a live job whatever its state.
CREATE OR REPLACE FUNCTION _cancel(now bigint, the_id bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  job _honker_live;
BEGIN
  PERFORM _lock_keys(ARRAY[the_id]);
  DELETE FROM _honker_live l WHERE l.id = the_id RETURNING * INTO job;
  IF NOT FOUND THEN
    IF EXISTS (SELECT FROM _honker_live l WHERE l.id = the_id) THEN
      PERFORM _refused('removed', '_honker_live');
    END IF;
    RETURN false;
  END IF;
  PERFORM _left(now, the_id, job.queue, 'cancelled', false);
  PERFORM _note('cancelled', the_id, job.queue);
  IF job.state = 'processing' THEN
    PERFORM _wake('w:' || job.worker_id);
    PERFORM _wake_if_limited(job.queue);
  END IF;
  RETURN true;
END $$;

CREATE OR REPLACE FUNCTION honker_cancel(job_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM _not_null('{job_id}', '{INTEGER}', job_id IS NULL);
  RETURN _cancel(_now(), job_id)::int;
END $$;
