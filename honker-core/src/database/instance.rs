//! An open database as others see it: whether its process is alive, and what it does for the jobs of those that are not.
//!
//! A database with a worker, or a candidate for the scheduler's lead, is an *instance*: it has a random id, holds a lock in the
//! lock file (`lock_file.rs`), and has a row in `_honker_instances` that says where (`queue/rescue.rs`). Its workers claim as
//! `<their id>@<instance>`.
//!
//! When a process ends, by SIGKILL too, the kernel closes the lock file, tells the others (IN_CLOSE_WRITE), and frees the lock
//! a moment later. A thread of each instance sleeps until that, looks whose lock is free, and gives their jobs, and the lead,
//! back in one commit, which wakes the workers as every commit does. docs/decisions/0023-rescue.md says why it is like this.
//!
//! Invariants:
//! - The lock is taken before the row is committed, and the row is committed before anything is claimed: an instance whose
//!   row is there and whose lock is free is dead. Nobody who is only stopped, or slow, is.
//! - Only the lock file that this instance has open says anything, and only about rows that name it. Whether a row still names
//!   the free lock is asked again in the transaction that gives the jobs back: a living instance may have gone over to another
//!   lock file since, and it frees the old lock only after its row has said so.
//! - A database that is closed while its workers have jobs in hand keeps the lock until the process ends: handlers may be running.
//! - Where there are no such locks, or no file can be made, there is no instance, and the visibility timeout holds.
//!
//! Threads: any; the thread is started with the first worker or candidate, and ends with the database.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::hand::Hands;
use super::lock_file::{Lock, LockFile, hexadecimal, random};
use super::{FileDatabase, Inner};
use crate::bound::ROWS_MAX;
use crate::queue::{self, Instance, Registrant, is_refusal_of_row};
use crate::watch::{QuickTimers, block_signals};
use crate::{Error, Result};

/// How long after an event the locks are looked at again: it comes before the lock is free, and several may have been one.
const LOOKS_AFTER: [Duration; 8] = [
    Duration::from_micros(50),
    Duration::from_micros(150),
    Duration::from_micros(400),
    Duration::from_micros(1_000),
    Duration::from_micros(3_000),
    Duration::from_micros(10_000),
    Duration::from_micros(30_000),
    Duration::from_micros(100_000),
];

/// How often they are looked at without an event.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// That of a database, once it has a worker or a candidate for the lead.
#[derive(Default)]
pub(super) struct OwnInstance {
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    None,
    There {
        shared: Arc<Shared>,
        thread: JoinHandle<()>,
    },
    Closed,
}

struct Shared {
    id: String,
    /// Where its lock is; another one if the file has been replaced.
    /// `None` once the database is closed.
    lock: Mutex<Option<Lock>>,
    /// The row says so.
    is_registered: AtomicBool,
    /// Readable once the thread is to end.
    end: OwnedFd,
}

/// Takes a lock in the lock file of a database.
fn take(database: &str) -> io::Result<Lock> {
    LockFile::open(database)?.lock_any()
}

fn row(lock: &Lock, id: &str) -> Instance {
    Instance { id: id.to_owned(), file_id: lock.file().id().to_owned(), byte: lock.byte() }
}

impl OwnInstance {
    /// Ends the thread. The lock is kept if there are jobs in hand that were claimed as this instance.
    pub(super) fn close(&self, hands: &Hands) {
        let State::There { shared, thread } = std::mem::replace(&mut *self.lock(), State::Closed) else {
            return;
        };
        let _ = rustix::io::write(&shared.end, &1_u64.to_ne_bytes());
        // It may be the one that closes the database: nobody else had it any more.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
        if let Some(held) = lock(&shared.lock).take()
            && hands.any_in_hand_of(&shared.id)
        {
            held.keep();
        }
    }

    /// In a forked child: the thread is not there, and the lock is the parent's.
    pub(super) fn forget(&self) {
        std::mem::forget(std::mem::replace(&mut *self.lock(), State::Closed));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        match &*self.lock() {
            State::There { shared, .. } => Some(Arc::clone(shared)),
            State::None | State::Closed => None,
        }
    }
}

