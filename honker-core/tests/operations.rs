//! What only the Rust surface of the operations has: jobs enqueued together, errors with their codes, statements that
//! stay prepared. What the operations *do* is compared with a model in honker-model.

use std::ffi::{c_int, c_void};
use std::path::Path;

use honker_core::queue::{self, Enqueue, EnqueueStatus};
use honker_core::schedule::{self, Overlap, Registration};
use honker_core::{Error, Store, lock, notify, rate_limit, result, schema, stream};
use rusqlite::{Connection, OpenFlags, ffi};

const NOW: i64 = 1_700_000_000;

/// A connection and its store, which goes first when both are dropped.
struct Database {
    store: Store,
    connection: Connection,
}

impl Database {
    fn over(connection: Connection) -> Self {
        // SAFETY: the connection is open, and lives in the same struct behind the store.
        let store = unsafe { Store::from_handle(connection.handle()) };
        Database { store, connection }
    }

    fn memory() -> Self {
        let database = Self::over(Connection::open_in_memory().unwrap());
        schema::bootstrap(&database.store).unwrap();
        database
    }

    fn file(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(std::time::Duration::ZERO).unwrap();
        let database = Self::over(connection);
        schema::bootstrap(&database.store).unwrap();
        database
    }

    fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    fn count(&self, table: &str) -> i64 {
        self.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    fn enqueue(&self, payload: &str) -> i64 {
        queue::enqueue(&self.store, NOW, &Enqueue::new("q", payload)).unwrap().id
    }
}

/// Something done to a store.
type Call = fn(&Store) -> honker_core::Result<()>;

fn registration() -> Registration<'static> {
    Registration { name: "s", expression: "@every 1s", job: Enqueue::new("q", "p"), overlap: Overlap::Allow }
}

/// Every operation that writes, with arguments that would make it write in [`busy_file`].
const WRITES: &[(&str, Call)] = &[
    ("enqueue", |s| queue::enqueue(s, NOW, &Enqueue::new("q", "p")).map(drop)),
    ("enqueue_many", |s| queue::enqueue_many(s, NOW, &[Enqueue::new("q", "p")]).map(drop)),
    ("claim one", |s| queue::claim(s, NOW, "q", "w", 1, 60).map(drop)),
    ("claim many", |s| queue::claim(s, NOW, "q", "w", -1, 60).map(drop)),
    ("ack", |s| queue::ack(s, NOW, 1, "w").map(drop)),
    ("ack_batch", |s| queue::ack_batch(s, NOW, &[1], "w").map(drop)),
    ("retry", |s| queue::retry(s, NOW, 1, "w", 0, "e").map(drop)),
    ("fail", |s| queue::fail(s, NOW, 1, "w", "e").map(drop)),
    ("heartbeat", |s| queue::heartbeat(s, NOW, 1, "w", 90).map(drop)),
    ("cancel", |s| queue::cancel(s, NOW, 1).map(drop)),
    ("sweep_expired", |s| queue::sweep_expired(s, NOW, "old").map(drop)),
    ("dead_requeue", |s| queue::dead_requeue(s, NOW, 100).map(drop)),
    ("dead_purge", |s| queue::dead_purge(s, NOW, None, 0).map(drop)),
    ("publish", |s| stream::publish(s, NOW, "t", None, "p").map(drop)),
    ("save_offset", |s| stream::save_offset(s, "c", "t", 1).map(drop)),
    ("notify", |s| notify::notify(s, NOW, "c", "p").map(drop)),
    ("prune", |s| notify::prune(s, NOW, None, Some(0)).map(drop)),
    ("result save", |s| result::save(s, NOW, 1, "v", 0)),
    ("result sweep", |s| result::sweep(s, NOW).map(drop)),
    ("lock acquire", |s| lock::acquire(s, NOW, "l", "o", 60).map(drop)),
    ("lock renew", |s| lock::renew(s, NOW, "m", "o", 60).map(drop)),
    ("lock release", |s| lock::release(s, "m", "o").map(drop)),
    ("try_acquire", |s| rate_limit::try_acquire(s, NOW, "r", 1, 1).map(drop)),
    ("rate_limit sweep", |s| rate_limit::sweep(s, NOW, 0).map(drop)),
    ("register", |s| schedule::register(s, NOW, &registration())),
    ("unregister", |s| schedule::unregister(s, "s").map(drop)),
    ("update", |s| {
        schedule::update(s, NOW, "s", &schedule::Update { priority: Some(1), ..Default::default() }).map(drop)
    }),
    ("pause", |s| schedule::pause(s, "s").map(drop)),
    ("resume", |s| schedule::resume(s, "paused").map(drop)),
    ("tick", |s| schedule::tick(s, NOW, NOW + 10).map(drop)),
];

