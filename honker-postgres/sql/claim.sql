-- Taking jobs from a queue.
--
-- The common case is one statement, which picks and locks the first rows of the claim order, past those that others have locked,
-- and takes them if nothing is in the way; what may be is in partial indexes that hold only the rows in question. Many rows are picked
-- in a part of the statement that is worked out once and by itself (MATERIALIZED): otherwise Postgres may run it again for
-- each row, and take more than were asked for.

-- Delayed jobs that are due, in no order, so that the first at_most of them in claim order are among them. Where there are too
-- many for that, the order is exact among those that were looked at.
CREATE OR REPLACE FUNCTION _delayed_due(now bigint, the_queue text, at_most bigint)
RETURNS TABLE (id bigint, priority bigint, run_at bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  below bigint := 9223372036854775807;
  highest bigint;
  found_all bigint := 0;
  found_now bigint;
  fruitless bigint := 0;
  fruitless_max bigint := 16;
BEGIN
  LOOP
    SELECT l.priority INTO highest FROM _honker_live l
    WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at > l.created_at AND l.queue = the_queue AND l.priority <= below
    ORDER BY l.priority DESC LIMIT 1;
    IF NOT FOUND THEN
      RETURN;
    END IF;
    RETURN QUERY SELECT l.id, l.priority, l.run_at FROM _honker_live l
      WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at > l.created_at AND l.queue = the_queue
        AND l.priority = highest AND l.run_at <= now AND (l.expires_at IS NULL OR l.expires_at > now)
      ORDER BY l.run_at, l.id LIMIT at_most - found_all;
    GET DIAGNOSTICS found_now = ROW_COUNT;
    found_all := found_all + found_now;
    fruitless := fruitless + (found_now = 0)::int;
    IF found_all >= at_most OR highest = -9223372036854775808 THEN
      RETURN;
    END IF;
    below := highest - 1;
    IF fruitless >= fruitless_max THEN
      IF fruitless_max > 16 THEN
        RETURN;
      END IF;
      -- Many priorities of which nothing is due: it is cheaper to read what is.
      SELECT count(*) INTO found_now FROM (
        SELECT FROM _honker_live l
        WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at > l.created_at AND l.queue = the_queue AND l.run_at <= now
        LIMIT 1001) due;
      IF found_now <= 1000 THEN
        RETURN QUERY SELECT l.id, l.priority, l.run_at FROM _honker_live l
          WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at > l.created_at AND l.queue = the_queue
            AND l.run_at <= now AND l.priority <= below AND (l.expires_at IS NULL OR l.expires_at > now);
        RETURN;
      END IF;
      fruitless_max := 1000;
    END IF;
  END LOOP;
END $$;

-- The first of what can be claimed, in claim order: immediate jobs, delayed ones that are due, and these lapsed claims.
CREATE OR REPLACE FUNCTION _candidates(now bigint, the_queue text, at_most bigint, lapsed bigint[])
RETURNS TABLE (id bigint, priority bigint, run_at bigint)
LANGUAGE sql AS $$
  SELECT found.id, found.priority, found.run_at FROM (
    (SELECT l.id, l.priority, l.run_at FROM _honker_live l
     WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at <= l.created_at AND l.queue = the_queue AND l.run_at <= now
       AND (l.expires_at IS NULL OR l.expires_at > now)
     ORDER BY l.priority DESC, l.run_at, l.id LIMIT at_most)
    UNION ALL
    SELECT due.id, due.priority, due.run_at FROM _delayed_due(now, the_queue, at_most) due
    UNION ALL
    SELECT l.id, l.priority, l.run_at FROM _honker_live l
    WHERE l.id = ANY (lapsed) AND l.state = 'processing' AND l.queue = the_queue AND l.claim_expires_at < now
      AND l.attempts < l.max_attempts AND (l.expires_at IS NULL OR l.expires_at > now)) found
  ORDER BY found.priority DESC, found.run_at, found.id LIMIT at_most
$$;

-- Takes up to so many jobs, the slower way: delayed jobs and lapsed claims are among them.
CREATE OR REPLACE FUNCTION _take_mixed(now bigint, the_queue text, the_worker text, wanted bigint, until bigint, lapsed bigint[])
RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
  taken bigint[] := '{}';
  picked bigint[];
  looked_at bigint := least(wanted, 9223372036854775000) + 64;
  found_all bigint;
BEGIN
  LOOP
    WITH candidates AS MATERIALIZED (
      SELECT * FROM _candidates(now, the_queue, looked_at, lapsed)
    ), picked AS MATERIALIZED (
      SELECT l.id FROM candidates c JOIN _honker_live l ON l.id = c.id
      WHERE l.queue = the_queue AND l.attempts < l.max_attempts AND (l.expires_at IS NULL OR l.expires_at > now)
        AND (l.state = 'pending' AND l.run_at <= now OR l.state = 'processing' AND l.claim_expires_at < now)
      ORDER BY c.priority DESC, c.run_at, c.id LIMIT wanted - cardinality(taken) FOR UPDATE OF l SKIP LOCKED
    ), changed AS (
      UPDATE _honker_live l
      SET state = 'processing', worker_id = the_worker, claim_expires_at = until, attempts = l.attempts + 1
      FROM picked WHERE l.id = picked.id RETURNING l.id)
    SELECT coalesce((SELECT array_agg(changed.id) FROM changed), '{}'), (SELECT count(*) FROM candidates) INTO picked, found_all;
    taken := taken || picked;
    -- Enough, or all there is; otherwise others have locked those that come first.
    IF cardinality(taken) >= wanted OR found_all < looked_at OR looked_at > 100000 THEN
      RETURN taken;
    END IF;
    looked_at := looked_at * 8;
  END LOOP;
END $$;

-- Takes one job, if it can still be taken and nobody else has locked it.
CREATE OR REPLACE FUNCTION _take_one(now bigint, the_queue text, the_worker text, the_id bigint, until bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM _honker_live l
  WHERE l.id = the_id AND l.queue = the_queue AND l.attempts < l.max_attempts AND (l.expires_at IS NULL OR l.expires_at > now)
    AND (l.state = 'pending' AND l.run_at <= now OR l.state = 'processing' AND l.claim_expires_at < now)
  FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE _honker_live l
  SET state = 'processing', worker_id = the_worker, claim_expires_at = until, attempts = l.attempts + 1
  WHERE l.id = the_id;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM _take_slots(ARRAY[the_id]);
  RETURN true;
END $$;

-- Takes up to so many jobs one by one: where a concurrency key has a limit, or a trigger of the user's may refuse some.
CREATE OR REPLACE FUNCTION _take_each(now bigint, the_queue text, the_worker text, wanted bigint, until bigint, lapsed bigint[],
  per_key bigint, is_careful boolean, rows_left bigint, OUT taken bigint[], OUT more boolean, OUT refusal text)
LANGUAGE plpgsql AS $$
DECLARE
  looked_at bigint := least(wanted, 1000000000000) + 16;
  passed_over bigint[] := '{}';
  aside bigint[];
  free jsonb := '{}';
  candidate record;
  found_all bigint;
  before bigint;
  refusals bigint := 0;
  is_taken boolean;
  looked_for_waiting boolean := per_key IS NULL;
BEGIN
  taken := '{}';
  more := false;
  LOOP
    found_all := 0;
    before := cardinality(taken);
    aside := '{}';
    FOR candidate IN
      SELECT c.id, o.concurrency_key, c.id = ANY (lapsed) AS has_lapsed
      FROM _candidates(now, the_queue, looked_at + cardinality(passed_over), lapsed) c LEFT JOIN _honker_job_options o ON o.job_id = c.id
      ORDER BY c.priority DESC, c.run_at, c.id
    LOOP
      EXIT WHEN cardinality(taken) >= wanted;
      found_all := found_all + 1;
      CONTINUE WHEN candidate.id = ANY (passed_over);
      IF per_key IS NOT NULL AND candidate.concurrency_key IS NOT NULL THEN
        IF NOT pg_try_advisory_xact_lock(_key_lock(the_queue, candidate.concurrency_key)) THEN
          -- Somebody settles or claims a job of this key at the moment.
          passed_over := passed_over || candidate.id;
          more := true;
          CONTINUE;
        END IF;
        IF NOT free ? candidate.concurrency_key THEN
          free := free || jsonb_build_object(candidate.concurrency_key,
            per_key - _held(now, the_queue, candidate.concurrency_key, per_key));
        END IF;
        IF (free ->> candidate.concurrency_key)::bigint <= 0 THEN
          IF rows_left <= 0 THEN
            more := true;
            EXIT;
          END IF;
          rows_left := rows_left - 1;
          IF candidate.has_lapsed THEN
            passed_over := passed_over || candidate.id;
            PERFORM _set_lapsed_aside(now, candidate.id);
          ELSE
            aside := aside || candidate.id;
          END IF;
          CONTINUE;
        END IF;
      END IF;
      IF NOT is_careful THEN
        is_taken := _take_one(now, the_queue, the_worker, candidate.id, until);
      ELSE
        BEGIN
          is_taken := _take_one(now, the_queue, the_worker, candidate.id, until);
        EXCEPTION WHEN integrity_constraint_violation OR raise_exception OR triggered_data_change_violation THEN
          refusal := coalesce(refusal, SQLERRM);
          refusals := refusals + 1;
          is_taken := false;
        END;
        EXIT WHEN refusals >= 100;
      END IF;
      IF NOT is_taken THEN
        passed_over := passed_over || candidate.id;
        CONTINUE;
      END IF;
      taken := taken || candidate.id;
      IF per_key IS NOT NULL AND candidate.concurrency_key IS NOT NULL THEN
        free := jsonb_set(free, ARRAY[candidate.concurrency_key], to_jsonb((free ->> candidate.concurrency_key)::bigint - 1));
        IF (free ->> candidate.concurrency_key)::bigint > 0 THEN
          PERFORM _bring_back_one(now, the_queue, candidate.concurrency_key);
        END IF;
      END IF;
    END LOOP;
    IF aside <> '{}' THEN
      PERFORM _set_aside(aside);
    END IF;
    IF cardinality(taken) >= wanted OR rows_left <= 0 OR refusals >= 100 THEN
      EXIT;
    END IF;
    IF found_all < looked_at + cardinality(passed_over) AND aside = '{}' AND cardinality(taken) = before THEN
      -- Nothing else is to be had: slots may be free of which nobody has said so.
      EXIT WHEN looked_for_waiting OR cardinality(taken) > 0;
      looked_for_waiting := true;
      EXIT WHEN NOT _bring_back_waiting(now, the_queue, per_key);
    ELSIF cardinality(passed_over) > 10000 THEN
      EXIT;
    END IF;
    IF looked_at < 1024 THEN
      looked_at := looked_at * 4;
    END IF;
  END LOOP;
  more := more AND taken = '{}' OR rows_left <= 0;
  IF taken = '{}' AND refusal IS NOT NULL AND NOT more THEN
    RAISE EXCEPTION '%', refusal USING ERRCODE = '27000';
  END IF;
END $$;

-- As _set_aside, of a lapsed claim: somebody else has taken its slot.
CREATE OR REPLACE FUNCTION _set_lapsed_aside(now bigint, the_id bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  the_queue text;
BEGIN
  SELECT l.queue INTO the_queue FROM _honker_live l
  WHERE l.id = the_id AND l.state = 'processing' AND l.claim_expires_at < now FOR UPDATE SKIP LOCKED;
  IF NOT FOUND OR NOT _try_keys(the_id) THEN
    RETURN;
  END IF;
  DELETE FROM _honker_slots s WHERE s.job_id = the_id;
  UPDATE _honker_live l SET state = 'pending', worker_id = NULL, claim_expires_at = NULL WHERE l.id = the_id;
  PERFORM _take_key_again(now, the_id, the_queue);
  PERFORM _set_aside(ARRAY[the_id]);
END $$;

CREATE OR REPLACE FUNCTION _check_isolation() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'this call needs the isolation level READ COMMITTED, not %', upper(current_setting('transaction_isolation'))
      USING ERRCODE = 'HK002';
  END IF;
END $$;

-- Whether _take_first may be tried: a moment ago nothing was in the way that it does not look for.
CREATE OR REPLACE FUNCTION _may_take_first(now bigint, the_queue text, the_n bigint) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
  SELECT the_n = 1 AND NOT _looks_closely(the_queue, now) AND current_setting('transaction_isolation') = 'read committed'
$$;

-- Takes the first job in claim order, in one statement, unless the queue has limits or delayed jobs are due. If there is no id in
-- what it answers, it is up to _take. A job that was changed after the statement began has another place by now (ctid), and is left out:
-- its options are to be those that it has when it is claimed.
CREATE OR REPLACE FUNCTION _take_first(now bigint, the_queue text, the_worker text, timeout_s bigint) RETURNS _claimed
LANGUAGE plpgsql AS $$
DECLARE
  until bigint := _after(now, 'timeout_s', timeout_s);
  job _claimed;
  has_options boolean;
  concurrency_key text;
BEGIN
  UPDATE _honker_live l
  SET state = 'processing', worker_id = the_worker, claim_expires_at = until, attempts = l.attempts + 1
  WHERE l.ctid = (
    SELECT first.ctid FROM _honker_live first
    WHERE first.state = 'pending' AND first.attempts < first.max_attempts AND first.run_at <= first.created_at
      AND first.queue = the_queue AND first.run_at <= now AND (first.expires_at IS NULL OR first.expires_at > now)
      AND NOT EXISTS (SELECT FROM _honker_queues q WHERE q.name = the_queue AND (q.paused OR q.is_limited))
      AND NOT EXISTS (SELECT FROM _honker_live d WHERE d.state = 'pending' AND d.attempts < d.max_attempts AND d.run_at > d.created_at
        AND d.queue = the_queue AND d.run_at <= now)
    ORDER BY first.priority DESC, first.run_at, first.id LIMIT 1 FOR UPDATE OF first SKIP LOCKED)
  RETURNING l.id, l.queue, l.payload, l.attempts, l.claim_expires_at, l.max_attempts, l.run_at,
    EXISTS (SELECT FROM _honker_job_options o WHERE o.job_id = l.id)
  INTO job.id, job.queue, job.payload, job.attempts, job.claim_expires_at, job.max_attempts, job.run_at, has_options;
  IF has_options THEN
    SELECT o.metadata, o.max_run_s, o.concurrency_key INTO job.metadata, job.max_run_s, concurrency_key
    FROM _honker_job_options o WHERE o.job_id = job.id;
    IF concurrency_key IS NOT NULL THEN
      PERFORM _take_slots(ARRAY[job.id]);
    END IF;
  END IF;
  RETURN job;
END $$;

-- Claims up to n jobs of a queue for a worker, until the second now + timeout_s, in claim order. A last row without an id says that
-- there was too much in the way for one call: a further one goes on.
CREATE OR REPLACE FUNCTION _take(now bigint, the_queue text, the_worker text, the_n bigint, timeout_s bigint) RETURNS SETOF _claimed
LANGUAGE plpgsql AS $$
DECLARE
  until bigint := _after(now, 'timeout_s', timeout_s);
  wanted bigint := CASE WHEN the_n < 0 THEN 9223372036854775000 ELSE the_n END;
  looks_closely boolean := _looks_closely(the_queue, now);
  has_limits boolean;
  any_delayed boolean;
  look record;
  -- Nothing is in the way, or nothing was a moment ago.
  is_clear boolean := true;
  limits _honker_queues;
  job _claimed;
  cleared record;
  taken bigint[];
  concurrency_key text;
  keyed bigint[] := '{}';
  claimed bigint := 0;
  more boolean := false;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM _check_isolation();
  END IF;
  SELECT EXISTS (SELECT FROM _honker_queues q WHERE q.name = the_queue AND (q.paused OR q.is_limited)),
    EXISTS (SELECT FROM _honker_live l WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at > l.created_at
      AND l.queue = the_queue AND l.run_at <= now)
  INTO has_limits, any_delayed;
  looks_closely := looks_closely OR has_limits;
  IF looks_closely THEN
    SELECT
      EXISTS (SELECT FROM _honker_live l WHERE l.state = 'pending' AND l.attempts >= l.max_attempts AND l.queue = the_queue
        AND l.run_at <= now) AS any_exhausted,
      (SELECT count(*) FROM (SELECT FROM _honker_live l WHERE l.state = 'pending' AND l.expires_at IS NOT NULL AND l.queue = the_queue
        AND l.expires_at <= now LIMIT 101) expired) > 100 AS many_expired,
      EXISTS (SELECT FROM _honker_live l WHERE l.state = 'processing' AND l.queue = the_queue AND l.claim_expires_at < now) AS any_lapsed,
      EXISTS (SELECT FROM _honker_blocked b WHERE b.queue = the_queue) AS any_blocked,
      -- Of somebody else's, which may refuse what is done to a job.
      EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = 'honker._honker_live'::regclass AND NOT t.tgisinternal
        AND t.tgname <> '_honker_wake') AS has_triggers
    INTO look;
    is_clear := NOT (look.any_exhausted OR look.many_expired OR look.any_lapsed OR look.any_blocked OR look.has_triggers);
    IF is_clear THEN
      PERFORM _is_clear(the_queue, now);
    END IF;
  END IF;

  IF has_limits THEN
    SELECT * INTO limits FROM _honker_queues q WHERE q.name = the_queue;
    IF limits.paused THEN
      RETURN;
    END IF;
    IF limits.concurrency IS NOT NULL OR limits.rate_limit IS NOT NULL THEN
      PERFORM pg_advisory_xact_lock(_queue_lock(the_queue));
      -- As it is now that nobody else claims, however long that took.
      now := greatest(now, _now());
      until := _after(now, 'timeout_s', timeout_s);
      SELECT * INTO limits FROM _honker_queues q WHERE q.name = the_queue;
      IF _room(now, limits) <= 0 THEN
        RETURN;
      END IF;
      wanted := least(wanted, _room(now, limits));
    END IF;
  END IF;
  IF is_clear AND NOT any_delayed AND limits.concurrency_per_key IS NULL THEN
    FOR job.id, job.queue, job.payload, job.attempts, job.claim_expires_at, job.max_attempts, job.run_at, job.metadata, job.max_run_s,
      concurrency_key IN
      WITH picked AS MATERIALIZED (
        SELECT l.ctid FROM _honker_live l
        WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at <= l.created_at AND l.queue = the_queue
          AND l.run_at <= now AND (l.expires_at IS NULL OR l.expires_at > now)
        ORDER BY l.priority DESC, l.run_at, l.id LIMIT wanted FOR UPDATE SKIP LOCKED
      ), changed AS (
        UPDATE _honker_live l
        SET state = 'processing', worker_id = the_worker, claim_expires_at = until, attempts = l.attempts + 1
        FROM picked WHERE l.ctid = picked.ctid
        RETURNING l.id, l.queue, l.payload, l.attempts, l.claim_expires_at, l.max_attempts, l.run_at, l.priority)
      SELECT c.id, c.queue, c.payload, c.attempts, c.claim_expires_at, c.max_attempts, c.run_at, o.metadata, o.max_run_s, o.concurrency_key
      FROM changed c LEFT JOIN _honker_job_options o ON o.job_id = c.id ORDER BY c.priority DESC, c.run_at, c.id
    LOOP
      RETURN NEXT job;
      claimed := claimed + 1;
      IF concurrency_key IS NOT NULL THEN
        keyed := keyed || job.id;
      END IF;
    END LOOP;
    IF has_limits THEN
      PERFORM _count_claims(now, limits, claimed);
    END IF;
    IF keyed <> '{}' THEN
      PERFORM _take_slots(keyed);
    END IF;
    RETURN;
  END IF;

  IF is_clear THEN
    SELECT false AS any_exhausted, false AS many_expired, false AS any_lapsed, false AS any_blocked, false AS has_triggers INTO look;
  END IF;
  SELECT * INTO cleared FROM _clear(now, the_queue, look.any_lapsed, look.many_expired);
  IF look.any_blocked AND limits.concurrency_per_key IS NULL THEN
    more := _bring_back_all(the_queue, greatest(cleared.rows_left, 1)) >= greatest(cleared.rows_left, 1);
  END IF;
  IF wanted <= 0 THEN
    taken := '{}';
  ELSIF limits.concurrency_per_key IS NULL AND NOT look.has_triggers THEN
    taken := _take_mixed(now, the_queue, the_worker, wanted, until, cleared.lapsed);
    PERFORM _take_slots(taken);
  ELSE
    SELECT each.taken, each.more INTO taken, more
    FROM _take_each(now, the_queue, the_worker, wanted, until, cleared.lapsed, limits.concurrency_per_key,
      look.has_triggers, cleared.rows_left) each;
  END IF;
  PERFORM _count_claims(now, limits, cardinality(taken));
  RETURN QUERY
    SELECT l.id, l.queue, l.payload, l.attempts, l.claim_expires_at, l.max_attempts, l.run_at, o.metadata, o.max_run_s
    FROM _honker_live l LEFT JOIN _honker_job_options o ON o.job_id = l.id
    WHERE l.id = ANY (taken) ORDER BY l.priority DESC, l.run_at, l.id;
  IF more OR cleared.more THEN
    job := NULL;
    RETURN NEXT job;
  END IF;
END $$;

-- For libhonker: as _take, and a last row without an id, but with a payload: what was changed for others (wake.sql).
CREATE OR REPLACE FUNCTION _claim(the_queue text, the_worker text, the_n bigint, timeout_s bigint) RETURNS SETOF _claimed
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  job _claimed;
BEGIN
  IF strpos(the_worker, '@') > 0 THEN
    PERFORM _seen(the_worker, now);
  END IF;
  IF _may_take_first(now, the_queue, the_n) THEN
    job := _take_first(now, the_queue, the_worker, timeout_s);
  END IF;
  IF job.id IS NOT NULL THEN
    RETURN NEXT job;
  ELSE
    PERFORM _move_check();
    RETURN QUERY SELECT * FROM _take(now, the_queue, the_worker, the_n, timeout_s);
  END IF;
  IF current_setting('honker.woken', true) <> '' THEN
    job := NULL;
    job.payload := current_setting('honker.woken', true);
    RETURN NEXT job;
  END IF;
END $$;

-- A claimed job, as SQL clients get it.
CREATE OR REPLACE FUNCTION _claim_json(job _claimed, worker_id text) RETURNS text
LANGUAGE sql AS $$
  SELECT '{"id":' || job.id || ',"queue":' || to_json(job.queue)::text || ',"payload":' || to_json(job.payload)::text
    || ',"worker_id":' || to_json(worker_id)::text || ',"attempts":' || job.attempts || ',"claim_expires_at":' || job.claim_expires_at
    || CASE WHEN job.metadata IS NULL THEN '}' ELSE ',"metadata":' || coalesce(_metadata(job.metadata)::text, 'null') || '}' END
$$;

CREATE OR REPLACE FUNCTION honker_claim_batch(queue text, worker_id text, n bigint, timeout_s bigint) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  now bigint := _now();
  job _claimed;
  jobs text;
BEGIN
  IF queue IS NULL OR worker_id IS NULL OR n IS NULL OR timeout_s IS NULL THEN
    PERFORM _not_null('{queue,worker_id,n,timeout_s}', '{TEXT,TEXT,INTEGER,INTEGER}',
      queue IS NULL, worker_id IS NULL, n IS NULL, timeout_s IS NULL);
  END IF;
  IF strpos(worker_id, '@') > 0 THEN
    PERFORM _seen(worker_id, now);
  END IF;
  IF _may_take_first(now, queue, n) THEN
    job := _take_first(now, queue, worker_id, timeout_s);
    IF job.id IS NOT NULL THEN
      RETURN '[' || _claim_json(job, worker_id) || ']';
    END IF;
  END IF;
  PERFORM _move_check();
  SELECT string_agg(_claim_json(each, worker_id), ',') INTO jobs FROM _take(now, queue, worker_id, n, timeout_s) each WHERE each.id IS NOT NULL;
  RETURN '[' || coalesce(jobs, '') || ']';
END $$;
