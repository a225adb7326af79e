//! What is in the file: columns, indexes, and how files of older versions are brought up to date.

use honker_sql_tests::*;

/// Of every table: its name, and its columns as name, type, NOT NULL, default, place in the primary key.
const TABLES: [(&str, &str); 23] = [
    (
        "_honker_notifications",
        "id|INTEGER|0|NULL|1
channel|TEXT|1|NULL|0
payload|TEXT|1|NULL|0
created_at|INTEGER|1|unixepoch()|0",
    ),
    (
        "_honker_live",
        "id|INTEGER|0|NULL|1
queue|TEXT|1|NULL|0
payload|TEXT|1|NULL|0
state|TEXT|1|'pending'|0
priority|INTEGER|1|0|0
run_at|INTEGER|1|unixepoch()|0
worker_id|TEXT|0|NULL|0
claim_expires_at|INTEGER|0|NULL|0
attempts|INTEGER|1|0|0
max_attempts|INTEGER|1|3|0
created_at|INTEGER|1|unixepoch()|0
expires_at|INTEGER|0|NULL|0",
    ),
    (
        "_honker_dead",
        "id|INTEGER|0|NULL|1
queue|TEXT|1|NULL|0
payload|TEXT|1|NULL|0
priority|INTEGER|1|0|0
run_at|INTEGER|1|0|0
attempts|INTEGER|1|0|0
max_attempts|INTEGER|1|0|0
last_error|TEXT|0|NULL|0
created_at|INTEGER|1|unixepoch()|0
died_at|INTEGER|1|unixepoch()|0",
    ),
    (
        "_honker_locks",
        "name|TEXT|0|NULL|1
owner|TEXT|1|NULL|0
expires_at|INTEGER|1|NULL|0",
    ),
    (
        "_honker_rate_limits",
        "name|TEXT|1|NULL|1
window_start|INTEGER|1|NULL|2
count|INTEGER|1|0|0",
    ),
    (
        "_honker_scheduler_tasks",
        "name|TEXT|0|NULL|1
queue|TEXT|1|NULL|0
cron_expr|TEXT|1|NULL|0
payload|TEXT|1|NULL|0
priority|INTEGER|1|0|0
expires_s|INTEGER|0|NULL|0
next_fire_at|INTEGER|1|NULL|0
enabled|INTEGER|1|1|0
max_attempts|INTEGER|1|3|0",
    ),
    (
        "_honker_results",
        "job_id|INTEGER|0|NULL|1
value|TEXT|0|NULL|0
created_at|INTEGER|1|unixepoch()|0
expires_at|INTEGER|0|NULL|0",
    ),
    (
        "_honker_stream",
        "offset|INTEGER|0|NULL|1
topic|TEXT|1|NULL|0
key|TEXT|0|NULL|0
payload|TEXT|1|NULL|0
created_at|INTEGER|1|unixepoch()|0",
    ),
    (
        "_honker_stream_consumers",
        "name|TEXT|1|NULL|1
topic|TEXT|1|NULL|2
offset|INTEGER|1|0|0",
    ),
    (
        "_honker_schema",
        "version|INTEGER|0|NULL|0
min_version|INTEGER|0|NULL|0",
    ),
    (
        "_honker_job_options",
        "job_id|INTEGER|0|NULL|1
metadata|TEXT|0|NULL|0
unique_key|TEXT|0|NULL|0
unique_until|TEXT|0|NULL|0
concurrency_key|TEXT|0|NULL|0
batch_id|INTEGER|0|NULL|0
max_run_s|INTEGER|0|NULL|0
batch_exit|TEXT|0|NULL|0",
    ),
    (
        "_honker_unique",
        "queue|TEXT|1|NULL|1
key|TEXT|1|NULL|2
job_id|INTEGER|1|NULL|0
mode|TEXT|1|NULL|0
until|INTEGER|0|NULL|0",
    ),
    (
        "_honker_queues",
        "name|TEXT|0|NULL|1
settings|TEXT|1|NULL|0
window_start|INTEGER|0|NULL|0
window_count|INTEGER|0|NULL|0",
    ),
    (
        "_honker_blocked",
        "job_id|INTEGER|0|NULL|1
queue|TEXT|1|NULL|0
key|TEXT|1|NULL|0
priority|INTEGER|1|NULL|0
run_at|INTEGER|1|NULL|0
expires_at|INTEGER|0|NULL|0",
    ),
    (
        "_honker_slots",
        "job_id|INTEGER|0|NULL|1
queue|TEXT|1|NULL|0
key|TEXT|0|NULL|0",
    ),
    (
        "_honker_batches",
        "id|INTEGER|0|NULL|1
on_finished|TEXT|0|NULL|0
on_success|TEXT|0|NULL|0
total|INTEGER|1|0|0
pending|INTEGER|1|0|0
done|INTEGER|1|0|0
dead|INTEGER|1|0|0
cancelled|INTEGER|1|0|0
sealed_at|INTEGER|0|NULL|0
finished_at|INTEGER|0|NULL|0
keep_s|INTEGER|0|NULL|0",
    ),
    (
        "_honker_steps",
        "job_id|INTEGER|1|NULL|1
name|TEXT|1|NULL|2
value|TEXT|1|NULL|0",
    ),
    (
        "_honker_done",
        "id|INTEGER|0|NULL|1
queue|TEXT|1|NULL|0
payload|TEXT|1|NULL|0
priority|INTEGER|1|0|0
run_at|INTEGER|1|0|0
attempts|INTEGER|1|0|0
max_attempts|INTEGER|1|0|0
created_at|INTEGER|1|unixepoch()|0
finished_at|INTEGER|1|unixepoch()|0",
    ),
    (
        "_honker_schedule_options",
        "name|TEXT|0|NULL|1
options|TEXT|1|NULL|0
last_job_id|INTEGER|0|NULL|0",
    ),
    (
        "_honker_counters",
        "minute|INTEGER|1|NULL|1
queue|TEXT|1|NULL|2
name|TEXT|1|NULL|3
value|INTEGER|1|NULL|0",
    ),
    (
        "_honker_instances",
        "id|TEXT|0|NULL|1
file_id|BLOB|0|NULL|0
byte|INTEGER|0|NULL|0
pid|INTEGER|0|NULL|0
host|TEXT|0|NULL|0
started_at|INTEGER|0|NULL|0
info|TEXT|0|NULL|0",
    ),
    (
        "_honker_streams",
        "topic|TEXT|0|NULL|1
keep_s|INTEGER|0|NULL|0
keep_n|INTEGER|0|NULL|0",
    ),
    (
        "_honker_settings",
        "name|TEXT|0|NULL|1
value||0|NULL|0",
    ),
];