/// Every operation that only reads.
const READS: &[(&str, Call)] = &[
    ("get_job", |s| queue::get_job(s, 1).map(drop)),
    ("next_claim_at", |s| queue::next_claim_at(s, NOW, "q").map(drop)),
    ("stats", |s| queue::stats(s, NOW, "q").map(drop)),
    ("stats_all", |s| queue::stats_all(s, NOW).map(drop)),
    ("dead_list", |s| queue::dead_list(s, None, -1).map(drop)),
    ("read_since", |s| stream::read_since(s, "t", 0, -1).map(drop)),
    ("get_offset", |s| stream::get_offset(s, "c", "t").map(drop)),
    ("result get", |s| result::get(s, NOW, 1).map(drop)),
    ("list", |s| schedule::list(s).map(drop)),
    ("soonest", |s| schedule::soonest(s).map(drop)),
];

/// A file in which every one of [`WRITES`] has something to do.
fn busy_file(path: &Path) -> Database {
    let database = Database::file(path);
    let store = &database.store;
    database.enqueue("first");
    queue::claim(store, NOW, "q", "w", 1, 60).unwrap();
    database.enqueue("second");
    queue::enqueue(store, NOW - 9, &Enqueue { expires_s: Some(1), ..Enqueue::new("old", "p") }).unwrap();
    database.run(
        "INSERT INTO _honker_dead (id, queue, payload, died_at) VALUES (100, 'q', 'p', 5);
         INSERT INTO _honker_results (job_id, expires_at) VALUES (7, 5);
         INSERT INTO _honker_locks VALUES ('m', 'o', 5);
         INSERT INTO _honker_rate_limits VALUES ('r', 5, 1)",
    );
    notify::notify(store, NOW, "c", "p").unwrap();
    schedule::register(store, NOW, &registration()).unwrap();
    schedule::register(store, NOW, &Registration { name: "paused", ..registration() }).unwrap();
    schedule::pause(store, "paused").unwrap();
    database
}

#[test]
fn a_store_over_a_plain_connection_works() {
    let connection = Connection::open_in_memory().unwrap();
    {
        // SAFETY: the connection is open and outlives the store.
        let store = unsafe { Store::from_handle(connection.handle()) };
        schema::bootstrap(&store).unwrap();
        assert_eq!(queue::enqueue(&store, NOW, &Enqueue::new("q", "p")).unwrap().id, 1);
    }
    connection.close().expect("no statement is left");
}

#[test]
fn now_is_the_clock_of_sqlite() {
    let database = Database::memory();
    let sqlite =
        || database.connection.query_row("SELECT unixepoch()", [], |row| row.get::<_, i64>(0)).unwrap();
    let (before, now, after) = (sqlite(), database.store.now().unwrap(), sqlite());
    assert!((before..=after).contains(&now), "{before} {now} {after}");
}

#[test]
fn many_jobs_get_ids_in_the_order_given() {
    let database = Database::memory();
    let payloads: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let jobs: Vec<_> =
        payloads.iter().map(|payload| Enqueue { priority: 5, ..Enqueue::new("q", payload) }).collect();
    let ids = many(&database, &jobs);
    assert_eq!(ids, (1..=1000).collect::<Vec<_>>());
    for (id, payload) in ids.iter().zip(&payloads) {
        assert_eq!(queue::get_job(&database.store, *id).unwrap().unwrap().payload, *payload);
    }
    assert_eq!(many(&database, &jobs[..2]), [1001, 1002]);
}

