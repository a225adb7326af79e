-- What a consumer waits for, asked without taking anything: whether there is work for it now, and at which second time alone makes
-- some. Nothing here writes or locks.

-- When the next job becomes due that was enqueued as due: there are such jobs if the clock was set back. From one priority to the
-- next, as far as one call may go.
CREATE OR REPLACE FUNCTION _next_immediate(now bigint, the_queue text) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  RETURN (WITH RECURSIVE priorities (priority) AS (
    (SELECT l.priority FROM _honker_live l WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at <= l.created_at
      AND l.queue = the_queue ORDER BY l.priority DESC LIMIT 1)
    UNION ALL
    SELECT (SELECT l.priority FROM _honker_live l WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at <= l.created_at
      AND l.queue = the_queue AND l.priority < p.priority ORDER BY l.priority DESC LIMIT 1)
    FROM priorities p WHERE p.priority IS NOT NULL)
  SELECT min((SELECT l.run_at FROM _honker_live l WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at <= l.created_at
    AND l.queue = the_queue AND l.priority = p.priority AND l.run_at > now AND (l.expires_at IS NULL OR l.expires_at > now)
    ORDER BY l.run_at LIMIT 1))
  FROM (SELECT * FROM priorities LIMIT 1000) p);
END $$;

-- What a claim on a queue would find. at is the earliest future second at which one could start to succeed without a further commit.
CREATE OR REPLACE FUNCTION _look(now bigint, the_queue text, OUT may_claim boolean, OUT at bigint)
LANGUAGE plpgsql AS $$
DECLARE
  limits _honker_queues;
  gate record;
  found record;
  is_in_the_way boolean;
  is_something_now boolean;
  comes_back boolean := false;
  next_at bigint;
  first record;
BEGIN
  SELECT * INTO limits FROM _honker_queues q WHERE q.name = the_queue;
  IF limits.paused THEN
    may_claim := false;
    RETURN;
  END IF;
  SELECT * INTO gate FROM _gate(now, limits);
  SELECT
    EXISTS (SELECT FROM _honker_live l WHERE l.state = 'pending' AND l.attempts >= l.max_attempts AND l.queue = the_queue
      AND l.run_at <= now) AS exhausted,
    (SELECT count(*) FROM (SELECT FROM _honker_live l WHERE l.state = 'pending' AND l.expires_at IS NOT NULL AND l.queue = the_queue
      AND l.expires_at <= now LIMIT 101) expired) > 100 AS many_expired,
    EXISTS (SELECT FROM _honker_live l WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at <= l.created_at
      AND l.queue = the_queue AND l.run_at <= now AND (l.expires_at IS NULL OR l.expires_at > now))
    OR EXISTS (SELECT FROM _honker_live l WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at > l.created_at
      AND l.queue = the_queue AND l.run_at <= now AND (l.expires_at IS NULL OR l.expires_at > now)) AS due,
    EXISTS (SELECT FROM _honker_blocked b WHERE b.queue = the_queue) AS blocked,
    least(_next_immediate(now, the_queue),
      (SELECT l.run_at FROM _honker_live l WHERE l.state = 'pending' AND l.attempts < l.max_attempts AND l.run_at > l.created_at
        AND l.queue = the_queue AND l.run_at > now AND (l.expires_at IS NULL OR l.expires_at > now)
        ORDER BY l.run_at LIMIT 1)) AS next_due,
    flight.*
  INTO found
  FROM (
    SELECT count(*) FILTER (WHERE l.claim_expires_at < now AND l.attempts < l.max_attempts) AS lapsed,
      coalesce(bool_or(l.claim_expires_at < now AND l.attempts >= l.max_attempts), false) AS lapsed_last,
      coalesce(bool_or(l.claim_expires_at < now AND l.expires_at <= now), false) AS lapsed_expired,
      min(l.claim_expires_at) FILTER (WHERE l.claim_expires_at >= now AND l.attempts < l.max_attempts
        AND (l.expires_at IS NULL OR l.expires_at > now)) AS next_lapse,
      min(l.claim_expires_at) FILTER (WHERE l.claim_expires_at >= now) AS first_lapse
    FROM _honker_live l WHERE l.state = 'processing' AND l.queue = the_queue) flight;

  is_in_the_way := found.exhausted OR found.many_expired OR found.lapsed_last OR found.lapsed_expired OR found.lapsed > 32;
  IF found.blocked AND NOT is_in_the_way AND NOT (found.due AND limits.concurrency_per_key IS NOT NULL) THEN
    comes_back := limits.concurrency_per_key IS NULL
      OR EXISTS (SELECT FROM _waiting_in_vain(now, the_queue, limits.concurrency_per_key, '') w WHERE w.free > 0);
  END IF;
  is_something_now := is_in_the_way OR found.lapsed > 0 OR found.due OR comes_back;
  may_claim := gate.is_open AND is_something_now;

  -- The end of time is nothing to wait for.
  next_at := nullif(least(found.next_due,
    _after_at_most(CASE WHEN found.blocked THEN found.first_lapse ELSE found.next_lapse END, 1)), 9223372036854775807);
  IF NOT gate.is_open THEN
    at := CASE WHEN is_something_now THEN gate.until ELSE greatest(next_at, gate.until + (next_at - next_at)) END;
    RETURN;
  END IF;
  IF NOT is_in_the_way AND limits.concurrency_per_key IS NOT NULL AND (found.due OR found.lapsed > 0) THEN
    -- A claim would set the first job aside.
    SELECT o.concurrency_key INTO first
    FROM _candidates(now, the_queue, 1, ARRAY(SELECT l.id FROM _honker_live l WHERE l.state = 'processing' AND l.queue = the_queue
      AND l.claim_expires_at < now LIMIT 33)) c
    LEFT JOIN _honker_job_options o ON o.job_id = c.id;
    is_in_the_way := first.concurrency_key IS NOT NULL
      AND _held(now, the_queue, first.concurrency_key, limits.concurrency_per_key) >= limits.concurrency_per_key;
  ELSIF comes_back AND NOT (found.due OR found.lapsed > 0) OR comes_back AND limits.concurrency_per_key IS NULL THEN
    is_in_the_way := true;
  END IF;
  at := CASE WHEN is_in_the_way THEN now ELSE next_at END;
