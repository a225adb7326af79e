//! Loading the extension and closing the connection: any number of times, in any order, at any time.

use std::path::Path;

use honker_sql_tests::*;
use rusqlite::{Connection, ffi};

const SETTINGS: [&str; 14] = [
    "journal_mode",
    "synchronous",
    "cache_size",
    "busy_timeout",
    "foreign_keys",
    "temp_store",
    "wal_autocheckpoint",
    "mmap_size",
    "recursive_triggers",
    "locking_mode",
    "query_only",
    "read_uncommitted",
    "trusted_schema",
    "journal_size_limit",
];

fn settings(db: &Db) -> Vec<String> {
    SETTINGS.map(|setting| db.rows(&format!("PRAGMA {setting}"))).to_vec()
}

/// The files SQLite keeps beside the database while anybody has it open.
fn side_files(db: &Path) -> usize {
    ["-wal", "-shm", "-journal"]
        .iter()
        .filter(|suffix| Path::new(&format!("{}{suffix}", db.display())).exists())
        .count()
}

#[test]
fn loading_and_using_the_functions_changes_no_setting() {
    for (mode, others) in [
        ("WAL", ""),
        ("DELETE", "PRAGMA synchronous = EXTRA; PRAGMA cache_size = -123; PRAGMA foreign_keys = ON"),
        ("TRUNCATE", "PRAGMA busy_timeout = 77; PRAGMA temp_store = MEMORY; PRAGMA recursive_triggers = ON"),
        ("PERSIST", "PRAGMA foreign_keys = OFF; PRAGMA cache_size = 7; PRAGMA journal_size_limit = 5"),
        ("MEMORY", "PRAGMA busy_timeout = 0; PRAGMA synchronous = OFF"),
        ("WAL", "PRAGMA wal_autocheckpoint = 7; PRAGMA mmap_size = 1000000; PRAGMA synchronous = NORMAL"),
    ] {
        let db = Db::unloaded_in_mode(mode);
        db.run(others);
        let before = settings(&db);
        assert_eq!(before[0].to_uppercase(), mode);
        db.load();
        assert_eq!(settings(&db), before);
        db.run("SELECT honker_bootstrap()");
        db.run_every_function(1);
        assert_eq!(settings(&db), before);
    }
}

#[test]
fn loading_again_does_nothing() {
    let db = Db::new();
    db.furnish();
    let before = db.dump();
    let observer = db.another();
    let version = observer.data_version();
    for _ in 0..3 {
        db.load();
    }
    assert_eq!(observer.data_version(), version);
    db.assert_still(&before);
    // Also with a cursor open, with statements prepared, in a transaction, and as an SQL function.
    let mut statement = db.prepare("SELECT id FROM _honker_live").unwrap();
    let mut rows = statement.query([]).unwrap();
    assert!(rows.next().unwrap().is_some());
    db.load();
    assert!(rows.next().unwrap().is_some());
    drop(rows);
    drop(statement);
    db.run("BEGIN IMMEDIATE");
    db.load();
    db.run("ROLLBACK");
    // SAFETY: the connection is open.
    unsafe { ffi::sqlite3_enable_load_extension(db.handle(), 1) };
    let path = extension_path();
    db.get::<Option<String>>("SELECT load_extension(?1)", [path.to_str().unwrap()]);
    db.assert_still(&before);
    assert_eq!(db.int("SELECT honker_ack(1, 'w')"), 1);
}

#[test]
fn the_sql_function_load_extension_loads_it_too() {
    let db = Db::unloaded();
    // SAFETY: the connection is open.
    unsafe { ffi::sqlite3_enable_load_extension(db.handle(), 1) };
    let path = extension_path();
    for _ in 0..2 {
        db.get::<Option<String>>("SELECT load_extension(?1)", [path.to_str().unwrap()]);
        db.run("SELECT honker_bootstrap()");
    }
    db.run_every_function(1);
    db.close().unwrap();
}

#[test]
fn many_connections_and_many_threads() {
    let db = Db::new();
    let connections: Vec<Db> = (0..50).map(|_| db.another()).collect();
    for (n, connection) in connections.iter().enumerate() {
        assert_eq!(connection.enqueue("q"), n as i64 + 1);
    }
    // Closed in another order than opened.
    for connection in connections.into_iter().rev() {
        connection.close().unwrap();
    }
    let file = db.file();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let mine = file.connect();
                    mine.enqueue("q");
                    mine.close().unwrap();
                }
            });
        }
    });
    assert_eq!(db.claim("q", -1, 60).len(), 110);
}