fn many(database: &Database, jobs: &[Enqueue<'_>]) -> Vec<i64> {
    let enqueued = queue::enqueue_many(&database.store, NOW, jobs).unwrap();
    assert!(enqueued.iter().all(|enqueued| enqueued.status == EnqueueStatus::Enqueued));
    enqueued.into_iter().map(|enqueued| enqueued.id).collect()
}

#[test]
fn many_jobs_are_all_enqueued_or_none() {
    let database = Database::memory();
    let good = Enqueue::new("q", "p");
    for bad in [Enqueue { delay_s: Some(i64::MAX), ..good }, Enqueue { expires_s: Some(i64::MAX), ..good }] {
        let refused = queue::enqueue_many(&database.store, NOW, &[good, good, bad, good]);
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
        assert_eq!(database.count("_honker_live"), 0);
        assert!(database.connection.is_autocommit());
    }
    assert_eq!(many(&database, &[good]), [1], "no id was used up");
}

#[test]
fn many_jobs_in_a_transaction_of_the_caller() {
    let database = Database::memory();
    let good = Enqueue::new("q", "p");
    let bad = Enqueue { delay_s: Some(i64::MAX), ..good };

    database.run("CREATE TABLE orders (id); BEGIN; INSERT INTO orders VALUES (1)");
    queue::enqueue_many(&database.store, NOW, &[good, good]).unwrap();
    queue::enqueue_many(&database.store, NOW, &[good, bad]).unwrap_err();
    assert!(!database.connection.is_autocommit());
    assert_eq!((database.count("orders"), database.count("_honker_live")), (1, 2));
    database.run("ROLLBACK");
    assert_eq!((database.count("orders"), database.count("_honker_live")), (0, 0));

    database.run("BEGIN; INSERT INTO orders VALUES (1)");
    queue::enqueue_many(&database.store, NOW, &[good, bad]).unwrap_err();
    queue::enqueue_many(&database.store, NOW, &[good]).unwrap();
    database.run("COMMIT");
    assert_eq!((database.count("orders"), database.count("_honker_live")), (1, 1));
}

#[test]
fn doing_nothing_takes_no_lock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.db");
    let (writer, database) = (Database::file(&path), Database::file(&path));
    writer.run("BEGIN IMMEDIATE");
    assert_eq!(queue::enqueue_many(&database.store, NOW, &[]), Ok(vec![]));
    assert_eq!(queue::ack_batch(&database.store, NOW, &[], "w"), Ok(0));
    assert_eq!(queue::sweep_expired(&database.store, NOW, "q"), Ok(0));
    assert_eq!(schedule::tick(&database.store, NOW, NOW), Ok(vec![]));
    assert_eq!(notify::prune(&database.store, NOW, None, None), Ok(0));
    assert_eq!(schedule::update(&database.store, NOW, "s", &schedule::Update::default()), Ok(false));
    assert_eq!(schema::bootstrap(&database.store), Ok(()));
    assert_eq!(schema::ensure_notifications(&database.store), Ok(()));
}

