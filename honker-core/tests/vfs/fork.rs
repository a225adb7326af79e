//! A forked child keeps nobody from writing, and can use the file itself.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::process::{Process, Role, TIMEOUT, argument, descriptors, hear, run, say};
use crate::sqlite::{patiently, safe, system};

pub const ROLES: &[Role] = &[
    ("fork_under_the_lock", under_the_lock),
    ("fork_and_go_on", and_go_on),
    ("fork_from_many_threads", from_many_threads),
    ("fork_inherited", inherited),
];

/// Forks, and runs `body` in the child, which then ends without what usually happens at the end of a process.
fn fork(body: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the child does what any forking server's does; what it may rely on is what is tested.
    match unsafe { libc::fork() } {
        -1 => panic!("cannot fork"),
        0 => {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            // SAFETY: ends this process.
            unsafe { libc::_exit(i32::from(outcome.is_err())) }
        }
        child => child,
    }
}

/// How a child ended, or `None` if it does not within `timeout`; then it is killed.
fn end_within(child: libc::pid_t, timeout: Duration) -> Option<i32> {
    let deadline = Instant::now() + timeout;
    let mut status = 0;
    // SAFETY: it is a child of ours that nobody has waited for yet.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if Instant::now() > deadline {
            // SAFETY: as above.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, &raw mut status, 0);
            }
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(status)
}

fn database() -> PathBuf {
    argument(0).into()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Forks while it holds the write lock, then waits to be killed.
fn under_the_lock() {
    let connection = safe().connect(&database());
    connection.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").unwrap();
    fork(|| {
        // The child says it: now `fork` has returned in it.
        say(std::process::id());
        std::thread::sleep(TIMEOUT);
    });
    hear();
}

#[test]
fn a_child_does_not_keep_the_lock_of_its_killed_parent() {
    for journal in ["WAL", "DELETE"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let mut writer = Process::start("conformance_holder", &["system", text(&path)]);
        writer.tell(&format!("PRAGMA journal_mode = {journal}; CREATE TABLE t(x)"));
        assert_eq!(writer.line(), "ok");
        let mut parent = Process::start("fork_under_the_lock", &[text(&path)]);
        let child: libc::pid_t = parent.line().parse().unwrap();
        writer.tell("INSERT INTO t VALUES (2)");
        assert_eq!(writer.line(), "busy");
        parent.kill();
        writer.tell("INSERT INTO t VALUES (2)");
        let answer = writer.line();
        // SAFETY: it lives until we kill it, so the number is still its own.
        let child_lives = unsafe { libc::kill(child, libc::SIGKILL) } == 0;
        assert!(child_lives);
        assert_eq!(answer, "ok", "{journal}");
    }
}

/// The child opens the file anew, as a preforking server's worker does, while the parent goes on with its connections.
fn and_go_on() {
    for journal in ["WAL", "DELETE"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("db");
        let idle = safe().connect(&path);
        idle.run(&format!("PRAGMA journal_mode = {journal}; CREATE TABLE t(x)")).unwrap();
        let busy = safe().connect(&path);
        for round in 0..3 {
            // A read lock in the first round, the write lock in the second, none in the third.
            busy.run(["BEGIN; SELECT * FROM t", "BEGIN IMMEDIATE", "SELECT 1"][round]).unwrap();
            let child = fork(|| {
                let own = safe().connect(&path);
                own.integer("SELECT count(*) FROM t").unwrap();
                // What the parent holds is not the child's.
                if round == 1 {
                    own.is_busy("BEGIN IMMEDIATE");
                }
                // And the child's locks keep a grandchild out, which has to find the file for itself as well.
                if round == 2 {
                    own.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").unwrap();
                    let grandchild = fork(|| safe().connect(&path).is_busy("BEGIN IMMEDIATE"));
                    assert_eq!(end_within(grandchild, TIMEOUT), Some(0));
                    own.run("COMMIT").unwrap();
                }
            });
            assert_eq!(end_within(child, TIMEOUT), Some(0), "{journal} {round}");
            if round < 2 {
                // The child's opening and closing has not touched the parent's locks.
                if round == 1 {
                    system().connect(&path).is_busy("BEGIN IMMEDIATE");
                }
                busy.run("COMMIT").unwrap();
            }
        }
        assert_eq!(idle.integer("SELECT count(*) FROM t").unwrap(), 1);
        assert_eq!(idle.query("PRAGMA integrity_check").unwrap().unwrap(), "ok");
    }
}

#[test]
fn a_child_can_open_the_file_anew() {
    run("fork_and_go_on", &[]);
}

/// Forks at every possible moment of other threads' work. The children find no mutex locked for ever.
fn from_many_threads() {
    const CHILDREN: i64 = 150;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    safe().connect(&path).run("PRAGMA journal_mode = WAL; CREATE TABLE t(x)").unwrap();
    let stop = &std::sync::atomic::AtomicBool::new(false);
    let path = &path;
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let connection = patiently(|| safe().open(path, crate::sqlite::READ_WRITE)).unwrap();
                    for _ in 0..5 {
                        patiently(|| connection.run("INSERT INTO t VALUES ('parent')")).unwrap();
                    }
                }
            });
        }
        for child in 0..CHILDREN {
            let child = fork(|| {
                let connection = patiently(|| safe().open(path, crate::sqlite::READ_WRITE)).unwrap();
                patiently(|| connection.run(&format!("INSERT INTO t VALUES ({child})"))).unwrap();
            });
            let ended = end_within(child, Duration::from_secs(30));
            if ended != Some(0) {
                eprintln!("a child ended with {ended:?}");
                std::process::exit(1);
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let connection = system().connect(path);
    assert_eq!(connection.integer("SELECT count(*) FROM t WHERE x <> 'parent'").unwrap(), CHILDREN);
    assert_eq!(connection.query("PRAGMA integrity_check").unwrap().unwrap(), "ok");
}

#[test]
fn a_fork_at_any_moment_leaves_a_usable_child() {
    run("fork_from_many_threads", &[]);
}

/// A connection that the child uses against the rules fails. It does not write to whatever has its descriptor now.
fn inherited() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    let connection = safe().connect(&path);
    connection.run("CREATE TABLE t(x)").unwrap();
    let before = descriptors();
    let child = fork(|| {
        assert!(descriptors() <= before);
        let victim = std::fs::File::create(directory.path().join("victim")).unwrap();
        assert!(connection.run("INSERT INTO t VALUES (1)").is_err());
        assert_eq!(victim.metadata().unwrap().len(), 0);
        std::mem::forget(connection);
    });
    assert_eq!(end_within(child, TIMEOUT), Some(0));
    assert_eq!(system().connect(&path).integer("SELECT count(*) FROM t").unwrap(), 0);
}

#[test]
fn an_inherited_connection_does_no_harm() {
    run("fork_inherited", &[]);
}
