//! Neither copy's opening and closing takes the other's locks away.

use std::path::{Path, PathBuf};

use crate::process::{self, Process, Role, argument, hear, run, say};
use crate::sqlite::{READ_ONLY, READ_WRITE, Sqlite, safe, system};

pub const ROLES: &[Role] = &[
    ("locks_survive", locks_survive),
    ("locks_probe", probe),
    ("locks_leave_with_the_last", leave_with_the_last),
    ("locks_block_in_process", block_in_process),
    ("locks_read_only_releases", read_only_releases),
];

const RESERVED_BYTE: i64 = 0x4000_0001;
/// The first byte of a `-shm` file's locks is the write lock; 128 is the "dead man's switch".
const SHM_WRITE: i64 = 120;
const SHM_IN_USE: i64 = 128;

/// Looks, as another process, whether anybody has a lock on a byte of a file.
fn probe() {
    use std::os::fd::AsRawFd;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(argument(0)).unwrap();
    // SAFETY: all zeroes is a valid `flock`.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = libc::F_WRLCK as i16;
    range.l_start = argument(1).parse().unwrap();
    range.l_len = 1;
    // SAFETY: the descriptor is open and the range is a `flock`.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut range) }, 0);
    say(i32::from(range.l_type) != libc::F_UNLCK);
}

fn is_locked(path: &Path, byte: i64) -> bool {
    let mut process = Process::start("locks_probe", &[path.to_str().unwrap(), &byte.to_string()]);
    let locked = process.line() == "true";
    process.ends_well();
    locked
}

fn shm(path: &Path) -> PathBuf {
    path.with_file_name("db-shm")
}

fn both() -> [&'static Sqlite; 2] {
    [safe(), system()]
}

/// One copy holds the write lock; the other comes and goes, in every way there is.
fn locks_survive() {
    for (journal, file, byte) in [("DELETE", "db", RESERVED_BYTE), ("WAL", "db-shm", SHM_WRITE)] {
        for ours_holds in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("db");
            let mut copies = both();
            if !ours_holds {
                copies.reverse();
            }
            let [holder, visitor] = copies;
            let connection = holder.connect(&path);
            connection.run(&format!("PRAGMA journal_mode = {journal}; CREATE TABLE t(x)")).unwrap();
            // Seen before, so that the visitor has descriptors to close when it leaves for the last time.
            let visit = |flags| {
                let visitor = visitor.open(&path, flags).unwrap();
                assert_eq!(visitor.integer("SELECT count(*) FROM t").unwrap(), 0);
            };
            visit(READ_WRITE);
            connection.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").unwrap();
            let file = directory.path().join(file);
            assert!(is_locked(&file, byte));
            for flags in [READ_WRITE, READ_ONLY, READ_WRITE] {
                visit(flags);
                assert!(is_locked(&file, byte), "{journal}, lost by ours: {ours_holds}");
                visitor.connect(&path).is_busy("BEGIN IMMEDIATE");
                assert!(is_locked(&file, byte), "{journal}, lost by ours: {ours_holds}");
            }
            connection.run("COMMIT").unwrap();
            assert!(!is_locked(&file, byte));
            visitor.connect(&path).run("INSERT INTO t VALUES (2)").unwrap();
            assert_eq!(connection.integer("SELECT count(*) FROM t").unwrap(), 2);
        }
    }
}

#[test]
fn locks_survive_the_other_copy() {
    run("locks_survive", &[]);
}

/// The pool keeps descriptors, but no locks: what SQLite leaves to `close` to unlock is unlocked.
fn leave_with_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let other = system().connect(&path);
    other.run("PRAGMA journal_mode = WAL; CREATE TABLE t(x)").unwrap();
    // Keeps `-shm` in existence, without a lock on it that the probe would see: that is another process's business.
    drop(other);
    let mut keeper = Process::start("conformance_holder", &["system", path.to_str().unwrap()]);
    keeper.tell("SELECT count(*) FROM t");
    assert_eq!(keeper.line(), "ok");
    let ours = [safe().connect(&path), safe().connect(&path)];
    for connection in &ours {
        connection.run("INSERT INTO t VALUES (1)").unwrap();
    }
    drop(ours);
    assert!(shm(&path).exists());
    keeper.kill();
    assert!(!is_locked(&shm(&path), SHM_IN_USE), "a lock on -shm is left behind");
    for byte in [RESERVED_BYTE - 1, RESERVED_BYTE, RESERVED_BYTE + 1] {
        assert!(!is_locked(&path, byte));
    }
    // Nobody uses it any more, so the write-ahead log can be given up.
    assert_eq!(system().connect(&path).query("PRAGMA journal_mode = DELETE").unwrap().unwrap(), "delete");
}

