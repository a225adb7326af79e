//! The inodes SQLite has, or had, open: for each one open file description, and the descriptors made from it.
//!
//! Invariants: an inode that is registered has exactly one description through which SQLite locks, its *master*. What
//! SQLite has is *lent*, what it has closed is *pooled*, and each of these is a duplicate of the master. None of them is
//! closed before [`Inodes::release`] has made sure that the process has no lock on the file for the kernel to drop.
//! While an inode is registered the master keeps it in existence, so its number cannot come to mean another file.
//!
//! The number of descriptors is bounded: per inode by the most that SQLite had open at a time, plus the master; and
//! idle inodes are released when their last name is gone, or there are more than [`IDLE_MAX`] of them, or descriptors
//! run out.
//!
//! Threads: one mutex around everything, also against `fork` (see [`super::fork`]).

use std::collections::BTreeMap;
use std::ffi::{CStr, c_int};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::system::{self, Errno};

/// How many inodes that SQLite has closed are kept. They are kept at all because releasing one takes its exclusive lock
/// for a moment, in which somebody else may see BUSY. It must not happen at every close.
const IDLE_MAX: usize = 32;

/// How many of those are tried, each time there are more, in case others have locks on them.
const RELEASES_MAX: usize = 4;

/// What identifies an inode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    device: libc::dev_t,
    number: libc::ino_t,
}

impl Id {
    fn of(stat: &libc::stat) -> Self {
        Id { device: stat.st_dev, number: stat.st_ino }
    }
}

/// A registered inode.
struct Inode {
    master: c_int,
    /// The master can be written to.
    writable: bool,
    /// How many descriptors SQLite has.
    lent: usize,
    /// Duplicates of the master that SQLite has closed.
    pool: Vec<c_int>,
    /// Descriptors of other descriptions. Nobody uses them; to close them would drop the other copy's locks.
    surplus: Vec<c_int>,
    /// When it was last used, on the clock of [`Inodes`].
    used: u64,
}

