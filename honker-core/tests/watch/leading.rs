//! Who watches: one that blocks, and nobody in between; where descriptors are, a thread; and never nobody while somebody
//! waits.

use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use honker_core::watch::{Settings, Subscription, Wake};

use crate::foreign::Foreign;
use crate::support::{
    File, GUARD, INSERT, MODES, QUIET, alone, guarded, is_readable, settle, until, waiting, wakes, watchers,
};

/// Waits for a commit, whatever else ends its waits.
fn until_update(subscription: &Subscription) {
    until("a wake comes", || subscription.wait(Some(GUARD)).unwrap() == Wake::Update);
}

/// The one that leads leaves in every way there is; the others learn of the next commit all the same.
#[test]
fn leadership_is_handed_on() {
    alone("leading::leadership_is_handed_on", || {
        for mode in MODES {
            let file = File::new(mode);
            let mut foreign = Foreign::on(&file.path);
            let watcher = file.watch(&Settings::default());
            for way in 0..4 {
                let leads = watcher.subscribe().unwrap();
                let waker = leads.waker();
                let leader = waiting(move || {
                    let _ = leads.wait(if way == 0 { Some(QUIET) } else { None });
                });
                let others: Vec<_> = (0..5)
                    .map(|_| {
                        let subscription = watcher.subscribe().unwrap();
                        waiting(move || until_update(&subscription))
                    })
                    .collect();
                match way {
                    0 => {}
                    1 => waker.wake(),
                    2 => waker.interrupt(),
                    _ => waker.close(),
                }
                leader.join().unwrap();
                foreign.sql(INSERT);
                others.into_iter().for_each(|thread| thread.join().unwrap());
                assert_eq!(watchers(), 0);
            }
        }
    });
}

/// Waits of all lengths, ended by commits and by time, while others come and go: no commit goes by unseen.
#[test]
fn no_commit_is_missed_while_leaders_change() {
    guarded(|| {
        for mode in ["WAL", "DELETE"] {
            let file = File::new(mode);
            let mut foreign = Foreign::on(&file.path);
            foreign.sql("PRAGMA synchronous = OFF");
            let watcher = file.watch(&Settings::default());
            let (stop, committed) = (AtomicBool::new(false), AtomicI64::new(0));
            let seen: [AtomicI64; 6] = std::array::from_fn(|_| AtomicI64::new(0));
            std::thread::scope(|scope| {
                for (number, seen) in seen.iter().enumerate() {
                    let subscription = watcher.subscribe().unwrap();
                    let (stop, path) = (&stop, &file.path);
                    scope.spawn(move || {
                        let reader = rusqlite::Connection::open(path).unwrap();
                        reader.busy_timeout(GUARD).unwrap();
                        let time = Duration::from_micros(1 << (2 * number + 3));
                        while !stop.load(Ordering::Relaxed) {
                            if subscription.wait(Some(time)).unwrap() == Wake::Update {
                                let count =
                                    reader.query_row("SELECT count(*) FROM row", [], |row| row.get(0));
                                seen.store(count.unwrap(), Ordering::Relaxed);
                            }
                        }
                    });
                }
                for _ in 0..200 {
                    foreign.sql(INSERT);
                    let last = committed.fetch_add(1, Ordering::Relaxed) + 1;
                    until("all have seen it", || {
                        seen.iter().all(|seen| seen.load(Ordering::Relaxed) >= last)
                    });
                }
                stop.store(true, Ordering::Relaxed);
            });
        }
    });
}

/// Three hundred that wait cost the file as many looks as one does.
#[test]
fn many_waiters_look_once() {
    const COMMITS: u64 = 40;
    let looks = |waiters: usize| {
        let file = File::new("WAL");
        let mut foreign = Foreign::on(&file.path);
        let watcher = file.watch(&Settings::default());
        let stop = Arc::new(AtomicBool::new(false));
        let subscriptions: Vec<_> = (0..waiters).map(|_| watcher.subscribe().unwrap()).collect();
        let wakers: Vec<_> = subscriptions.iter().map(Subscription::waker).collect();
        let threads: Vec<_> = subscriptions
            .into_iter()
            .map(|subscription| {
                let stop = Arc::clone(&stop);
                waiting(move || {
                    while !stop.load(Ordering::Relaxed) {
                        subscription.wait(None).unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..COMMITS {
            foreign.sql(INSERT);
            std::thread::sleep(Duration::from_millis(20));
        }
        let looks = watcher.statistics().looks;
        stop.store(true, Ordering::Relaxed);
        wakers.iter().for_each(honker_core::watch::Waker::wake);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        looks
    };
    let (alone, together) = (looks(1), looks(300));
    assert!(together < alone * 5 + 300, "{alone} looks became {together}");
}

/// An epoll set that contains a descriptor, edge-triggered, as in the loops of tokio and Go.
struct Nested(OwnedFd);

impl Nested {
    fn new(descriptor: RawFd) -> Self {
        // SAFETY: makes a descriptor, which is ours, and adds one that is open to it.
        unsafe {
            let inner = OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC));
            let mut event =
                libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET).cast_unsigned(), u64: 0 };
            let number = std::os::fd::AsRawFd::as_raw_fd(&inner.as_fd());
            assert_eq!(libc::epoll_ctl(number, libc::EPOLL_CTL_ADD, descriptor, &raw mut event), 0);
            Nested(inner)
        }
    }

    /// Whether it becomes readable in time.
    fn wait(&self, time: Duration) -> bool {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        let time = i32::try_from(time.as_millis()).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&self.0);
        // SAFETY: room for one event.
        unsafe { libc::epoll_wait(number, &raw mut event, 1, time) == 1 }
    }
}