#[test]
fn a_bad_argument_is_invalid_and_named() {
    let database = Database::memory();
    const MAX: i64 = i64::MAX;
    let cases: &[(&str, Call)] = &[
        ("delay", |s| {
            queue::enqueue(s, NOW, &Enqueue { delay_s: Some(MAX), ..Enqueue::new("q", "p") }).map(drop)
        }),
        ("expires", |s| {
            queue::enqueue(s, NOW, &Enqueue { expires_s: Some(MAX), ..Enqueue::new("q", "p") }).map(drop)
        }),
        ("timeout_s", |s| queue::claim(s, NOW, "q", "w", 1, MAX).map(drop)),
        ("delay_s", |s| queue::retry(s, NOW, 1, "w", MAX, "e").map(drop)),
        ("extend_s", |s| queue::heartbeat(s, NOW, 1, "w", MAX).map(drop)),
        ("ttl_s", |s| result::save(s, NOW, 1, "v", MAX)),
        ("ttl_s", |s| lock::acquire(s, NOW, "l", "o", MAX).map(drop)),
        ("ttl_s", |s| lock::renew(s, NOW, "l", "o", MAX).map(drop)),
        ("ttl_s must be positive", |s| lock::renew(s, NOW, "l", "o", 0).map(drop)),
        ("limit and per must be positive", |s| rate_limit::try_acquire(s, NOW, "r", 0, 1).map(drop)),
        ("limit and per must be positive", |s| rate_limit::try_acquire(s, NOW, "r", 1, -1).map(drop)),
        ("max_keep must not be negative", |s| notify::prune(s, NOW, None, Some(-1)).map(drop)),
        ("5 or 6 cron fields", |s| {
            schedule::register(s, NOW, &Registration { expression: "* *", ..registration() })
        }),
        ("ids_json", |_| queue::parse_ids("[1,").map(drop)),
        ("ids_json", |_| queue::parse_ids("{\"a\":1}").map(drop)),
        ("ids_json", |_| queue::parse_ids("[1.5]").map(drop)),
        ("ids_json", |_| queue::parse_ids("[\"1\"]").map(drop)),
        ("ids_json", |_| queue::parse_ids("[null]").map(drop)),
        ("ids_json", |_| queue::parse_ids("[1] [2]").map(drop)),
        ("ids_json", |_| queue::parse_ids("[9223372036854775808]").map(drop)),
        ("ids_json", |_| queue::parse_ids("").map(drop)),
    ];
    for (words, call) in cases {
        let error = call(&database.store).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        assert_eq!(error.sqlite_code(), None);
        assert!(error.to_string().contains(words), "'{error}' should contain '{words}'");
        assert!(database.connection.is_autocommit());
    }
}

#[test]
fn ids_are_read_once_each_in_order() {
    assert_eq!(queue::parse_ids(" [3, 1,3 ,2,1,-9223372036854775808] "), Ok(vec![3, 1, 2, i64::MIN]));
    assert_eq!(queue::parse_ids("[]"), Ok(vec![]));
}

#[test]
fn a_missing_table_says_what_to_do() {
    // With the notifications table, as after loading the extension, and without.
    for notifications in [true, false] {
        let database = Database::over(Connection::open_in_memory().unwrap());
        if notifications {
            schema::ensure_notifications(&database.store).unwrap();
        }
        for (name, call) in WRITES.iter().chain(READS) {
            let needs_bootstrap = !matches!(*name, "notify" | "prune") || !notifications;
            let Err(error) = call(&database.store) else {
                assert!(!needs_bootstrap, "{name} works without its table");
                continue;
            };
            assert_eq!(error.sqlite_code(), Some(ffi::SQLITE_ERROR), "{name}");
            let message = error.to_string();
            assert!(message.contains("no such table: main._honker_"), "{name}: {message}");
            assert!(message.contains("honker_bootstrap()"), "{name}: {message}");
            assert!(database.connection.is_autocommit(), "{name}");
        }
        schema::bootstrap(&database.store).unwrap();
        for (name, call) in WRITES.iter().chain(READS) {
            call(&database.store).unwrap_or_else(|error| panic!("{name} after bootstrap: {error}"));
        }
    }
}

#[test]
fn busy_keeps_its_code_and_nothing_else() {
    for journal_mode in ["WAL", "DELETE"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        let database = busy_file(&path);
        database.run(&format!("PRAGMA journal_mode = {journal_mode}"));
        let writer = Database::file(&path);
        for (name, call) in WRITES {
            writer.run("BEGIN IMMEDIATE");
            // Twice: the first failure must not leave a statement running.
            for _ in 0..2 {
                let code = call(&database.store).unwrap_err().sqlite_code();
                assert_eq!(code.map(|code| code & 0xff), Some(ffi::SQLITE_BUSY), "{name}");
                assert!(database.connection.is_autocommit(), "{name}");
            }
            writer.run("ROLLBACK; BEGIN IMMEDIATE; ROLLBACK");
        }
        for (name, call) in READS {
            writer.run("BEGIN IMMEDIATE");
            call(&database.store).unwrap_or_else(|error| panic!("{name}: {error}"));
            writer.run("COMMIT");
        }
        for (name, call) in WRITES {
            call(&database.store).unwrap_or_else(|error| panic!("{name} after the lock is gone: {error}"));
        }
    }
}

