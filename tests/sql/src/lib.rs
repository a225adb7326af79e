//! Support for the tests of the SQL surface.
//!
//! The tests use the shipped artefact as its users do: they open a file with a stock SQLite, load the built extension
//! and say everything in SQL. What makes that testable to the second is a [`Clock`]: a SQLite VFS that differs from the
//! default one only in the time it tells, so that `unixepoch()`, and with it every function, sees the test's time.
//!
//! - [`Db`] is a connection to a file of its own, with the extension loaded.
//! - Its query helpers panic with the statement's text, so that a test is a list of statements and expected answers.
//! - [`Db::error`] is for the statements that have to fail; [`Db::dump`] shows that a failure changed nothing.
//! - [`every_function`], [`WRITES`], [`READS`] and [`IDLE`] are calls for what has to hold for all functions.

mod calls;
mod clock;

use std::ffi::{CStr, CString, OsStr};
use std::fmt::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::{FromSql, Value};
use rusqlite::{Batch, Connection, OpenFlags, Params, ffi};
use tempfile::TempDir;

pub use serde_json::{Value as Json, json};

pub use calls::{IDLE, READS, WRITES, every_function};
pub use clock::{Clock, NOW};

/// No ids: the answer of an empty claim.
pub const NONE: [i64; 0] = [];

/// The extension under test.
pub fn extension_path() -> PathBuf {
    if let Some(path) = std::env::var_os("HONKER_EXTENSION_PATH") {
        return path.into();
    }
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => target.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
    };
    let name = format!("{}honker_ext{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    target.join("release").join(name)
}

/// Loads the extension, as `load_extension()` of the C interface does.
pub fn load(connection: &Connection) -> rusqlite::Result<()> {
    let path = extension_path();
    assert!(
        path.is_file(),
        "there is no extension at {}: build it with `cargo build --release -p honker-extension`, or say where it is \
         with HONKER_EXTENSION_PATH",
        path.display()
    );
    let path = CString::new(path.to_str().expect("a path in UTF-8")).expect("a path without a NUL");
    let mut message = std::ptr::null_mut();
    // Not with rusqlite's `load_extension`, whose feature cannot be in one build with the extension's own.
    // SAFETY: the connection is open, the texts end with a NUL, the message is SQLite's to free, and the library is ours.
    unsafe {
        ffi::sqlite3_enable_load_extension(connection.handle(), 1);
        let code = ffi::sqlite3_load_extension(
            connection.handle(),
            path.as_ptr(),
            std::ptr::null(),
            &raw mut message,
        );
        ffi::sqlite3_enable_load_extension(connection.handle(), 0);
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        let said = (!message.is_null()).then(|| CStr::from_ptr(message).to_string_lossy().into_owned());
        ffi::sqlite3_free(message.cast());
        Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), said))
    }
}

/// A connection to a temporary file, which is deleted with the last connection to it.
pub struct Db {
    connection: Connection,
    file: File,
}

/// A temporary file and its clock. Unlike a connection it can be shared between threads.
#[derive(Clone)]
pub struct File {
    clock: Clock,
    directory: Arc<TempDir>,
    name: &'static str,
}

impl File {
    fn new(name: &'static str) -> Self {
        File { clock: Clock::new(), directory: Arc::new(tempfile::tempdir().unwrap()), name }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        if self.name == ":memory:" { self.name.into() } else { self.directory.path().join(self.name) }
    }

    /// A connection without the extension.
    pub fn connect_with(&self, flags: OpenFlags) -> Db {
        let connection = Connection::open_with_flags_and_vfs(self.path(), flags, self.clock.vfs).unwrap();
        // What a power cut would do is not tested here, and waiting for the disk is most of the time tests take.
        connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
        // Rather a slow test than one that fails on a slow machine.
        connection.busy_timeout(Duration::from_secs(60)).unwrap();
        Db { connection, file: self.clone() }
    }

    /// A connection with the extension loaded.
    pub fn connect(&self) -> Db {
        let db = self.connect_with(OpenFlags::default());
        db.load();
        db
    }
}

impl Deref for Db {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// What was in a file.
#[derive(PartialEq)]
pub struct Dump(String);

/// What a statement failed with.
#[derive(Debug)]
pub struct Failure {
    /// SQLite's extended result code.
    pub code: i32,
    /// SQLite's message.
    pub text: String,
}

impl Failure {
    /// The code without its extension: 5 for BUSY, whatever made it so.
    pub fn primary_code(&self) -> i32 {
        self.code & 0xff
    }

