-- What stands in the way of a claim, and how it is cleared away: exhausted jobs, claims that lapsed on the last attempt or whose job
-- has expired, and expired jobs and lapsed claims once there are many of them. At most 1,000 rows or 8 MB in one call.

-- The first of these rows that one call may work off, by what may still be.
CREATE OR REPLACE FUNCTION _admit(INOUT ids bigint[], lengths bigint[], INOUT rows_left bigint, INOUT bytes_left bigint,
  OUT refused boolean)
LANGUAGE plpgsql AS $$
DECLARE
  admitted bigint := 0;
BEGIN
  refused := false;
  FOR at IN 1 .. coalesce(cardinality(ids), 0) LOOP
    -- The very first is always admitted: one that is too large would wait for ever.
    IF rows_left < 1000 AND (rows_left <= 0 OR lengths[at] > bytes_left) THEN
      refused := true;
      EXIT;
    END IF;
    rows_left := rows_left - 1;
    bytes_left := bytes_left - lengths[at];
    admitted := at;
  END LOOP;
  ids := coalesce(ids[1:admitted], '{}');
END $$;

-- Moves jobs to the dead whose rows are locked, also past those that a trigger of the user's refuses; how many were moved, and why
-- the first of the others was not.
CREATE OR REPLACE FUNCTION _dead_letter_past(now bigint, ids bigint[], reason text, OUT moved bigint, OUT refusal text)
LANGUAGE plpgsql AS $$
DECLARE
  the_id bigint;
  refusals bigint := 0;
BEGIN
  moved := 0;
  IF ids = '{}' THEN
    RETURN;
  END IF;
  BEGIN
    moved := _dead_letter_all(now, ids, reason);
    RETURN;
  EXCEPTION WHEN integrity_constraint_violation OR raise_exception OR triggered_data_change_violation THEN
    refusal := SQLERRM;
  END;
  FOREACH the_id IN ARRAY ids LOOP
    BEGIN
      moved := moved + _dead_letter_all(now, ARRAY[the_id], reason);
    EXCEPTION WHEN integrity_constraint_violation OR raise_exception OR triggered_data_change_violation THEN
      refusals := refusals + 1;
      EXIT WHEN refusals >= 100;
    END;
  END LOOP;
END $$;

-- The rows of one obstacle, locked; those that somebody else has locked are left out.
CREATE OR REPLACE FUNCTION _exhausted(now bigint, the_queue text, at_most bigint, has_expired boolean, OUT ids bigint[], OUT lengths bigint[])
LANGUAGE sql AS $$
  SELECT array_agg(found.id ORDER BY found.run_at, found.id), array_agg(found.length ORDER BY found.run_at, found.id) FROM (
    SELECT l.id, l.run_at, octet_length(l.payload)::bigint AS length FROM _honker_live l
    WHERE l.state = 'pending' AND l.attempts >= l.max_attempts AND l.queue = the_queue AND l.run_at <= now
      AND coalesce(l.expires_at <= now, false) = has_expired
    ORDER BY l.run_at LIMIT at_most FOR UPDATE SKIP LOCKED) found
$$;

CREATE OR REPLACE FUNCTION _expired(now bigint, the_queue text, at_most bigint, OUT ids bigint[], OUT lengths bigint[])
LANGUAGE sql AS $$
  SELECT array_agg(found.id ORDER BY found.expires_at, found.id), array_agg(found.length ORDER BY found.expires_at, found.id) FROM (
    SELECT l.id, l.expires_at, octet_length(l.payload)::bigint AS length FROM _honker_live l
    WHERE l.state = 'pending' AND l.expires_at IS NOT NULL AND l.queue = the_queue AND l.expires_at <= now
    ORDER BY l.expires_at LIMIT at_most FOR UPDATE SKIP LOCKED) found
$$;