#[test]
fn a_connection_may_move_between_threads() {
    let db = Db::new();
    db.run_every_function(1);
    let db = std::thread::spawn(move || {
        db.run_every_function(2);
        db
    });
    let db = db.join().unwrap();
    db.run_every_function(3);
    std::thread::spawn(move || db.close().unwrap()).join().unwrap();
}

#[test]
fn the_connection_closes_right_after_everything_was_used() {
    for mode in ["WAL", "DELETE"] {
        let db = Db::in_mode(mode);
        let (path, file) = (db.file().path(), db.file().clone());
        db.run_every_function(1);
        db.furnish();
        for call in WRITES.iter().chain(READS).chain(IDLE) {
            db.run(&format!("SELECT {call}"));
        }
        assert!(db.int("SELECT count(*) FROM _honker_statements") > 50, "there is something to finalise");
        db.close().unwrap();
        assert_eq!(side_files(&path), 0, "the last connection takes the WAL with it");
        std::fs::remove_file(&path).unwrap();
        drop(file);
    }
}

#[test]
fn the_connection_closes_after_any_single_function_and_after_errors() {
    for call in WRITES.iter().chain(READS).chain(IDLE) {
        let db = Db::new();
        db.furnish();
        let another = db.another();
        another.run(&format!("SELECT {call}"));
        another.close().unwrap();
        for early in [Db::unloaded(), Db::empty()] {
            let _ = early.try_run(&format!("SELECT {call}"));
            early.close().unwrap();
        }
    }
}

#[test]
fn a_refused_close_leaves_a_connection_that_works() {
    let db = Db::new();
    db.run_every_function(1);
    let mut statement = std::ptr::null_mut();
    for round in 2..5 {
        // SAFETY: the connection is open, the texts are NUL-terminated, and the statement is finalised below.
        let refused = unsafe {
            let sql = c"SELECT id FROM _honker_live UNION ALL VALUES (1), (2)";
            ffi::sqlite3_prepare_v2(db.handle(), sql.as_ptr(), -1, &mut statement, std::ptr::null_mut());
            assert_eq!(ffi::sqlite3_step(statement), ffi::SQLITE_ROW);
            ffi::sqlite3_close(db.handle())
        };
        assert_eq!(refused, ffi::SQLITE_BUSY);
        db.run_every_function(round);
        // SAFETY: the statement is ours, and this is its last use.
        unsafe { ffi::sqlite3_finalize(statement) };
        db.run_every_function(round + 10);
    }
    db.close().unwrap();
}

unsafe extern "C" {
    // Left out of the bindings, because rusqlite has no use for it. Other languages' packages do.
    fn sqlite3_close_v2(db: *mut ffi::sqlite3) -> std::ffi::c_int;
}

#[test]
fn a_table_of_the_users_does_not_hide_the_guard() {
    for create in [
        "CREATE TABLE _honker_statements (sql, reprepares)",
        "CREATE TABLE _honker_statements (x)",
        "CREATE TEMP TABLE _honker_statements (x)",
        "CREATE VIEW _honker_statements AS SELECT * FROM nowhere",
        "ATTACH ':memory:' AS aux; CREATE TABLE aux._honker_statements (x)",
        "CREATE TABLE _honker_statements (x); CREATE TEMP TABLE _honker_statements_1 (x)",
    ] {
        let db = Db::new();
        db.furnish();
        let path = db.file().path();
        // There when the library is loaded, and made later.
        for early in [true, false] {
            let another = db.file().connect_with(rusqlite::OpenFlags::default());
            if early {
                another.run(create);
                another.load();
            } else {
                another.load();
                another.run(create);
            }
            for call in READS {
                another.run(&format!("SELECT {call}"));
            }
            another.enqueue("q");
            another.close().unwrap_or_else(|failure| panic!("{create}: {failure:?}"));
            let plain = db.file().connect_with(rusqlite::OpenFlags::default());
            let _ = plain.try_run("DROP TABLE main._honker_statements");
            let _ = plain.try_run("DROP VIEW main._honker_statements");
        }
        db.close().unwrap();
        assert_eq!(side_files(&path), 0, "{create}: nobody has the file open any more");
    }
}

