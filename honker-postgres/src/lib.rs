//! The second engine of honker: the queues in a Postgres database.
//!
//! All that a queue does is done by functions of the schema `honker`, whose text is here. It is installed by running it in one
//! transaction; that is all a client needs which speaks SQL itself. `docs/postgres.md` says how to use it.

/// Installs the schema, or brings an older one up to date. To be run as one query of several statements, which is one
/// transaction, or within a transaction. It changes nothing in a database of a newer version, and fails there.
pub const SQL: &str = include_str!(concat!(env!("OUT_DIR"), "/honker.sql"));

/// Replaces the server's clock by one that tests set. To be run after [`SQL`].
pub const TEST_CLOCK_SQL: &str = include_str!("../sql/test_clock.sql");

/// The version of the schema that [`SQL`] installs.
pub const VERSION: i64 = 1;
