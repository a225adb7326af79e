//! Which database a command is for: its argument, `--db` or `HONKER_DB`; and how it is opened.
//!
//! A server is connected to alike by both. Of a file, who acts opens it as every program of honker's does. Who only looks changes nothing: not the journal mode, not the schema of a
//! file that an older version made, and not somebody's file that has nothing of honker's in it.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use honker_core::Error;
use honker_core::database::{Database, JournalMode, Options};

use crate::failure::{Failure, Result};
use crate::system;

/// The option that every command has.
#[derive(Args, Clone, Debug, Default)]
pub struct Db {
    /// The database: a file, or the URL of a server; the environment variable HONKER_DB otherwise
    #[arg(long = "db", value_name = "FILE", global = true, help_heading = "File")]
    pub db: Option<PathBuf>,
}

/// The argument of commands that have no other.
#[derive(Args, Clone, Debug, Default)]
pub struct File {
    /// The database, if neither --db nor HONKER_DB names it
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

impl Db {
    /// The path, if this is the only place that may name it.
    pub fn path(&self) -> Result<PathBuf> {
        self.path_or(&File::default())
    }

    /// The path: the argument, the option or the variable.
    pub fn path_or(&self, file: &File) -> Result<PathBuf> {
        let named = match (&file.file, &self.db) {
            (Some(_), Some(_)) => {
                return Err(Failure::Usage(
                    "the file is named twice: as the argument and by --db".to_owned(),
                ));
            }
            (Some(path), None) | (None, Some(path)) => Some(path.clone()),
            (None, None) => std::env::var_os("HONKER_DB").filter(|path| !path.is_empty()).map(PathBuf::from),
        };
        named.ok_or_else(|| {
            Failure::Usage(
                "which file? Name it by --db FILE or by the environment variable HONKER_DB".to_owned(),
            )
        })
    }

    /// Opens a file that exists.
    pub fn open(&self) -> Result<Database> {
        open(&self.path()?)
    }

    /// Opens a file that exists.
    pub fn open_or(&self, file: &File) -> Result<Database> {
        open(&self.path_or(file)?)
    }

    /// Opens a file that exists, to look at it.
    pub fn look(&self) -> Result<Database> {
        look(&self.path()?)
    }

    /// Opens a file that exists, to look at it.
    pub fn look_or(&self, file: &File) -> Result<Database> {
        look(&self.path_or(file)?)
    }

    /// Opens a file, and makes it first if that is asked for.
    pub fn open_to_write(&self, file: &File, create: &Create) -> Result<Database> {
        let path = self.path_or(file)?;
        match path.to_str().filter(|text| honker_postgres::is_url(text)) {
            Some(url) => Ok(honker_postgres::connect(url, &Options::default(), create.create)?),
            None if create.create => Ok(Database::open(path, &Options::default())?),
            None => open(&path),
        }
    }
}

/// For commands that may be the first to use a file.
#[derive(Args, Clone, Debug, Default)]
pub struct Create {
    /// Make the file if it is not there; on a server, the schema
    #[arg(long, help_heading = "File")]
    pub create: bool,
}

/// Opens a file that exists.
pub fn open(path: &Path) -> Result<Database> {
    open_with(path, &Options::default())
}

/// Opens a file that exists, in a way of its own.
pub fn open_with(path: &Path, options: &Options) -> Result<Database> {
    exists(path)?;
    Ok(honker_postgres::open(path, options)?)
}

/// Whether two paths lead to one file, by whatever links.
pub fn are_one(one: &Path, other: &Path) -> bool {
    !is_url(one) && system::are_one(one, other)
}

/// Whether this is the URL of a server.
pub fn is_url(path: &Path) -> bool {
    path.to_str().is_some_and(honker_postgres::is_url)
}

/// How it is opened again: a file by its absolute path, a server by the URL that was given.
pub fn again(given: PathBuf, database: &Database) -> PathBuf {
    if is_url(&given) { given } else { PathBuf::from(database.path()) }
}

/// Opens a file that exists, to look at it.
pub fn look(path: &Path) -> Result<Database> {
    exists(path)?;
    read_only(path).map_err(|error| match error {
        error if is_not_up_to_date(&error) => Failure::Failed(format!(
            "{} has no tables of honker's, or those of an older version, and a look does not change it. Is it the right file? \
             Whatever works with it next brings it up to date, such as honker prune",
            path.display()
        )),
        error => error.into(),
    })
}

// A mistyped name must not become a new, empty queue.
fn exists(path: &Path) -> Result {
    if is_url(path) || is_uri(path) || path.exists() {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::NotFound(format!("there is no file {path}; enqueue, run and others make one with --create")))
}

/// Names that are URIs are SQLite's affair: they say themselves what may be done.
fn is_uri(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(b"file:")
}

/// Whether [`read_only`] failed because the file's schema would have to be brought up to date. If the system lets nobody look, it is
/// SQLite who says so, with a code.
pub fn is_not_up_to_date(error: &Error) -> bool {
    matches!(error, Error::ReadOnly(cause) if cause.sqlite_code.is_none())
}

/// The database, which nothing can be written to, in the journal mode that it has. No database of this process may have the file open: closing a descriptor of it drops SQLite's locks.
pub fn read_only(path: &Path) -> honker_core::Result<Database> {
    if is_url(path) || is_uri(path) {
        return honker_postgres::open(path, &Options::default());
    }
    let uri = uri(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let has_wal = header(path).is_some_and(|header| has_wal(&header));
    let journal_mode = if has_wal { JournalMode::Wal } else { JournalMode::Delete };
    Database::open(uri, &Options { journal_mode, ..Options::default() })
}

/// The name of a file that is not to be written to, for SQLite, from its absolute path.
fn uri(path: &Path) -> String {
    // On Windows C:\a is file:///C:/a.
    let mut uri = String::from(if cfg!(windows) { "file:///" } else { "file:" });
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'\\' if cfg!(windows) => uri.push('/'),
            b' '..=b'~' if !b"%?#".contains(byte) => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri + "?mode=ro"
}

/// The beginning of a file, if it has any.
pub fn header(path: &Path) -> Option<[u8; 20]> {
    let mut header = [0; 20];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header)).ok()?;
    Some(header)
}

/// Whether it is in WAL mode: the versions of the format for writing and reading are 2 then.
pub fn has_wal(header: &[u8; 20]) -> bool {
    header[18] == 2 && header[19] == 2
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use super::uri;

    #[test]
    fn every_name_becomes_a_uri() {
        for (name, expected) in [
            (&b"/var/app.db"[..], "file:/var/app.db?mode=ro"),
            (b"/a b/50%?mode=rw#1", "file:/a b/50%25%3fmode=rw%231?mode=ro"),
            (b"/\xc3\xbc\xff\\", "file:/%c3%bc%ff\\?mode=ro"),
        ] {
            assert_eq!(uri(Path::new(OsStr::from_bytes(name))), expected);
        }
    }
}