#[test]
fn a_file_that_cannot_be_written_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.db");
    drop(busy_file(&path));
    let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let database = Database::over(connection);
    assert_eq!(schema::ensure_notifications(&database.store), Ok(()));
    assert_eq!(schema::bootstrap(&database.store), Ok(()), "there is nothing to do");
    for (name, call) in WRITES {
        let code = call(&database.store).unwrap_err().sqlite_code();
        assert_eq!(code.map(|code| code & 0xff), Some(ffi::SQLITE_READONLY), "{name}");
        assert!(database.connection.is_autocommit(), "{name}");
    }
    for (name, call) in READS {
        call(&database.store).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_full_file_is_reported_and_intact() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::file(&directory.path().join("t.db"));
    let big = "x".repeat(100_000);
    database.run("PRAGMA max_page_count = 100");
    let jobs = [Enqueue::new("q", &big); 10];
    for transaction in [false, true] {
        if transaction {
            database.run("BEGIN");
        }
        let error = queue::enqueue_many(&database.store, NOW, &jobs).unwrap_err();
        assert_eq!(error.sqlite_code(), Some(ffi::SQLITE_FULL));
        assert!(error.to_string().contains("full"), "{error}");
        if !database.connection.is_autocommit() {
            assert!(transaction);
            database.run("COMMIT");
        }
        assert_eq!(database.count("_honker_live"), 0);
    }
    assert_eq!(database.enqueue("small"), 1);
    assert_eq!(
        database.connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)),
        Ok("ok".to_owned())
    );
}

#[test]
fn a_dead_job_that_is_live_again_is_not_requeued() {
    let database = Database::memory();
    let id = database.enqueue("p");
    database.run("INSERT INTO _honker_dead (id, queue, payload) VALUES (1, 'q', 'p')");
    let error = queue::dead_requeue(&database.store, NOW, id).unwrap_err();
    assert_eq!(error.sqlite_code().map(|code| code & 0xff), Some(ffi::SQLITE_CONSTRAINT));
    assert_eq!((database.count("_honker_live"), database.count("_honker_dead")), (1, 1));
    assert!(database.connection.is_autocommit());
}

#[test]
fn notifications_are_pruned_by_age_alone() {
    let database = Database::memory();
    notify::notify(&database.store, NOW - 10, "c", "old").unwrap();
    notify::notify(&database.store, NOW, "c", "new").unwrap();
    assert_eq!(notify::prune(&database.store, NOW, Some(5), None), Ok(1));
    assert_eq!(notify::prune(&database.store, NOW, None, Some(5)), Ok(0));
}

/// How much SQLite does for a call while it has the write lock, in calls of a progress handler.
fn work_under_lock(connection: &Connection, call: impl FnOnce()) -> u64 {
    struct Counter {
        db: *mut ffi::sqlite3,
        count: u64,
    }
    unsafe extern "C" fn progress(counter: *mut std::ffi::c_void) -> std::ffi::c_int {
        // SAFETY: it is the counter below, which lives until the handler is taken away again; the connection is open.
        unsafe {
            let counter = &mut *counter.cast::<Counter>();
            let state = ffi::sqlite3_txn_state(counter.db, c"main".as_ptr());
            counter.count += u64::from(state == ffi::SQLITE_TXN_WRITE);
        }
        0
    }
    // SAFETY: the connection is open while this runs.
    let db = unsafe { connection.handle() };
    let mut counter = Counter { db, count: 0 };
    // SAFETY: the handler is taken away before the counter goes.
    unsafe { ffi::sqlite3_progress_handler(db, 100, Some(progress), (&raw mut counter).cast()) };
    call();
    // SAFETY: as above.
    unsafe { ffi::sqlite3_progress_handler(db, 0, None, std::ptr::null_mut()) };
    counter.count
}

#[test]
fn the_newest_notifications_are_not_counted_under_the_write_lock() {
    let work = |kept: i64| {
        let database = Database::memory();
        let rows = kept + 1_500;
        database.run(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO _honker_notifications (channel, payload) SELECT 'c', 'p' FROM n"
        ));
        let work = work_under_lock(&database.connection, || {
            assert_eq!(notify::prune(&database.store, NOW, None, Some(kept)), Ok(1_000));
        });
        assert_eq!(notify::prune(&database.store, NOW, None, Some(kept)), Ok(500));
        work
    };
    let (few, many) = (work(100), work(200_000));
    assert!(few > 0 && many < 2 * few, "{few} for a few, {many} for many");
}

