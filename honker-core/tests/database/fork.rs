//! Forking: what a child inherits is not its own. Each test runs in a process of its own, in which only it forks.

use std::sync::mpsc::channel;

use honker_core::database::{Database, Options, Value};
use honker_core::{Error, Result};

use crate::support::{File, Worker, alone, enqueue, single};

/// Runs `body` in a forked child; whether it was true there. A child that hangs is killed by its alarm.
fn in_child(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs `body` and leaves without running anything of its parent's. As in the programs that fork
    // in earnest, this is only as safe as the C library makes it: glibc's allocator works in the child.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "cannot fork");
        if child == 0 {
            libc::alarm(120);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
            libc::_exit(i32::from(!matches!(outcome, Ok(true))));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert!(!libc::WIFSIGNALED(status), "the child was killed by signal {}", libc::WTERMSIG(status));
        libc::WEXITSTATUS(status) == 0
    }
}

fn is_forked<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(Error::Forked))
}

fn all_forked(database: &Database) -> bool {
    is_forked(enqueue(database, "p"))
        && is_forked(database.get_job(1))
        && is_forked(database.query("SELECT 1", &[]))
        && is_forked(database.begin())
        && is_forked(database.interrupt())
        && is_forked(database.close())
        && is_forked(enqueue(&database.clone(), "p"))
}

const COUNT: &str = "SELECT count(*) FROM _honker_live";

#[test]
fn what_is_inherited_answers_forked_and_the_parent_is_unharmed() {
    alone("fork::what_is_inherited_answers_forked_and_the_parent_is_unharmed", || {
        let file = File::new();
        let database = file.database(&Options::default());
        enqueue(&database, "p").unwrap();
        database.query(COUNT, &[]).unwrap();
        let mut transaction = Some(database.begin().unwrap());
        transaction.as_mut().unwrap().execute("INSERT INTO _honker_locks VALUES ('a', 'b', 1)", &[]).unwrap();
        let mut database = Some(database);
        assert!(in_child(|| {
            let mut open = transaction.take().unwrap();
            let forked = all_forked(database.as_ref().unwrap())
                && is_forked(open.execute("SELECT 1", &[]))
                && is_forked(open.query("SELECT 1", &[]))
                && is_forked(open.get_job(1))
                && is_forked(open.commit());
            drop(database.take());
            forked
        }));
        assert!(in_child(|| {
            drop(database.take());
            is_forked(transaction.take().unwrap().rollback())
        }));
        transaction.unwrap().commit().unwrap();
        let database = database.unwrap();
        enqueue(&database, "p").unwrap();
        assert_eq!(single(database.query(COUNT, &[]).unwrap()), Value::Integer(2));
        assert_eq!(file.count("SELECT count(*) FROM _honker_locks"), 1);
        database.close().unwrap();
        assert!(file.is_intact());
    });
}

/// A child of a child, and a database that was opened between.
#[test]
fn a_grandchild_is_a_child_too() {
    alone("fork::a_grandchild_is_a_child_too", || {
        let file = File::new();
        let database = file.database(&Options::default());
        assert!(in_child(|| {
            let other = File::new();
            let own = other.database(&Options::default());
            in_child(|| all_forked(&database) && all_forked(&own)) && enqueue(&own, "p").is_ok()
        }));
        enqueue(&database, "p").unwrap();
    });
}

#[test]
fn the_child_opens_the_file_for_itself() {
    alone("fork::the_child_opens_the_file_for_itself", || {
        let file = File::new();
        let database = file.database(&Options::default());
        enqueue(&database, "p").unwrap();
        database.query(COUNT, &[]).unwrap();
        for round in 1..=5 {
            assert!(in_child(|| {
                let own = file.database(&Options::default());
                (0..20).all(|_| enqueue(&own, "p").is_ok())
                    && own.query(COUNT, &[]).map(single) == Ok(Value::Integer(round * 21))
                    && own.close().is_ok()
            }));
            enqueue(&database, "p").unwrap();
            assert_eq!(single(database.query(COUNT, &[]).unwrap()), Value::Integer(round * 21 + 1));
        }
        database.close().unwrap();
        assert!(file.is_intact());
        assert_eq!(file.count(COUNT), 106);
    });
}