/// The indexes that are promised, in one spelling.
const INDEXES: [(&str, &str); 5] = [
    ("_honker_notifications_recent", "on _honker_notifications (channel, id)"),
    (
        "_honker_live_claim",
        "on _honker_live (queue, run_at > created_at, priority desc, run_at) \
         where state = 'pending' and attempts < max_attempts",
    ),
    (
        "_honker_live_due",
        "on _honker_live (queue, run_at, priority) \
         where state = 'pending' and attempts < max_attempts and run_at > created_at",
    ),
    (
        "_honker_live_inflight",
        "on _honker_live (queue, attempts >= max_attempts, claim_expires_at) where state = 'processing'",
    ),
    ("_honker_stream_topic", "on _honker_stream (topic, offset)"),
];

/// The scheduler table of the first version, and `_honker_live_claim` with its companions of an intermediate one.
const OLD_SCHEDULER: &str = "CREATE TABLE _honker_scheduler_tasks (
    name TEXT PRIMARY KEY, queue TEXT NOT NULL, cron_expr TEXT NOT NULL, payload TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0, expires_s INTEGER, next_fire_at INTEGER NOT NULL);
    INSERT INTO _honker_scheduler_tasks VALUES ('old', 'q', '@every 1h', 'p', 4, 60, 1750000100);";

