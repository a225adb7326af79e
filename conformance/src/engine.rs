//! Where the databases of cases are: files in their directories, or databases of a Postgres server.
//!
//! A [`Database`] is also the suite's own way in, beside the testees': it looks at what they have written, and writes what
//! they are to find.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::oracle;
use crate::server::{self, Server};

/// Which of the two engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Postgres,
}

impl Kind {
    pub fn of(name: &str) -> Result<Kind, String> {
        match name {
            "file" => Ok(Kind::File),
            "postgres" => Ok(Kind::Postgres),
            other => Err(format!("there is no engine {other}: there are file and postgres")),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::File => "file",
            Kind::Postgres => "postgres",
        }
    }
}

/// The engine of a run.
pub enum Engine {
    File,
    Postgres(Server),
}

impl Engine {
    /// Of the server that `with-cluster` has started, if it is one.
    pub fn start(kind: Kind) -> Result<Engine, String> {
        match kind {
            Kind::File => Ok(Engine::File),
            Kind::Postgres => Server::from_environment().map(Engine::Postgres),
        }
    }

    /// A new database: the file `file`, which is not there yet, or one of the server's with honker's schema in it.
    pub fn database(&self, file: PathBuf) -> Result<Database, String> {
        match self {
            Engine::File => Ok(Database::File(file)),
            Engine::Postgres(server) => server.database().map(Box::new).map(Database::Server),
        }
    }
}

/// The database of a case.
pub enum Database {
    File(PathBuf),
    Server(Box<server::Database>),
}

impl Database {
    /// What testees open.
    pub fn address(&self) -> String {
        match self {
            Database::File(file) => file.display().to_string(),
            Database::Server(database) => database.url().to_owned(),
        }
    }

    /// The rows of a query.
    pub fn query(&self, sql: &str, params: &[Value]) -> Result<Value, String> {
        match self {
            Database::File(file) => oracle::query(file, sql, params),
            Database::Server(database) => database.query(sql, params),
        }
    }

    pub fn execute(&self, sql: &str) -> Result<(), String> {
        match self {
            Database::File(file) => oracle::execute(file, sql),
            Database::Server(database) => database.execute(sql),
        }
    }

    /// The clock of a server is in it; `None` is the machine's. Of a file it is each process's own (`control.rs`).
    pub fn set_clock(&self, now: Option<i64>) -> Result<(), String> {
        match self {
            Database::File(_) => Ok(()),
            Database::Server(database) => database.set_clock(now),
        }
    }

    /// The server is stopped at once, as if its machine had failed.
    pub fn stop_server(&self) -> Result<(), String> {
        self.server()?.stop_server()
    }

    pub fn start_server(&self) -> Result<(), String> {
        self.server()?.start_server()
    }

    fn server(&self) -> Result<&server::Database, String> {
        match self {
            Database::File(_) => Err("a file has no server".to_owned()),
            Database::Server(database) => Ok(database),
        }
    }

    /// What is wrong with it, now that everybody has let go of it.
    pub fn inspect(&self) -> Result<(), String> {
        match self {
            Database::File(file) => oracle::inspect(file),
            Database::Server(database) => database.inspect(),
        }
    }

    /// Writes down what is in it, if that is not a file that can be kept.
    pub fn keep(&self, dir: &Path) {
        if let Database::Server(database) = self {
            let to = dir.join("database.txt");
            let text = database.dump().unwrap_or_else(|error| error);
            std::fs::write(&to, text).unwrap_or_else(|error| eprintln!("{}: {error}", to.display()));
        }
    }
}