/// What the parent had locked at the time of the fork is not locked for ever in the child.
#[test]
fn the_child_works_although_another_thread_held_the_writer() {
    alone("fork::the_child_works_although_another_thread_held_the_writer", || {
        let file = File::new();
        let database = file.database(&Options::default());
        let (release, released) = channel::<()>();
        let (entered, is_entered) = channel::<()>();
        let holding = Worker::start({
            let database = database.clone();
            move || {
                let mut transaction = database.begin()?;
                transaction.execute("INSERT INTO _honker_locks VALUES ('a', 'b', 1)", &[])?;
                entered.send(()).unwrap();
                released.recv().unwrap();
                transaction.commit()
            }
        });
        is_entered.recv().unwrap();
        let mut tell = [0; 2];
        // SAFETY: two descriptors are written into an array of two.
        assert_eq!(unsafe { libc::pipe(tell.as_mut_ptr()) }, 0);
        // SAFETY: see `in_child`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: raw system calls.
            unsafe { libc::alarm(120) };
            let forked = all_forked(&database);
            drop(database);
            // Waits until the parent has committed.
            let mut byte = 0u8;
            // SAFETY: one byte is read into a byte.
            unsafe { libc::read(tell[0], (&raw mut byte).cast(), 1) };
            let own = Database::open(&file.path, &Options::default());
            let opened = own.is_ok();
            let worked = own.and_then(|own| {
                let locks = "SELECT count(*) FROM _honker_locks";
                let read = single(own.query(locks, &[])?) == Value::Integer(1);
                enqueue(&own, "p").map(|_| read)
            });
            if !forked || worked != Ok(true) {
                eprintln!("in the child: all forked {forked}, opened {opened}, worked {worked:?}");
            }
            // SAFETY: leaves without running anything of the parent's.
            unsafe { libc::_exit(i32::from(!(forked && worked == Ok(true)))) };
        }
        release.send(()).unwrap();
        holding.join().unwrap();
        // SAFETY: one byte is written.
        assert_eq!(unsafe { libc::write(tell[1], c"x".as_ptr().cast(), 1) }, 1);
        let mut status = 0;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        enqueue(&database, "p").unwrap();
        assert_eq!(status, 0, "the child failed");
        assert_eq!(file.count(COUNT), 2);
        assert!(file.is_intact());
    });
}

/// A writer that was killed has left a log. It is recovered by whoever comes next, also if that one only reads.
#[test]
fn the_log_of_a_killed_writer_is_recovered() {
    alone("fork::the_log_of_a_killed_writer_is_recovered", || {
        let file = File::new();
        drop(file.database(&Options::default()));
        for (round, survivor) in [(1, false), (2, true)] {
            // Somebody may have the file open, and sees it all the same.
            let open = survivor.then(|| file.database(&Options::default()));
            // SAFETY: see `in_child`. The child kills itself in the middle of a transaction.
            unsafe {
                let child = libc::fork();
                if child == 0 {
                    libc::alarm(120);
                    let own = file.database(&Options::default());
                    (0..50).for_each(|_| drop(enqueue(&own, "p")));
                    let mut transaction = own.begin().unwrap();
                    let _ = transaction.execute("DELETE FROM _honker_live", &[]);
                    libc::kill(libc::getpid(), libc::SIGKILL);
                }
                let mut status = 0;
                assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                assert_eq!(libc::WTERMSIG(status), libc::SIGKILL);
            }
            assert!(file.path.with_file_name("app.db-wal").exists());
            let database = open.unwrap_or_else(|| file.database(&Options::default()));
            assert_eq!(single(database.query(COUNT, &[]).unwrap()), Value::Integer(round * 50));
            drop(database.begin().unwrap());
            assert!(file.is_intact());
        }
    });
}

/// The parent closes while the child goes on: what the child then does is not lost.
#[test]
fn the_child_keeps_the_log_that_the_parent_is_done_with() {
    alone("fork::the_child_keeps_the_log_that_the_parent_is_done_with", || {
        let file = File::new();
        let database = file.database(&Options::default());
        enqueue(&database, "p").unwrap();
        database.query(COUNT, &[]).unwrap();
        let mut to_child = [0; 2];
        let mut to_parent = [0; 2];
        // SAFETY: two descriptors are written into arrays of two.
        unsafe {
            assert_eq!(libc::pipe(to_child.as_mut_ptr()), 0);
            assert_eq!(libc::pipe(to_parent.as_mut_ptr()), 0);
        }
        // SAFETY: see `in_child`; the system calls read and write one byte.
        unsafe {
            let child = libc::fork();
            let mut byte = 0u8;
            if child == 0 {
                libc::alarm(120);
                let own = Database::open(&file.path, &Options::default());
                let one = own.as_ref().is_ok_and(|own| enqueue(own, "p").is_ok());
                libc::write(to_parent[1], (&raw const byte).cast(), 1);
                libc::read(to_child[0], (&raw mut byte).cast(), 1);
                let two = own.as_ref().is_ok_and(|own| enqueue(own, "p").is_ok());
                let closed = own.is_ok_and(|own| own.close().is_ok());
                libc::_exit(i32::from(!(one && two && closed)));
            }
            libc::read(to_parent[0], (&raw mut byte).cast(), 1);
            database.close().unwrap();
            libc::write(to_child[1], (&raw const byte).cast(), 1);
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert_eq!(status, 0, "the child failed");
        }
        assert_eq!(file.count(COUNT), 3);
        assert!(file.is_intact());
    });
}
