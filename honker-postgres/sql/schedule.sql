-- Schedules. When one is due is worked out by libhonker, which can read expressions: it passes boundaries, each of which is fired at
-- most once, by compare-and-set on the next one. What cannot be done by SQL alone (registering, changing, ticking) has no
-- function honker_scheduler_*.

-- Adds a schedule or replaces the one of that name. The next boundary stays if the expression is the same.
CREATE OR REPLACE FUNCTION _schedule_put(the_name text, the_queue text, the_cron_expr text, the_payload text, the_priority bigint,
  the_expires_s bigint, the_max_attempts bigint, overlap text, options text, the_next_fire_at bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
  stored jsonb := coalesce(options, '{}');
  job _job := _options('options', _object('options', coalesce(options, '{}')));
BEGIN
  IF job.run_at IS NOT NULL OR job.member_job_id IS NOT NULL THEN
    PERFORM _invalid(format('%s is for a single job, not for those of a schedule', CASE WHEN job.run_at IS NOT NULL THEN 'run_at' ELSE 'member' END));
  END IF;
  PERFORM _check_options(now, job);
  PERFORM _after(now, 'delay', job.delay_s);
  stored := jsonb_strip_nulls(stored - '{priority,max_attempts,expires_s}'::text[]);
  IF overlap = 'skip' THEN
    stored := stored || '{"overlap": "skip"}';
  END IF;
  -- 3 stands for what is set for the queue; a schedule that has named this number says so here.
  IF the_max_attempts <= 3 AND greatest(the_max_attempts, 1) = 3 THEN
    stored := stored || '{"max_attempts": 3}';
  END IF;
  INSERT INTO _honker_scheduler_tasks AS t (name, queue, cron_expr, payload, priority, expires_s, next_fire_at, max_attempts)
  VALUES (the_name, the_queue, the_cron_expr, the_payload, the_priority, the_expires_s, the_next_fire_at,
    greatest(coalesce(the_max_attempts, 3), 1))
  ON CONFLICT ON CONSTRAINT _honker_scheduler_tasks_pkey DO UPDATE
    SET queue = excluded.queue, cron_expr = excluded.cron_expr, payload = excluded.payload, priority = excluded.priority,
      expires_s = excluded.expires_s, max_attempts = excluded.max_attempts,
      next_fire_at = CASE WHEN t.cron_expr = excluded.cron_expr THEN t.next_fire_at ELSE excluded.next_fire_at END;
  PERFORM _schedule_put_options(the_name, stored);
  PERFORM _wake('s:');
END $$;

CREATE OR REPLACE FUNCTION _schedule_put_options(the_name text, stored jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF stored = '{}' THEN
    DELETE FROM _honker_schedule_options o WHERE o.name = the_name;
  ELSE
    INSERT INTO _honker_schedule_options AS o (name, options) VALUES (the_name, stored::text)
    ON CONFLICT ON CONSTRAINT _honker_schedule_options_pkey DO UPDATE SET options = excluded.options;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION honker_scheduler_unregister(name text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  removed bigint;
BEGIN
  PERFORM _not_null('{name}', '{TEXT}', name IS NULL);
  DELETE FROM _honker_scheduler_tasks t WHERE t.name = name;
  GET DIAGNOSTICS removed = ROW_COUNT;
  DELETE FROM _honker_schedule_options o WHERE o.name = name;
  DELETE FROM _honker_settings s WHERE s.name = 'schedule.last_fire_at.' || honker_scheduler_unregister.name;
  PERFORM _wake('s:') WHERE removed > 0;
  RETURN removed;
END $$;

-- Changes parts of a schedule; whether there is one. What is NULL stays.
CREATE OR REPLACE FUNCTION _schedule_update(the_name text, the_cron_expr text, the_next_fire_at bigint, the_payload text,
  the_priority bigint, the_expires_s bigint, touch_expires boolean, the_max_attempts bigint, touch_max_attempts boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  stored jsonb;
BEGIN
  IF the_cron_expr IS NULL AND the_payload IS NULL AND the_priority IS NULL AND NOT touch_expires AND NOT touch_max_attempts THEN
    RETURN false;
  END IF;
  UPDATE _honker_scheduler_tasks t
  SET cron_expr = coalesce(the_cron_expr, t.cron_expr), next_fire_at = coalesce(the_next_fire_at, t.next_fire_at),
    payload = coalesce(the_payload, t.payload), priority = coalesce(the_priority, t.priority),
    expires_s = CASE WHEN touch_expires THEN the_expires_s ELSE t.expires_s END,
    max_attempts = CASE WHEN touch_max_attempts THEN greatest(coalesce(the_max_attempts, 3), 1) ELSE t.max_attempts END
  WHERE t.name = the_name;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF touch_max_attempts THEN
    stored := coalesce((SELECT o.options::jsonb FROM _honker_schedule_options o WHERE o.name = the_name), '{}') - 'max_attempts';
    IF the_max_attempts = 3 THEN
      stored := stored || '{"max_attempts": 3}';
    END IF;
    PERFORM _schedule_put_options(the_name, stored);
  END IF;
  PERFORM _wake('s:');
  RETURN true;
END $$;

CREATE OR REPLACE FUNCTION honker_scheduler_pause(name text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  PERFORM _not_null('{name}', '{TEXT}', name IS NULL);
  UPDATE _honker_scheduler_tasks t SET enabled = 0 WHERE t.name = name AND t.enabled <> 0;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  PERFORM _wake('s:');
  RETURN 1;
END $$;

CREATE OR REPLACE FUNCTION honker_scheduler_resume(name text) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
  PERFORM _not_null('{name}', '{TEXT}', name IS NULL);
  UPDATE _honker_scheduler_tasks t SET enabled = 1 WHERE t.name = name AND t.enabled = 0;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  PERFORM _wake('s:');
  RETURN 1;
END $$;

-- All schedules, by name. Why one cannot fire (error) is filled in by who can read its expression.
CREATE OR REPLACE FUNCTION honker_scheduler_list() RETURNS text
LANGUAGE sql AS $$
  SELECT '[' || coalesce(string_agg(row_to_json(each.*)::text, ','), '') || ']' FROM (
    SELECT t.name, t.queue, t.cron_expr, t.payload, t.priority, t.expires_s, t.next_fire_at, t.enabled <> 0 AS enabled,
      CASE WHEN t.max_attempts = 3 AND NOT coalesce(o.options::jsonb ? 'max_attempts', false) THEN _max_attempts(t.queue)
        ELSE t.max_attempts END AS max_attempts,
      NULL::text AS error, coalesce(o.options::jsonb ->> 'overlap', 'allow') AS overlap,
      coalesce((SELECT '{' || string_agg(to_json(m.key)::text || ':' || m.value::text, ',') || '}'
        FROM jsonb_each(o.options::jsonb - '{max_attempts,overlap}'::text[]) m), '{}')::json AS options
    FROM _honker_scheduler_tasks t LEFT JOIN _honker_schedule_options o ON o.name = t.name ORDER BY t.name) each
$$;

CREATE OR REPLACE FUNCTION honker_scheduler_soonest() RETURNS bigint
LANGUAGE sql AS $$
  SELECT coalesce(min(t.next_fire_at), 0) FROM _honker_scheduler_tasks t WHERE t.enabled <> 0
$$;

CREATE OR REPLACE FUNCTION _schedules_due(until bigint) RETURNS TABLE (name text, queue text, cron_expr text, next_fire_at bigint)
LANGUAGE sql AS $$
  SELECT t.name::text, t.queue::text, t.cron_expr, t.next_fire_at FROM _honker_scheduler_tasks t
  WHERE t.enabled <> 0 AND t.next_fire_at <= until ORDER BY t.name
$$;

-- Fires these boundaries of a schedule, oldest first, and sets the next one, unless it is not any more as it was when they were worked
-- out: then nothing is done, and nothing is the answer.
CREATE OR REPLACE FUNCTION _schedule_fire(the_name text, the_cron_expr text, the_next_fire_at bigint, boundaries bigint[], next bigint)
RETURNS TABLE (name text, queue text, fire_at bigint, job_id bigint, status text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  now bigint := _now();
  schedule _honker_scheduler_tasks;
  options jsonb;
  last_job bigint;
  job _job;
  put record;
BEGIN
  UPDATE _honker_scheduler_tasks t SET next_fire_at = next
  WHERE t.name = the_name AND t.enabled <> 0 AND t.cron_expr = the_cron_expr AND t.next_fire_at = the_next_fire_at
  RETURNING * INTO schedule;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT o.options::jsonb, o.last_job_id INTO options, last_job FROM _honker_schedule_options o WHERE o.name = the_name;
  BEGIN
    job := _options('the row in _honker_schedule_options', (coalesce(options, '{}') - 'overlap')::json);
  EXCEPTION WHEN SQLSTATE 'HK001' THEN
    -- Somebody's SQL has stored what cannot be read: that is the schedule's affair.
    RAISE EXCEPTION 'schedule ''%'': %', the_name, SQLERRM USING ERRCODE = '22023';
  END;
  job.queue := schedule.queue;
  job.payload := schedule.payload;
  job.priority := schedule.priority;
  job.max_attempts := CASE WHEN schedule.max_attempts = 3 THEN job.max_attempts ELSE schedule.max_attempts END;
  FOREACH fire_at IN ARRAY boundaries LOOP
    name := schedule.name;
    queue := schedule.queue;
    IF options ->> 'overlap' = 'skip' AND last_job IS NOT NULL AND _prospect(now, last_job) IN ('waiting', 'claimed') THEN
      job_id := NULL;
      status := 'skipped';
    ELSE
      BEGIN
        SELECT * INTO put FROM _put(now, job, _after_at_most(now, coalesce(job.delay_s, 0)), _after_at_most(fire_at, schedule.expires_s));
      EXCEPTION WHEN SQLSTATE 'HK001' THEN
        RAISE EXCEPTION 'schedule ''%'': %', the_name, SQLERRM USING ERRCODE = '22023';
      END;
      job_id := put.id;
      status := put.status;
      IF options IS NOT NULL AND status <> 'exists' THEN
        last_job := job_id;
        UPDATE _honker_schedule_options o SET last_job_id = last_job WHERE o.name = the_name;
      END IF;
    END IF;
    RETURN NEXT;
  END LOOP;
  IF cardinality(boundaries) > 0 THEN
    INSERT INTO _honker_settings AS s (name, value)
    VALUES ('schedule.last_fire_at.' || the_name, boundaries[cardinality(boundaries)]::text)
    ON CONFLICT ON CONSTRAINT _honker_settings_pkey DO UPDATE SET value = excluded.value;
  END IF;
END $$;

-- Proves that an owner leads, or tries to make it lead. A leader that has lost the lock does not take it back. instance is that of the
-- owner: should it die, the lock is free as soon as somebody sees that.
CREATE OR REPLACE FUNCTION _lead(the_owner text, instance text, leads boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  now bigint := _now();
BEGIN
  IF NOT leads THEN
    -- Nobody honest has it for longer than 60 s and what clocks differ by.
    DELETE FROM _honker_locks l WHERE l.name = 'honker-scheduler' AND l.expires_at > now + 65;
    IF NOT _acquire(now, 'honker-scheduler', the_owner, 60) THEN
      RETURN false;
    END IF;
  END IF;
  IF NOT _renew(now, 'honker-scheduler', the_owner, 60) THEN
    RETURN false;
  END IF;
  IF instance IS NOT NULL THEN
    UPDATE _honker_instances i SET info = '{"lock":"honker-scheduler","owner":' || to_json(the_owner)::text || '}'
    WHERE i.id = instance AND i.info IS DISTINCT FROM '{"lock":"honker-scheduler","owner":' || to_json(the_owner)::text || '}';
  END IF;
  RETURN true;
END $$;

-- Who leads, and when there is something to fire. The schedules of these names are left out.
CREATE OR REPLACE FUNCTION _leadership(left_out text[], OUT owner text, OUT expires_at bigint, OUT soonest bigint, OUT now bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM _move_check();
  now := _now();
  SELECT l.owner, l.expires_at INTO owner, expires_at FROM _honker_locks l
  WHERE l.name = 'honker-scheduler' AND l.expires_at <= _leadership.now + 65;
  SELECT min(t.next_fire_at) INTO soonest FROM _honker_scheduler_tasks t WHERE t.enabled <> 0 AND t.name <> ALL (coalesce(left_out, '{}'));
END $$;
