//! Whether something was committed: a look at a counter that every commit moves.
//!
//! In WAL mode it is the header of the wal-index, looked at in SQLite's own mapping of the `-shm` file (some
//! nanoseconds, no system call, no descriptor of our own). All 48 bytes count: after a recovery the change counter starts
//! again, and a truncating checkpoint changes other fields. In the other journal modes it is `PRAGMA data_version`
//! (microseconds, and the lock that every reader takes).
//!
//! The connection is the watcher's own and does nothing else. As long as it is open in WAL mode no other connection is
//! the last to leave, so `-wal` and `-shm` stay what they are.

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use super::Target;
use crate::{Error, Result};

/// The state of a file, to be compared with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stamp {
    /// What the wal-index shows.
    WalIndex(Headers),
    /// What `PRAGMA data_version` says.
    DataVersion(i64),
}

/// Both copies of the wal-index header. They differ while a commit is being published, or if a writer died there.
pub(super) type Headers = [Header; 2];
type Header = [u32; HEADER_WORDS];
const HEADER_WORDS: usize = 12;

/// The only version of the wal-index that there has been.
const WAL_INDEX_VERSION: u32 = 3_007_000;

/// An open connection to look through.
pub(super) struct Counter {
    connection: Connection,
    by: By,
    wal_index: std::result::Result<WalIndex, NoWalIndex>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The header of the wal-index, where there is one.
    WalIndex,
    /// `PRAGMA data_version`, always.
    DataVersion,
}

/// Why the header of the wal-index cannot be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoWalIndex {
    NotInWalMode,
    CannotBeMapped,
    OtherVersion,
    BigEndian,
}

impl fmt::Display for NoWalIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoWalIndex::NotInWalMode => "-shm unavailable: the file is not in WAL mode",
            NoWalIndex::CannotBeMapped => "-shm unavailable: it is not in memory that processes share",
            NoWalIndex::OtherVersion => "version mismatch: the format of the wal-index is not 3007000",
            NoWalIndex::BigEndian => "the wal-index can be read on little-endian machines only",
        })
    }
}

impl Counter {
    /// Opens the file, which has to exist. An error that is BUSY says nothing: try again.
    pub(super) fn open(target: &Target, by: By) -> Result<Self> {
        let connection = target.open(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        // SQLite's own waiting takes up to 100 ms, and cannot be ended.
        connection.busy_timeout(std::time::Duration::ZERO).map_err(Error::from_rusqlite)?;
        connection.pragma_update(None, "mmap_size", 0).map_err(Error::from_rusqlite)?;
        let mut counter = Counter { connection, by, wal_index: Err(NoWalIndex::NotInWalMode) };
        counter.data_version()?;
        counter.find_wal_index()?;
        Ok(counter)
    }

    /// The state now; `None` if the file is locked just now.
    pub(super) fn look(&self) -> Result<Option<Stamp>> {
        if let (By::WalIndex, Ok(wal_index)) = (self.by, self.wal_index) {
            return Ok(Some(Stamp::WalIndex(wal_index.look())));
        }
        match self.data_version() {
            Ok(version) => Ok(Some(Stamp::DataVersion(version))),
            Err(Error::Busy(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks into the wal-index from now on, if the file is in WAL mode (by now). Whether that is new.
    pub(super) fn find_wal_index(&mut self) -> Result<bool> {
        if self.wal_index == Err(NoWalIndex::NotInWalMode) && self.journal_mode()? == "wal" {
            // SAFETY: the connection is open, and has read from the file.
            self.wal_index = unsafe { WalIndex::find(&self.connection) };
            // Whatever comes of it, commits are written to another file from now on.
            return Ok(true);
        }
        Ok(false)
    }

    /// A view of the wal-index, for as long as this counter lives.
    pub(super) fn wal_index(&self) -> std::result::Result<WalIndex, NoWalIndex> {
        self.wal_index
    }

    /// The write-ahead log, if the file has one.
    pub(super) fn log(&self) -> Option<String> {
        if self.wal_index == Err(NoWalIndex::NotInWalMode) {
            return None;
        }
        self.connection.path().map(|path| format!("{path}-wal"))
    }

    /// The file that a commit writes to before it is visible.
    pub(super) fn written_file(&self) -> Option<String> {
        self.log().or_else(|| self.connection.path().map(str::to_owned))
    }

    /// Closes the connection, and leaves all files alone: what now has their names is not ours.
    pub(super) fn abandon(self) {
        // Otherwise the last connection to a file writes its log back and deletes it, by its name.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }

    fn data_version(&self) -> Result<i64> {
        let mut statement =
            self.connection.prepare_cached("PRAGMA data_version").map_err(Error::from_rusqlite)?;
        statement.query_row([], |row| row.get(0)).map_err(Error::from_rusqlite)
    }

    fn journal_mode(&self) -> Result<String> {
        self.connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(Error::from_rusqlite)
    }
}

/// The header of a wal-index, in SQLite's mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WalIndex(NonNull<AtomicU32>);

// SAFETY: it only reads, atomically, memory that processes share; whoever copies it to another thread sees to it that
// the connection it comes from stays open.
unsafe impl Send for WalIndex {}

impl WalIndex {
    /// # Safety
    /// The connection is open, and in WAL mode has read from the file. What this returns is used no longer than that.
    unsafe fn find(connection: &Connection) -> std::result::Result<Self, NoWalIndex> {
        if cfg!(target_endian = "big") {
            return Err(NoWalIndex::BigEndian);
        }
        // SAFETY: the caller's promise.
        let index = unsafe { Self::map(connection) }.ok_or(NoWalIndex::CannotBeMapped)?;
        // Zeros are the header of an index that waits for a recovery.
        match index.look()[0][0] {
            0 | WAL_INDEX_VERSION => Ok(index),
            _ => Err(NoWalIndex::OtherVersion),
        }
    }

    /// # Safety
    /// As for `find`.
    unsafe fn map(connection: &Connection) -> Option<Self> {
        const REGION: i32 = 32 * 1024;
        let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
        let mut region: *mut c_void = std::ptr::null_mut();
        // SAFETY: the caller vouches for the connection. SQLite hands out its own file object, which lives as long as the
        // connection, and the first region of the wal-index, which stays mapped as long (nothing is made larger: 0).
        unsafe {
            let db = connection.handle();
            let asked = ffi::sqlite3_file_control(
                db,
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_FILE_POINTER,
                (&raw mut file).cast(),
            );
            let methods = file.as_ref()?.pMethods.as_ref()?;
            if asked != ffi::SQLITE_OK || methods.iVersion < 2 {
                return None;
            }
            let mapped = methods.xShmMap?(file, 0, REGION, 0, (&raw mut region).cast());
            if mapped != ffi::SQLITE_OK {
                return None;
            }
        }
        NonNull::new(region.cast()).map(WalIndex)
    }

    /// The state now.
    pub(super) fn look(self) -> Headers {
        for _ in 0..100 {
            let headers = self.read();
            if headers[0] == headers[1] {
                return headers;
            }
            std::hint::spin_loop();
        }
        self.read()
    }

    fn read(self) -> Headers {
        let word = |index: usize| {
            // SAFETY: the region is 32 KiB, page-aligned, and mapped (`find`).
            unsafe { self.0.add(index).as_ref() }.load(Ordering::Relaxed)
        };
        let first = std::array::from_fn(word);
        // Writers write the second copy first; see SQLite's walIndexTryHdr.
        fence(Ordering::SeqCst);
        let second = std::array::from_fn(|index| word(HEADER_WORDS + index));
        [first, second]
    }
}