    /// Panics unless all of `parts` are in the message.
    #[track_caller]
    pub fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.text.contains(part), "'{}' does not say '{part}'", self.text);
        }
        self
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(error, text) => {
                Failure { code: error.extended_code, text: text.unwrap_or_default() }
            }
            rusqlite::Error::SqlInputError { error, msg, .. } => {
                Failure { code: error.extended_code, text: msg }
            }
            other => panic!("not an error of SQLite: {other}"),
        }
    }
}

impl Db {
    /// A new file in WAL mode, bootstrapped.
    pub fn new() -> Self {
        Self::in_mode("WAL")
    }

    /// As [`Db::new`], in another journal mode.
    pub fn in_mode(journal_mode: &str) -> Self {
        let db = Self::unloaded_in_mode(journal_mode);
        db.load();
        assert_eq!(db.int("SELECT honker_bootstrap()"), 1);
        db
    }

    /// A new file in WAL mode, with the extension loaded and not bootstrapped.
    pub fn empty() -> Self {
        let db = Self::unloaded();
        db.load();
        db
    }

    /// A new file in WAL mode, without the extension.
    pub fn unloaded() -> Self {
        Self::unloaded_in_mode("WAL")
    }

    /// A new file, without the extension.
    pub fn unloaded_in_mode(journal_mode: &str) -> Self {
        let db = File::new("app.db").connect_with(OpenFlags::default());
        db.run(&format!("PRAGMA journal_mode = {journal_mode}"));
        db
    }

    /// A scratch database in memory, with the extension loaded.
    pub fn in_memory() -> Self {
        File::new(":memory:").connect()
    }

    /// Another connection to the same file, on the same clock, with the extension loaded.
    pub fn another(&self) -> Self {
        self.file.connect()
    }

    /// The file, for connections on other threads or of another kind.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Loads the extension.
    #[track_caller]
    pub fn load(&self) {
        load(&self.connection).unwrap();
    }

    /// Closes the connection with `sqlite3_close`, which refuses if anything is unfinished.
    pub fn close(self) -> Result<(), Failure> {
        self.connection.close().map_err(|(_, error)| error.into())
    }

    /// A directory that lives as long as the file.
    pub fn directory(&self) -> &Path {
        self.file.directory.path()
    }

    /// The connection's clock.
    pub fn clock(&self) -> Clock {
        self.file.clock
    }

    /// Runs any number of statements, ignoring rows.
    #[track_caller]
    pub fn run(&self, sql: &str) {
        if let Err(failure) = self.try_run(sql) {
            panic!("{sql}: {failure:?}");
        }
    }