/// Two that have counted at the same time, and what is added before they write: the newest are kept all the same.
#[test]
fn prunes_beside_each_other_keep_the_newest() {
    let database = Database::memory();
    let send = || notify::notify(&database.store, NOW, "c", "p").unwrap();
    let lowest = || {
        let sql = "SELECT coalesce(min(id), 0) FROM _honker_notifications";
        database.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let few = notify::Rank::read(&database.store, 3).unwrap();
    for _ in 0..5 {
        send();
    }
    let [first, second] = [(); 2].map(|()| notify::Rank::read(&database.store, 3).unwrap());
    send();
    send();
    for rank in [few, first, second] {
        notify::prune_step(&database.store, NOW, None, Some(rank)).unwrap();
        assert!(lowest() <= 5, "{} is the first of 7", lowest());
    }
    assert_eq!(lowest(), 3, "what was too many when it was counted");
    assert_eq!(notify::prune(&database.store, NOW, None, Some(3)), Ok(2));
}

#[test]
fn what_changes_nothing_wakes_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.db");
    let (database, watcher) = (Database::file(&path), Connection::open(&path).unwrap());
    // Empty tables: the first row of one with AUTOINCREMENT is where SQLite might note down that there was none.
    let idle: &[(&str, Call)] = &[
        ("claim one", |s| queue::claim(s, NOW, "q", "w", 1, 60).map(drop)),
        ("claim many", |s| queue::claim(s, NOW, "q", "w", -1, 60).map(drop)),
        ("ack", |s| queue::ack(s, NOW, 1, "w").map(drop)),
        ("ack_batch", |s| queue::ack_batch(s, NOW, &[1], "w").map(drop)),
        ("retry", |s| queue::retry(s, NOW, 1, "w", 0, "e").map(drop)),
        ("fail", |s| queue::fail(s, NOW, 1, "w", "e").map(drop)),
        ("sweep_expired", |s| queue::sweep_expired(s, NOW, "q").map(drop)),
        ("dead_requeue", |s| queue::dead_requeue(s, NOW, 1).map(drop)),
        ("tick", |s| schedule::tick(s, NOW, NOW).map(drop)),
        ("bootstrap", schema::bootstrap),
    ];
    let version = || watcher.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    for (name, call) in idle {
        let before = version();
        call(&database.store).unwrap();
        assert_eq!(version(), before, "{name}");
    }
}

#[test]
fn codes_are_extended_on_any_connection() {
    let database = Database::memory();
    database.run("CREATE TRIGGER t BEFORE INSERT ON _honker_live BEGIN SELECT RAISE(ABORT, 'no'); END");
    for extended in [1, 0] {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_extended_result_codes(database.connection.handle(), extended) };
        let error = queue::enqueue(&database.store, NOW, &Enqueue::new("q", "p")).unwrap_err();
        assert_eq!(error.sqlite_code(), Some(ffi::SQLITE_CONSTRAINT_TRIGGER));
        assert_eq!(error.to_string(), "no");
    }
}

#[test]
fn statements_stay_prepared() {
    let database = Database::memory();
    let one_round = || {
        for n in 0..5 {
            database.enqueue("p");
            let claimed = queue::claim(&database.store, NOW + n, "q", "w", 1 + n % 2, n).unwrap();
            queue::heartbeat(&database.store, NOW + n, claimed[0].id, "w", n).unwrap();
            queue::next_claim_at(&database.store, NOW + n, "q").unwrap();
            queue::retry(&database.store, NOW + n, claimed[0].id, "w", -n, "e").unwrap();
            stream::publish(&database.store, NOW + n, "t", None, "p").unwrap();
            stream::read_since(&database.store, "t", n, n).unwrap();
            stream::save_offset(&database.store, "c", "t", n).unwrap();
            lock::acquire(&database.store, NOW + n, "l", "o", n).unwrap();
            rate_limit::try_acquire(&database.store, NOW + n, "r", 1, 1 + n).unwrap();
        }
    };
    // The second finds what the first has counted.
    one_round();
    one_round();
    let prepared = database.store.prepared_statements();
    for _ in 0..20 {
        one_round();
    }
    assert_eq!(database.store.prepared_statements(), prepared, "none added, none planned again");
    let mut texts: Vec<_> = prepared.iter().map(|statement| &statement.sql).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), prepared.len(), "each once");
}

