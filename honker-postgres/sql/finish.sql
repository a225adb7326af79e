-- Who may call what, and how.
--
-- What is called from outside runs with the rights of the owner of the schema and finds nothing but what is in it, so that a role needs
-- no rights on tables. Plans are made once, and go by indexes: a plan that was made while a table was empty would
-- otherwise read it from one end to the other until somebody has counted its rows. What only puts a row in is spared all that.

CREATE OR REPLACE FUNCTION _entries() RETURNS TABLE (name text, level text)
LANGUAGE sql IMMUTABLE AS $$
  SELECT each.name, each.level FROM (VALUES
    ('enqueue', '{honker_version,honker_status,honker_enqueue,honker_enqueue_with,notify,honker_stream_publish,honker_batch_create,
      honker_batch_seal,honker_batch_get,_enqueue,_enqueue_plain,_enqueue_many,_send,_wake_all,
      _publishing_events,_publishing_notifications,_counters_add}'),
    ('work', '{honker_bootstrap,honker_claim_batch,honker_ack,honker_ack_batch,honker_retry,honker_release,honker_fail,honker_heartbeat,
      honker_cancel,honker_get_job,honker_sweep_expired,honker_queue_next_claim_at,honker_queue_settings,honker_queues,honker_stats,
      honker_step_get,honker_step_save,honker_result_save,honker_result_get,honker_result_sweep,honker_stream_read_since,
      honker_stream_save_offset,honker_stream_get_offset,honker_lock_acquire,honker_lock_renew,honker_lock_release,
      honker_rate_limit_try,honker_rate_limit_sweep,honker_scheduler_list,honker_scheduler_soonest,honker_metrics,honker_dead_list,
      honker_dead_groups,honker_jobs_list,_claim,_settle,_turn,_work_outlook,_outlooks,_stream_read,_notifications_read,
      _notifications_latest,_lock_holder,_schedules_due,_schedule_fire,_lead,_leadership,_instance_register,_instance_seen,
      _instances_look,_rescue,_listen,_unlisten,_maintenance_due,_maintenance_begin,_maintenance_step,
      _sweep_results,_move_state,_move_arrived,_move_claims,_move_last_ids}'),
    ('admin', '{honker_queue_configure,honker_dead_requeue,honker_dead_purge,honker_jobs_apply,honker_prune_notifications,
      honker_notifications_configure,honker_stream_configure,honker_stream_trim,honker_scheduler_unregister,honker_scheduler_pause,
      honker_scheduler_resume,_schedule_put,_schedule_update,_dead_requeue,
      _move_begin,_move_give_back,_move_close,_move_end,_move_cancel,_move_arrive,_move_refuses,_move_refuses_jobs,_move_lock_tables,_move_lock}')
  ) AS l (level, names), LATERAL (SELECT trim(n) AS name, l.level FROM unnest(l.names::text[]) n) each
$$;

DO $$
DECLARE
  entry record;
BEGIN
  REVOKE ALL ON ALL FUNCTIONS IN SCHEMA honker FROM PUBLIC;
  FOR entry IN
    SELECT p.oid::regprocedure AS signature, p.proname AS name FROM pg_catalog.pg_proc p JOIN _entries() e ON e.name = p.proname
    WHERE p.pronamespace = 'honker'::regnamespace
  LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = honker, pg_temp', entry.signature);
    -- A setting of ours may be tied to a function by a superuser only. Without it the triggers of plain INSERTs (plain_insert.sql) run
    -- for our calls as well, and say a second time what has been said.
    BEGIN
      EXECUTE format('ALTER FUNCTION %s SET honker.inside = on', entry.signature);
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    IF entry.name NOT IN ('honker_enqueue', '_enqueue_plain', 'notify', 'honker_stream_publish', '_send', 'honker_version') THEN
      EXECUTE format('ALTER FUNCTION %s SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
        SET plan_cache_mode = force_generic_plan', entry.signature);
    END IF;
  END LOOP;
END $$;

-- Lets a role use the queues: enqueue (and publish, and notify), work (that, and everything a worker does), or admin (everything, and
-- the tables). What it was allowed before, it may no longer if the level does not have it.
CREATE OR REPLACE FUNCTION honker_grant(role text, level text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  levels CONSTANT text[] := '{enqueue,work,admin}';
  signature regprocedure;
BEGIN
  IF level IS NULL OR NOT level = ANY (levels) THEN
    PERFORM honker._invalid('level must be enqueue, work or admin');
  END IF;
  EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA honker FROM %I', role);
  EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA honker FROM %I', role);
  EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA honker FROM %I', role);
  EXECUTE format('GRANT USAGE ON SCHEMA honker TO %I', role);
  EXECUTE format('GRANT SELECT ON honker._honker_schema TO %I', role);
  -- A plain INSERT.
  EXECUTE format('GRANT INSERT (queue, payload, priority, run_at, max_attempts, created_at, expires_at) ON honker._honker_live TO %I', role);
  EXECUTE format('GRANT INSERT (topic, key, payload, created_at) ON honker._honker_stream TO %I', role);
  EXECUTE format('GRANT INSERT (channel, payload, created_at) ON honker._honker_notifications TO %I', role);
  EXECUTE format('GRANT EXECUTE ON FUNCTION honker._now() TO %I', role);
  FOR signature IN
    SELECT p.oid::regprocedure FROM pg_catalog.pg_proc p JOIN honker._entries() e ON e.name = p.proname
    WHERE p.pronamespace = 'honker'::regnamespace AND array_position(levels, e.level) <= array_position(levels, level)
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', signature, role);
  END LOOP;
  IF level <> 'enqueue' THEN
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA honker TO %I', role);
  END IF;
  IF level = 'admin' THEN
    EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA honker TO %I', role);
    EXECUTE format('GRANT SELECT, UPDATE, USAGE ON ALL SEQUENCES IN SCHEMA honker TO %I', role);
  END IF;
  RETURN 1;
END $$;
REVOKE ALL ON FUNCTION honker_grant(text, text) FROM PUBLIC;

INSERT INTO _honker_schema (version, min_version) SELECT 1, 1 WHERE NOT EXISTS (SELECT FROM _honker_schema);

SELECT set_config('search_path', current_setting('honker.search_path_before'), true),
       set_config('client_min_messages', current_setting('honker.messages_before'), true);