CREATE OR REPLACE FUNCTION _blocked_expired(now bigint, the_queue text, at_most bigint, OUT ids bigint[], OUT lengths bigint[])
LANGUAGE sql AS $$
  SELECT array_agg(found.id), array_agg(found.length) FROM (
    SELECT l.id, octet_length(l.payload)::bigint AS length FROM _honker_blocked b JOIN _honker_live l ON l.id = b.job_id
    WHERE b.queue = the_queue AND b.expires_at <= now AND l.state = 'blocked' AND l.expires_at <= now
    ORDER BY b.expires_at LIMIT at_most FOR UPDATE OF l SKIP LOCKED) found
$$;

-- Lapsed claims, those first that lapsed first: of expired jobs, of exhausted ones, or of others.
CREATE OR REPLACE FUNCTION _lapsed(now bigint, the_queue text, at_most bigint, kind text, OUT ids bigint[], OUT lengths bigint[])
LANGUAGE sql AS $$
  SELECT array_agg(found.id ORDER BY found.claim_expires_at, found.id), array_agg(found.length ORDER BY found.claim_expires_at, found.id)
  FROM (
    SELECT l.id, l.claim_expires_at, octet_length(l.payload)::bigint AS length FROM _honker_live l
    WHERE l.state = 'processing' AND l.queue = the_queue AND l.claim_expires_at < now
      AND CASE WHEN l.expires_at <= now THEN 'expired' WHEN l.attempts >= l.max_attempts THEN 'exhausted' ELSE 'other' END = kind
    ORDER BY l.claim_expires_at LIMIT at_most FOR UPDATE SKIP LOCKED) found
$$;

