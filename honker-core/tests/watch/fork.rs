//! A forked child has the handles, but not the thread.

use honker_core::Error;
use honker_core::watch::{Settings, shared};

use crate::foreign::Foreign;
use crate::support::{File, GUARD, INSERT, alone, settle, wakes, watchers};

/// Runs `body` in a forked child; whether it was true there. A child that hangs is killed by its alarm.
fn in_child(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs `body` and leaves without running anything of its parent's; glibc's allocator works there.
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
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
    }
}

#[test]
fn the_child_is_told_and_the_parent_goes_on() {
    alone("fork::the_child_is_told_and_the_parent_goes_on", || {
        for mode in ["WAL", "DELETE"] {
            let file = File::new(mode);
            let mut foreign = Foreign::on(&file.path);
            let watcher = shared(&file.target(), &Settings::default()).unwrap();
            let mut subscription = Some(watcher.subscribe().unwrap());
            let waker = subscription.as_ref().unwrap().waker();
            let mut watcher = Some(watcher);
            for _ in 0..20 {
                // The watcher's thread may have any of its locks at this moment.
                foreign.tell(INSERT);
                assert!(in_child(|| {
                    let inherited = subscription.take().unwrap();
                    let parents = watcher.take().unwrap();
                    waker.wake();
                    waker.interrupt();
                    waker.close();
                    parents.announce();
                    let told = inherited.wait(None) == Err(Error::Forked)
                        && inherited.descriptor() == Err(Error::Forked)
                        && parents.subscribe().err() == Some(Error::Forked)
                        && !parents.is_alive();
                    drop((inherited, parents));
                    // It can have its own.
                    let own = shared(&file.target(), &Settings::default()).unwrap();
                    let own_subscription = own.subscribe().unwrap();
                    let connection = rusqlite::Connection::open(&file.path).unwrap();
                    connection.busy_timeout(GUARD).unwrap();
                    connection.execute(INSERT, []).unwrap();
                    let woken = own_subscription.wait(Some(GUARD)).is_ok();
                    drop((own, own_subscription));
                    told && woken && watchers() == 0
                }));
                assert_eq!(foreign.line(), "ok");
                let subscription = subscription.as_ref().unwrap();
                settle(watcher.as_ref().unwrap(), subscription);
                foreign.sql(INSERT);
                wakes(subscription);
            }
            drop((subscription, watcher));
            assert_eq!(watchers(), 0);
        }
    });
}
