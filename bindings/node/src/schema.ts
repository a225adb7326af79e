/** The tables and indexes of honker, as every package has them: `bindings/go/schema.sql`, as a test makes sure. */
const text = `CREATE TABLE IF NOT EXISTS _honker_schema (version INTEGER, min_version INTEGER);
-- A file that has tables without a version is an older one, which Open brings up to date.
INSERT INTO _honker_schema SELECT 3, 1
  WHERE NOT EXISTS (SELECT 1 FROM _honker_schema) AND NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_honker_live');
CREATE TABLE IF NOT EXISTS _honker_notifications (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  channel TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (unixepoch())
);
CREATE TABLE IF NOT EXISTS _honker_live (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue TEXT NOT NULL,
  payload TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'pending',
  priority INTEGER NOT NULL DEFAULT 0,
  run_at INTEGER NOT NULL DEFAULT (unixepoch()),
  worker_id TEXT,
  claim_expires_at INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL DEFAULT 3,
  created_at INTEGER NOT NULL DEFAULT (unixepoch()),
  expires_at INTEGER
);
CREATE TABLE IF NOT EXISTS _honker_dead (
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  payload TEXT NOT NULL,
  priority INTEGER NOT NULL DEFAULT 0,
  run_at INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  created_at INTEGER NOT NULL DEFAULT (unixepoch()),
  died_at INTEGER NOT NULL DEFAULT (unixepoch())
);
CREATE TABLE IF NOT EXISTS _honker_locks (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  expires_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS _honker_rate_limits (
  name TEXT NOT NULL,
  window_start INTEGER NOT NULL,
  count INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (name, window_start)
);
CREATE TABLE IF NOT EXISTS _honker_scheduler_tasks (
  name TEXT PRIMARY KEY,
  queue TEXT NOT NULL,
  cron_expr TEXT NOT NULL,
  payload TEXT NOT NULL,
  priority INTEGER NOT NULL DEFAULT 0,
  expires_s INTEGER,
  next_fire_at INTEGER NOT NULL,
  enabled INTEGER NOT NULL DEFAULT 1,
  max_attempts INTEGER NOT NULL DEFAULT 3
);
CREATE TABLE IF NOT EXISTS _honker_results (
  job_id INTEGER PRIMARY KEY,
  value TEXT,
  created_at INTEGER NOT NULL DEFAULT (unixepoch()),
  expires_at INTEGER
);
CREATE TABLE IF NOT EXISTS _honker_stream (
  offset INTEGER PRIMARY KEY AUTOINCREMENT,
  topic TEXT NOT NULL,
  key TEXT,
  payload TEXT NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (unixepoch())
);
CREATE TABLE IF NOT EXISTS _honker_stream_consumers (
  name TEXT NOT NULL,
  topic TEXT NOT NULL,
  offset INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (name, topic)
);
CREATE TABLE IF NOT EXISTS _honker_job_options (
  job_id INTEGER PRIMARY KEY,
  metadata TEXT,
  unique_key TEXT,
  unique_until TEXT,
  concurrency_key TEXT,
  batch_id INTEGER,
  max_run_s INTEGER,
  batch_exit TEXT
);
CREATE TABLE IF NOT EXISTS _honker_unique (
  queue TEXT NOT NULL,
  key TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  mode TEXT NOT NULL,
  until INTEGER,
  PRIMARY KEY (queue, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _honker_queues (
  name TEXT PRIMARY KEY,
  settings TEXT NOT NULL,
  window_start INTEGER,
  window_count INTEGER
);
CREATE TABLE IF NOT EXISTS _honker_blocked (
  job_id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  key TEXT NOT NULL,
  priority INTEGER NOT NULL,
  run_at INTEGER NOT NULL,
  expires_at INTEGER
);
CREATE TABLE IF NOT EXISTS _honker_slots (
  job_id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  key TEXT
);
CREATE TABLE IF NOT EXISTS _honker_batches (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  on_finished TEXT,
  on_success TEXT,
  total INTEGER NOT NULL DEFAULT 0,
  pending INTEGER NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0,
  dead INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  sealed_at INTEGER,
  finished_at INTEGER,
  keep_s INTEGER
);
CREATE TABLE IF NOT EXISTS _honker_steps (
  job_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (job_id, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _honker_done (
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  payload TEXT NOT NULL,
  priority INTEGER NOT NULL DEFAULT 0,
  run_at INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  max_attempts INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL DEFAULT (unixepoch()),
  finished_at INTEGER NOT NULL DEFAULT (unixepoch())
);
CREATE TABLE IF NOT EXISTS _honker_schedule_options (
  name TEXT PRIMARY KEY,
  options TEXT NOT NULL,
  last_job_id INTEGER
);
CREATE TABLE IF NOT EXISTS _honker_counters (
  minute INTEGER NOT NULL,
  queue TEXT NOT NULL,
  name TEXT NOT NULL,
  value INTEGER NOT NULL,
  PRIMARY KEY (minute, queue, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _honker_instances (
  id TEXT PRIMARY KEY,
  file_id BLOB,
  byte INTEGER,
  pid INTEGER,
  host TEXT,
  started_at INTEGER,
  info TEXT
);
CREATE TABLE IF NOT EXISTS _honker_streams (
  topic TEXT PRIMARY KEY,
  keep_s INTEGER,
  keep_n INTEGER
);
CREATE TABLE IF NOT EXISTS _honker_settings (
  name TEXT PRIMARY KEY,
  value
);
CREATE INDEX IF NOT EXISTS _honker_notifications_recent
  ON _honker_notifications (channel, id);
CREATE INDEX IF NOT EXISTS _honker_notifications_age
  ON _honker_notifications (created_at);
CREATE INDEX IF NOT EXISTS _honker_live_claim
  ON _honker_live (queue, run_at > created_at, priority DESC, run_at) WHERE state = 'pending' AND attempts < max_attempts;
CREATE INDEX IF NOT EXISTS _honker_live_due
  ON _honker_live (queue, run_at, priority) WHERE state = 'pending' AND attempts < max_attempts AND run_at > created_at;
CREATE INDEX IF NOT EXISTS _honker_live_inflight
  ON _honker_live (queue, attempts >= max_attempts, claim_expires_at) WHERE state = 'processing';
CREATE INDEX IF NOT EXISTS _honker_live_exceptions
  ON _honker_live (queue, CASE WHEN state = 'processing' OR (priority <> (priority | 0) OR run_at <> (run_at | 0) OR attempts <> (attempts | 0)
          OR max_attempts <> (max_attempts | 0) OR created_at <> (created_at | 0)
          OR expires_at <> (expires_at | 0) OR payload >= x'') THEN 0 WHEN attempts >= max_attempts THEN 1 ELSE 2 END, CASE WHEN attempts >= max_attempts THEN min(run_at, ifnull(expires_at, run_at)) ELSE expires_at END) WHERE (state = 'pending' AND (expires_at IS NOT NULL OR attempts >= max_attempts OR (priority <> (priority | 0) OR run_at <> (run_at | 0) OR attempts <> (attempts | 0)
          OR max_attempts <> (max_attempts | 0) OR created_at <> (created_at | 0)
          OR expires_at <> (expires_at | 0) OR payload >= x'')) OR state = 'processing' AND claim_expires_at >= '');
CREATE INDEX IF NOT EXISTS _honker_dead_age
  ON _honker_dead (queue, died_at);
CREATE INDEX IF NOT EXISTS _honker_rate_limits_window
  ON _honker_rate_limits (window_start);
CREATE INDEX IF NOT EXISTS _honker_results_expiry
  ON _honker_results (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS _honker_stream_topic
  ON _honker_stream (topic, offset);
CREATE INDEX IF NOT EXISTS _honker_job_options_batch
  ON _honker_job_options (batch_id) WHERE batch_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS _honker_unique_job
  ON _honker_unique (job_id);
CREATE INDEX IF NOT EXISTS _honker_blocked_best
  ON _honker_blocked (queue, key, priority DESC, run_at, job_id);
CREATE INDEX IF NOT EXISTS _honker_blocked_expiry
  ON _honker_blocked (queue, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS _honker_slots_key
  ON _honker_slots (queue, key);
CREATE INDEX IF NOT EXISTS _honker_batches_finished
  ON _honker_batches (finished_at + ifnull(keep_s, 86400)) WHERE finished_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS _honker_done_finished
  ON _honker_done (queue, finished_at);
`;

/**
 * The SQL that makes honker's tables and indexes, where they are not there yet: for the migrations of an application, or a
 * database in memory for its tests. {@link open} does the same by itself, and brings older files up to date, which this does not.
 */
export const schemaSql = (): string => text;
