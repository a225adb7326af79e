//! One watcher for a file and a process, and nothing of it that harms the file's other users.

use std::sync::Arc;

use honker_core::watch::{Backend, Settings, Target, shared};

use crate::foreign::Foreign;
use crate::support::{
    File, INSERT, THREADED, alone, descriptors, died, everywhere_in_turn, until, wakes, watchers, way,
};

#[test]
fn one_file_has_one_watcher_by_all_its_names() {
    alone("sharing::one_file_has_one_watcher_by_all_its_names", || {
        let file = File::new("WAL");
        let link = file.directory.path().join("link.db");
        std::os::unix::fs::symlink(&file.path, &link).unwrap();
        std::env::set_current_dir(file.directory.path()).unwrap();
        let names = [
            file.path.to_str().unwrap().to_owned(),
            link.to_str().unwrap().to_owned(),
            "app.db".to_owned(),
            "./app.db".to_owned(),
            format!("{}/../{}/app.db", file.directory.path().display(), name(file.directory.path())),
            format!("file:{}", file.path.display()),
        ];
        let all: Vec<_> = names.iter().map(|name| shared(&Target::new(name), &THREADED).unwrap()).collect();
        assert!(all.iter().all(|watcher| Arc::ptr_eq(watcher, &all[0])));
        until("the thread has its name", || watchers() == 1);
        // Watched in another way, it is another watcher.
        let other = shared(&file.target(), &way(Backend::Polling)).unwrap();
        assert!(!Arc::ptr_eq(&other, &all[0]));
        drop((all, other));
        assert_eq!(watchers(), 0);
    });
}

fn name(path: &std::path::Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn a_dead_one_is_not_shared() {
    let file = File::new("WAL");
    let first = shared(&file.target(), &Settings::default()).unwrap();
    let subscription = first.subscribe().unwrap();
    let aside = file.directory.path().join("aside.db");
    let other = file.directory.path().join("other.db");
    crate::support::create(&other, "DELETE");
    std::fs::rename(&file.path, &aside).unwrap();
    std::fs::rename(&other, &file.path).unwrap();
    until("it is dead", || subscription.wait(Some(crate::support::GUARD)).is_err());
    // The first file again: it can be watched, but not by the one that is dead.
    std::fs::rename(&aside, &file.path).unwrap();
    died(first.subscribe().map(|_| ()));
    let second = shared(&file.target(), &Settings::default()).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    let subscription = second.subscribe().unwrap();
    Foreign::on(&file.path).sql(INSERT);
    wakes(&subscription);
}

/// A Python that tells whether anybody has a lock on a byte of a file.
const PROBE: &str = r#"
import fcntl, struct, sys
with open(sys.argv[1], "r+b") as file:
    want = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, int(sys.argv[2]), 1, 0)
    kind = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, want))[0]
    print("free" if kind == fcntl.F_UNLCK else "locked", flush=True)
    sys.stdin.read()
"#;

fn probe(path: &std::path::Path, byte: i64) -> String {
    Foreign::run(PROBE, &[path.to_str().unwrap(), &byte.to_string()]).line()
}

/// Closing any descriptor of a file drops all POSIX locks that the process has on it. So the locks of a copy of SQLite
/// that has them still are there after everything that a watcher does in its life. `alone` because the test has that copy
/// in its process: the bundled one, with its locks as they are without `vfs::install`.
#[test]
fn locks_outlive_watchers() {
    const RESERVED: i64 = 0x4000_0001;
    const SHM_WRITE: i64 = 120;
    for stock in [true, false] {
        if stock && crate::support::is_alone() {
            // SAFETY: this process has one thread that looks at its environment, this one.
            unsafe { std::env::set_var("HONKER_LOCK_SAFE_FILES", "off") };
        } else if !crate::support::is_alone() && !stock {
            continue;
        }
        alone("sharing::locks_outlive_watchers", || {
            honker_core::vfs::install();
            for (mode, suffix, byte) in [("WAL", "-shm", SHM_WRITE), ("DELETE", "", RESERVED)] {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("app.db");
                crate::support::create(&path, mode);
                let locked = directory.path().join(format!("app.db{suffix}"));
                let connection = rusqlite::Connection::open(&path).unwrap();
                for backend in [Backend::Auto, Backend::Kernel, Backend::Polling, Backend::Shm] {
                    if backend == Backend::Shm && mode != "WAL" {
                        continue;
                    }
                    connection.execute_batch(&format!("BEGIN IMMEDIATE; {INSERT}")).unwrap();
                    assert_eq!(probe(&locked, byte), "locked");
                    let target = Target::new(path.to_str().unwrap());
                    let watcher = shared(&target, &way(backend)).unwrap();
                    let subscription = watcher.subscribe().unwrap();
                    std::thread::sleep(crate::support::QUIET);
                    assert_eq!(probe(&locked, byte), "locked", "{mode}, {backend:?}, watching");
                    drop((subscription, watcher));
                    assert_eq!(watchers(), 0);
                    assert_eq!(probe(&locked, byte), "locked", "{mode}, {backend:?}, ended");
                    connection.execute_batch("COMMIT").unwrap();
                    assert_eq!(probe(&locked, byte), "free");
                }
            }
        });
    }
}

/// While it lives a watcher has its connection, one descriptor for events and one to be stopped by; then nothing.
#[test]
fn nothing_is_left_open() {
    if crate::support::is_alone() {
        let before = descriptors();
        everywhere_in_turn(|file, foreign, settings| {
            for _ in 0..3 {
                let subscription = file.watch(settings).subscribe().unwrap();
                foreign.sql(INSERT);
                wakes(&subscription);
                drop(subscription);
                assert_eq!(watchers(), 0);
                let mut left = descriptors();
                left.retain(|name| !name.starts_with("pipe:"));
                assert!(left.len() <= before.len(), "{left:?}");
            }
        });
    }
    alone("sharing::nothing_is_left_open", || {});
}