#[track_caller]
fn assert_schema(db: &Db) {
    for (table, columns) in TABLES {
        let sql =
            format!("SELECT name, type, \"notnull\", dflt_value, pk FROM main.pragma_table_info('{table}')");
        assert_eq!(db.rows(&sql), columns, "{table}");
    }
    for (index, definition) in INDEXES {
        let sql = "SELECT lower(sql) FROM main.sqlite_schema WHERE type = 'index' AND name = ?1";
        let found = db.get::<String>(sql, [index]);
        let words: Vec<&str> = found.split_whitespace().skip_while(|word| *word != "on").collect();
        assert_eq!(words.join(" "), definition, "{index}");
    }
    let retired = "SELECT count(*) FROM main.sqlite_schema WHERE name GLOB '_honker_live_p*_deadline'";
    assert_eq!(db.int(retired), 0);
    assert_eq!(db.rows("SELECT * FROM main._honker_schema"), "3|1");
    assert_eq!(db.text("PRAGMA integrity_check"), "ok");
}

#[test]
fn a_new_file_has_all_tables_and_their_indexes() {
    for mode in ["WAL", "DELETE"] {
        let db = Db::in_mode(mode);
        assert_schema(&db);
        let tables = db.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB '_honker*'");
        assert_eq!(tables.lines().count(), TABLES.len());
        assert_eq!(db.int("SELECT count(*) FROM sqlite_schema WHERE type IN ('view', 'trigger')"), 0);
        // Ids of these are never used again.
        let autoincrement = "SELECT name FROM sqlite_schema WHERE sql LIKE '%AUTOINCREMENT%' ORDER BY name";
        assert_eq!(
            db.rows(autoincrement),
            "_honker_batches\n_honker_live\n_honker_notifications\n_honker_stream"
        );
    }
}

#[test]
fn loading_creates_the_notifications_table_and_nothing_else() {
    let db = Db::empty();
    let created =
        "SELECT name FROM sqlite_schema WHERE name GLOB '_honker_*' AND tbl_name <> '_honker_notifications'";
    assert_eq!(db.rows(created), "");
    assert_eq!(db.int("SELECT notify('c', 'x')"), 1);
    assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
    assert_eq!(db.int("SELECT count(*) FROM _honker_notifications"), 1);
    assert_schema(&db);
}

#[test]
fn a_plain_insert_is_a_job() {
    let db = Db::new();
    db.run("INSERT INTO _honker_live (queue, payload) VALUES ('q', 'raw')");
    for attempts in 1..=3 {
        assert_eq!(
            db.json("SELECT honker_claim_batch('q', 'w', 1, 0)"),
            json!([{
                "id": 1, "queue": "q", "payload": "raw", "worker_id": "w", "attempts": attempts,
                "claim_expires_at": NOW + attempts - 1,
            }])
        );
        db.clock().advance(1);
    }
    assert_eq!(db.claim("q", 1, 0), NONE);
    assert_eq!(db.dead(), "1|max attempts exceeded");
    // The other defaults are what the functions write.
    db.clock().set(NOW);
    db.run("INSERT INTO _honker_live (queue, payload) VALUES ('q', 'p'); SELECT honker_enqueue('q', 'p')");
    let columns = "queue, payload, state, priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, \
                   created_at, expires_at";
    assert_eq!(db.int(&format!("SELECT count(*) FROM (SELECT DISTINCT {columns} FROM _honker_live)")), 1);
    db.run(
        "INSERT INTO _honker_notifications (channel, payload) VALUES ('c', 'p'); SELECT notify('c', 'p');
         INSERT INTO _honker_stream (topic, payload) VALUES ('t', 'p'); SELECT honker_stream_publish('t', NULL, 'p');
         INSERT INTO _honker_results (job_id, value) VALUES (1, 'v'); SELECT honker_result_save(2, 'v', 0);
         INSERT INTO _honker_dead (id, queue, payload) VALUES (9, 'q', 'p')",
    );
    for distinct in [
        "channel, payload, created_at FROM _honker_notifications",
        "topic, key, payload, created_at FROM _honker_stream",
        "value, created_at, expires_at FROM _honker_results",
    ] {
        assert_eq!(db.int(&format!("SELECT count(*) FROM (SELECT DISTINCT {distinct})")), 1, "{distinct}");
    }
    assert_eq!(db.rows("SELECT * FROM _honker_dead WHERE id = 9"), format!("9|q|p|0|0|0|0|NULL|{NOW}|{NOW}"));
}