impl Inode {
    fn has_no_name(&self) -> bool {
        system::stat_open(self.master).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Closes everything SQLite does not have, the master last: it holds the lock under which the others are closed.
    /// Async-signal-safe.
    fn close_all(&self) {
        for &descriptor in self.surplus.iter().chain(&self.pool).chain([&self.master]) {
            system::close(descriptor);
        }
    }
}

/// All registered inodes.
pub(super) struct Inodes {
    inodes: BTreeMap<Id, Inode>,
    /// Which inode each descriptor that SQLite has belongs to.
    lent: BTreeMap<c_int, Id>,
    clock: u64,
}

static INODES: Mutex<Inodes> =
    Mutex::new(Inodes { inodes: BTreeMap::new(), lent: BTreeMap::new(), clock: 0 });

/// The registry, for the caller alone.
pub(super) fn lock() -> MutexGuard<'static, Inodes> {
    // Nothing panics while holding it; if it did, refusing to work afterwards would not help anybody.
    INODES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inodes {
    /// As `open`, for a file that SQLite may take locks on.
    pub(super) fn open(&mut self, path: &CStr, flags: c_int, mode: c_int) -> Result<c_int, Errno> {
        let write = flags & libc::O_ACCMODE != libc::O_RDONLY;
        // An error is no answer yet: the file may be about to be created, and `open` knows best what is wrong.
        if let Ok(stat) = system::stat(path, flags & libc::O_NOFOLLOW == 0) {
            if !system::is_regular(&stat) {
                return system::open(path, flags, mode);
            }
            let id = Id::of(&stat);
            if let Some(inode) = self.inodes.get(&id) {
                // The master may have been opened when the process could do more, or the file allowed more.
                system::may_open(path, write)?;
                if inode.writable || !write {
                    return self.lend(id);
                }
                if inode.lent > 0 {
                    // By now it could be written to. But its users hold their locks through a description that cannot
                    // be, and a second one would conflict with them. SQLite tries again read-only.
                    return Err(Errno(libc::EACCES));
                }
            }
        }
        let (descriptor, writable) = open_master(path, flags, mode)?;
        let stat = match system::stat_open(descriptor) {
            Ok(stat) if system::is_regular(&stat) => stat,
            Ok(_) => return Ok(descriptor),
            Err(error) => {
                system::close(descriptor);
                return Err(error);
            }
        };
        // Files that others have deleted or replaced are found out about here at the latest.
        self.release_idle(Inode::has_no_name);
        let id = Id::of(&stat);
        self.adopt(id, descriptor, writable);
        if write && !self.inodes.get(&id).is_some_and(|inode| inode.writable) {
            return Err(Errno(libc::EACCES));
        }
        self.lend(id)
    }

    /// Enters a new description. That of an inode which has one already does not come into use, unless nobody uses the
    /// old one and only the new one can be written to.
    fn adopt(&mut self, id: Id, descriptor: c_int, writable: bool) {
        self.clock += 1;
        let new = Inode {
            master: descriptor,
            writable,
            lent: 0,
            pool: Vec::new(),
            surplus: Vec::new(),
            used: self.clock,
        };
        let inode = self.inodes.entry(id).or_insert(new);
        if inode.master == descriptor {
            return;
        }
        if inode.lent == 0 && writable && !inode.writable {
            inode.surplus.append(&mut inode.pool);
            inode.surplus.push(inode.master);
            inode.master = descriptor;
            inode.writable = true;
        } else {
            inode.surplus.push(descriptor);
        }
    }

    fn lend(&mut self, id: Id) -> Result<c_int, Errno> {
        let Some(inode) = self.inodes.get_mut(&id) else {
            return Err(Errno(libc::ENOENT));
        };
        let descriptor = match inode.pool.pop() {
            Some(descriptor) => descriptor,
            None => system::duplicate(inode.master)?,
        };
        inode.lent += 1;
        self.lent.insert(descriptor, id);
        Ok(descriptor)
    }

    /// Takes back a descriptor that SQLite closes. `false` if it is none of ours.
    pub(super) fn close(&mut self, descriptor: c_int) -> bool {
        let Some(id) = self.lent.remove(&descriptor) else {
            return false;
        };
        let Some(inode) = self.inodes.get_mut(&id) else {
            return false;
        };
        inode.pool.push(descriptor);
        inode.lent -= 1;
        if inode.lent > 0 {
            return true;
        }
        // What a real `close` would have done, and SQLite counts on. It cannot fail on a file that can be locked.
        let _ = system::lock_whole_file(inode.master, libc::F_UNLCK);
        self.clock += 1;
        inode.used = self.clock;
        if inode.has_no_name() {
            self.release(id);
        }
        self.release_surplus_idle();
        true
    }

    /// Gives up what can be, when descriptors have run out; whether there was anything.
    pub(super) fn make_room(&mut self) -> bool {
        self.release_idle(|_| true)
    }

    /// Releases the inodes that SQLite does not use and `which` is true of; whether there were any.
    fn release_idle(&mut self, which: impl Fn(&Inode) -> bool) -> bool {
        let idle = self.inodes.iter().filter(|(_, inode)| inode.lent == 0 && which(inode));
        let ids: Vec<Id> = idle.map(|(id, _)| *id).collect();
        ids.into_iter().filter(|id| self.release(*id)).count() > 0
    }

    /// Keeps the number of idle inodes down to what is allowed.
    fn release_surplus_idle(&mut self) {
        for _ in 0..RELEASES_MAX {
            let idle = self.inodes.iter().filter(|(_, inode)| inode.lent == 0);
            if idle.clone().count() <= IDLE_MAX {
                return;
            }
            let Some(id) = idle.min_by_key(|(_, inode)| inode.used).map(|(id, _)| *id) else {
                return;
            };
            if !self.release(id)
                && let Some(inode) = self.inodes.get_mut(&id)
            {
                // Somebody has a lock on it: the others first, next time.
                self.clock += 1;
                inode.used = self.clock;
            }
        }
    }

    /// Closes all descriptors of an inode that SQLite does not use, if the other copy has no lock for that to drop.
    fn release(&mut self, id: Id) -> bool {
        let Some(inode) = self.inodes.get(&id).filter(|inode| inode.lent == 0) else {
            return false;
        };
        let nobody_locks = if inode.writable {
            // Having this lock means that nobody has any, and until the master is closed nobody gets one.
            system::lock_whole_file(inode.master, libc::F_WRLCK).is_ok()
        } else {
            // Such a lock needs write permission. Without it there is a gap between looking and closing, which is
            // acceptable only where no new user can come by the file.
            inode.has_no_name() && system::is_unlocked(inode.master) == Ok(true)
        };
        if nobody_locks {
            inode.close_all();
            self.inodes.remove(&id);
        }
        nobody_locks
    }

    /// Gives everything up, in a forked child: closes all descriptors and forgets the inodes. Async-signal-safe.
    ///
    /// The numbers that SQLite has stay taken, by something that can be neither read, written nor locked: a connection
    /// that the child inherited, and uses against the rules, gets an error instead of a file that came by its number.
    pub(super) fn abandon(&mut self) {
        let placeholder = system::open(c"/", libc::O_PATH | libc::O_CLOEXEC, 0);
        for &descriptor in self.lent.keys() {
            if placeholder.and_then(|placeholder| system::replace(descriptor, placeholder)).is_err() {
                system::close(descriptor);
            }
        }
        for inode in self.inodes.values() {
            inode.close_all();
        }
        if let Ok(placeholder) = placeholder {
            system::close(placeholder);
        }
        // Leaked: freeing memory is not async-signal-safe.
        std::mem::forget(std::mem::take(&mut self.inodes));
        std::mem::forget(std::mem::take(&mut self.lent));
    }
}

/// Opens a file, read-write if it may be; whether it is.
fn open_master(path: &CStr, flags: c_int, mode: c_int) -> Result<(c_int, bool), Errno> {
    if flags & libc::O_ACCMODE != libc::O_RDONLY {
        return Ok((system::open_above_standard(path, flags, mode)?, true));
    }
    match system::open_above_standard(path, flags & !libc::O_ACCMODE | libc::O_RDWR, mode) {
        Ok(descriptor) => Ok((descriptor, true)),
        Err(error) if error.is_refusal() => Ok((system::open_above_standard(path, flags, mode)?, false)),
        Err(error) => Err(error),
    }
}
