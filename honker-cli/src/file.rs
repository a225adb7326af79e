//! Which file a command is for: its argument, `--db` or `HONKER_DB`.

use std::path::{Path, PathBuf};

use clap::Args;
use honker_core::database::{Database, Options};

use crate::failure::{Failure, Result};

/// The option that every command has.
#[derive(Args, Clone, Debug, Default)]
pub struct Db {
    /// The database file; the environment variable HONKER_DB otherwise
    #[arg(long = "db", value_name = "FILE", global = true, help_heading = "File")]
    pub db: Option<PathBuf>,
}

/// The argument of commands that have no other.
#[derive(Args, Clone, Debug, Default)]
pub struct File {
    /// The database file, if neither --db nor HONKER_DB names it
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
        let path = named.ok_or_else(|| {
            Failure::Usage(
                "which file? Name it by --db FILE or by the environment variable HONKER_DB".to_owned(),
            )
        })?;
        let text = path.to_string_lossy();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Err(Failure::Usage("this honker has no engine for PostgreSQL".to_owned()));
        }
        Ok(path)
    }

    /// Opens a file that exists.
    pub fn open(&self) -> Result<Database> {
        open(&self.path()?)
    }

    /// Opens a file that exists.
    pub fn open_or(&self, file: &File) -> Result<Database> {
        open(&self.path_or(file)?)
    }

    /// Opens a file, and makes it first if that is asked for.
    pub fn open_to_write(&self, file: &File, create: &Create) -> Result<Database> {
        let path = self.path_or(file)?;
        if create.create { Ok(Database::open(path, &Options::default())?) } else { open(&path) }
    }
}

/// For commands that may be the first to use a file.
#[derive(Args, Clone, Debug, Default)]
pub struct Create {
    /// Make the file if it is not there
    #[arg(long, help_heading = "File")]
    pub create: bool,
}

/// Opens a file that exists.
pub fn open(path: &Path) -> Result<Database> {
    // A mistyped name must not become a new, empty queue. Names that are URIs are SQLite's affair.
    let is_uri = path.to_string_lossy().starts_with("file:");
    if !is_uri && !path.exists() {
        let path = path.display();
        return Err(Failure::NotFound(format!(
            "there is no file {path}; enqueue, run and others make one with --create"
        )));
    }
    Ok(Database::open(path, &Options::default())?)
}
