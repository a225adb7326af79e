//! A file that a newer program has claimed for itself.

use honker_core::Error;
use honker_core::database::{Database, Options, Value};

use crate::support::{File, enqueue};

#[test]
fn is_not_written_to() {
    let file = File::new();
    let database = file.database(&Options::default());
    enqueue(&database, "before").unwrap();
    let newer = file.plain();
    let set_min_version = |version: i64| {
        newer.execute("UPDATE _honker_schema SET version = 9, min_version = ?1", [version]).unwrap();
    };
    let too_old = |outcome: honker_core::Result<()>| match outcome {
        Err(Error::TooOld(message)) => {
            assert!(message.contains("version 7") && message.contains("version 3"), "{message}");
        }
        other => panic!("{other:?}"),
    };

    set_min_version(7);
    too_old(enqueue(&database, "one").map(drop));
    too_old(Database::open(&file.path, &Options::default()).map(drop));
    // Calls that share a commit.
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| enqueue(&database, "many").map(drop))).collect();
        threads.into_iter().for_each(|thread| too_old(thread.join().unwrap()));
    });
    let rows = database.query("SELECT count(*) FROM _honker_live", &[]).unwrap();
    assert_eq!(rows.rows, [[Value::Integer(1)]]);

    set_min_version(3);
    enqueue(&database, "after").unwrap();
    assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 2);
}
