-- Looking at queues without changing them.

CREATE OR REPLACE FUNCTION honker_version() RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT '@VERSION@'::text $$;

CREATE OR REPLACE FUNCTION honker_get_job(job_id bigint) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  job text;
BEGIN
  PERFORM _not_null('{job_id}', '{INTEGER}', job_id IS NULL);
  SELECT rtrim(row_to_json(each.*)::text, '}')
    || CASE WHEN o.metadata IS NOT NULL THEN ',"metadata":' || coalesce(_metadata(o.metadata)::text, 'null') ELSE '' END
    || CASE WHEN o.concurrency_key IS NOT NULL THEN ',"concurrency_key":' || to_json(o.concurrency_key)::text ELSE '' END
    || CASE WHEN o.max_run_s IS NOT NULL THEN ',"max_run_s":' || o.max_run_s ELSE '' END || '}'
  INTO job
  FROM (SELECT l.id, l.queue, l.payload, CASE l.state WHEN 'blocked' THEN 'pending' ELSE l.state END AS state, l.priority, l.run_at,
      l.worker_id, l.claim_expires_at, l.attempts, l.max_attempts, l.created_at, l.expires_at
    FROM _honker_live l WHERE l.id = job_id) each
  LEFT JOIN _honker_job_options o ON o.job_id = each.id;
  RETURN coalesce(job, '');
END $$;

-- The counts of queues, of one or of all: each job counts once.
CREATE OR REPLACE FUNCTION _depths(now bigint, only_queue text)
RETURNS TABLE (queue text, due bigint, delayed bigint, processing bigint, blocked bigint, expired bigint, dead bigint,
  blocked_due bigint, oldest_due_at bigint)
LANGUAGE sql AS $$
  SELECT each.queue, sum(each.due)::bigint, sum(each.delayed)::bigint, sum(each.processing)::bigint, sum(each.blocked)::bigint,
    sum(each.expired)::bigint, sum(each.dead)::bigint, sum(each.blocked_due)::bigint, min(each.oldest)
  FROM (
    SELECT l.queue,
      count(*) FILTER (WHERE l.state = 'pending' AND l.run_at <= now AND (l.expires_at IS NULL OR l.expires_at > now)) AS due,
      count(*) FILTER (WHERE l.state = 'pending' AND l.run_at > now AND (l.expires_at IS NULL OR l.expires_at > now)) AS delayed,
      count(*) FILTER (WHERE l.state = 'processing') AS processing,
      count(*) FILTER (WHERE l.state = 'blocked' AND (l.expires_at IS NULL OR l.expires_at > now)) AS blocked,
      count(*) FILTER (WHERE l.state IN ('pending', 'blocked') AND l.expires_at <= now) AS expired,
      0 AS dead,
      count(*) FILTER (WHERE l.state = 'blocked' AND l.run_at <= now AND (l.expires_at IS NULL OR l.expires_at > now)) AS blocked_due,
      min(l.run_at) FILTER (WHERE l.state = 'pending' AND l.run_at <= now AND (l.expires_at IS NULL OR l.expires_at > now)) AS oldest
    FROM _honker_live l WHERE only_queue IS NULL OR l.queue = only_queue GROUP BY l.queue
    UNION ALL
    SELECT d.queue, 0, 0, 0, 0, 0, count(*), 0, NULL FROM _honker_dead d WHERE only_queue IS NULL OR d.queue = only_queue GROUP BY d.queue
  ) each GROUP BY each.queue ORDER BY each.queue
$$;

CREATE OR REPLACE FUNCTION honker_stats(queue text) RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  stats text;
BEGIN
  SELECT string_agg(row_to_json(each.*)::text, ',') INTO stats FROM (
    SELECT d.queue, d.due + d.blocked_due AS pending, d.delayed + d.blocked - d.blocked_due AS delayed, d.processing AS claimed,
      d.expired, d.dead
    FROM _depths(_now(), queue) d) each;
  IF queue IS NULL THEN
    RETURN '[' || coalesce(stats, '') || ']';
  END IF;
  RETURN coalesce(stats, '{"queue":' || to_json(queue)::text || ',"pending":0,"delayed":0,"claimed":0,"expired":0,"dead":0}');
END $$;

CREATE OR REPLACE FUNCTION honker_status() RETURNS text
LANGUAGE sql AS $$
  SELECT '{"database":' || to_json(current_database()::text)::text || ',"server_version":'
    || to_json(current_setting('server_version'))::text || ',"schema":' || (
      SELECT row_to_json(s.*)::text FROM (SELECT version, min_version FROM _honker_schema LIMIT 1) s)
    || ',"versions":{"honker":' || to_json(honker_version())::text || ',"postgres":' || to_json(current_setting('server_version'))::text || '}}'
$$;

-- There is nothing to do: the schema is installed.
CREATE OR REPLACE FUNCTION honker_bootstrap() RETURNS bigint
LANGUAGE sql AS $$ SELECT 1::bigint $$;
