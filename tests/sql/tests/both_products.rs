//! The extension in a host's SQLite, and the library's `Database`, in one process and on one file.

use honker_core::database::{Database, Options};
use honker_core::queue::{Claim, Enqueue};
use honker_sql_tests::Db;

#[test]
fn each_settles_what_the_other_enqueued() {
    let directory = tempfile::tempdir().unwrap();
    // The library first: it makes file access lock-safe before anything is opened.
    let library = Database::open(directory.path().join("first.db"), &Options::default()).unwrap();
    library.close().unwrap();

    let extension = Db::new();
    let library = Database::open(extension.file().path(), &Options::default()).unwrap();

    let theirs = extension.enqueue("to the library");
    let taken =
        library.claim(&Claim { queue: "to the library", worker_id: "w", n: 10, timeout_s: 60 }).unwrap();
    assert_eq!(taken.iter().map(|job| job.id).collect::<Vec<_>>(), [theirs]);
    assert!(library.ack(theirs, "w").unwrap());

    // Due in the past of either clock: the test's stands still in 2025.
    let job = Enqueue { run_at: Some(0), ..Enqueue::new("to the extension", "{}") };
    let ours = library.enqueue(&job).unwrap().id;
    assert_eq!(extension.claim("to the extension", 10, 60), [ours]);
    assert_eq!(extension.int(&format!("SELECT honker_ack({ours}, 'w')")), 1);

    assert_eq!(extension.int("SELECT count(*) FROM _honker_live"), 0);
    library.close().unwrap();
    assert_eq!(extension.text("PRAGMA integrity_check"), "ok");
}