#[test]
fn no_lock_outlives_the_last_connection() {
    run("locks_leave_with_the_last", &[]);
}

/// Each copy sees the other's locks although they are in one process.
fn block_in_process() {
    for journal in ["DELETE", "WAL"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let [ours, other] = both().map(|sqlite| sqlite.connect(&path));
        ours.run(&format!("PRAGMA journal_mode = {journal}; CREATE TABLE t(x)")).unwrap();
        for [first, second] in [[&ours, &other], [&other, &ours]] {
            first.run("BEGIN IMMEDIATE").unwrap();
            second.is_busy("BEGIN IMMEDIATE");
            first.run("COMMIT; BEGIN EXCLUSIVE").unwrap();
            second.is_busy("BEGIN IMMEDIATE");
            if journal == "DELETE" {
                second.is_busy("SELECT * FROM t");
            }
            first.run("COMMIT").unwrap();
            second.run("INSERT INTO t VALUES (1)").unwrap();
            // A reader keeps the exclusive lock away, and with it a checkpoint.
            first.run("BEGIN; SELECT * FROM t").unwrap();
            if journal == "DELETE" {
                second.is_busy("INSERT INTO t VALUES (2)");
            } else {
                second.run("INSERT INTO t VALUES (2)").unwrap();
                assert_eq!(second.integer("PRAGMA wal_checkpoint(TRUNCATE)").unwrap_or(1), 1);
            }
            first.run("COMMIT").unwrap();
        }
    }
}

#[test]
fn the_copies_block_each_other() {
    run("locks_block_in_process", &[]);
}

/// A read-only connection and a read-write one share a description: the last to leave unlocks for both.
fn read_only_releases() {
    for read_only_first in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        system().connect(&path).run("CREATE TABLE t(x); INSERT INTO t VALUES (1)").unwrap();
        let mut flags = [READ_ONLY, READ_WRITE];
        if !read_only_first {
            flags.reverse();
        }
        let [first, last] = flags.map(|flags| safe().open(&path, flags).unwrap());
        first.run("BEGIN; SELECT * FROM t").unwrap();
        last.run("BEGIN; SELECT * FROM t").unwrap();
        first.run("COMMIT").unwrap();
        assert!(is_locked(&path, RESERVED_BYTE + 1));
        last.run("COMMIT").unwrap();
        assert!(!is_locked(&path, RESERVED_BYTE + 1), "a shared lock has leaked");
        drop(first);
        drop(last);
        let reader = safe().open(&path, READ_ONLY).unwrap();
        let writer = safe().connect(&path);
        writer.run("INSERT INTO t VALUES (2)").unwrap();
        assert_eq!(reader.integer("SELECT count(*) FROM t").unwrap(), 2);
        let refused = reader.run("INSERT INTO t VALUES (3)").unwrap_err();
        assert_eq!(refused.code & 0xff, rusqlite::ffi::SQLITE_READONLY);
        system().connect(&path).run("INSERT INTO t VALUES (3)").unwrap();
    }
}

#[test]
fn a_read_only_connection_leaks_no_lock() {
    run("locks_read_only_releases", &[]);
}

/// Runs what it is told on one connection, and answers `ok`, `busy` or what went wrong. Also for [`crate::conformance`].
pub fn holder() {
    let sqlite = if argument(0) == "safe" { safe() } else { system() };
    let connection = sqlite.connect(Path::new(&argument(1)));
    loop {
        let sql = hear();
        if sql.is_empty() {
            return;
        }
        match connection.run(&sql) {
            Ok(()) => process::say("ok"),
            Err(failure) if failure.is_busy() => process::say("busy"),
            Err(failure) => process::say(format!("{failure:?}")),
        }
    }
}
