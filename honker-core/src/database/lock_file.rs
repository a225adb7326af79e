//! The file beside a database in which living processes hold locks: `<file>-honker`.
//!
//! It begins with 16 random bytes, its id: a lock says nothing about another file that had the name. The rest of it is
//! empty, and each lock is one byte far behind. They are open-file-description locks: the kernel frees them when the last
//! descriptor is closed, whatever ends the process.
//!
//! A process opens such a file once, however many of its databases have locks there. The kernel does not show a description
//! its own locks, so those are known here as well.
//!
//! Threads: any.

use std::collections::BTreeSet;
use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::fork::{PerProcess, Private};
use crate::identity::{Identity, identity};

const ID_BYTES: usize = 16;

/// Locks are behind everything that the file will ever hold.
const LOCKS_FROM: i64 = 1 << 20;

/// How often, and how long after each other, the id is asked for while somebody else writes it.
const ID_TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

pub(super) struct LockFile {
    path: String,
    descriptor: Private,
    identity: Identity,
    id: String,
    /// The places of this process's locks.
    own: Mutex<BTreeSet<i64>>,
}

/// A lock of this process's, until it is dropped.
pub(super) struct Lock {
    file: Arc<LockFile>,
    byte: i64,
}

/// The files that this process has open, and the locks that it keeps until it ends.
#[derive(Default)]
struct Files {
    open: Mutex<Vec<Weak<LockFile>>>,
    kept: Mutex<Vec<Lock>>,
}

static FILES: PerProcess<Files> = PerProcess::new();

impl LockFile {
    /// That of a database, made with the owner and the mode of the database if it does not exist.
    pub(super) fn open(database: &str) -> io::Result<Arc<Self>> {
        let path = format!("{database}-honker");
        let mut files = lock(&FILES.get().open);
        files.retain(|file| file.strong_count() > 0);
        if let Some(open) =
            files.iter().filter_map(Weak::upgrade).find(|file| file.path == path && file.is_current())
        {
            return Ok(open);
        }
        let like = std::fs::metadata(database)?;
        let descriptor = Private::open(|| open(&path, &like))?;
        let stat = file(&descriptor)?.metadata()?;
        let id = read_id(&descriptor)?;
        let identity = (stat.dev(), stat.ino());
        let file = Arc::new(LockFile { path, descriptor, identity, id, own: Mutex::default() });
        files.push(Arc::downgrade(&file));
        Ok(file)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// In hexadecimal digits.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether it is still the one of its name.
    pub(super) fn is_current(&self) -> bool {
        identity(&self.path) == Some(self.identity)
    }

    /// Takes the lock of a place that nobody has.
    pub(super) fn lock_any(self: &Arc<Self>) -> io::Result<Lock> {
        loop {
            let byte = LOCKS_FROM + i64::from(u32::from_ne_bytes(random()?));
            // One of its own would be granted again.
            if lock(&self.own).insert(byte) {
                match set(&self.descriptor, libc::F_WRLCK, byte, 1) {
                    Ok(true) => return Ok(Lock { file: Arc::clone(self), byte }),
                    other => {
                        lock(&self.own).remove(&byte);
                        other?;
                    }
                }
            }
        }
    }

    /// Whether nobody has the lock of a place.
    pub(super) fn is_free(&self, byte: i64) -> io::Result<bool> {
        if lock(&self.own).contains(&byte) {
            return Ok(false);
        }
        let mut range = range(libc::F_WRLCK, byte, 1);
        control(&self.descriptor, libc::F_OFD_GETLK, &mut range)?;
        Ok(c_int::from(range.l_type) == libc::F_UNLCK)
    }
}

impl Lock {
    pub(super) fn file(&self) -> &Arc<LockFile> {
        &self.file
    }

    pub(super) fn byte(&self) -> i64 {
        self.byte
    }

    /// Keeps it until the process ends.
    pub(super) fn keep(self) {
        lock(&FILES.get().kept).push(self);
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut own = lock(&self.file.own);
        // It cannot fail for a file that is open. In a forked child it is not, and the lock is the parent's.
        let _ = set(&self.file.descriptor, libc::F_UNLCK, self.byte, 1);
        own.remove(&self.byte);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Random bytes of the kernel's: a forked child must not have the same ones.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the buffer is as long as it says. So few bytes come whole, or not at all.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(bytes) }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn open(path: &str, like: &std::fs::Metadata) -> io::Result<OwnedFd> {
    let mode = like.permissions().mode() & 0o777;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(mode);
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).open(path)?;
    let stat = file.metadata()?;
    if !stat.is_file() {
        return Err(io::Error::other(format!("'{path}' is no regular file")));
    }
    if stat.len() == 0 {
        // As SQLite does for its own files: whoever may use the database may use it, whatever our umask.
        if stat.permissions().mode() & 0o777 != mode {
            file.set_permissions(PermissionsExt::from_mode(mode))?;
        }
        // SAFETY: it takes nothing.
        if unsafe { libc::geteuid() } == 0 {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
    }
    Ok(file.into())
}

/// The file's id, which the first one writes. Those who come at the same time wait for it.
fn read_id(descriptor: &Private) -> io::Result<String> {
    let file = file(descriptor)?;
    let mut bytes = [0; ID_BYTES];
    for _ in 0..ID_TRIES {
        if file.read_exact_at(&mut bytes, 0).is_ok() {
            return Ok(hexadecimal(&bytes));
        }
        if set(descriptor, libc::F_WRLCK, 0, ID_BYTES as i64)? {
            let written = match file.read_exact_at(&mut bytes, 0) {
                Ok(()) => Ok(()),
                Err(_) => random::<ID_BYTES>().and_then(|id| file.write_all_at(&id, 0)),
            };
            set(descriptor, libc::F_UNLCK, 0, ID_BYTES as i64)?;
            written?;
        } else {
            std::thread::sleep(BETWEEN_TRIES);
        }
    }
    Err(io::Error::other("its id cannot be read"))
}

/// The same description, as a file. Its own descriptor is closed again, which drops no lock.
fn file(descriptor: &Private) -> io::Result<File> {
    Ok(descriptor.as_fd().try_clone_to_owned()?.into())
}

/// Locks or unlocks, without waiting; `false` if somebody else has it.
fn set(descriptor: &Private, kind: c_int, start: i64, length: i64) -> io::Result<bool> {
    match control(descriptor, libc::F_OFD_SETLK, &mut range(kind, start, length)) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        done => done.map(|()| true),
    }
}

fn range(kind: c_int, start: i64, length: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}

fn control(descriptor: &Private, command: c_int, range: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the range is what these commands take.
    let answer = unsafe { libc::fcntl(descriptor.as_fd().as_raw_fd(), command, &raw mut *range) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