#[test]
fn an_old_scheduler_table_gains_its_columns_and_keeps_its_rows() {
    let with =
        |column: &str| format!("{OLD_SCHEDULER} ALTER TABLE _honker_scheduler_tasks ADD COLUMN {column};");
    for (old, row) in [
        (OLD_SCHEDULER.to_owned(), "1|3"),
        // Paused, and with a budget of its own.
        (
            with("enabled INTEGER NOT NULL DEFAULT 1") + "UPDATE _honker_scheduler_tasks SET enabled = 0;",
            "0|3",
        ),
        (with("max_attempts INTEGER NOT NULL DEFAULT 7"), "1|7"),
    ] {
        let db = Db::unloaded();
        db.run(&old);
        db.load();
        assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
        let stored = db.rows("SELECT enabled, max_attempts FROM _honker_scheduler_tasks WHERE name = 'old'");
        assert_eq!(stored, row, "{old}");
        let kept = db.rows(
            "SELECT name, queue, cron_expr, payload, priority, expires_s, next_fire_at FROM _honker_scheduler_tasks",
        );
        assert_eq!(kept, "old|q|@every 1h|p|4|60|1750000100");
        let fired = db.json("SELECT honker_scheduler_tick(1750000100)");
        assert_eq!(fired.as_array().unwrap().len(), if row.starts_with('1') { 1 } else { 0 });
        assert_eq!(db.int("SELECT honker_scheduler_unregister('old')"), 1);
        db.run_every_function(1);
    }
    // With neither, the columns come in the order of a new file.
    let db = Db::unloaded();
    db.run(OLD_SCHEDULER);
    db.load();
    db.run("SELECT honker_bootstrap()");
    assert_schema(&db);
}

/// A file as an older version left it: both states in one claim index, two more indexes, jobs in both states.
const OLD_LIVE: &str = "CREATE TABLE _honker_live (
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, payload TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending', priority INTEGER NOT NULL DEFAULT 0,
    run_at INTEGER NOT NULL DEFAULT (unixepoch()), worker_id TEXT, claim_expires_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0, max_attempts INTEGER NOT NULL DEFAULT 3,
    created_at INTEGER NOT NULL DEFAULT (unixepoch()), expires_at INTEGER);
  CREATE INDEX _honker_live_claim ON _honker_live(queue, priority DESC, run_at, id)
    WHERE state IN ('pending', 'processing');
  CREATE INDEX _honker_live_pending_deadline ON _honker_live(queue, run_at) WHERE state = 'pending';
  CREATE INDEX _honker_live_processing_deadline ON _honker_live(queue, claim_expires_at) WHERE state = 'processing';
  INSERT INTO _honker_live (queue, payload, priority) VALUES ('q', 'low', 0), ('q', 'high', 5);
  INSERT INTO _honker_live (queue, payload, state, worker_id, claim_expires_at, attempts, priority)
    VALUES ('q', 'lapsed', 'processing', 'gone', 1, 1, 9);";

#[test]
fn an_old_claim_index_is_replaced_and_the_jobs_stay() {
    let db = Db::unloaded();
    db.run(OLD_LIVE);
    db.load();
    assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
    assert_schema(&db);
    assert_eq!(db.claim("q", -1, 60), [3, 2, 1]);
    let after = db.dump();
    db.run("SELECT honker_bootstrap()");
    db.assert_still(&after);
}

