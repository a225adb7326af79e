-- Steps: what a handler has finished of a job, so that a retry need not do it again.

CREATE OR REPLACE FUNCTION honker_step_get(job_id bigint, name text) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  PERFORM _not_null('{job_id,name}', '{INTEGER,TEXT}', job_id IS NULL, name IS NULL);
  RETURN (SELECT s.value FROM _honker_steps s WHERE s.job_id = job_id AND s.name = name);
END $$;

CREATE OR REPLACE FUNCTION honker_step_save(job_id bigint, worker_id text, name text, value_json text) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  stored text;
BEGIN
  PERFORM _not_null('{job_id,worker_id,name,value_json}', '{INTEGER,TEXT,TEXT,TEXT}',
    job_id IS NULL, worker_id IS NULL, name IS NULL, value_json IS NULL);
  -- Nobody takes the job over before this transaction has ended, but its worker can prolong the claim.
  PERFORM FROM _honker_live l
  WHERE l.id = job_id AND l.state = 'processing' AND l.worker_id = worker_id AND l.claim_expires_at >= _now() FOR KEY SHARE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  -- A job that has steps has options: that is how those who settle it know.
  INSERT INTO _honker_job_options AS o (job_id) VALUES (job_id) ON CONFLICT ON CONSTRAINT _honker_job_options_pkey DO NOTHING;
  INSERT INTO _honker_steps AS s (job_id, name, value) VALUES (job_id, name, value_json)
  ON CONFLICT ON CONSTRAINT _honker_steps_pkey DO NOTHING;
  SELECT s.value INTO stored FROM _honker_steps s WHERE s.job_id = job_id AND s.name = name;
  IF NOT FOUND THEN
    PERFORM _refused('saved', '_honker_steps');
  END IF;
  RETURN stored;
END $$;
