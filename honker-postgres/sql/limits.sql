-- How many jobs a claim on a queue may take: what is set for it, and how much of that is used.
--
-- Valid claims are counted where they are, in the rows of the jobs. Claims on a queue with a limit of its own come one after the
-- other, by a lock on the queue that is held until the transaction ends; so what one counts, no other has taken meanwhile.

CREATE OR REPLACE FUNCTION _queue_lock(the_queue text) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT 7524389077429256192 + (hashtextextended(the_queue, 0) & 281474976710655)
$$;

-- In how many seconds a job is tried again, if that is set for its queue.
CREATE OR REPLACE FUNCTION _retry_delay(the_queue text, attempts bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  retry json := (SELECT q.settings::json -> 'retry' FROM _honker_queues q WHERE q.name = the_queue);
  base_s double precision := coalesce((retry ->> 'base_s')::double precision, 15);
  factor double precision := coalesce((retry ->> 'factor')::double precision, 2);
  max_s double precision := coalesce((retry ->> 'max_s')::double precision, 3600);
  jitter double precision := coalesce((retry ->> 'jitter')::double precision, 0.1);
  failures double precision := greatest(attempts - 1, 0);
  delay double precision;
BEGIN
  IF retry IS NULL OR json_typeof(retry) <> 'object' THEN
    RETURN NULL;
  ELSIF base_s <= 0 THEN
    RETURN 0;
  END IF;
  -- A power that is too large would be an error.
  delay := CASE WHEN ln(base_s) + failures * ln(factor) > 40 THEN max_s ELSE least(base_s * power(factor, failures), max_s) END;
  RETURN least(greatest(round(delay * (1 + jitter * (2 * random() - 1))), 0), 31622400000)::bigint;
END $$;

CREATE OR REPLACE FUNCTION _window_start(now bigint, per_s bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT floor(now::numeric / per_s)::bigint * per_s
$$;

CREATE OR REPLACE FUNCTION _left_in_window(now bigint, limits _honker_queues) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT (limits).rate_limit - CASE WHEN (limits).window_start = _window_start(now, (limits).rate_per_s)
    THEN greatest(coalesce((limits).window_count, 0), 0) ELSE 0 END
$$;

-- How many jobs may be claimed now of a queue whose lock is held.
CREATE OR REPLACE FUNCTION _room(now bigint, limits _honker_queues) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  room bigint := 9223372036854775807;
BEGIN
  IF limits.paused THEN
    RETURN 0;
  END IF;
  IF limits.rate_limit IS NOT NULL THEN
    room := _left_in_window(now, limits);
  END IF;
  IF limits.concurrency IS NOT NULL AND room > 0 THEN
    room := least(room, limits.concurrency - (
      SELECT count(*) FROM (
        SELECT FROM _honker_live l WHERE l.state = 'processing' AND l.queue = limits.name AND l.claim_expires_at >= now
        LIMIT limits.concurrency) valid));
  END IF;
  RETURN room;
END $$;

-- So many were claimed.
CREATE OR REPLACE FUNCTION _count_claims(now bigint, limits _honker_queues, taken bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF limits.rate_limit IS NOT NULL AND taken > 0 THEN
    UPDATE _honker_queues q
    SET window_start = _window_start(now, limits.rate_per_s), window_count = limits.rate_limit - _left_in_window(now, limits) + taken
    WHERE q.name = limits.name;
    IF NOT FOUND THEN
      PERFORM _refused('counted', '_honker_queues');
    END IF;
  END IF;
END $$;

-- Whether claims may be made now; if not, until is the first second in which that may be, or NULL while the queue is paused.
CREATE OR REPLACE FUNCTION _gate(now bigint, limits _honker_queues, OUT is_open boolean, OUT until bigint)
LANGUAGE plpgsql AS $$
DECLARE
  lapse bigint;
BEGIN
  is_open := true;
  IF limits.paused THEN
    is_open := false;
    RETURN;
  END IF;
  IF limits.rate_limit IS NOT NULL AND _left_in_window(now, limits) <= 0 THEN
    until := _after_at_most(_window_start(now, limits.rate_per_s), limits.rate_per_s);
  END IF;
  IF limits.concurrency IS NOT NULL THEN
    SELECT l.claim_expires_at INTO lapse FROM _honker_live l
    WHERE l.state = 'processing' AND l.queue = limits.name AND l.claim_expires_at >= now
    ORDER BY l.claim_expires_at DESC LIMIT 1 OFFSET limits.concurrency - 1;
    until := greatest(until, _after_at_most(lapse, 1));
  END IF;
  is_open := until IS NULL;
END $$;

CREATE OR REPLACE FUNCTION _wake_if_limited(the_queue text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM _honker_queues q WHERE q.name = the_queue AND q.is_limited) THEN
    PERFORM _wake('q:' || the_queue);
  END IF;
END $$;
