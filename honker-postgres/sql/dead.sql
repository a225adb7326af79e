-- The dead: jobs that ended without an ack. They stay until somebody requeues or purges them.

-- A dead job as JSON.
CREATE OR REPLACE FUNCTION _dead_json(job _honker_dead) RETURNS text
LANGUAGE sql AS $$
  SELECT coalesce(
    (SELECT rtrim(row_to_json(job)::text, '}') || ',"metadata":' || coalesce(_metadata(o.metadata)::text, 'null') || '}'
     FROM _honker_job_options o WHERE o.job_id = (job).id AND o.metadata IS NOT NULL),
    row_to_json(job)::text)
$$;

CREATE OR REPLACE FUNCTION honker_dead_list(queue text, "limit" bigint) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  PERFORM _not_null('{queue,limit}', '{TEXT,INTEGER}', false, "limit" IS NULL);
  RETURN '[' || coalesce((
    SELECT string_agg(_dead_json(page), ',' ORDER BY page.id DESC) FROM (
      SELECT d.* FROM _honker_dead d WHERE queue IS NULL OR d.queue = queue
      ORDER BY d.id DESC LIMIT CASE WHEN "limit" >= 0 THEN "limit" END) page), '') || ']';
END $$;

-- requeued, not_found or key_taken.
CREATE OR REPLACE FUNCTION _requeue(now bigint, the_id bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  job _honker_dead;
BEGIN
  SELECT * INTO job FROM _honker_dead d WHERE d.id = the_id;
  IF NOT FOUND THEN
    RETURN 'not_found';
  END IF;
  -- Before its batch, as everywhere.
  IF NOT _take_key_again(now, the_id, job.queue) THEN
    RETURN 'key_taken';
  END IF;
  PERFORM _lock_keys(ARRAY[the_id]);
  DELETE FROM _honker_dead d WHERE d.id = the_id RETURNING * INTO job;
  IF NOT FOUND THEN
    IF EXISTS (SELECT FROM _honker_dead d WHERE d.id = the_id) THEN
      PERFORM _refused('requeued', '_honker_dead');
    END IF;
    -- Somebody else has, or has purged it.
    PERFORM _free_key(now, the_id) WHERE NOT EXISTS (SELECT FROM _honker_live l WHERE l.id = the_id);
    RETURN 'not_found';
  END IF;
  -- A row that plain SQL has put among the dead may have an id that has not been given out yet.
  -- Set at once it is only where nobody could have gone beyond it meanwhile.
  PERFORM CASE WHEN ahead.n > 1000000 THEN setval(ahead.name, the_id)
    ELSE (SELECT max(taken.id) FROM (SELECT nextval(ahead.name) AS id FROM generate_series(1, ahead.n)) taken) END
  FROM (SELECT s.name, the_id - coalesce(pg_sequence_last_value(s.name), 0) AS n
    FROM (SELECT pg_get_serial_sequence('_honker_live', 'id')::regclass AS name) s) ahead
  WHERE ahead.n > 0;
  INSERT INTO _honker_live AS l (id, queue, payload, priority, run_at, max_attempts, created_at)
  VALUES (job.id, job.queue, job.payload, job.priority, now, greatest(job.max_attempts, 1), job.created_at);
  IF NOT FOUND THEN
    PERFORM _refused('requeued', '_honker_live');
  END IF;
  PERFORM _batch_count(now, the_id, NULL, true);
  PERFORM _wake('q:' || job.queue);
  RETURN 'requeued';
END $$;

CREATE OR REPLACE FUNCTION _dead_requeue(the_id bigint) RETURNS text
LANGUAGE sql AS $$ SELECT _requeue(_now(), the_id) $$;

CREATE OR REPLACE FUNCTION honker_dead_requeue(job_id bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM _not_null('{job_id}', '{INTEGER}', job_id IS NULL);
  RETURN (_requeue(_now(), job_id) = 'requeued')::int;
END $$;

-- Deletes the dead of one queue, or of all, that died before a second, as far as one call may; how many those were.
CREATE OR REPLACE FUNCTION _purge(now bigint, only_queue text, died_before bigint, at_most bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  ids bigint[];
  lengths bigint[];
  the_id bigint;
BEGIN
  SELECT array_agg(old.id), array_agg(old.length) INTO ids, lengths FROM (
    SELECT d.id, octet_length(d.payload)::bigint AS length FROM _honker_dead d
    WHERE (only_queue IS NULL OR d.queue = only_queue) AND d.died_at < died_before
    ORDER BY d.died_at LIMIT at_most FOR UPDATE SKIP LOCKED) old;
  IF ids IS NULL THEN
    RETURN 0;
  END IF;
  SELECT admitted.ids INTO ids FROM _admit(ids, lengths, least(at_most, 1000), 8000000) admitted;
  DELETE FROM _honker_dead d WHERE d.id = ANY (ids);
  FOR the_id IN SELECT o.job_id FROM _honker_job_options o WHERE o.job_id = ANY (ids) ORDER BY o.job_id LOOP
    PERFORM _gone(now, the_id, 'dead');
  END LOOP;
  RETURN cardinality(ids);
END $$;

CREATE OR REPLACE FUNCTION honker_dead_purge(queue text, older_than_s bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  PERFORM _not_null('{queue,older_than_s}', '{TEXT,INTEGER}', false, older_than_s IS NULL);
  RETURN _purge(now, queue, _before(now, older_than_s), 1000);
END $$;

-- An error without what differs from job to job: # stands for a number or an id (a UUID, a hash, a long word of letters and digits).
CREATE OR REPLACE FUNCTION _error_pattern(error text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT regexp_replace(
    regexp_replace(
      regexp_replace(error, '(?<![0-9A-Za-z])[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}', '#', 'g'),
      '(?<![0-9A-Za-z])(?=[0-9A-Za-z]*[0-9])(?=[0-9A-Za-z]*[A-Za-z])([0-9A-Fa-f]{7,}|[0-9A-Za-z]{16,}|0x[0-9A-Fa-f]*)(?![0-9A-Za-z])',
      '#', 'g'),
    '[0-9]+(\.[0-9]+)*', '#', 'g')
$$;

CREATE OR REPLACE FUNCTION honker_dead_groups(queue text) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  RETURN '[' || coalesce((
    SELECT string_agg('{"error":' || coalesce(to_json(g.error)::text, 'null') || ',"count":' || g.count || ',"newest":'
      || (SELECT _dead_json(d) FROM _honker_dead d WHERE d.id = g.newest[2]) || '}', ',' ORDER BY g.count DESC, g.newest DESC)
    FROM (
      SELECT e.error, count(*) AS count, max(ARRAY[e.died_at, e.id]) AS newest
      FROM (SELECT _error_pattern(d.last_error) AS error, d.died_at, d.id FROM _honker_dead d WHERE queue IS NULL OR d.queue = queue) e
      GROUP BY e.error ORDER BY count(*) DESC, max(ARRAY[e.died_at, e.id]) DESC LIMIT 1000) g), '') || ']';
END $$;
