//! `honker_update_watcher_…`: waiting for commits in SQL.

use std::time::Duration;

use honker_sql_tests::*;

/// Longer than anything takes, in milliseconds.
const LONG: i64 = 60_000;

fn open(db: &Db, backend: &str) -> i64 {
    let path = db.file().path();
    db.int(&format!("SELECT honker_update_watcher_open('{}', {backend})", path.display()))
}

fn wait(db: &Db, handle: i64, timeout_ms: i64) -> i64 {
    db.int(&format!("SELECT honker_update_watcher_wait({handle}, {timeout_ms})"))
}

fn close(db: &Db, handle: i64) -> i64 {
    db.int(&format!("SELECT honker_update_watcher_close({handle})"))
}

#[test]
fn a_commit_ends_the_wait() {
    for mode in ["WAL", "DELETE", "TRUNCATE", "PERSIST"] {
        let db = Db::in_mode(mode);
        let other = db.file().connect();
        for backend in ["NULL", "''", "'polling'", "'poll'", "'auto'", "NULL, NULL", "'polling', 5", "'shm'"]
        {
            if backend == "'shm'" && mode != "WAL" {
                db.error(&format!(
                    "SELECT honker_update_watcher_open('{}', 'shm')",
                    db.file().path().display()
                ))
                .says(&["watcher_backend probe failed: -shm unavailable"]);
                continue;
            }
            let handle = open(&db, backend);
            assert!(handle > 0);
            assert_eq!(wait(&db, handle, 150), 0, "{mode} {backend}");
            for waiting in [&db, &other] {
                // From any connection, whichever opened it.
                other.run("SELECT notify('c', 'p')");
                assert_eq!(wait(waiting, handle, LONG), 1, "{mode} {backend}");
                while wait(waiting, handle, 150) == 1 {}
            }
            // A wake for an earlier commit may come late on a busy machine; it does not come every time.
            assert!((0..20).any(|_| {
                other.run("BEGIN; SELECT notify('c', 'p'); ROLLBACK");
                wait(&db, handle, 150) == 0
            }));
            assert_eq!(wait(&db, handle, i64::MIN), 0);
            assert_eq!(close(&other, handle), 1);
            assert_eq!(wait(&db, handle, LONG), -1);
        }
    }
}

/// Whether a file-system event queue of this process watches anything in the directory of `db`.
#[cfg(target_os = "linux")]
fn has_inotify(db: &Db) -> bool {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(db.directory()).unwrap().map(|entry| entry.unwrap().path());
    let watchable = entries.chain([db.directory().to_owned()]);
    let watched: Vec<String> =
        watchable.filter_map(|path| Some(format!(" ino:{:x} ", path.metadata().ok()?.ino()))).collect();
    std::fs::read_dir("/proc/self/fdinfo").unwrap().any(|descriptor| {
        let text = std::fs::read_to_string(descriptor.unwrap().path()).unwrap_or_default();
        let mut watches = text.lines().filter(|line| line.starts_with("inotify "));
        watches.any(|line| watched.iter().any(|inode| line.contains(inode)))
    })
}

#[test]
#[cfg(target_os = "linux")]
fn without_a_name_the_back_end_is_auto() {
    for (backend, events) in
        [("NULL", true), ("''", true), ("NULL, 7", true), ("'auto'", true), ("'polling'", false)]
    {
        let db = Db::new();
        let handle = open(&db, backend);
        assert_eq!(has_inotify(&db), events, "{backend}");
        close(&db, handle);
    }
}

#[test]
fn handles_are_above_every_address_and_exact_in_a_double() {
    let db = Db::new();
    for _ in 0..3 {
        let handle = open(&db, "'auto'");
        assert!(handle > 1 << 52 && handle < 1 << 53 && handle % 16 == 0, "{handle}");
        assert_eq!(handle as f64 as i64, handle);
        assert_eq!(close(&db, handle), 1);
    }
}

#[test]
fn every_handle_is_a_watcher_of_its_own() {
    let db = Db::new();
    let handles = [(); 3].map(|()| open(&db, "'auto'"));
    assert!(handles[0] < handles[1] && handles[1] < handles[2]);
    db.run("SELECT notify('c', 'p')");
    assert_eq!(close(&db, handles[1]), 1);
    assert_eq!(wait(&db, handles[0], LONG), 1);
    assert_eq!(wait(&db, handles[2], LONG), 1);
    handles.iter().for_each(|handle| assert_eq!(close(&db, *handle), 1));
    handles.iter().for_each(|handle| assert_eq!(close(&db, *handle), 1));
}

#[test]
fn unknown_handles_are_closed_ones() {
    let db = Db::new();
    for handle in [0, -1, i64::MAX, i64::MIN] {
        assert_eq!(wait(&db, handle, LONG), -1);
        assert_eq!(close(&db, handle), 1);
    }
}

#[test]
fn closing_ends_a_wait_of_another_thread() {
    let db = Db::new();
    let file = db.file().clone();
    for delay in [0, 1, 5, 20, 100] {
        let handle = open(&db, "'auto'");
        let file = file.clone();
        let waiting = std::thread::spawn(move || wait(&file.connect(), handle, LONG));
        std::thread::sleep(Duration::from_millis(delay));
        assert_eq!(close(&db, handle), 1);
        // A wake for what loading the extension may have committed can come first.
        while !waiting.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!([1, -1].contains(&waiting.join().unwrap()));
        assert_eq!(wait(&db, handle, LONG), -1);
    }
}

#[test]
fn a_connection_that_closes_takes_no_handle_with_it() {
    let db = Db::new();
    let handle = open(&db.file().connect(), "NULL");
    db.run("SELECT notify('c', 'p')");
    assert_eq!(wait(&db, handle, LONG), 1);
    assert_eq!(close(&db, handle), 1);
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let db = Db::new();
    let path = db.file().path();
    let path = path.display();
    for backend in ["'KERNEL'", "' polling '", "'inotify'", "1", "1.5", "x'706f6c6c'"] {
        db.error(&format!("SELECT honker_update_watcher_open('{path}', {backend})"))
            .says(&["unknown watcher backend"]);
    }
    for interval in ["0", "-1", "-9223372036854775808"] {
        db.error(&format!("SELECT honker_update_watcher_open('{path}', NULL, {interval})"))
            .says(&["watcher poll interval must be positive"]);
    }
    db.error("SELECT honker_update_watcher_open(':memory:', NULL)").says(&["in-memory"]);
    db.error("SELECT honker_update_watcher_open('/nowhere/at/all.db', 'kernel')")
        .says(&["watcher_backend probe failed: "]);
    db.run("CREATE VIEW v AS SELECT honker_update_watcher_close(1)");
    db.error("SELECT * FROM v").says(&["unsafe use"]);
}

#[test]
fn a_replaced_file_is_the_end() {
    let db = Db::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("watched.db");
    let create = |path: &std::path::Path| {
        rusqlite::Connection::open(path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    };
    create(&path);
    for backend in ["polling", "auto", "kernel"] {
        let sql = format!("SELECT honker_update_watcher_open('{}', '{backend}')", path.display());
        let handle = db.int(&sql);
        let new = directory.path().join("new.db");
        create(&new);
        std::fs::rename(&new, &path).unwrap();
        while wait(&db, handle, LONG) == 1 {}
        assert_eq!(wait(&db, handle, LONG), -1);
        close(&db, handle);
    }
}