impl FileDatabase {
    /// The id of the instance, which there is from now on; `None`, and a warning, if there can be none.
    pub(crate) fn instance_id(&self) -> Option<String> {
        match self.instance() {
            Ok(shared) => Some(shared.id.clone()),
            Err(error) => {
                self.warnings().warn(format!(
                    "should this process be killed, its jobs come back only when their claims lapse, and the scheduler's lead is \
                     free only when the time of its lock is over: {error}"
                ));
                None
            }
        }
    }

    /// Sees to it that others know of the instance, if there is one. To be called before a worker claims, or a candidate leads.
    pub(crate) fn register_instance(&self) -> Result<()> {
        match self.inner.instance.shared() {
            Some(shared) if !shared.is_registered.load(Ordering::Acquire) => shared.register(self),
            _ => Ok(()),
        }
    }

    fn instance(&self) -> io::Result<Arc<Shared>> {
        let mut state = self.inner.instance.lock();
        match &*state {
            State::There { shared, .. } => return Ok(Arc::clone(shared)),
            State::Closed => return Err(io::Error::other("the database is closed")),
            State::None => {}
        }
        let shared = Arc::new(Shared {
            id: hexadecimal(&random::<16>()?),
            lock: Mutex::new(Some(take(self.path())?)),
            is_registered: AtomicBool::new(false),
            end: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        let thread = Rescuer { shared: Arc::clone(&shared), database: Arc::downgrade(&self.inner) };
        let thread =
            std::thread::Builder::new().name("honker-rescue".to_owned()).spawn(move || thread.run())?;
        *state = State::There { shared: Arc::clone(&shared), thread };
        Ok(shared)
    }
}

impl Shared {
    fn register(&self, database: &FileDatabase) -> Result<()> {
        // Held meanwhile, so that the row never says what a lock that was taken since does not.
        match &*lock(&self.lock) {
            Some(lock) => self.commit(database, lock),
            None => Err(Error::Closed),
        }
    }

    /// What the row has to say, and the file that it is about.
    fn place(&self) -> Result<(Instance, Arc<LockFile>)> {
        match &*lock(&self.lock) {
            Some(lock) => Ok((row(lock, &self.id), Arc::clone(lock.file()))),
            None => Err(Error::Closed),
        }
    }

    fn commit(&self, database: &FileDatabase, lock: &Lock) -> Result<()> {
        let host = rustix::system::uname();
        let registrant =
            Registrant { pid: i64::from(std::process::id()), host: &host.nodename().to_string_lossy() };
        database.instance_register(&row(lock, &self.id), registrant)?;
        self.is_registered.store(true, Ordering::Release);
        Ok(())
    }

    /// Goes over to the lock file that has the name now. The old lock is kept until the row says where the new one is:
    /// others may have the old file open.
    fn renew(&self, database: &FileDatabase) -> Result<()> {
        let mut lock = lock(&self.lock);
        if lock.is_none() {
            return Err(Error::Closed);
        }
        let new = take(database.path()).map_err(|error| Error::system("a lock file", &error))?;
        if self.is_registered.load(Ordering::Acquire) {
            self.commit(database, &new)?;
        }
        *lock = Some(new);
        Ok(())
    }
}

/// The thread.
struct Rescuer {
    shared: Arc<Shared>,
    database: Weak<Inner>,
}

/// Why the thread goes on.
#[derive(PartialEq, Eq)]
enum Reason {
    /// Somebody closed the lock file.
    Event,
    /// The lock file may not be the one any more that has its name.
    Name,
    Time,
    End,
}

impl Rescuer {
    fn run(self) {
        block_signals();
        let _quick = QuickTimers::set();
        let mut watched = None;
        let mut seen_at = Instant::now();
        // At first those are found that died while nobody was there. The looks of an event come after that.
        let mut looks: &[Duration] = &[];
        while self.look_around(looks.is_empty(), &mut watched) {
            let at = match looks.split_first() {
                Some((after, rest)) => {
                    looks = rest;
                    seen_at + *after
                }
                None => Instant::now() + LOOK_EVERY,
            };
            match self.sleep(watched.as_ref(), at.saturating_duration_since(Instant::now())) {
                Reason::End => return,
                // Also while there are looks of an earlier one to come: it may have been another one's.
                Reason::Event => (seen_at, looks) = (Instant::now(), &LOOKS_AFTER),
                Reason::Name => looks = &[],
                Reason::Time => {}
            }
        }
    }

    /// Looks for the dead, and at the lock file if that is wanted; `false` if the database is no more.
    fn look_around(&self, at_file: bool, watched: &mut Option<OwnedFd>) -> bool {
        let Some(inner) = self.database.upgrade() else { return false };
        let database = FileDatabase { inner };
        let file = if at_file { self.see_to_file(&database, watched) } else { Ok(()) };
        match file.and_then(|()| self.look(&database)) {
            Ok(()) => {}
            Err(Error::Closed | Error::Forked) => return false,
            // The next look comes anyway.
            Err(Error::Busy(_) | Error::Interrupted(_)) => {}
            Err(error) => database
                .warnings()
                .warn(format!("jobs of processes that were killed cannot be given back: {error}")),
        }
        true
    }

    /// Sees to it that the lock is in the file that has its name now, and that its events come.
    fn see_to_file(&self, database: &FileDatabase, watched: &mut Option<OwnedFd>) -> Result<()> {
        let (_, file) = self.shared.place()?;
        let is_current = file.is_current();
        if is_current && watched.is_some() {
            return Ok(());
        }
        if !is_current {
            self.shared.renew(database)?;
        }
        let (_, file) = self.shared.place()?;
        // Without events it looks from time to time.
        *watched = watch(file.path()).ok();
        Ok(())
    }

    /// Rescues the jobs of all that are dead, and sees to the own row.
    fn look(&self, database: &FileDatabase) -> Result<()> {
        let (own, file) = self.shared.place()?;
        let was_registered = self.shared.is_registered.load(Ordering::Acquire);
        let mut is_registered = false;
        for instance in database.instances()? {
            if instance.id == own.id {
                is_registered = instance == own;
                continue;
            }
            let failed = |error| Error::system("a lock cannot be looked at", &error);
            if instance.file_id == own.file_id && file.is_free(instance.byte).map_err(failed)? {
                rescue(database, &instance)?;
            }
        }
        if was_registered && !is_registered {
            self.shared.register(database)?;
        }
        Ok(())
    }

    fn sleep(&self, events: Option<&OwnedFd>, time: Duration) -> Reason {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).ok();
            let end = PollFd::new(&self.shared.end, PollFlags::IN);
            let mut ended = match events {
                Some(events) => vec![end, PollFd::from_borrowed_fd(events.as_fd(), PollFlags::IN)],
                None => vec![end],
            };
            if let Err(rustix::io::Errno::INTR) = poll(&mut ended, left.as_ref()) {
                continue;
            }
            let is_raised = |index: usize| {
                ended.get(index).is_some_and(|fd: &PollFd<'_>| fd.revents().intersects(PollFlags::IN))
            };
            return match (is_raised(0), is_raised(1)) {
                (true, _) => Reason::End,
                (false, true) => events.map_or(Reason::Event, drain),
                (false, false) => Reason::Time,
            };
        }
    }
}

/// Reads all events.
fn drain(events: &OwnedFd) -> Reason {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(events, &mut buffer);
    let mut reason = Reason::Event;
    while let Ok(event) = reader.next() {
        if !event.events().contains(inotify::ReadFlags::CLOSE_WRITE) {
            reason = Reason::Name;
        }
    }
    reason
}

fn watch(path: &str) -> rustix::io::Result<OwnedFd> {
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let what = WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
    inotify::add_watch(&events, path, what)?;
    Ok(events)
}

/// Gives back all jobs of an instance that is dead.
fn rescue(database: &FileDatabase, dead: &Instance) -> Result<()> {
    loop {
        let claims = database.instance_claims(&dead.id)?;
        let is_all = (claims.len() as i64) < ROWS_MAX;
        match database.rescue(dead, &claims, is_all) {
            // Those that the file refuses to give back stay until their claims lapse.
            Err(error) if queue::is_refusal_of_row(&error) => {
                let mut refused = None;
                for claim in claims {
                    if let Err(error) = database.rescue(dead, &[claim], false) {
                        if !is_refusal_of_row(&error) {
                            return Err(error);
                        }
                        refused = Some(error);
                    }
                }
                if is_all {
                    database.rescue(dead, &[], true)?;
                }
                return refused.map_or(Ok(()), Err);
            }
            done => drop(done?),
        }
        if is_all {
            return Ok(());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
