//! Which file is watched.

use std::ffi::{CStr, CString, c_char};

use rusqlite::{Connection, OpenFlags, ffi};

use crate::{Error, Result};

/// A file as SQLite has to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    path: String,
    vfs: Option<CString>,
}

impl Target {
    /// A file by its name, or a `file:` URI of one that exists, in the VFS that is the default.
    pub fn new(path: impl Into<String>) -> Self {
        Target { path: path.into(), vfs: None }
    }

    /// The file behind a connection; `None` if it is not one that others could open.
    pub(crate) fn of(connection: &Connection) -> Option<Self> {
        let path = connection.path().filter(|path| !path.is_empty())?.to_owned();
        let mut name: *mut c_char = std::ptr::null_mut();
        // SAFETY: the connection is open; SQLite hands over a text that is ours to free, or nothing.
        let vfs = unsafe {
            ffi::sqlite3_file_control(
                connection.handle(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_VFSNAME,
                (&raw mut name).cast(),
            );
            if name.is_null() {
                return None;
            }
            let vfs = CStr::from_ptr(name).to_owned();
            ffi::sqlite3_free(name.cast());
            vfs
        };
        (vfs.as_c_str() != c"memdb").then_some(Target { path, vfs: Some(vfs) })
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Opens the file, which has to exist.
    pub(crate) fn open(&self, flags: OpenFlags) -> Result<Connection> {
        let connection = match &self.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(&self.path, flags, vfs.as_c_str()),
            None => Connection::open_with_flags(&self.path, flags),
        };
        connection.map_err(Error::from_rusqlite)
    }

    /// The same file by a name that still is its name when the working directory is another one.
    pub(super) fn resolve(&self) -> Result<Target> {
        let in_memory = || {
            Error::invalid(format!(
                "'{}' is an in-memory database, to which nobody else can commit; use a temporary file",
                self.path
            ))
        };
        if self.path.contains('\0') {
            return Err(Error::invalid("the name of a file cannot contain a NUL"));
        }
        if self.path.is_empty() || self.path == ":memory:" {
            return Err(in_memory());
        }
        if self.path.starts_with("file:") {
            // SQLite itself is asked, instead of reading its URIs once more.
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
            return Target::of(&self.open(flags)?).ok_or_else(in_memory);
        }
        let absolute = std::path::absolute(&self.path).ok().and_then(|path| path.to_str().map(str::to_owned));
        Ok(Target { path: absolute.unwrap_or_else(|| self.path.clone()), vfs: self.vfs.clone() })
    }
}