#[test]
fn a_claim_index_in_another_spelling_is_left_as_it_is() {
    let db = Db::unloaded();
    let spelled = "create index \n main . _honker_live_claim ON _honker_live(queue,RUN_AT>created_at, priority desc,\n run_at) \
                   where STATE = 'pending' and ATTEMPTS<max_attempts";
    db.run(&OLD_LIVE.replace("CREATE INDEX _honker_live_claim", "CREATE INDEX other"));
    db.run(spelled);
    db.load();
    let sql = "SELECT sql, rootpage FROM sqlite_schema WHERE name = '_honker_live_claim'";
    let before = db.rows(sql);
    db.run("SELECT honker_bootstrap()");
    assert_eq!(db.rows(sql), before);
}

#[test]
fn what_bootstrap_does_not_know_it_leaves_alone() {
    let leftovers =
        "CREATE TABLE _honker_scheduler_state (name TEXT PRIMARY KEY, last_fire_at INTEGER NOT NULL);
        INSERT INTO _honker_scheduler_state VALUES ('s', 7);
        CREATE TABLE _honker_pending (id INTEGER PRIMARY KEY, queue TEXT);
        INSERT INTO _honker_pending VALUES (1, 'q');
        CREATE TABLE _honker_processing (id INTEGER PRIMARY KEY, queue TEXT);
        CREATE INDEX _honker_pending_claim ON _honker_pending (queue);
        CREATE INDEX _honker_processing_reclaim ON _honker_processing (queue);
        CREATE VIEW _honker_jobs AS SELECT id FROM _honker_live;
        CREATE TABLE orders (id INTEGER PRIMARY KEY);
        CREATE TABLE honker_results (x);";
    let db = Db::unloaded();
    db.run(leftovers);
    let query = "SELECT name, sql FROM sqlite_schema WHERE tbl_name IN ('_honker_scheduler_state', '_honker_pending', \
                 '_honker_processing', '_honker_jobs', 'orders', 'honker_results') ORDER BY name";
    let before = db.rows(query);
    db.load();
    db.run("SELECT honker_bootstrap(); SELECT honker_bootstrap()");
    assert_eq!(db.rows(query), before);
    assert_eq!(db.rows("SELECT * FROM _honker_scheduler_state"), "s|7");
    assert_eq!(db.rows("SELECT * FROM _honker_pending"), "1|q");
    assert_schema(&db);
    db.run_every_function(1);
}

#[test]
fn what_somebody_dropped_comes_back_and_the_rest_stays() {
    let db = Db::new();
    db.run("SELECT honker_enqueue('q', 'x'), honker_lock_acquire('l', 'a', 60), notify('c', 'x')");
    for damage in [
        "DROP INDEX _honker_live_claim",
        "DROP INDEX _honker_notifications_recent",
        "DROP INDEX _honker_stream_topic; DROP TABLE _honker_results",
        "DROP TABLE _honker_stream",
        "DROP TABLE _honker_job_options",
        "DROP TABLE _honker_schema",
        "DELETE FROM _honker_schema",
        "DROP TABLE _honker_scheduler_tasks",
    ] {
        db.run(damage);
        assert_eq!(db.int("SELECT honker_bootstrap()"), 1, "{damage}");
        assert_schema(&db);
    }
    db.run("DROP TABLE _honker_notifications");
    assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
    assert_schema(&db);
    assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 1);
    assert_eq!(db.int("SELECT count(*) FROM _honker_locks"), 1);
    db.run_every_function(1);
}

#[test]
fn bootstrap_in_a_transaction_is_part_of_it() {
    for (begin, end, tables) in [
        ("BEGIN", "ROLLBACK", 1),
        ("BEGIN", "COMMIT", TABLES.len() as i64),
        ("BEGIN IMMEDIATE", "COMMIT", TABLES.len() as i64),
        ("SAVEPOINT s", "ROLLBACK TO s; RELEASE s", 1),
        ("BEGIN; CREATE TABLE orders (id)", "COMMIT", TABLES.len() as i64),
    ] {
        let db = Db::empty();
        db.run(begin);
        assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
        assert!(!db.is_autocommit());
        assert_eq!(db.int("SELECT honker_enqueue('q', 'x')"), 1);
        assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
        db.run(end);
        assert!(db.is_autocommit());
        let count = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name GLOB '_honker_*'";
        assert_eq!(db.int(count), tables, "{begin} {end}");
        assert_eq!(db.another().int(count), tables);
        // And again, now that the rolled-back statements are prepared for tables that are gone.
        assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
        // Before a feature is used, which says so in the schema's version.
        assert_schema(&db);
        db.run_every_function(1);
    }
}