/// Takes until there is nothing; whether there was anything.
fn drain(subscription: &Subscription) -> bool {
    let mut any = false;
    while subscription.wait(Some(Duration::ZERO)).unwrap() == Wake::Update {
        any = true;
    }
    any
}

/// The descriptor of the only subscription: no thread runs, and an event loop learns of every commit, level- or
/// edge-triggered.
#[test]
fn a_descriptor_that_is_alone_needs_no_thread() {
    alone("leading::a_descriptor_that_is_alone_needs_no_thread", || {
        for mode in MODES {
            for edge in [false, true] {
                let file = File::new(mode);
                let mut foreign = Foreign::on(&file.path);
                let watcher = file.watch(&Settings::default());
                let subscription = watcher.subscribe().unwrap();
                let descriptor = subscription.descriptor().unwrap();
                let nested = Nested::new(descriptor);
                for _ in 0..20 {
                    foreign.sql(INSERT);
                    until("the loop finds it", || {
                        let ready =
                            if edge { nested.wait(Duration::from_secs(5)) } else { is_readable(descriptor) };
                        ready && drain(&subscription)
                    });
                }
                assert_eq!(watchers(), 0);
                assert_eq!(watcher.statistics().unannounced, 0, "events did not come through");
            }
        }
    });
}

/// With nothing to do it becomes readable now and then, but does not keep a loop busy.
#[test]
fn a_descriptor_that_is_alone_lets_the_loop_sleep() {
    let file = File::new("WAL");
    let mut foreign = Foreign::on(&file.path);
    let watcher = file.watch(&Settings::default());
    let subscription = watcher.subscribe().unwrap();
    let nested = Nested::new(subscription.descriptor().unwrap());
    foreign.sql(INSERT);
    let began = std::time::Instant::now();
    let mut turns = 0;
    while began.elapsed() < Duration::from_secs(2) {
        if nested.wait(Duration::from_millis(100)) {
            drain(&subscription);
            turns += 1;
        }
    }
    assert!(turns < 600, "{turns} turns of the loop in two seconds");
}

/// A second subscription, with or without a descriptor, takes the events to a thread or gives them back, and nothing is
/// lost on the way.
#[test]
fn the_events_move() {
    alone("leading::the_events_move", || {
        for mode in ["WAL", "DELETE"] {
            let file = File::new(mode);
            let mut foreign = Foreign::on(&file.path);
            let watcher = file.watch(&Settings::default());
            let first = watcher.subscribe().unwrap();
            let descriptor = first.descriptor().unwrap();
            let learns = |foreign: &mut Foreign| {
                foreign.sql(INSERT);
                until("the loop finds it", || is_readable(descriptor) && drain(&first));
            };
            for round in 0..3 {
                learns(&mut foreign);
                assert_eq!(watchers(), 0);
                let second = watcher.subscribe().unwrap();
                if round == 1 {
                    second.descriptor().unwrap();
                }
                learns(&mut foreign);
                until("the thread has its name", || watchers() == 1);
                wakes(&second);
                let blocked = (round == 2).then(|| waiting(move || until_update(&second)));
                learns(&mut foreign);
                if let Some(blocked) = blocked {
                    blocked.join().unwrap();
                }
                learns(&mut foreign);
                until("the thread ends", || {
                    drain(&first);
                    watchers() == 0
                });
            }
            learns(&mut foreign);
            settle(&watcher, &first);
        }
    });
}

/// One that only takes, and never blocks or has a descriptor, sees what was committed before it asks.
#[test]
fn asking_is_looking() {
    for mode in MODES {
        let file = File::new(mode);
        let mut foreign = Foreign::on(&file.path);
        let watcher = file.watch(&Settings::default());
        let subscription = watcher.subscribe().unwrap();
        for _ in 0..20 {
            assert_eq!(subscription.wait(Some(Duration::ZERO)), Ok(Wake::Timeout));
            foreign.sql(INSERT);
            assert_eq!(subscription.wait(Some(Duration::ZERO)), Ok(Wake::Update));
        }
    }
}
