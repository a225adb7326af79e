-- What processes of libhonker count of their own calls, by queue and minute, and what people ask for.

CREATE OR REPLACE FUNCTION _counters_add(the_minute bigint, queues text[], names text[], amounts bigint[]) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO _honker_counters AS c (minute, queue, name, value)
  SELECT the_minute, each.queue, each.name, sum(each.amount) FROM unnest(queues, names, amounts) each (queue, name, amount)
  GROUP BY each.queue, each.name ORDER BY each.queue, each.name
  ON CONFLICT ON CONSTRAINT _honker_counters_pkey DO UPDATE SET value = c.value + excluded.value
$$;

-- Counts what this transaction has noted (_note), where no process does.
CREATE OR REPLACE FUNCTION _count_noted(now bigint) RETURNS void
LANGUAGE sql AS $$
  SELECT _counters_add(now / 60, array_agg(note.parts[2]), array_agg(note.parts[1]), array_agg(1::bigint))
  FROM json_array_elements_text(('[' || coalesce(current_setting('honker.woken', true), '') || ']')::json) item,
    LATERAL (SELECT regexp_match(item, '^n:([a-z]+):[0-9]+:(.*)$') AS parts) note
  WHERE note.parts IS NOT NULL HAVING count(*) > 0
$$;

-- A histogram from the counts of its buckets. unit is what the bounds and the sum are to be divided by.
CREATE OR REPLACE FUNCTION _histogram(counts jsonb, sum_name text, unit numeric, names text[], bounds numeric[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
  SELECT '{"sum_s":' || trim_scale(coalesce((counts ->> sum_name)::numeric, 0) / unit) || ',"buckets":['
    || string_agg('{"up_to_s":' || coalesce(trim_scale(each.bound / unit)::text, 'null') || ',"count":'
      || coalesce(counts ->> each.name, '0') || '}', ',' ORDER BY each.at) || ']}'
  FROM unnest(names, bounds) WITH ORDINALITY AS each (name, bound, at)
$$;

CREATE OR REPLACE FUNCTION honker_metrics() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  RETURN '{"queues":[' || coalesce((
    SELECT string_agg('{"queue":' || to_json(q.name)::text || ',"counts":{' || (
        SELECT string_agg(to_json(n)::text || ':' || coalesce(q.counts ->> n, '0'), ',')
        FROM unnest('{enqueued,claimed,done,retried,released,dead,cancelled}'::text[]) n) || '},"wait":'
      || _histogram(q.counts, 'wait_sum_s', 1, '{wait_lt_1_s,wait_lt_2_s,wait_lt_5_s,wait_lt_15_s,wait_lt_60_s,wait_lt_300_s,wait_lt_1800_s,wait_lt_7200_s,wait_lt_43200_s,wait_longer}',
        '{1,2,5,15,60,300,1800,7200,43200,NULL}') || ',"run":'
      || _histogram(q.counts, 'run_sum_ms', 1000, '{run_le_5_ms,run_le_20_ms,run_le_50_ms,run_le_100_ms,run_le_500_ms,run_le_1000_ms,run_le_5000_ms,run_le_15000_ms,run_le_60000_ms,run_le_300000_ms,run_le_1800000_ms,run_longer}',
        '{5,20,50,100,500,1000,5000,15000,60000,300000,1800000,NULL}') || ',"depth":{"due":' || coalesce(q.due, 0)
      || ',"delayed":' || coalesce(q.delayed, 0) || ',"processing":' || coalesce(q.processing, 0) || ',"blocked":' || coalesce(q.blocked, 0)
      || ',"expired":' || coalesce(q.expired, 0) || ',"dead":' || coalesce(q.dead, 0)
      || ',"oldest_due_age_s":' || CASE WHEN q.oldest_due_at IS NULL THEN 'null' ELSE greatest(least(now::numeric - q.oldest_due_at, 9223372036854775807), 0)::text END || '}}', ',' ORDER BY q.name COLLATE "C")
    FROM (
      SELECT names.name, coalesce(t.counts, '{}') AS counts, d.*
      FROM (SELECT n AS name FROM _queue_names() n UNION SELECT c.queue FROM _honker_counters c) names
      LEFT JOIN (
        SELECT c.queue, jsonb_object_agg(c.name, c.value) AS counts
        FROM (SELECT c.queue, c.name, sum(c.value) AS value FROM _honker_counters c GROUP BY c.queue, c.name) c GROUP BY c.queue) t
        ON t.queue = names.name
      LEFT JOIN _depths(now, NULL) d ON d.queue = names.name) q), '') || ']}';
END $$;

-- Counts of more than a day ago are added up in minute 0; how many rows that were.
CREATE OR REPLACE FUNCTION _add_up(now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  added bigint;
BEGIN
  WITH old AS (
    DELETE FROM _honker_counters c
    WHERE (c.minute, c.queue, c.name) IN (
      SELECT o.minute, o.queue, o.name FROM _honker_counters o WHERE o.minute > 0 AND o.minute < now / 60 - 1440 LIMIT 1000)
    RETURNING c.queue, c.name, c.value
  ), added AS (
    INSERT INTO _honker_counters AS c (minute, queue, name, value)
    SELECT 0, old.queue, old.name, sum(old.value) FROM old GROUP BY old.queue, old.name
    ON CONFLICT ON CONSTRAINT _honker_counters_pkey DO UPDATE SET value = c.value + excluded.value)
  SELECT count(*) INTO added FROM old;
  RETURN added;
END $$;