END $$;

CREATE OR REPLACE FUNCTION honker_queue_next_claim_at(queue text) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM _not_null('{queue}', '{TEXT}', queue IS NULL);
  RETURN coalesce((SELECT look.at FROM _look(_now(), queue) look), 0);
END $$;

-- Why a claim is not the worker's any more; until is its last second if it is.
CREATE OR REPLACE FUNCTION _look_at_held(now bigint, the_worker text, the_id bigint, the_attempts bigint, OUT lost text, OUT until bigint)
LANGUAGE plpgsql AS $$
DECLARE
  job record;
BEGIN
  SELECT l.state, l.worker_id, l.attempts, l.claim_expires_at INTO job FROM _honker_live l WHERE l.id = the_id;
  IF NOT FOUND OR job.state <> 'processing' THEN
    lost := 'gone';
  ELSIF job.worker_id IS DISTINCT FROM the_worker OR job.attempts <> the_attempts THEN
    lost := 'taken';
  ELSIF job.claim_expires_at < now THEN
    lost := 'lapsed';
  ELSE
    until := job.claim_expires_at;
  END IF;
END $$;

-- For libhonker: what a worker that holds these claims, and has room for jobs of these queues, would find.
CREATE OR REPLACE FUNCTION _work_outlook(the_worker text, held_ids bigint[], held_attempts bigint[], queues text[],
  OUT may_claim boolean, OUT next_at bigint, OUT lost text[])
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  held record;
  look record;
  the_queue text;
BEGIN
  may_claim := false;
  lost := '{}';
  FOR at IN 1 .. coalesce(cardinality(held_ids), 0) LOOP
    SELECT * INTO held FROM _look_at_held(now, the_worker, held_ids[at], held_attempts[at]);
    lost := lost || held.lost;
    next_at := least(next_at, _after_at_most(held.until, 1));
  END LOOP;
  IF EXISTS (SELECT FROM _honker_settings s WHERE s.name = 'move') THEN
    IF coalesce(cardinality(held_ids), 0) = 0 AND cardinality(queues) > 0 THEN
      PERFORM _move_check();
    END IF;
    -- There will be nothing to claim; what it holds it may settle.
    RETURN;
  END IF;
  FOREACH the_queue IN ARRAY coalesce(queues, '{}') LOOP
    SELECT * INTO look FROM _look(now, the_queue);
    may_claim := may_claim OR look.may_claim;
    next_at := least(next_at, look.at);
  END LOOP;
END $$;

-- For libhonker: what several consumers would find, each described by an object of this JSON array. What keeps one from being
-- answered does not keep the others.
CREATE OR REPLACE FUNCTION _outlooks(interests text) RETURNS TABLE (n bigint, work boolean, at bigint, code text, message text)
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  interest json;
  found record;
BEGIN
  FOR n, interest IN SELECT each.n - 1, each.value FROM json_array_elements(interests::json) WITH ORDINALITY each (value, n) LOOP
    work := false;
    at := NULL;
    code := NULL;
    message := NULL;
    BEGIN
      CASE interest ->> 'kind'
        WHEN 'commit' THEN work := true;
        WHEN 'jobs' THEN
          SELECT * INTO found FROM _work_outlook(interest ->> 'worker_id',
            ARRAY(SELECT (held.value ->> 0)::bigint FROM json_array_elements(interest -> 'held') held),
            ARRAY(SELECT (held.value ->> 1)::bigint FROM json_array_elements(interest -> 'held') held),
            ARRAY(SELECT json_array_elements_text(interest -> 'queues')));
          work := found.may_claim OR cardinality(array_remove(found.lost, NULL)) > 0;
          at := found.next_at;
        WHEN 'notifications' THEN
          work := EXISTS (SELECT FROM _notifications_read(interest ->> 'channel', (interest ->> 'after')::bigint, 1));
        WHEN 'events' THEN
          work := EXISTS (SELECT FROM _stream_read(interest ->> 'topic', (interest ->> 'after')::bigint, 1));
        WHEN 'result' THEN
          work := EXISTS (SELECT FROM _honker_results r
            WHERE r.job_id = (interest ->> 'job_id')::bigint AND r.value IS NOT NULL AND (r.expires_at IS NULL OR r.expires_at > now));
          IF NOT work THEN
            PERFORM _move_check('moved');
          END IF;
        WHEN 'leadership' THEN
          SELECT * INTO found
          FROM _leadership(coalesce(ARRAY(SELECT json_array_elements_text(interest -> 'left_out')), '{}'));
          IF (interest ->> 'leads')::boolean AND found.owner = interest ->> 'owner' THEN
            work := coalesce(found.soonest <= now, false);
            at := found.soonest;
          ELSE
            work := found.owner IS NULL OR found.owner = interest ->> 'owner' OR found.expires_at <= now;
            at := found.expires_at;
          END IF;
        ELSE PERFORM _invalid('there is no such interest: ' || interest::text);
      END CASE;
    EXCEPTION WHEN OTHERS THEN
      IF SQLSTATE = '57014' THEN
        RAISE;
      END IF;
      code := SQLSTATE;
      message := SQLERRM;
    END;
    RETURN NEXT;
  END LOOP;
END $$;