#[test]
fn statements_survive_schema_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.db");
    let (database, other) = (Database::file(&path), Database::file(&path));
    database.enqueue("p");
    let prepared = |database: &Database| {
        let statements = database.store.prepared_statements();
        statements.into_iter().map(|statement| statement.sql).collect::<Vec<_>>()
    };
    let before = prepared(&database);
    let changes = [
        "CREATE TABLE orders (id)",
        "CREATE INDEX _honker_live_mine ON _honker_live (payload)",
        "DROP INDEX _honker_live_claim",
        "CREATE TRIGGER t AFTER INSERT ON _honker_live BEGIN INSERT INTO orders (id) VALUES (new.id); END",
        "ALTER TABLE orders ADD COLUMN state",
        "VACUUM",
    ];
    for (changes, change) in (0..).zip(changes) {
        // By this connection or by another one, one after the other.
        if changes % 2 == 0 { &database } else { &other }.run(change);
        let next = database.enqueue("p");
        assert_eq!(next, 2 + changes, "{change}");
    }
    let after = prepared(&database);
    let version = "_honker_schema";
    assert!(before.iter().all(|sql| after.contains(sql)), "{before:?} {after:?}");
    // Others have committed, so it has looked at the version as well.
    assert_eq!(
        after.iter().filter(|sql| !before.contains(sql) && !sql.contains(version)).count(),
        0,
        "{after:?}"
    );
    assert_eq!(database.count("orders"), 3, "the trigger is seen by the statement that was there before it");
    assert_eq!(queue::claim(&database.store, NOW, "q", "w", -1, 60).unwrap().len(), 7);
    schema::bootstrap(&database.store).unwrap();
    let index = "SELECT count(*) FROM sqlite_master WHERE name = '_honker_live_claim'";
    assert_eq!(database.connection.query_row(index, [], |row| row.get(0)), Ok(1), "bootstrap puts it back");
    assert_eq!(queue::ack_batch(&database.store, NOW, &[1, 2, 3, 4, 5, 6, 7], "w"), Ok(7));
}

#[test]
fn a_dropped_table_is_missed_and_found_again() {
    let database = Database::memory();
    database.enqueue("p");
    database.run("DROP TABLE _honker_live");
    for _ in 0..2 {
        let error = queue::enqueue(&database.store, NOW, &Enqueue::new("q", "p")).unwrap_err();
        assert!(error.to_string().contains("honker_bootstrap()"), "{error}");
    }
    schema::bootstrap(&database.store).unwrap();
    database.enqueue("p");
    assert_eq!(database.count("_honker_live"), 1);
}

#[test]
fn a_cleared_store_starts_anew() {
    let Database { store, connection } = Database::memory();
    let job = Enqueue::new("q", "p");
    for round in 1..=3 {
        assert_eq!(queue::enqueue(&store, NOW, &job).unwrap().id, round);
        assert!(!store.prepared_statements().is_empty());
        store.clear();
        assert_eq!(store.prepared_statements(), []);
        store.clear();
    }
    // Also in the middle of a transaction.
    connection.execute_batch("BEGIN").unwrap();
    queue::enqueue(&store, NOW, &job).unwrap();
    store.clear();
    queue::claim(&store, NOW, "q", "w", -1, 60).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    store.clear();
    drop(store);
    connection.close().expect("no statement is left");
}

