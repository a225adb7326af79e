-- The move to the dead: the one way by which a job ends without an ack.

-- Adds a row to the dead. One that is there already, because somebody has put a dead job back by hand, is replaced.
CREATE OR REPLACE FUNCTION _bury(now bigint, job _honker_live, reason text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO _honker_dead AS d (id, queue, payload, priority, run_at, attempts, max_attempts, last_error, created_at, died_at)
  VALUES (job.id, job.queue, job.payload, job.priority, job.run_at, job.attempts, job.max_attempts, reason, job.created_at, now)
  ON CONFLICT ON CONSTRAINT _honker_dead_pkey DO UPDATE
    SET queue = excluded.queue, payload = excluded.payload, priority = excluded.priority, run_at = excluded.run_at,
      attempts = excluded.attempts, max_attempts = excluded.max_attempts, last_error = excluded.last_error,
      created_at = excluded.created_at, died_at = excluded.died_at;
  IF NOT FOUND THEN
    PERFORM _refused('moved to the dead', '_honker_dead');
  END IF;
  PERFORM _note('dead', job.id, job.queue);
END $$;

-- Moves a job whose row and keys are locked, or that has no keys.
CREATE OR REPLACE FUNCTION _dead_letter(now bigint, the_id bigint, reason text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  job _honker_live;
BEGIN
  DELETE FROM _honker_live l WHERE l.id = the_id RETURNING * INTO job;
  IF NOT FOUND THEN
    IF EXISTS (SELECT FROM _honker_live l WHERE l.id = the_id) THEN
      PERFORM _refused('moved to the dead', '_honker_live');
    END IF;
    RETURN;
  END IF;
  PERFORM _bury(now, job, reason);
  PERFORM _left(now, the_id, job.queue, 'dead', true);
END $$;

-- Moves jobs whose rows are locked, but their keys are not: those whose keys somebody else has are left where they are. How many
-- were moved. No error of one keeps the others from being moved (clear.sql).
CREATE OR REPLACE FUNCTION _dead_letter_all(now bigint, ids bigint[], reason text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  with_options bigint[] := ARRAY(SELECT o.job_id FROM _honker_job_options o WHERE o.job_id = ANY (ids) ORDER BY o.job_id);
  plain bigint[] := ids;
  removed bigint;
  moved bigint := 0;
  the_id bigint;
BEGIN
  IF with_options <> '{}' THEN
    plain := ARRAY(SELECT each FROM unnest(ids) each WHERE each <> ALL (with_options));
  END IF;
  IF plain <> '{}' THEN
    WITH gone AS (DELETE FROM _honker_live l WHERE l.id = ANY (plain) RETURNING *),
    buried AS (
      INSERT INTO _honker_dead AS d (id, queue, payload, priority, run_at, attempts, max_attempts, last_error, created_at, died_at)
      SELECT g.id, g.queue, g.payload, g.priority, g.run_at, g.attempts, g.max_attempts, reason, g.created_at, now FROM gone g
      ON CONFLICT ON CONSTRAINT _honker_dead_pkey DO UPDATE
        SET queue = excluded.queue, payload = excluded.payload, priority = excluded.priority, run_at = excluded.run_at,
          attempts = excluded.attempts, max_attempts = excluded.max_attempts, last_error = excluded.last_error,
          created_at = excluded.created_at, died_at = excluded.died_at
      RETURNING d.id, d.queue)
    SELECT (SELECT count(*) FROM gone), (SELECT count(_note('dead', b.id, b.queue)) FROM buried b) INTO removed, moved;
    IF removed <> moved OR removed <> cardinality(plain) THEN
      PERFORM _refused('moved to the dead', '_honker_live');
    END IF;
  END IF;
  FOREACH the_id IN ARRAY with_options LOOP
    IF _try_keys(the_id) THEN
      PERFORM _dead_letter(now, the_id, reason);
      moved := moved + 1;
    END IF;
  END LOOP;
  RETURN moved;
END $$;
