//! Opening: what cannot be a database, what a crash has left behind, and many at once.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use honker_core::database::{Database, JournalMode, Options, Value};
use rusqlite::ffi;

use crate::support::{File, code, enqueue, guarded, journal, patient_for, single};

fn refusal(path: &std::path::Path) -> (i32, String) {
    match Database::open(path, &Options::default()) {
        Err(error) => match error.sqlite_code() {
            Some(code) => (code & 0xff, error.to_string()),
            None => panic!("not an error of SQLite's: {error:?}"),
        },
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn a_missing_parent_directory_is_refused() {
    let file = File::new();
    let (code, message) = refusal(&file.path.join("missing/app.db"));
    assert_eq!(code, ffi::SQLITE_CANTOPEN);
    assert!(message.contains("unable to open"), "{message}");
}

#[test]
fn a_directory_is_refused() {
    let file = File::new();
    let (code, message) = refusal(file.path.parent().unwrap());
    assert_eq!(code, ffi::SQLITE_CANTOPEN);
    assert!(message.contains("unable to open"), "{message}");
}

#[test]
fn what_is_not_a_database_is_refused_and_left_alone() {
    let file = File::new();
    let text = "This is a letter, not a database. ".repeat(200);
    std::fs::write(&file.path, &text).unwrap();
    let (code, message) = refusal(&file.path);
    assert_eq!(code, ffi::SQLITE_NOTADB);
    assert!(message.contains("not a database"), "{message}");
    assert_eq!(std::fs::read_to_string(&file.path).unwrap(), text);
}

#[test]
fn a_corrupt_file_is_refused() {
    let file = File::new();
    file.database(&Options::default()).close().unwrap();
    let mut bytes = std::fs::read(&file.path).unwrap();
    // The header stays; the schema behind it is torn.
    bytes[100..4096].fill(0xa5);
    std::fs::write(&file.path, &bytes).unwrap();
    let (code, message) = refusal(&file.path);
    assert_eq!(code, ffi::SQLITE_CORRUPT);
    assert!(message.contains("malformed"), "{message}");
}

#[test]
fn a_file_that_may_only_be_read_is_refused() {
    let file = File::new();
    file.plain().execute_batch("CREATE TABLE t(x)").unwrap();
    let name = format!("file:{}?mode=ro", file.path.display());
    let (code, message) = refusal(name.as_ref());
    assert_eq!(code, ffi::SQLITE_READONLY);
    assert!(message.contains("readonly"), "{message}");
}

#[test]
fn a_file_that_should_exist_is_not_created() {
    let file = File::new();
    let name = format!("file:{}?mode=rw", file.path.display());
    assert_eq!(refusal(name.as_ref()).0, ffi::SQLITE_CANTOPEN);
    assert!(!file.path.exists());
}

#[test]
fn the_schema_is_there_and_a_file_in_use_is_taken_as_it_is() {
    let file = File::new();
    file.plain().execute_batch("CREATE TABLE mine(x); INSERT INTO mine VALUES (1)").unwrap();
    let database = file.database(&Options::default());
    let tables =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_honker\\_%' ESCAPE '\\'";
    assert!(file.count(tables) >= 8, "{}", file.count(tables));
    assert_eq!(single(database.query("SELECT x FROM mine", &[]).unwrap()), Value::Integer(1));
    drop(database);
    let database = file.database(&Options::default());
    enqueue(&database, "p").unwrap();
    assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 1);
}

#[test]
fn two_databases_on_one_file_see_each_other() {
    for mode in [JournalMode::Wal, JournalMode::Delete] {
        let file = File::new();
        let (one, two) = (file.database(&journal(mode)), file.database(&journal(mode)));
        for round in 0..50 {
            enqueue(if round % 2 == 0 { &one } else { &two }, "p").unwrap();
            for database in [&one, &two] {
                let count = database.query("SELECT count(*) FROM _honker_live", &[]).unwrap();
                assert_eq!(single(count), Value::Integer(round + 1));
            }
        }
        one.close().unwrap();
        enqueue(&two, "p").unwrap();
    }
}

#[test]
fn a_new_file_may_be_opened_by_eight_threads_at_once() {
    guarded(|| {
        for mode in [JournalMode::Wal, JournalMode::Delete].into_iter().cycle().take(10) {
            let file = File::new();
            let barrier = Barrier::new(8);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        barrier.wait();
                        let database = file.database(&journal(mode));
                        enqueue(&database, "p").unwrap();
                    });
                }
            });
            assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 8);
            assert!(file.is_intact());
        }
    });
}

#[test]
fn opening_waits_for_a_lock_as_long_as_the_busy_timeout() {
    let file = File::new();
    file.database(&journal(JournalMode::Delete)).close().unwrap();
    let other = file.plain();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let timeout = Duration::from_millis(300);
    let began = Instant::now();
    let options = Options { journal_mode: JournalMode::Delete, ..patient_for(timeout) };
    assert_eq!(code(Database::open(&file.path, &options).map(drop)), ffi::SQLITE_BUSY);
    assert!(began.elapsed() >= timeout);

    let opening = std::thread::spawn({
        let path = file.path.clone();
        move || Database::open(path, &journal(JournalMode::Wal)).map(drop)
    });
    std::thread::sleep(Duration::from_millis(50));
    other.execute_batch("COMMIT").unwrap();
    drop(other);
    opening.join().unwrap().unwrap();
}

/// There is no longest time that an option may not exceed.
#[test]
fn the_busy_timeout_may_be_for_ever() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&patient_for(Duration::MAX));
        enqueue(&database, "p").unwrap();
        let transaction = database.begin().unwrap();
        let waiting = crate::support::Worker::start({
            let database = database.clone();
            move || enqueue(&database, "p")
        });
        let waiting = waiting.until_asleep();
        transaction.commit().unwrap();
        waiting.join().unwrap();
        database.query("SELECT 1", &[]).unwrap();
    });
}