#[test]
fn texts_are_kept_as_they_are() {
    let database = Database::memory();
    let long = "long ".repeat(100_000);
    for text in ["", "a\0b", "\0", "'; DROP TABLE _honker_live; --", "\u{10ffff}é\r\n", "NULL", &long] {
        let id = queue::enqueue(&database.store, NOW, &Enqueue::new(text, text)).unwrap().id;
        let job = queue::get_job(&database.store, id).unwrap().unwrap();
        assert!(job.queue == text && job.payload == text, "{text:.50?}");
        let claimed = queue::claim(&database.store, NOW, text, text, 1, 60).unwrap();
        assert_eq!((claimed[0].id, claimed.len()), (id, 1), "{text:.50?}");
        assert!(&*claimed[0].worker_id == text && claimed[0].payload == text, "{text:.50?}");
        assert_eq!(queue::fail(&database.store, NOW, id, text, text), Ok(true), "{text:.50?}");
        let dead = queue::dead_list(&database.store, Some(text), -1).unwrap();
        assert!(dead[0].last_error.as_deref() == Some(text), "{text:.50?}");
    }
}

#[test]
fn stored_bytes_that_are_no_text_do_not_stop_a_reader() {
    let database = Database::memory();
    database.run("INSERT INTO _honker_live (queue, payload) VALUES ('q', CAST(x'61ff62' AS TEXT))");
    let claimed = queue::claim(&database.store, i64::MAX / 2, "q", "w", 1, 60).unwrap();
    assert_eq!(claimed[0].payload, "a\u{fffd}b");
    assert_eq!(
        database.connection.query_row("SELECT hex(payload) FROM _honker_live", [], |row| row.get(0)),
        Ok("61FF62".to_owned())
    );
}

/// Finding the dead that are old enough, or that there are none, takes no look at the others.
#[test]
fn a_purge_costs_the_same_whatever_else_is_dead() {
    // How many instructions of SQLite's machine a purge takes in a transaction that has the write lock.
    let cost = |database: &Database, queue| {
        unsafe extern "C" fn count(steps: *mut c_void) -> c_int {
            // SAFETY: the counter below, which outlives the handler.
            unsafe { *steps.cast::<u64>() += 1 };
            0
        }
        database.run("BEGIN IMMEDIATE");
        queue::dead_purge(&database.store, NOW, queue, 60).unwrap();
        let mut steps: u64 = 0;
        // SAFETY: the connection is open, and the handler is gone before the counter is.
        unsafe {
            let db = database.connection.handle();
            ffi::sqlite3_progress_handler(db, 1, Some(count), (&raw mut steps).cast());
            assert_eq!(queue::dead_purge(&database.store, NOW, queue, 60), Ok(0));
            ffi::sqlite3_progress_handler(db, 0, None, std::ptr::null_mut());
        }
        database.run("COMMIT");
        steps
    };
    for queue in [None, Some("q")] {
        let [few, many] = [10, 20_000].map(|dead| {
            let database = Database::memory();
            database.run(&format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {dead})
                 INSERT INTO _honker_dead (id, queue, payload, died_at)
                 SELECT i, iif(i % 2, 'q', 'r'), 'p', {NOW} - i % 60 FROM n"
            ));
            cost(&database, queue)
        });
        assert!(many < few * 2, "{queue:?}: {few} steps among 10, {many} among 20,000");
    }
}

#[test]
fn a_purge_removes_what_is_old_of_one_queue_or_of_all() {
    let database = Database::memory();
    database.run(&format!(
        "INSERT INTO _honker_dead (id, queue, payload, died_at) VALUES
           (1, 'a', 'p', {NOW} - 61), (2, 'a', 'p', {NOW} - 60), (3, 'b', 'p', {NOW} - 61), (4, '', 'p', {NOW} - 61),
           (5, x'ff', 'p', {NOW} - 61), (6, 'c', 'p', {NOW} - 59), (7, 7, 'p', {NOW} - 61)"
    ));
    assert_eq!(queue::dead_purge(&database.store, NOW, Some("a"), 60), Ok(1));
    assert_eq!(queue::dead_purge(&database.store, NOW, Some("none"), 60), Ok(0));
    assert_eq!(queue::dead_purge(&database.store, NOW, None, 60), Ok(4));
    assert_eq!(queue::dead_purge(&database.store, NOW, None, 60), Ok(0));
    assert_eq!(database.count("_honker_dead WHERE id IN (2, 6)"), 2);
}