#[test]
fn a_close_that_waits_for_the_last_statement_ends_the_connection_then() {
    let directory = Db::unloaded();
    let path = directory.directory().join("zombie.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    load(&connection).unwrap();
    connection.query_row("SELECT honker_bootstrap(), honker_enqueue('q', 'x')", [], |_| Ok(())).unwrap();
    let mut raw = std::ptr::null_mut();
    let mut statement = std::ptr::null_mut();
    // SAFETY: a second connection, used through the C interface only: opened, used, closed with a statement open, and
    // gone with that statement. Names and texts are NUL-terminated.
    unsafe {
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        assert_eq!(ffi::sqlite3_open(name.as_ptr(), &mut raw), ffi::SQLITE_OK);
        let borrowed = Connection::from_handle(raw).unwrap();
        load(&borrowed).unwrap();
        let id: i64 = borrowed.query_row("SELECT honker_enqueue('q', 'x')", [], |row| row.get(0)).unwrap();
        assert_eq!(id, 2);
        let sql = c"SELECT honker_enqueue('q', 'late') UNION ALL VALUES (1)";
        ffi::sqlite3_prepare_v2(raw, sql.as_ptr(), -1, &mut statement, std::ptr::null_mut());
        drop(borrowed);
        assert_eq!(sqlite3_close_v2(raw), ffi::SQLITE_OK);
        // The connection lives on in its statement, but SQLite prepares nothing for it any more. So the function cannot
        // work, and says so.
        assert_eq!(ffi::sqlite3_step(statement), ffi::SQLITE_MISUSE);
        ffi::sqlite3_finalize(statement);
    }
    connection.close().unwrap();
    assert_eq!(side_files(&path), 0, "nobody has the file open any more");
}

#[test]
fn statements_kept_for_later_block_nothing() {
    let db = Db::new();
    db.run_every_function(1);
    db.run("VACUUM; ANALYZE; REINDEX; PRAGMA optimize");
    assert_eq!(db.rows("PRAGMA wal_checkpoint(TRUNCATE)"), "0|0|0");
    assert_eq!(db.text("PRAGMA journal_mode = DELETE"), "delete");
    assert_eq!(db.text("PRAGMA journal_mode = WAL"), "wal");
    db.run("ALTER TABLE _honker_results RENAME TO x; ALTER TABLE x RENAME TO _honker_results");
    db.run_every_function(2);
    db.run("BEGIN; DROP TABLE _honker_live; ROLLBACK");
    db.run_every_function(3);
}

#[test]
fn a_scratch_database_in_memory_has_everything() {
    let db = Db::in_memory();
    assert_eq!(db.int("SELECT honker_cron_next_after('@every 1m', 0)"), 60);
    db.error("SELECT honker_enqueue('q', 'x')").says(&["_honker_live", "honker_bootstrap()"]);
    assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
    db.run_every_function(1);
    db.close().unwrap();
}

#[test]
fn loading_a_new_file_that_somebody_is_writing_to_waits_and_then_says_so() {
    let db = Db::unloaded();
    db.run("CREATE TABLE orders (id); BEGIN IMMEDIATE");
    let another = db.file().connect_with(rusqlite::OpenFlags::default());
    another.busy_timeout(std::time::Duration::from_millis(50)).unwrap();
    let failure = Failure::from(load(&another).unwrap_err());
    failure.says(&["locked"]);
    db.run("COMMIT");
    another.load();
    assert_eq!(another.int("SELECT notify('c', 'x')"), 1);
    // Where the table is there already, loading needs no lock.
    db.run("BEGIN EXCLUSIVE");
    db.another().close().unwrap();
}

#[test]
fn loading_a_file_of_another_version_writes_nothing() {
    let db = Db::new();
    db.run("DROP INDEX _honker_notifications_recent; DROP INDEX _honker_notifications_age; DROP TABLE _honker_schema");
    let before = db.dump();
    db.run("BEGIN IMMEDIATE");
    let another = db.file().connect_with(rusqlite::OpenFlags::default());
    another.busy_timeout(std::time::Duration::ZERO).unwrap();
    another.load();
    db.run("COMMIT");
    db.assert_still(&before);
    another.run("SELECT notify('c', 'x'), honker_bootstrap()");
    another.run_every_function(1);
}

#[test]
fn loading_in_a_transaction_that_is_rolled_back() {
    let db = Db::unloaded();
    db.run("BEGIN");
    db.load();
    assert_eq!(db.int("SELECT notify('c', 'x')"), 1);
    db.run("ROLLBACK");
    // The functions stay, their table is gone, and the message says what to do.
    db.error("SELECT notify('c', 'x')").says(&["_honker_notifications", "honker_bootstrap()"]);
    assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
    db.run_every_function(1);
}