#[test]
fn bootstrap_inside_a_writing_statement() {
    let db = Db::empty();
    db.run("CREATE TABLE answers (value); INSERT INTO answers VALUES (honker_bootstrap())");
    assert_eq!(db.rows("SELECT value FROM answers"), "1");
    assert_schema(&db);
}

#[test]
fn many_connections_may_bootstrap_a_new_file_at_once() {
    for mode in ["WAL", "DELETE"] {
        for old in ["", OLD_SCHEDULER, OLD_LIVE] {
            let db = Db::unloaded_in_mode(mode);
            db.run(old);
            let (start, file) = (std::sync::Barrier::new(8), db.file());
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let mine = file.connect_with(rusqlite::OpenFlags::default());
                        start.wait();
                        mine.load();
                        assert_eq!(mine.int("SELECT honker_bootstrap()"), 1);
                    });
                }
            });
            db.load();
            assert_schema(&db);
        }
    }
}

#[test]
fn tables_of_the_same_names_elsewhere_are_not_ours() {
    let db = Db::unloaded();
    let other = db.directory().join("other.db");
    db.execute("ATTACH ?1 AS aux", [other.to_str().unwrap()]).unwrap();
    for (table, _) in TABLES {
        db.run(&format!("CREATE TEMP TABLE {table} (wrong); CREATE TABLE aux.{table} (wrong)"));
    }
    db.run("CREATE INDEX aux._honker_live_claim ON _honker_live (wrong)");
    db.load();
    assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
    for (table, columns) in TABLES {
        let sql = format!(
            "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('{table}', 'main')"
        );
        assert_eq!(db.rows(&sql), columns, "{table}");
        assert_eq!(db.int(&format!("SELECT count(*) FROM temp.{table}")), 0);
    }
    assert_eq!(db.int("SELECT count(*) FROM main.sqlite_schema WHERE name = '_honker_live_claim'"), 1);

    // The functions go on in main: the look-ups of this list say `_honker_live`, which would be the temporary one.
    for (sql, answer) in every_function(1, NOW) {
        let sql = sql.replace("FROM _honker_", "FROM main._honker_");
        assert_eq!(db.rows(&sql), answer, "{sql}");
    }
    for (table, _) in TABLES {
        assert_eq!(db.int(&format!("SELECT count(*) FROM temp.{table}")), 0);
        assert_eq!(db.int(&format!("SELECT count(*) FROM aux.{table}")), 0);
    }
    db.run("DETACH aux");
    assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
}

#[test]
fn a_file_in_utf_16_works_the_same() {
    for encoding in ["UTF-16le", "UTF-16be"] {
        // The encoding is fixed with the first page: too late for a file that is in WAL mode already.
        let directory = Db::unloaded();
        let db = rusqlite::Connection::open(directory.directory().join("utf16.db")).unwrap();
        db.execute_batch(&format!("PRAGMA encoding = '{encoding}'; CREATE TABLE t (x)")).unwrap();
        load(&db).unwrap();
        let get = |sql: &str| db.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        assert_eq!(get("PRAGMA encoding"), rusqlite::types::Value::Text(encoding.to_owned()));
        get("SELECT honker_bootstrap()");
        get("SELECT honker_enqueue('é', 'p\u{1F600}')");
        let claimed = get("SELECT honker_claim_batch('é', 'ẃ', 1, 60) ->> '$[0].payload'");
        assert_eq!(claimed, rusqlite::types::Value::Text("p\u{1F600}".to_owned()));
        assert_eq!(get("SELECT honker_ack(1, 'ẃ')"), rusqlite::types::Value::Integer(1));
    }
}