-- Jobs whose claims have lapsed are pending again. Those whose keys somebody else has stay as they are.
CREATE OR REPLACE FUNCTION _return_lapsed(now bigint, ids bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  with_options bigint[] := ARRAY(SELECT o.job_id FROM _honker_job_options o WHERE o.job_id = ANY (ids) ORDER BY o.job_id);
  job record;
BEGIN
  UPDATE _honker_live l SET state = 'pending', worker_id = NULL, claim_expires_at = NULL
  WHERE l.id = ANY (ids) AND (with_options = '{}' OR l.id <> ALL (with_options));
  FOR job IN SELECT l.id, l.queue FROM _honker_live l WHERE l.id = ANY (with_options) ORDER BY l.id LOOP
    IF _try_keys(job.id) THEN
      UPDATE _honker_live l SET state = 'pending', worker_id = NULL, claim_expires_at = NULL WHERE l.id = job.id;
      PERFORM _returned(now, job.id, job.queue);
    END IF;
  END LOOP;
END $$;

-- Clears away what a claim cannot take. Lapsed claims that stay as they are unless they are taken are in the answer; more says that
-- something had to be left in the way.
CREATE OR REPLACE FUNCTION _clear(now bigint, the_queue text, looks_for_lapsed boolean, many_expired boolean, OUT more boolean,
  OUT lapsed bigint[], OUT rows_left bigint, OUT refusal text)
LANGUAGE plpgsql AS $$
DECLARE
  bytes_left bigint := 8000000;
  ids bigint[];
  lengths bigint[];
  is_refused boolean;
  many_lapsed boolean;
BEGIN
  more := false;
  lapsed := '{}';
  rows_left := 1000;
  FOR has_expired IN 0 .. 1 LOOP
    SELECT * INTO ids, lengths FROM _exhausted(now, the_queue, rows_left + 1, has_expired = 1);
    IF ids IS NOT NULL THEN
      SELECT * INTO ids, rows_left, bytes_left, is_refused FROM _admit(ids, lengths, rows_left, bytes_left);
      more := more OR is_refused;
      SELECT coalesce(_clear.refusal, past.refusal) INTO refusal
      FROM _dead_letter_past(now, ids, CASE WHEN has_expired = 1 THEN 'expired' ELSE 'max attempts exceeded' END) past;
    END IF;
  END LOOP;
  IF many_expired THEN
    SELECT * INTO ids, lengths FROM _expired(now, the_queue, rows_left + 1);
    SELECT * INTO ids, rows_left, bytes_left, is_refused FROM _admit(ids, lengths, rows_left, bytes_left);
    more := more OR is_refused;
    SELECT coalesce(_clear.refusal, past.refusal) INTO refusal FROM _dead_letter_past(now, ids, 'expired') past;
  END IF;
  IF NOT looks_for_lapsed THEN
    RETURN;
  END IF;
  -- A few are weighed against the pending jobs one by one; many go back, so that the next claim finds them in an index.
  SELECT count(*) > 32 INTO many_lapsed FROM (
    SELECT FROM _honker_live l
    WHERE l.state = 'processing' AND l.queue = the_queue AND l.claim_expires_at < now AND l.attempts < l.max_attempts LIMIT 33) found;
  SELECT * INTO ids, lengths FROM _lapsed(now, the_queue, rows_left + 1, 'exhausted');
  IF ids IS NOT NULL THEN
    SELECT * INTO ids, rows_left, bytes_left, is_refused FROM _admit(ids, lengths, rows_left, bytes_left);
    more := more OR is_refused;
    SELECT coalesce(_clear.refusal, past.refusal) INTO refusal FROM _dead_letter_past(now, ids, 'max attempts exceeded') past;
  END IF;
  SELECT * INTO ids, lengths FROM _lapsed(now, the_queue, rows_left + 1, 'expired');
  IF ids IS NOT NULL THEN
    SELECT * INTO ids, rows_left, bytes_left, is_refused FROM _admit(ids, lengths, rows_left, bytes_left);
    more := more OR is_refused;
    SELECT coalesce(_clear.refusal, past.refusal) INTO refusal FROM _dead_letter_past(now, ids, 'expired') past;
  END IF;
  IF NOT many_lapsed THEN
    lapsed := ARRAY(SELECT l.id FROM _honker_live l
      WHERE l.state = 'processing' AND l.queue = the_queue AND l.claim_expires_at < now AND l.attempts < l.max_attempts
        AND (l.expires_at IS NULL OR l.expires_at > now) LIMIT 33);
    RETURN;
  END IF;
  SELECT * INTO ids, lengths FROM _lapsed(now, the_queue, rows_left + 1, 'other');
  IF ids IS NOT NULL THEN
    SELECT * INTO ids, rows_left, bytes_left, is_refused FROM _admit(ids, lengths, rows_left, bytes_left);
    more := more OR is_refused;
    PERFORM _return_lapsed(now, ids);
  END IF;
END $$;

-- Moves expired jobs of a queue that nobody holds to the dead, at most 1,000; how many there were.
CREATE OR REPLACE FUNCTION honker_sweep_expired(queue text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  rows_left bigint := 1000;
  bytes_left bigint := 8000000;
  ids bigint[];
  lengths bigint[];
  kind text;
  past record;
  moved bigint := 0;
  first_refusal text;
BEGIN
  PERFORM _not_null('{queue}', '{TEXT}', queue IS NULL);
  FOREACH kind IN ARRAY ARRAY['pending', 'blocked', 'lapsed'] LOOP
    CASE kind
      WHEN 'pending' THEN SELECT * INTO ids, lengths FROM _expired(now, queue, rows_left + 1);
      WHEN 'blocked' THEN SELECT * INTO ids, lengths FROM _blocked_expired(now, queue, rows_left + 1);
      ELSE SELECT * INTO ids, lengths FROM _lapsed(now, queue, rows_left + 1, 'expired');
    END CASE;
    CONTINUE WHEN ids IS NULL;
    SELECT admitted.ids, admitted.rows_left, admitted.bytes_left INTO ids, rows_left, bytes_left
    FROM _admit(ids, lengths, rows_left, bytes_left) admitted;
    SELECT * INTO past FROM _dead_letter_past(now, ids, 'expired');
    moved := moved + past.moved;
    first_refusal := coalesce(first_refusal, past.refusal);
  END LOOP;
  IF moved = 0 AND first_refusal IS NOT NULL THEN
    RAISE EXCEPTION '%', first_refusal USING ERRCODE = '27000';
  END IF;
  RETURN moved;
END $$;