    /// As [`Db::run`], for statements that may fail.
    pub fn try_run(&self, sql: &str) -> Result<(), Failure> {
        let mut batch = Batch::new(&self.connection, sql);
        while let Some(mut statement) = batch.next()? {
            // To its end, where `execute_batch` stops at the first row.
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(())
    }

    /// The only value of the only row of a statement.
    #[track_caller]
    pub fn get<T: FromSql>(&self, sql: &str, parameters: impl Params) -> T {
        match self.try_get(sql, parameters) {
            Ok(value) => value,
            Err(failure) => panic!("{sql}: {failure:?}"),
        }
    }

    /// As [`Db::get`], for a statement that may fail.
    #[track_caller]
    pub fn try_get<T: FromSql>(&self, sql: &str, parameters: impl Params) -> Result<T, Failure> {
        let mut statement = self.prepare(sql)?;
        let mut rows = statement.query(parameters)?;
        let row = rows.next()?.unwrap_or_else(|| panic!("{sql}: no row"));
        let value = row.get(0).unwrap_or_else(|error| panic!("{sql}: {error}"));
        // To its end, as a client that means well would: errors may come that late.
        assert!(rows.next()?.is_none(), "{sql}: more than one row");
        Ok(value)
    }

    /// An integer.
    #[track_caller]
    pub fn int(&self, sql: &str) -> i64 {
        self.get(sql, [])
    }

    /// A text.
    #[track_caller]
    pub fn text(&self, sql: &str) -> String {
        self.get(sql, [])
    }

    /// A text that is JSON.
    #[track_caller]
    pub fn json(&self, sql: &str) -> Json {
        serde_json::from_str(&self.text(sql)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The failure of a statement that has to fail.
    #[track_caller]
    pub fn error(&self, sql: &str) -> Failure {
        match self.try_get::<Value>(sql, []) {
            Ok(value) => panic!("{sql}: no error but {value:?}"),
            Err(failure) => failure,
        }
    }

    /// All rows, one a line, the columns separated by `|`.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> String {
        let mut statement = self.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let mut text = String::new();
        while let Some(row) = rows.next().unwrap_or_else(|error| panic!("{sql}: {error}")) {
            if !text.is_empty() {
                text.push('\n');
            }
            for column in 0..columns {
                let separator = if column == 0 { "" } else { "|" };
                match row.get(column).unwrap() {
                    Value::Null => write!(text, "{separator}NULL"),
                    Value::Integer(value) => write!(text, "{separator}{value}"),
                    Value::Real(value) => write!(text, "{separator}{value:?}"),
                    Value::Text(value) => write!(text, "{separator}{value}"),
                    Value::Blob(value) => write!(text, "{separator}{value:02x?}"),
                }
                .unwrap();
            }
        }
        text
    }

    /// Everything in the file: schema and rows.
    #[track_caller]
    pub fn dump(&self) -> Dump {
        let mut dump = self.rows("SELECT type, name, sql FROM main.sqlite_schema ORDER BY name");
        let tables = self.rows("SELECT name FROM main.sqlite_schema WHERE type = 'table' ORDER BY name");
        for table in tables.lines() {
            let rows = self.rows(&format!("SELECT * FROM main.{table}"));
            let mut rows: Vec<&str> = rows.lines().collect();
            rows.sort_unstable();
            write!(dump, "\n-- {table}\n{}", rows.join("\n")).unwrap();
        }
        Dump(dump)
    }

    /// Panics unless the file is as it was.
    #[track_caller]
    pub fn assert_still(&self, before: &Dump) {
        let after = self.dump();
        let mut lines = before.0.lines().map(Some).chain([None]).zip(after.0.lines().map(Some).chain([None]));
        if let Some((before, after)) = lines.find(|(before, after)| before != after) {
            let short = |line: Option<&str>| line.map(|line| line.chars().take(200).collect::<String>());
            panic!("changed: {:?}\n     to: {:?}", short(before), short(after));
        }
    }

    /// Changes whenever another connection has changed the file.
    pub fn data_version(&self) -> i64 {
        self.int("PRAGMA data_version")
    }

    /// Enqueues a job that is due now, with the defaults; its id.
    #[track_caller]
    pub fn enqueue(&self, queue: &str) -> i64 {
        self.get("SELECT honker_enqueue(?1, '{}')", [queue])
    }

    /// Claims up to `n` jobs for the worker `w`, for `timeout_s` seconds; their ids, in the order given.
    #[track_caller]
    pub fn claim(&self, queue: &str, n: i64, timeout_s: i64) -> Vec<i64> {
        let claimed: String = self.get("SELECT honker_claim_batch(?1, 'w', ?2, ?3)", (queue, n, timeout_s));
        ids(&serde_json::from_str(&claimed).unwrap())
    }

    /// The ids of the dead with why they died, one a line.
    #[track_caller]
    pub fn dead(&self) -> String {
        self.rows("SELECT id, last_error FROM main._honker_dead ORDER BY id")
    }
}

impl Default for Db {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether tests take their time, as under `make test-long` (`HONKER_TEST_LONG`).
pub fn is_long() -> bool {
    std::env::var_os("HONKER_TEST_LONG").is_some_and(|long| !long.is_empty())
}

const SEED: &str = "HONKER_TEST_SEED";

/// What random tests begin with: `HONKER_TEST_SEED`, or else another number each time. It is printed.
pub fn seed() -> u64 {
    static CHOSEN: OnceLock<u64> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a number"));
        let seed = given.unwrap_or_else(|| UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 % 1_000_000);
        println!("{SEED}={seed}");
        seed
    })
}

/// What the body of [`in_child_process`] works with until it is killed: a connection that waits for others, and does not wait for
/// the disk, which a killed process does not need.
pub fn connect_in_child(path: impl AsRef<Path>) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
    load(&connection).unwrap();
    connection
}

/// Runs one statement to its end, whatever it answers.
pub fn run_to_end(connection: &Connection, sql: &str) {
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while rows.next().unwrap().is_some() {}
}

/// Runs the calling test in a process of its own: `body` there, `parent` here.
///
/// For what a process does not survive. `name` is that of the test; `argument` reaches `body`.
pub fn in_child_process(
    name: &str,
    argument: &OsStr,
    body: impl FnOnce(&OsStr),
    parent: impl FnOnce(&mut Child),
) {
    const ARGUMENT: &str = "HONKER_TEST_CHILD_ARGUMENT";
    if let Some(argument) = std::env::var_os(ARGUMENT) {
        return body(&argument);
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        // What it has to say of a failure is seen.
        .args(["--exact", name, "--nocapture"])
        .env(ARGUMENT, argument)
        .env(SEED, seed().to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    parent(&mut child);
}

/// The `id`s of an array of objects.
#[track_caller]
pub fn ids(array: &Json) -> Vec<i64> {
    array.as_array().unwrap().iter().map(|object| object["id"].as_i64().unwrap()).collect()
}
