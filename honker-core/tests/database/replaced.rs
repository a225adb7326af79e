//! A file that is replaced, moved away or deleted while it is open.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use honker_core::database::{Database, JournalMode, Options, Transaction};
use honker_core::watch::Backend;
use honker_core::{Error, Result};

use crate::foreign::Foreign;
use crate::support::{File, enqueue, guarded, journal, plain, until};

/// Longer than an operation may go on reaching the old file.
const PROMISED: Duration = Duration::from_millis(101);

const CALLS: [fn(&Database) -> Result<()>; 5] = [
    |database| enqueue(database, "p").map(drop),
    |database| database.get_job(1).map(drop),
    |database| database.query("SELECT 1", &[]).map(drop),
    |database| database.begin().map(drop),
    |database| database.subscribe().map(drop),
];

fn is_told<T>(outcome: Result<T>, what: &str) -> bool {
    matches!(outcome, Err(Error::Watcher(message)) if message.contains(what) && message.contains("open it again"))
}

/// Moves another file over it. The old one is still there, by the name that this returns, with its log: under the old
/// name that would be read as the new file's.
fn move_another_over(file: &File) -> PathBuf {
    let [new, old] = ["new", "old"].map(|name| file.path.with_extension(name));
    plain(&new).execute_batch("CREATE TABLE mine(x)").unwrap();
    fs::hard_link(&file.path, &old).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::rename(format!("{}{suffix}", file.path.display()), format!("{}{suffix}", old.display()));
    }
    fs::rename(&new, &file.path).unwrap();
    old
}

#[test]
fn operations_say_that_the_file_was_replaced() {
    for mode in [JournalMode::Wal, JournalMode::Delete] {
        guarded(move || {
            for call in CALLS {
                let file = File::new();
                let database = file.database(&journal(mode));
                call(&database).unwrap();
                move_another_over(&file);
                std::thread::sleep(PROMISED);
                assert!(is_told(call(&database), "another file"));
                // All of them, and from now on.
                for call in CALLS {
                    assert!(is_told(call(&database), "another file"));
                }
                database.close().unwrap();
                assert_eq!(call(&database), Err(Error::Closed));
                assert_eq!(file.count("SELECT count(*) FROM mine"), 0);
            }
        });
    }
}

#[test]
fn a_transaction_that_is_open_then_does_not_commit() {
    const USES: [fn(Transaction) -> Result<()>; 4] = [
        Transaction::commit,
        |mut tx| tx.execute("INSERT INTO t VALUES (2)", &[]).map(drop),
        |mut tx| tx.query("SELECT 1", &[]).map(drop),
        |mut tx| tx.notify("c", "p").map(drop),
    ];
    guarded(|| {
        for end in USES {
            let file = File::new();
            let database = file.database(&Options::default());
            file.plain().execute_batch("CREATE TABLE t(x)").unwrap();
            let mut transaction = database.begin().unwrap();
            transaction.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
            let old = move_another_over(&file);
            std::thread::sleep(PROMISED);
            assert!(is_told(end(transaction), "another file"));
            database.close().unwrap();
            assert_eq!(plain(&old).query_row("SELECT count(*) FROM t", [], |row| row.get(0)), Ok(0));
        }
    });
}

/// A name without a file may be a step of moving files about: operations go on, for a second. It comes back, they do.
#[test]
fn a_file_that_is_missing_is_an_error_while_it_stays_missing() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let away = file.path.with_extension("away");
        for round in 1..=2 {
            fs::rename(&file.path, &away).unwrap();
            std::thread::sleep(PROMISED);
            enqueue(&database, "p").unwrap();
            until("operations say so", || is_told(enqueue(&database, "p"), "deleted or moved"));
            assert!(is_told(database.query("SELECT 1", &[]), "deleted or moved"));
            fs::rename(&away, &file.path).unwrap();
            std::thread::sleep(PROMISED);
            enqueue(&database, "back").unwrap();
            assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE payload = 'back'"), round);
        }
    });
}

/// Whatever goes on in it, a file that stays is never taken for another.
#[test]
fn a_file_that_is_used_stays_the_same() {
    guarded(|| {
        for mode in [JournalMode::Wal, JournalMode::Delete] {
            let file = File::new();
            let database = file.database(&journal(mode));
            let other = file.database(&journal(mode));
            std::thread::scope(|scope| {
                for thread in 0..6 {
                    let database = if thread % 3 == 0 { &other } else { &database };
                    scope.spawn(move || {
                        let began = std::time::Instant::now();
                        while began.elapsed() < Duration::from_millis(400) {
                            enqueue(database, "p").unwrap();
                            database.query("SELECT count(*) FROM _honker_live", &[]).unwrap();
                        }
                    });
                }
            });
            file.plain().execute_batch("VACUUM").unwrap();
            std::thread::sleep(PROMISED);
            enqueue(&database, "p").unwrap();
        }
    });
}

/// The last connection to a file writes its log back and deletes it, by its name: here that is somebody else's.
#[test]
fn closing_leaves_a_log_alone_that_is_not_its_own() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        enqueue(&database, "p").unwrap();
        database.query("SELECT 1", &[]).unwrap();
        for suffix in ["-wal", "-shm"] {
            fs::remove_file(format!("{}{suffix}", file.path.display())).unwrap();
        }
        let mut foreign = Foreign::on(&file.path);
        foreign.sql("CREATE TABLE theirs(x)");
        foreign.sql("INSERT INTO theirs VALUES (1)");
        // Its log stays behind.
        foreign.kill();
        database.close().unwrap();
        assert_eq!(file.count("SELECT count(*) FROM theirs"), 1);
        assert!(file.is_intact());
    });
}

/// The process may have been paused between two looks at which the file was missing.
#[test]
fn a_file_that_was_back_meanwhile_is_not_deleted() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let away = file.path.with_extension("away");
        let is_not_deleted = || {
            fs::rename(&file.path, &away).unwrap();
            std::thread::sleep(PROMISED);
            enqueue(&database, "p").unwrap();
            fs::rename(&away, &file.path).unwrap();
            // Longer than it may be missing, and nobody looks.
            std::thread::sleep(Duration::from_millis(1_100));
            fs::rename(&file.path, &away).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| fs::rename(&away, &file.path).unwrap());
                enqueue(&database, "p").is_ok()
            })
        };
        // More than once, should the thread that brings it back not come to run for long.
        assert!((0..5).any(|_| is_not_deleted()));
    });
}

/// Whichever file it is that has the name when the database has been opened, it is told from the others.
#[test]
fn a_file_that_is_replaced_while_it_is_opened_is_noticed() {
    guarded(|| {
        let mut opened = 0;
        for round in 0..60 {
            let file = File::new();
            drop(file.database(&Options::default()));
            let mut options = Options::default();
            options.watcher.backend = Backend::Kernel;
            let path = file.path.clone();
            let opening = std::thread::spawn(move || Database::open(&path, &options));
            std::thread::sleep(Duration::from_micros(100 * round));
            move_another_over(&file);
            let database = match opening.join().unwrap() {
                Ok(database) => database,
                Err(error) => {
                    assert!(matches!(error, Error::Watcher(_) | Error::CannotOpen(_)), "{error:?}");
                    continue;
                }
            };
            opened += 1;
            std::thread::sleep(PROMISED);
            match enqueue(&database, "p") {
                Ok(_) => assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 1, "in round {round}"),
                outcome => assert!(is_told(outcome, "another file")),
            }
        }
        assert!(opened > 0);
    });
}
