-- Prolongs a claim, unless its row is locked: its handler may be settling it in a transaction of its own at the moment.
CREATE OR REPLACE FUNCTION _prolong(now bigint, the_id bigint, the_worker text, extend_s bigint) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM _honker_live l WHERE l.id = the_id FOR NO KEY UPDATE SKIP LOCKED;
  RETURN FOUND AND _heartbeat(now, the_id, the_worker, extend_s);
END $$;

-- One turn of a worker of libhonker: what it has finished is settled, what runs is prolonged, and new jobs are claimed, in this order
-- and in one transaction.
--
-- The rows of the answer: s, a settlement (n from 0): code 1 or 0, or the state of what refused it; h, a claim that is held: code is
-- why it is lost; j, a job that was claimed; p, so many claims were prolonged; m, there was too much in the way for one turn; e, a
-- refusal beside the settlements; w, what was changed for others (wake.sql).
--
-- by_part is for a turn that was refused as a whole, by a trigger or a constraint of the user's: each part is done in a
-- savepoint of its own, so that what is refused does not keep the rest from being done.
CREATE OR REPLACE FUNCTION _turn(the_worker text, timeout_s bigint, settle_ids bigint[], settle_kinds text[], settle_delays bigint[],
  settle_defaults bigint[], settle_errors text[], held_ids bigint[], held_attempts bigint[], prolong boolean, queues text[],
  limits bigint[], frees bigint[], wanted bigint, by_part boolean)
