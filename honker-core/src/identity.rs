//! What tells one file from all others, whatever it is called.

use std::io;
use std::path::Path;

/// A file's device and inode.
pub(crate) type Identity = (u64, u64);

/// The identity of the file that has this name now; `None` if there is none, or it cannot be told.
pub(crate) fn identity(path: impl AsRef<Path>) -> Option<Identity> {
    look(path).ok()
}

/// As [`identity`], and why it cannot be told.
#[cfg(unix)]
pub(crate) fn look(path: impl AsRef<Path>) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    // Asked by name: opening a database file, and closing it again, would drop the locks of this process.
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

/// A file that is open cannot be replaced here, so nobody needs to tell.
#[cfg(not(unix))]
pub(crate) fn look(_: impl AsRef<Path>) -> io::Result<Identity> {
    Err(io::ErrorKind::Unsupported.into())
}
