-- Jobs looked at and acted on many at a time. Jobs of all kinds are in one order, that of their ids, and are looked at a page at a time:
-- at most 10,000 in one call. Where a page ended is its cursor.

DO $$
BEGIN
  IF to_regtype('honker._filter') IS NULL THEN
    CREATE TYPE _filter AS (
      queue text, states text[], min_id bigint, max_id bigint, worker_id text, unique_key text, concurrency_key text, batch_id bigint,
      metadata jsonb, error text, created_from bigint, created_to bigint, ended_from bigint, ended_to bigint, newest_first boolean,
      max_jobs bigint);
  END IF;
END $$;

-- Reads a filter. Unknown keys and wrong types are errors that name them.
CREATE OR REPLACE FUNCTION _read_filter(filter_json text) RETURNS _filter
LANGUAGE plpgsql AS $$
DECLARE
  a CONSTANT text := 'filter';
  filter _filter;
  key text;
  value json;
  type text;
  after bigint;
BEGIN
  filter.min_id := -9223372036854775808;
  filter.max_id := 9223372036854775807;
  filter.newest_first := true;
  filter.max_jobs := 100;
  FOR key, value, type IN SELECT each.key, each.value, json_typeof(each.value) FROM json_each(_object(a, filter_json)) each LOOP
    -- A condition of null is one that somebody has lost on the way: it must not mean all jobs.
    CONTINUE WHEN type = 'null' AND key IN ('order', 'limit', 'cursor');
    CASE key
      WHEN 'queue' THEN filter.queue := _text(a, key, value, 'a text');
      WHEN 'state' THEN
        filter.states := CASE type WHEN 'string' THEN ARRAY[value #>> '{}']
          WHEN 'array' THEN ARRAY(SELECT CASE json_typeof(s.value) WHEN 'string' THEN s.value #>> '{}' ELSE '' END FROM json_array_elements(value) s) END;
        IF filter.states IS NULL OR NOT filter.states <@ ARRAY['due', 'delayed', 'processing', 'blocked', 'dead', 'done'] THEN
          PERFORM _wrong(a, key, value, 'one or an array of due, delayed, processing, blocked, dead, done');
        END IF;
      WHEN 'min_id' THEN filter.min_id := greatest(filter.min_id, _integer(a, key, value));
      WHEN 'max_id' THEN filter.max_id := least(filter.max_id, _integer(a, key, value));
      WHEN 'worker_id' THEN filter.worker_id := _text(a, key, value, 'a text');
      WHEN 'unique_key', 'concurrency_key', 'error' THEN
        IF type <> 'string' OR value #>> '{}' = '' THEN
          PERFORM _wrong(a, key, value, 'a text that is not empty');
        END IF;
        CASE key
          WHEN 'unique_key' THEN filter.unique_key := value #>> '{}';
          WHEN 'concurrency_key' THEN filter.concurrency_key := value #>> '{}';
          ELSE filter.error := value #>> '{}';
        END CASE;
      WHEN 'batch_id' THEN filter.batch_id := _integer(a, key, value);
      WHEN 'metadata' THEN
        IF type <> 'object' OR EXISTS (SELECT FROM json_each(value) m WHERE json_typeof(m.value) <> 'string') THEN
          PERFORM _wrong(a, key, value, 'an object of texts');
        END IF;
        filter.metadata := nullif(value::jsonb, '{}');
      WHEN 'created_from' THEN filter.created_from := _integer(a, key, value);
      WHEN 'created_to' THEN filter.created_to := _integer(a, key, value);
      WHEN 'ended_from' THEN filter.ended_from := _integer(a, key, value);
      WHEN 'ended_to' THEN filter.ended_to := _integer(a, key, value);
      WHEN 'order' THEN
        IF type <> 'string' OR value #>> '{}' NOT IN ('newest', 'oldest') THEN
          PERFORM _wrong(a, key, value, '''newest'' or ''oldest''');
        END IF;
        filter.newest_first := value #>> '{}' = 'newest';
      WHEN 'limit' THEN
        filter.max_jobs := _whole(value);
        IF filter.max_jobs IS NULL OR filter.max_jobs NOT BETWEEN 1 AND 1000 THEN
          PERFORM _wrong(a, key, value, 'an integer from 1 to 1000');
        END IF;
      WHEN 'cursor' THEN after := _integer(a, key, value);
      ELSE PERFORM _unknown_key(a, key);
    END CASE;
  END LOOP;
  IF after IS NOT NULL THEN
    IF after = (CASE WHEN filter.newest_first THEN -9223372036854775808 ELSE 9223372036854775807 END) THEN
      filter.states := '{}';
    ELSIF filter.newest_first THEN
      filter.max_id := least(filter.max_id, after - 1);
    ELSE
      filter.min_id := greatest(filter.min_id, after + 1);
    END IF;
  END IF;
  RETURN filter;
END $$;

-- Jobs wherever they are, in the order of the filter; of each what can be asked for, and how long its payload is.
CREATE OR REPLACE FUNCTION _walk(now bigint, filter _filter, lowest bigint, highest bigint, at_most bigint)
RETURNS TABLE (id bigint, place text, queue text, state text, run_at bigint, worker_id text, created_at bigint, ended_at bigint,
  last_error text, length bigint)
LANGUAGE plpgsql AS $$
BEGIN
  -- Two statements: an order that depends on an argument is one that no index has.
  IF filter.newest_first THEN
    RETURN QUERY SELECT * FROM (
      (SELECT l.id, 'live', l.queue::text, CASE WHEN l.state <> 'pending' THEN l.state WHEN l.run_at > now THEN 'delayed' ELSE 'due' END::text,
         l.run_at, l.worker_id::text, l.created_at, NULL::bigint, NULL::text, octet_length(l.payload)::bigint
       FROM _honker_live l
       WHERE l.id BETWEEN lowest AND highest AND (filter.states IS NULL OR filter.states && '{due,delayed,processing,blocked}')
       ORDER BY l.id DESC LIMIT at_most)
      UNION ALL
      (SELECT d.id, 'dead', d.queue::text, 'dead', d.run_at, NULL, d.created_at, d.died_at, d.last_error, octet_length(d.payload)::bigint
       FROM _honker_dead d WHERE d.id BETWEEN lowest AND highest AND (filter.states IS NULL OR 'dead' = ANY (filter.states))
       ORDER BY d.id DESC LIMIT at_most)
      UNION ALL
      (SELECT d.id, 'done', d.queue::text, 'done', d.run_at, NULL, d.created_at, d.finished_at, NULL, octet_length(d.payload)::bigint
       FROM _honker_done d WHERE d.id BETWEEN lowest AND highest AND (filter.states IS NULL OR 'done' = ANY (filter.states))
       ORDER BY d.id DESC LIMIT at_most)) each ORDER BY 1 DESC LIMIT at_most;
  ELSE
    RETURN QUERY SELECT * FROM (
      (SELECT l.id, 'live', l.queue::text, CASE WHEN l.state <> 'pending' THEN l.state WHEN l.run_at > now THEN 'delayed' ELSE 'due' END::text,
         l.run_at, l.worker_id::text, l.created_at, NULL::bigint, NULL::text, octet_length(l.payload)::bigint
       FROM _honker_live l
       WHERE l.id BETWEEN lowest AND highest AND (filter.states IS NULL OR filter.states && '{due,delayed,processing,blocked}')
       ORDER BY l.id LIMIT at_most)
      UNION ALL
      (SELECT d.id, 'dead', d.queue::text, 'dead', d.run_at, NULL, d.created_at, d.died_at, d.last_error, octet_length(d.payload)::bigint
       FROM _honker_dead d WHERE d.id BETWEEN lowest AND highest AND (filter.states IS NULL OR 'dead' = ANY (filter.states))
       ORDER BY d.id LIMIT at_most)
      UNION ALL
      (SELECT d.id, 'done', d.queue::text, 'done', d.run_at, NULL, d.created_at, d.finished_at, NULL, octet_length(d.payload)::bigint
       FROM _honker_done d WHERE d.id BETWEEN lowest AND highest AND (filter.states IS NULL OR 'done' = ANY (filter.states))
       ORDER BY d.id LIMIT at_most)) each ORDER BY 1 LIMIT at_most;
  END IF;
END $$;

-- Whether a claim is of that worker: by all of its id, or by the name that it was given, with which it claims as <name>@<instance>.
CREATE OR REPLACE FUNCTION _is_worker(wanted text, found text) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(found = wanted OR found ~ '@[0-9A-Fa-f]{32}$' AND left(found, -33) = wanted, false)
$$;

-- A page of the jobs that a filter finds: their ids and where they are, in order. cursor is where the next page begins, NULL if
-- there is none. Payloads of so many bytes are as much as a page holds; one that is longer is alone.
CREATE OR REPLACE FUNCTION _page(now bigint, filter _filter, bytes_max bigint, OUT ids bigint[], OUT places text[], OUT cursor bigint)
LANGUAGE plpgsql AS $$
DECLARE
  job record;
  last bigint;
  looked_at bigint := 0;
  bytes bigint := 0;
  lowest bigint := filter.min_id;
  highest bigint := filter.max_id;
  -- As many as are read together: few at first, since most pages are full soon.
  chunk bigint := CASE WHEN filter.batch_id IS NULL THEN 200 ELSE 10001 END;
  in_chunk bigint;
  wants_options boolean := filter.unique_key IS NOT NULL OR filter.concurrency_key IS NOT NULL OR filter.batch_id IS NOT NULL
    OR filter.metadata IS NOT NULL;
BEGIN
  ids := '{}';
  places := '{}';
  LOOP
    in_chunk := 0;
    FOR job IN
      SELECT walked.*, o.unique_key, o.concurrency_key, o.batch_id, o.metadata
      FROM (
        SELECT w.* FROM _walk(now, filter, lowest, highest, chunk) w WHERE filter.batch_id IS NULL
        UNION ALL
        SELECT w.* FROM (
          SELECT o.job_id FROM _honker_job_options o
          WHERE o.batch_id = filter.batch_id AND o.job_id BETWEEN lowest AND highest
          ORDER BY CASE WHEN filter.newest_first THEN -o.job_id ELSE o.job_id END LIMIT chunk) member,
          LATERAL _walk(now, filter, member.job_id, member.job_id, 3) w) walked
      LEFT JOIN _honker_job_options o ON wants_options AND o.job_id = walked.id
      ORDER BY CASE WHEN filter.newest_first THEN -walked.id ELSE walked.id END, walked.place DESC
    LOOP
      in_chunk := in_chunk + 1;
      IF last IS DISTINCT FROM job.id AND looked_at >= 10000 THEN
        cursor := last;
        RETURN;
      END IF;
      looked_at := looked_at + 1;
      IF (filter.states IS NULL OR job.state = ANY (filter.states))
          AND (filter.queue IS NULL OR job.queue = filter.queue)
          AND (filter.worker_id IS NULL OR _is_worker(filter.worker_id, job.worker_id))
          AND (filter.created_from IS NULL OR job.created_at >= filter.created_from)
          AND (filter.created_to IS NULL OR job.created_at <= filter.created_to)
          AND (filter.ended_from IS NULL OR coalesce(job.ended_at >= filter.ended_from, false))
          AND (filter.ended_to IS NULL OR coalesce(job.ended_at <= filter.ended_to, false))
          AND (filter.error IS NULL OR coalesce(strpos(job.last_error, filter.error) > 0, false))
          AND (filter.unique_key IS NULL OR coalesce(job.unique_key = filter.unique_key, false))
          AND (filter.concurrency_key IS NULL OR coalesce(job.concurrency_key = filter.concurrency_key, false))
          AND (filter.batch_id IS NULL OR coalesce(job.batch_id = filter.batch_id, false))
          AND (filter.metadata IS NULL OR coalesce(_metadata(job.metadata)::jsonb @> filter.metadata, false)) THEN
        IF bytes > 0 AND bytes + job.length > bytes_max THEN
          cursor := last;
          RETURN;
        END IF;
        bytes := bytes + job.length;
        ids := ids || job.id;
        places := places || job.place;
        IF cardinality(ids) >= filter.max_jobs THEN
          cursor := job.id;
          RETURN;
        END IF;
      END IF;
      last := job.id;
    END LOOP;
    EXIT WHEN in_chunk < chunk OR last = (CASE WHEN filter.newest_first THEN lowest ELSE highest END);
    IF filter.newest_first THEN
      highest := last - 1;
    ELSE
      lowest := last + 1;
    END IF;
    chunk := 2000;
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION honker_jobs_list(filter_json text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  page record;
  jobs text;
BEGIN
  PERFORM _not_null('{filter_json}', '{TEXT}', filter_json IS NULL);
  SELECT * INTO page FROM _page(now, _read_filter(filter_json), 8000000);
  SELECT string_agg(row_to_json(each.*)::text, ',' ORDER BY at) INTO jobs
  FROM unnest(page.ids, page.places) WITH ORDINALITY AS p (the_id, place, at)
  LEFT JOIN _honker_job_options o ON o.job_id = p.the_id
  CROSS JOIN LATERAL (
    SELECT job.*, (SELECT r.value FROM _honker_results r WHERE r.job_id = p.the_id AND (r.expires_at IS NULL OR r.expires_at > now)) AS result,
      _metadata(o.metadata) AS metadata, o.unique_key, o.concurrency_key, o.batch_id, o.max_run_s
    FROM (
      SELECT l.id, l.queue, l.payload, CASE WHEN l.state <> 'pending' THEN l.state WHEN l.run_at > now THEN 'delayed' ELSE 'due' END AS state,
        l.priority, l.run_at, l.worker_id, l.claim_expires_at, l.attempts, l.max_attempts, l.created_at, l.expires_at,
        NULL::text AS last_error, NULL::bigint AS died_at, NULL::bigint AS finished_at
      FROM _honker_live l WHERE p.place = 'live' AND l.id = p.the_id
      UNION ALL
      SELECT d.id, d.queue, d.payload, 'dead', d.priority, d.run_at, NULL, NULL, d.attempts, d.max_attempts, d.created_at, NULL,
        d.last_error, d.died_at, NULL
      FROM _honker_dead d WHERE p.place = 'dead' AND d.id = p.the_id
      UNION ALL
      SELECT d.id, d.queue, d.payload, 'done', d.priority, d.run_at, NULL, NULL, d.attempts, d.max_attempts, d.created_at, NULL,
        NULL, NULL, d.finished_at
      FROM _honker_done d WHERE p.place = 'done' AND d.id = p.the_id) job) each;
  RETURN '{"jobs":[' || coalesce(jobs, '') || '],"cursor":' || coalesce(page.cursor::text, 'null') || '}';
END $$;

-- Reads an action: its name, and the queue or the priority that it sets.
CREATE OR REPLACE FUNCTION _read_action(action text, OUT name text, OUT queue text, OUT priority bigint, OUT states text[])
LANGUAGE plpgsql AS $$
DECLARE
  object json;
BEGIN
  name := action;
  IF action NOT IN ('retry', 'run_now', 'cancel', 'delete') THEN
    name := NULL;
    BEGIN
      object := action;
      IF json_typeof(object) = 'object' AND (SELECT count(*) FROM json_object_keys(object)) = 1 THEN
        IF json_typeof(object -> 'move') = 'string' THEN
          name := 'move';
          queue := object ->> 'move';
        ELSIF _whole(object -> 'priority') IS NOT NULL THEN
          name := 'priority';
          priority := _whole(object -> 'priority');
        END IF;
      END IF;
    EXCEPTION WHEN data_exception THEN
      name := NULL;
    END;
  END IF;
  states := CASE name
    WHEN 'retry' THEN '{dead}'::text[]
    WHEN 'run_now' THEN '{delayed}'
    WHEN 'cancel' THEN '{due,delayed,processing,blocked}'
    WHEN 'priority' THEN '{due,delayed,processing,blocked}'
    WHEN 'move' THEN '{due,delayed,blocked,dead}' END;
  IF name IS NULL THEN
    PERFORM _invalid('action must be retry, run_now, cancel, delete, {"move": queue} or {"priority": integer}, not ' || left(action, 40));
  END IF;
END $$;

-- Whether a job that waits may be moved to a queue: it has its key there then, and not where it was.
CREATE OR REPLACE FUNCTION _move_key(now bigint, the_id bigint, to_queue text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  options record;
  holder record;
BEGIN
  SELECT o.unique_key, coalesce(o.unique_until, 'settled') AS mode INTO options
  FROM _honker_job_options o WHERE o.job_id = the_id AND o.unique_key IS NOT NULL;
  IF NOT FOUND THEN
    RETURN true;
  END IF;
  SELECT taken.id INTO holder FROM _take_key(now, to_queue, options.unique_key, the_id, options.mode, NULL, false) taken;
  IF holder.id IS NOT NULL AND options.mode <> 'claimed' THEN
    RETURN false;
  END IF;
  DELETE FROM _honker_unique u
  WHERE u.job_id = the_id AND u.queue <> to_queue AND (u.until IS NULL OR u.until < now);
  RETURN true;
END $$;

-- Does an action to one job: changed, same or conflict.
CREATE OR REPLACE FUNCTION _act(now bigint, action text, to_queue text, to_priority bigint, the_id bigint, place text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  changed record;
BEGIN
  CASE action
    WHEN 'retry' THEN
      RETURN CASE _requeue(now, the_id) WHEN 'requeued' THEN 'changed' WHEN 'not_found' THEN 'same' ELSE 'conflict' END;
    WHEN 'run_now' THEN
      UPDATE _honker_live l SET run_at = now WHERE l.id = the_id AND l.state = 'pending' AND l.run_at > now RETURNING l.queue INTO changed;
    WHEN 'cancel', 'delete' THEN
      IF place = 'live' THEN
        RETURN CASE WHEN _cancel(now, the_id) THEN 'changed' ELSE 'same' END;
      END IF;
      PERFORM _lock_keys(ARRAY[the_id]);
      IF place = 'dead' THEN
        DELETE FROM _honker_dead d WHERE d.id = the_id;
      ELSE
        DELETE FROM _honker_done d WHERE d.id = the_id;
      END IF;
      IF FOUND THEN
        PERFORM _gone(now, the_id, place);
      END IF;
      RETURN CASE WHEN FOUND THEN 'changed' ELSE 'same' END;
    WHEN 'move' THEN
      IF place = 'dead' THEN
        UPDATE _honker_dead d SET queue = to_queue WHERE d.id = the_id AND d.queue <> to_queue;
        RETURN CASE WHEN FOUND THEN 'changed' ELSE 'same' END;
      END IF;
      IF NOT EXISTS (SELECT FROM _honker_live l WHERE l.id = the_id AND l.state IN ('pending', 'blocked') AND l.queue <> to_queue) THEN
        RETURN 'same';
      END IF;
      PERFORM _lock_keys(ARRAY[the_id]);
      IF NOT _move_key(now, the_id, to_queue) THEN
        RETURN 'conflict';
      END IF;
      UPDATE _honker_live l SET queue = to_queue
      WHERE l.id = the_id AND l.state IN ('pending', 'blocked') AND l.queue <> to_queue RETURNING l.queue INTO changed;
    WHEN 'priority' THEN
      UPDATE _honker_live l SET priority = to_priority WHERE l.id = the_id AND l.priority <> to_priority RETURNING l.queue INTO changed;
  END CASE;
  IF changed IS NULL OR changed.queue IS NULL THEN
    RETURN 'same';
  END IF;
  -- One that waits for a slot waits anew: a claim finds its new place.
  IF NOT _unblock(the_id) THEN
    PERFORM _wake('q:' || changed.queue);
  END IF;
  RETURN 'changed';
END $$;

CREATE OR REPLACE FUNCTION honker_jobs_apply(filter_json text, action text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  does record;
  filter _filter;
  page record;
  one _filter;
  again record;
  outcome text;
  changed bigint := 0;
  conflicts bigint := 0;
  refusals bigint := 0;
BEGIN
  PERFORM _not_null('{filter_json,action}', '{TEXT,TEXT}', filter_json IS NULL, action IS NULL);
  SELECT * INTO does FROM _read_action(action);
  filter := _read_filter(filter_json);
  IF does.states IS NOT NULL THEN
    filter.states := CASE WHEN filter.states IS NULL THEN does.states
      ELSE ARRAY(SELECT s FROM unnest(filter.states) s WHERE s = ANY (does.states)) END;
  END IF;
  SELECT * INTO page FROM _page(now, filter, 8000000);
  FOR at IN 1 .. cardinality(page.ids) LOOP
    -- One that the operator has put into two tables is dealt with once.
    CONTINUE WHEN at > 1 AND page.ids[at] = page.ids[at - 1];
    one := filter;
    one.min_id := page.ids[at];
    one.max_id := page.ids[at];
    BEGIN
      -- It is looked at again under the locks.
      PERFORM _lock_keys(ARRAY[page.ids[at]]);
      PERFORM FROM _honker_live l WHERE l.id = page.ids[at] FOR UPDATE;
      SELECT * INTO again FROM _page(now, one, 9223372036854775807);
      IF again.ids <> '{}' THEN
        outcome := _act(now, does.name, does.queue, does.priority, page.ids[at], again.places[1]);
        changed := changed + (outcome = 'changed')::int;
        conflicts := conflicts + (outcome = 'conflict')::int;
      END IF;
    EXCEPTION WHEN integrity_constraint_violation OR raise_exception OR triggered_data_change_violation THEN
      conflicts := conflicts + 1;
      refusals := refusals + 1;
    END;
    IF refusals >= 100 AND at < cardinality(page.ids) THEN
      page.cursor := page.ids[at];
      EXIT;
    END IF;
  END LOOP;
  RETURN '{"changed":' || changed || ',"conflicts":' || conflicts || ',"left":' || CASE WHEN page.cursor IS NULL THEN '0' ELSE 'null' END
    || ',"cursor":' || coalesce(page.cursor::text, 'null') || '}';
END $$;
