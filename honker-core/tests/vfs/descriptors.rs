//! The pool is bounded, and what names a file is its inode.

use std::fs;
use std::path::Path;

use crate::process::{Role, descriptors, run};
use crate::sqlite::{READ_ONLY, READ_WRITE, safe, system};

pub const ROLES: &[Role] = &[
    ("descriptors_cycles", cycles),
    ("descriptors_recreated", recreated),
    ("descriptors_many", many),
    ("descriptors_exhausted", exhausted),
    ("descriptors_standard", standard),
    ("descriptors_names", names),
];

/// Opening and closing one file, with several connections at a time.
fn cycles() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let before = descriptors();
    safe().connect(&path).run("PRAGMA journal_mode = WAL; CREATE TABLE t(x)").unwrap();
    let mut most = 0;
    for cycle in 0..2_500 {
        let flags = [READ_WRITE, READ_ONLY, READ_WRITE, READ_ONLY];
        let connections = flags.map(|flags| safe().open(&path, flags).unwrap());
        for connection in connections.iter().skip(cycle % 4) {
            connection.run("SELECT * FROM t").unwrap();
        }
        most = most.max(descriptors());
    }
    println!("{} descriptors at most, {} before and {} after 10,000 opens", most, before, descriptors());
    // Four connections, their logs, the masters of the two inodes, and the index.
    assert!(most <= before + 12, "{before} descriptors became {most}");
    assert!(descriptors() <= before + 6);
}

/// Files that are deleted, by ourselves or behind our back, or replaced.
fn recreated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let before = descriptors();
    for cycle in 0..1_000 {
        let connection = safe().connect(&path);
        connection.run("PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES (1)").unwrap();
        assert_eq!(connection.integer("SELECT count(*) FROM t").unwrap(), 1);
        match cycle % 3 {
            0 => {
                fs::remove_file(&path).unwrap();
                drop(connection);
            }
            1 => {
                drop(connection);
                fs::remove_file(&path).unwrap();
            }
            _ => {
                drop(connection);
                let new = directory.path().join("new");
                system().connect(&new).run("CREATE TABLE other(x)").unwrap();
                fs::rename(&new, &path).unwrap();
                safe().connect(&path).run("DROP TABLE other").unwrap();
                fs::remove_file(&path).unwrap();
            }
        }
        for left in ["db-wal", "db-shm"] {
            let _ = fs::remove_file(directory.path().join(left));
        }
    }
    println!("{before} descriptors before and {} after 1,000 recreated files", descriptors());
    assert!(descriptors() <= before + 6, "{before} descriptors became {}", descriptors());
}

/// Many files, one after the other, none of which is deleted.
fn many() {
    let directory = tempfile::tempdir().unwrap();
    let before = descriptors();
    for file in 0..1_000 {
        let path = directory.path().join(format!("db{file}"));
        safe().connect(&path).run("CREATE TABLE t(x)").unwrap();
    }
    println!("{before} descriptors before and {} after 1,000 files", descriptors());
    assert!(descriptors() <= before + 2 * 33, "{before} descriptors became {}", descriptors());
    // A lock of the other copy keeps a file from being released, and survives the attempt.
    let path = directory.path().join("held");
    let other = system().connect(&path);
    other.run("CREATE TABLE t(x)").unwrap();
    drop(safe().connect(&path));
    assert_eq!(safe().connect(&path).integer("SELECT count(*) FROM t").unwrap(), 0);
    other.run("BEGIN IMMEDIATE").unwrap();
    for file in 0..100 {
        let path = directory.path().join(format!("db{file}"));
        safe().connect(&path).run("INSERT INTO t VALUES (1)").unwrap();
    }
    safe().connect(&path).is_busy("BEGIN IMMEDIATE");
    other.run("COMMIT").unwrap();
}

