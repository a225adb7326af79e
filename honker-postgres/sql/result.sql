-- Results: one text for each job id, kept until it expires.

CREATE OR REPLACE FUNCTION honker_result_save(job_id bigint, value text, ttl_s bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  now bigint := _now();
BEGIN
  PERFORM _not_null('{job_id,value,ttl_s}', '{INTEGER,TEXT,INTEGER}', job_id IS NULL, value IS NULL, ttl_s IS NULL);
  INSERT INTO _honker_results AS r (job_id, value, created_at, expires_at)
  VALUES (job_id, value, now, CASE WHEN ttl_s > 0 THEN _after(now, 'ttl_s', ttl_s) END)
  ON CONFLICT ON CONSTRAINT _honker_results_pkey DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at;
  IF NOT FOUND THEN
    PERFORM _refused('saved', '_honker_results');
  END IF;
  PERFORM _wake('r:' || job_id);
  RETURN 1;
END $$;

CREATE OR REPLACE FUNCTION honker_result_get(job_id bigint) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  found text;
BEGIN
  PERFORM _not_null('{job_id}', '{INTEGER}', job_id IS NULL);
  SELECT r.value INTO found FROM _honker_results r WHERE r.job_id = job_id AND (r.expires_at IS NULL OR r.expires_at > _now());
  IF found IS NULL THEN
    -- What jobs that run have to say may still come before that.
    PERFORM _move_check('moved');
  END IF;
  RETURN found;
END $$;

CREATE OR REPLACE FUNCTION _sweep_results(now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  swept bigint;
BEGIN
  WITH old AS MATERIALIZED (
    SELECT r.job_id, row_number() OVER (ORDER BY r.expires_at, r.job_id) AS at,
      sum(octet_length(r.value)) OVER (ORDER BY r.expires_at, r.job_id) AS bytes
    FROM (SELECT * FROM _honker_results r WHERE r.expires_at IS NOT NULL AND r.expires_at <= now ORDER BY r.expires_at LIMIT 1000) r)
  DELETE FROM _honker_results r USING old WHERE r.job_id = old.job_id AND (old.at = 1 OR coalesce(old.bytes, 0) <= 8000000);
  GET DIAGNOSTICS swept = ROW_COUNT;
  RETURN swept;
END $$;

CREATE OR REPLACE FUNCTION honker_result_sweep() RETURNS bigint
LANGUAGE sql AS $$ SELECT _sweep_results(_now()) $$;