RETURNS TABLE (kind text, n bigint, code text, message text, job _claimed)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  now bigint := _now();
  settlements int := coalesce(cardinality(settle_ids), 0);
  -- Of each queue, how many settlements were refused that would have made room for one more.
  refused_of bigint[] := array_fill(0::bigint, ARRAY[coalesce(cardinality(queues), 0)]);
  prolonged bigint := 0;
  remaining bigint := wanted;
  here bigint;
  plain_acks bigint[] := '{}';
  acked bigint[] := '{}';
  moving json;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM _check_isolation();
  END IF;
  IF strpos(the_worker, '@') > 0 THEN
    PERFORM _seen(the_worker, now);
  END IF;
  IF settlements = 1 AND settle_kinds[1] = 'ack' AND NOT by_part AND _ack_plain(now, settle_ids[1], the_worker) THEN
    acked := settle_ids;
  ELSIF settlements > 0 THEN
    PERFORM _lock_keys(settle_ids);
    IF settlements > 1 AND NOT by_part THEN
      -- Of most jobs nothing has to be known: all of those that are done go together, in the order of their ids.
      plain_acks := ARRAY(
        SELECT l.id FROM unnest(settle_ids, settle_kinds) s (id, kind) JOIN _honker_live l ON l.id = s.id
        LEFT JOIN _honker_job_options o ON o.job_id = l.id LEFT JOIN _honker_queues q ON q.name = l.queue
        WHERE s.kind = 'ack' AND o.job_id IS NULL AND q.name IS NULL);
      WITH held AS MATERIALIZED (
        SELECT l.id FROM _honker_live l
        WHERE l.id = ANY (plain_acks) AND l.worker_id = the_worker AND l.claim_expires_at >= now ORDER BY l.id FOR UPDATE
      ), gone AS (DELETE FROM _honker_live l USING held WHERE l.id = held.id RETURNING l.id)
      SELECT coalesce(array_agg(gone.id), '{}') INTO acked FROM gone;
    END IF;
  END IF;
  kind := 's';
  FOR at IN 1 .. settlements LOOP
    n := at - 1;
    message := NULL;
    IF settle_kinds[at] = 'ack' AND settle_ids[at] = ANY (acked) THEN
      code := '1';
    ELSIF by_part THEN
      BEGIN
        code := _settle_one(now, the_worker, settle_ids[at], settle_kinds[at], settle_delays[at], settle_defaults[at], settle_errors[at])::int;
      EXCEPTION WHEN integrity_constraint_violation OR raise_exception OR triggered_data_change_violation OR with_check_option_violation THEN
        code := SQLSTATE;
        message := SQLERRM;
        IF frees[at] IS NOT NULL THEN
          refused_of[frees[at] + 1] := refused_of[frees[at] + 1] + 1;
        END IF;
      END;
    ELSE
      code := _settle_one(now, the_worker, settle_ids[at], settle_kinds[at], settle_delays[at], settle_defaults[at], settle_errors[at])::int;
    END IF;
    RETURN NEXT;
  END LOOP;

  message := NULL;
  FOR at IN 1 .. coalesce(cardinality(held_ids), 0) LOOP
    kind := 'h';
    n := at - 1;
    SELECT held.lost INTO code FROM _look_at_held(now, the_worker, held_ids[at], held_attempts[at]) held;
    RETURN NEXT;
    IF prolong AND code IS NULL THEN
      IF by_part THEN
        BEGIN
          prolonged := prolonged + _prolong(now, held_ids[at], the_worker, timeout_s)::int;
        EXCEPTION WHEN integrity_constraint_violation OR raise_exception OR triggered_data_change_violation OR with_check_option_violation THEN
          kind := 'e';
          code := SQLSTATE;
          message := SQLERRM;
          RETURN NEXT;
          message := NULL;
        END;
      ELSE
        prolonged := prolonged + _prolong(now, held_ids[at], the_worker, timeout_s)::int;
      END IF;
    END IF;
  END LOOP;
  IF prolonged > 0 THEN
    kind := 'p';
    n := prolonged;
    code := NULL;
    RETURN NEXT;
  END IF;
  n := NULL;
  code := NULL;

  IF by_part AND EXISTS (SELECT FROM _honker_settings s WHERE s.name = 'move') THEN
    -- Nothing is to be claimed here any more, and what was settled above stays.
    remaining := 0;
  END IF;
  IF remaining > 0 AND cardinality(queues) > 1 THEN
    -- Two turns that claim from the same limited queues lock them in the same order.
    PERFORM pg_advisory_xact_lock(limited.number) FROM (
      SELECT _queue_lock(q.name) AS number FROM _honker_queues q
      WHERE q.name = ANY (queues) AND NOT q.paused AND (q.concurrency IS NOT NULL OR q.rate_limit IS NOT NULL)
      ORDER BY number) limited;
  END IF;
  -- All that may have taken its time.
  now := greatest(now, _now());
  FOR at IN 1 .. coalesce(cardinality(queues), 0) LOOP
    here := least(remaining, limits[at] - refused_of[at]);
    CONTINUE WHEN here <= 0;
    kind := 'j';
    IF _may_take_first(now, queues[at], here) THEN
      job := _take_first(now, queues[at], the_worker, timeout_s);
      IF job.id IS NOT NULL THEN
        RETURN NEXT;
        remaining := remaining - 1;
        CONTINUE;
      END IF;
    END IF;
    FOR job IN SELECT * FROM _take(now, queues[at], the_worker, here, timeout_s) LOOP
      IF job.id IS NULL THEN
        kind := 'm';
      ELSE
        remaining := remaining - 1;
      END IF;
      RETURN NEXT;
    END LOOP;
    -- What is in the way of one claim is as much as a transaction moves.
    EXIT WHEN kind = 'm';
  END LOOP;

  job := NULL;
  IF wanted > 0 AND (remaining = wanted OR remaining = 0 AND by_part) THEN
    SELECT s.value::json INTO moving FROM _honker_settings s WHERE s.name = 'move';
    IF FOUND THEN
      kind := 'e';
      code := 'P0001';
      message := _move_message(moving);
      RETURN NEXT;
      code := NULL;
    END IF;
  END IF;
  message := current_setting('honker.woken', true);
  IF message <> '' THEN
    kind := 'w';
    RETURN NEXT;
  END IF;
END $$;