fn limit_descriptors(to: usize) {
    let limit = libc::rlimit { rlim_cur: to as libc::rlim_t, rlim_max: 4096 };
    // SAFETY: this only sets a limit of the process.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

/// Idle inodes are given up before anything fails for want of a descriptor; then an open fails, and nothing else.
fn exhausted() {
    let directory = tempfile::tempdir().unwrap();
    let idle = || {
        for file in 0..20 {
            safe()
                .connect(&directory.path().join(format!("db{file}")))
                .run("CREATE TABLE IF NOT EXISTS t(x)")
                .unwrap();
        }
    };
    let path = directory.path().join("db0");
    idle();
    let first = safe().connect(&path);
    // The listing needs one itself.
    let taken = descriptors() - 1;
    limit_descriptors(taken);
    // A journal has to be opened.
    first.run("INSERT INTO t VALUES (1)").unwrap();
    limit_descriptors(4096);
    idle();
    limit_descriptors(taken);
    let mut connections = Vec::new();
    let failure = loop {
        match safe().open(&path, READ_WRITE) {
            Ok(connection) => connections.push(connection),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.code & 0xff, rusqlite::ffi::SQLITE_CANTOPEN, "{failure:?}");
    // The twenty files' descriptors.
    assert!(connections.len() > 20, "{}", connections.len());
    drop(connections);
    limit_descriptors(4096);
    first.run("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(safe().connect(&path).integer("SELECT count(*) FROM t").unwrap(), 2);
}

/// No database ends up on a descriptor that a careless `printf` writes to.
fn standard() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let sqlite = safe();
    let other = system().connect(&path);
    other.run("CREATE TABLE t(x); BEGIN IMMEDIATE").unwrap();
    // SAFETY: they are this process's to close; nothing is printed until it ends.
    unsafe {
        libc::close(0);
        libc::close(2);
    }
    let connection = sqlite.connect(&path);
    // A low descriptor that is given up again would have taken the other copy's lock with it.
    connection.is_busy("BEGIN IMMEDIATE");
    other.run("COMMIT").unwrap();
    drop(other);
    connection.run("PRAGMA journal_mode = WAL; INSERT INTO t VALUES (1)").unwrap();
    for standard in ["0", "2"] {
        assert_eq!(fs::read_link(Path::new("/proc/self/fd").join(standard)).unwrap(), Path::new("/dev/null"));
    }
}

/// Hard links, symbolic links, strange names, files that are not regular.
fn names() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let first = safe().connect(&at("db"));
    first.run("CREATE TABLE t(x)").unwrap();
    fs::hard_link(at("db"), at("hard")).unwrap();
    std::os::unix::fs::symlink(at("db"), at("symbolic")).unwrap();
    for name in ["hard", "symbolic"] {
        let second = safe().connect(&at(name));
        first.run("BEGIN IMMEDIATE").unwrap();
        second.is_busy("BEGIN IMMEDIATE");
        system().connect(&at(name)).is_busy("BEGIN IMMEDIATE");
        first.run("COMMIT").unwrap();
        second.run("INSERT INTO t VALUES (1)").unwrap();
    }
    assert_eq!(first.integer("SELECT count(*) FROM t").unwrap(), 2);
    // The names of journals, without a database that they could be the journal of.
    for name in ["queue-wal", "queue-journal", "queue-shm"] {
        let path = at(name);
        let ours = safe().connect(&path);
        ours.run("CREATE TABLE t(x); BEGIN IMMEDIATE").unwrap();
        drop(safe().connect(&path));
        system().connect(&path).is_busy("BEGIN IMMEDIATE");
        ours.run("COMMIT").unwrap();
        // One description: the last reader unlocks for the first.
        let second = safe().connect(&path);
        ours.run("BEGIN; SELECT * FROM t").unwrap();
        second.run("BEGIN; SELECT * FROM t").unwrap();
        ours.run("COMMIT").unwrap();
        second.run("COMMIT").unwrap();
        system().connect(&path).run("INSERT INTO t VALUES (1)").unwrap();
    }
    assert!(safe().open(directory.path(), READ_WRITE).is_err());
    assert!(safe().open(&at("missing"), READ_ONLY).is_err());
    assert!(!at("missing").exists());
    // A transaction over two files has a super-journal.
    let super_journal = format!(
        "ATTACH '{}' AS two; CREATE TABLE two.t(x); BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO two.t VALUES (1); COMMIT",
        at("two").display()
    );
    first.run(&super_journal).unwrap();
    // Temporary files, and a mapping of the file itself that grows.
    first
        .run("PRAGMA temp_store = FILE; CREATE TEMP TABLE big AS SELECT randomblob(1000) AS b FROM t")
        .unwrap();
    first.run("PRAGMA mmap_size = 10000000").unwrap();
    for _ in 0..8 {
        first
            .run("INSERT INTO t SELECT randomblob(4000) FROM t UNION ALL SELECT randomblob(4000) FROM t")
            .unwrap();
    }
    assert_eq!(first.query("PRAGMA integrity_check").unwrap().unwrap(), "ok");
}

#[test]
fn ten_thousand_opens_leave_a_handful_of_descriptors() {
    run("descriptors_cycles", &[]);
}

#[test]
fn a_thousand_recreated_files_leave_a_handful_of_descriptors() {
    run("descriptors_recreated", &[]);
}

#[test]
fn a_thousand_files_leave_a_bounded_number_of_descriptors() {
    run("descriptors_many", &[]);
}

#[test]
fn idle_files_make_way_when_descriptors_run_out() {
    run("descriptors_exhausted", &[]);
}

#[test]
fn standard_descriptors_are_not_used() {
    run("descriptors_standard", &[]);
}

#[test]
fn every_name_of_a_file_is_the_same_file() {
    run("descriptors_names", &[]);
}
