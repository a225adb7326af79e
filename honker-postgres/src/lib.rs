//! honker on a Postgres server: the second engine behind [`Database`].
//!
//! `sql/` holds all the logic: the tables, and the functions under honker's names, which any client may call. This crate connects,
//! calls them, and reads their answers ([`operations`](self)); it wakes those who wait for commits (`listening.rs`), and says that
//! its process is alive. docs/decisions/0051-engines.md says how it stands beside the engine for files.
//!
//! It starts no thread and makes no connection before [`open`] is given the URL of a server.
//!
//! **This crate promises nothing to anybody but honker's own**, which name its exact version.

mod alive;
mod environment;
mod failure;
mod hosts;
mod listening;
mod migration;
pub mod moving;
mod on;
mod operations;
mod placeholders;
mod pool;
mod schema;
mod server;
mod session;
mod sql;
mod stop;
mod tls;
mod transaction;
mod url;
mod values;

use std::path::Path;
use std::sync::Arc;

use honker_core::Result;
use honker_core::database::{Database, Options, Server};

pub use self::migration::{Migrated, Migration, SearchPath};
pub use self::schema::{SQL, TEST_CLOCK_SQL, VERSION};
pub use self::url::is_url;

/// A point at which the conformance suite may have planted something, in its test builds.
fn reach(_point: &str) {
    #[cfg(feature = "faults")]
    honker_core::faults::reach(_point);
}

/// Opens what a text names: a server, if it is the URL of one, or else a file.
pub fn open(path: impl AsRef<Path>, options: &Options) -> Result<Database> {
    match path.as_ref().to_str() {
        Some(text) if is_url(text) => connect(text, options, false),
        _ => Database::open(path, options),
    }
}

/// What a URL is called where others read it: without its password and its parameters.
pub fn name(url: &str) -> Result<String> {
    Ok(url::Url::parse(url)?.name)
}

/// Connects to the server of a URL. With `migrate` the schema is installed, or brought up to date, if need be.
pub fn connect(url: &str, options: &Options, migrate: bool) -> Result<Database> {
    let mut url = url::Url::parse(url)?;
    url.migrate |= migrate;
    Database::over(|host| Ok(Arc::new(server::Database::open(url, options, host)?) as Arc<dyn Server>))
}
