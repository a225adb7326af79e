//! Support for the tests of the SQL surface.
//!
//! The tests use the shipped artefact as its users do: they open a file with a stock SQLite, load the built extension
//! and say everything in SQL. What makes that testable to the second is a [`Clock`]: a SQLite VFS that differs from the
//! default one only in the time it tells, so that `unixepoch()`, and with it every function, sees the test's time.
//!
//! - [`Db`] is a connection to a file of its own, with the extension loaded.
//! - Its query helpers panic with the statement's text, so that a test is a list of statements and expected answers.
//! - [`Db::error`] is for the statements that have to fail; [`Db::dump`] shows that a failure changed nothing.

use std::ffi::{CStr, CString, OsStr, c_int};
use std::fmt::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::{FromSql, Value};
use rusqlite::{Batch, Connection, LoadExtensionGuard, OpenFlags, Params, ffi};
use tempfile::TempDir;

pub use serde_json::{Value as Json, json};

/// What every test's clock shows at first: 2025-06-15 15:06:40 UTC, a Sunday.
pub const NOW: i64 = 1_750_000_000;

/// No ids: the answer of an empty claim.
pub const NONE: [i64; 0] = [];

/// A clock that stands still until the test moves it. Copies show the same time.
#[derive(Clone, Copy)]
pub struct Clock {
    now: &'static AtomicI64,
    vfs: &'static CStr,
}

/// The default VFS with a time of its own. SQLite hands the pointer to `base` to every method, the default ones find
/// there what they expect, and the two below what follows it.
#[repr(C)]
struct ClockVfs {
    base: ffi::sqlite3_vfs,
    now: AtomicI64,
}

impl Clock {
    /// A new clock, showing [`NOW`]. It is registered as a VFS for the rest of the process: a connection may use it.
    #[expect(clippy::new_without_default, reason = "registering something for good is no default")]
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("testclock-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let vfs: &'static CStr = Box::leak(CString::new(name).unwrap().into_boxed_c_str());
        // SAFETY: the default VFS exists for the life of the process and is not changed; the copy is leaked, so that it
        // does as well, with its name. Only `now` is ever borrowed from it, the rest is SQLite's to change.
        let now = unsafe {
            let mut base = *ffi::sqlite3_vfs_find(std::ptr::null());
            base.pNext = std::ptr::null_mut();
            base.zName = vfs.as_ptr();
            base.xCurrentTime = Some(current_time);
            base.xCurrentTimeInt64 = Some(current_time_int64);
            let clock = Box::into_raw(Box::new(ClockVfs { base, now: AtomicI64::new(NOW) }));
            assert_eq!(ffi::sqlite3_vfs_register(clock.cast(), 0), ffi::SQLITE_OK);
            &(*clock).now
        };
        Clock { now, vfs }
    }

    /// The time it shows.
    pub fn now(self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    /// Sets it.
    pub fn set(self, now: i64) {
        self.now.store(now, Ordering::SeqCst);
    }

    /// Moves it forward, or back.
    pub fn advance(self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }
}

unsafe extern "C" fn current_time_int64(vfs: *mut ffi::sqlite3_vfs, time: *mut ffi::sqlite3_int64) -> c_int {
    const UNIX_EPOCH_MS: i64 = 210_866_760_000_000;
    // SAFETY: SQLite passes the VFS that `Clock::new` registered, and a place for the answer.
    unsafe { *time = UNIX_EPOCH_MS + (*vfs.cast::<ClockVfs>()).now.load(Ordering::SeqCst) * 1000 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, time: *mut f64) -> c_int {
    const UNIX_EPOCH_DAYS: f64 = 2_440_587.5;
    // SAFETY: as above.
    unsafe {
        *time = UNIX_EPOCH_DAYS + (*vfs.cast::<ClockVfs>()).now.load(Ordering::SeqCst) as f64 / 86_400.0
    };
    ffi::SQLITE_OK
}

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
    // SAFETY: the library is ours, and nothing untrusted runs on this connection meanwhile.
    unsafe {
        let _allowed = LoadExtensionGuard::new(connection)?;
        connection.load_extension(path, None::<&str>)
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
        .args(["--exact", name])
        .env(ARGUMENT, argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    parent(&mut child);
}

/// The `id`s of an array of objects.
#[track_caller]
pub fn ids(array: &Json) -> Vec<i64> {
    array.as_array().unwrap().iter().map(|object| object["id"].as_i64().unwrap()).collect()
}

/// One call or more of every function, with the answer each has to give (as [`Db::rows`] shows it), whatever the number
/// `n`, as long as each number is used once in a file. Together they run every statement that the functions have.
/// `now` is what the clock shows.
pub fn every_function(n: i64, now: i64) -> Vec<(String, String)> {
    let job = |payload: &str| {
        format!("(SELECT id FROM _honker_live WHERE queue = 'q{n}' AND payload = '{payload}')")
    };
    let many =
        "(WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < 40) SELECT x FROM c)";
    let every = format!("CRON_TZ=UTC {} * * * *", n.rem_euclid(60));
    let calls = [
        ("honker_version()".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("honker_bootstrap()".to_owned(), "1".to_owned()),
        // Notifications.
        (format!("notify('c{n}', '{n}') > 0"), "1".into()),
        ("honker_prune_notifications(100, 100000)".into(), "0".into()),
        // Jobs, one for each number of arguments; a delayed, an expired and an exhausted one.
        (format!("honker_enqueue('q{n}', '2') > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', '3', {now} - 1) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', '4', NULL, -5) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', '5', NULL, NULL, {n} + 1) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', '6', NULL, NULL, 0, 1) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', '7', NULL, 50, 0, 3, NULL) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', 'expired', NULL, NULL, 0, 3, -1) > 0"), "1".into()),
        (format!("honker_enqueue('q{n}', 'exhausted', NULL, NULL, 0, 0, NULL) > 0"), "1".into()),
        (
            format!("honker_stats('q{n}')"),
            format!(r#"{{"queue":"q{n}","pending":6,"delayed":1,"claimed":0,"expired":1,"dead":0}}"#),
        ),
        ("json_type(honker_stats(NULL))".into(), "array".into()),
        (format!("honker_queue_next_claim_at('q{n}')"), format!("{}", now + 50)),
        // A claim with all of that in its way, one without, and one of many.
        (format!("honker_claim_batch('q{n}', 'w', 1, 60) ->> '$[0].payload'"), "5".into()),
        (format!("honker_sweep_expired('q{n}')"), "1".into()),
        (format!("honker_sweep_expired('q{n}')"), "0".into()),
        (format!("honker_claim_batch('q{n}', 'w', 1, 60) ->> '$[0].payload'"), "4".into()),
        (format!("json_array_length(honker_claim_batch('q{n}', 'w', -1, 60))"), "3".into()),
        (format!("honker_claim_batch('q{n}', 'w', 1, 60)"), "[]".into()),
        (format!("honker_get_job({}) ->> 'state'", job("2")), "processing".into()),
        (format!("honker_get_job(-{n} - 1)"), String::new()),
        (format!("honker_heartbeat({}, 'w', {n} + 1)", job("2")), "1".into()),
        (format!("honker_retry({}, 'w', {n}, 'again')", job("2")), "1".into()),
        (format!("honker_retry({}, 'w', 0, 'spent')", job("6")), "1".into()),
        (format!("honker_fail({}, 'w', 'failed')", job("5")), "1".into()),
        (format!("honker_ack({}, 'w')", job("3")), "1".into()),
        (format!("honker_ack_batch('[' || {} || ', -1]', 'w')", job("4")), "1".into()),
        (format!("honker_cancel({})", job("7")), "1".into()),
        (format!("honker_cancel({})", job("2")), "1".into()),
        // Lapsed claims, few and many.
        (format!("honker_enqueue('q{n}', 'lapses') > 0"), "1".into()),
        (format!("json_array_length(honker_claim_batch('q{n}', 'w', 1, -1))"), "1".into()),
        (format!("honker_claim_batch('q{n}', 'v', 1, 60) ->> '$[0].attempts'"), "2".into()),
        (format!("count(honker_enqueue('many{n}', 'x')) FROM {many}"), "40".into()),
        (format!("json_array_length(honker_claim_batch('many{n}', 'w', -1, -1))"), "40".into()),
        (format!("honker_claim_batch('many{n}', 'v', 1, 60) ->> '$[0].attempts'"), "2".into()),
        (
            format!("count(honker_cancel(id)) FROM (SELECT id FROM _honker_live WHERE queue = 'many{n}')"),
            "40".into(),
        ),
        (format!("honker_ack({}, 'v')", job("lapses")), "1".into()),
        // The dead.
        (format!("json_array_length(honker_dead_list('q{n}', -1))"), "4".into()),
        ("json_array_length(honker_dead_list(NULL, 2))".into(), "2".into()),
        (
            format!(
                "honker_dead_requeue((SELECT id FROM _honker_dead WHERE queue = 'q{n}' AND payload = '5'))"
            ),
            "1".into(),
        ),
        (format!("honker_cancel({})", job("5")), "1".into()),
        (format!("honker_dead_purge('q{n}', -1)"), "3".into()),
        ("honker_dead_purge(NULL, 100)".into(), "0".into()),
        // Results.
        (format!("honker_result_save({n}, 'r{n}', 60)"), "1".into()),
        (format!("honker_result_save({n}, 's{n}', 60)"), "1".into()),
        (format!("honker_result_get({n})"), format!("s{n}")),
        (format!("honker_result_get(-{n} - 1)"), "NULL".into()),
        ("honker_result_sweep()".into(), "0".into()),
        // Locks and rate limits.
        (format!("honker_lock_acquire('l{n}', 'a', 60)"), "1".into()),
        (format!("honker_lock_acquire('l{n}', 'b', 60)"), "0".into()),
        (format!("honker_lock_renew('l{n}', 'a', 61)"), "1".into()),
        (format!("honker_lock_release('l{n}', 'a')"), "1".into()),
        (format!("honker_rate_limit_try('r{n}', 1, 60)"), "1".into()),
        (format!("honker_rate_limit_try('r{n}', 1, 60)"), "0".into()),
        ("honker_rate_limit_sweep(100)".into(), "0".into()),
        // Streams.
        (format!("honker_stream_publish('t{n}', NULL, '{n}') > 0"), "1".into()),
        (format!("honker_stream_publish('t{n}', 'k', '{n}') > 0"), "1".into()),
        (format!("honker_stream_read_since('t{n}', 0, 10) ->> '$[1].key'"), "k".into()),
        (format!("honker_stream_save_offset('me', 't{n}', {n} + 1)"), "1".into()),
        (format!("honker_stream_save_offset('me', 't{n}', {n})"), "0".into()),
        (format!("honker_stream_get_offset('me', 't{n}')"), format!("{}", n + 1)),
        // Schedules.
        (format!("honker_scheduler_register('s{n}', 'f{n}', '{every}', 'p', 0, NULL)"), "1".into()),
        (format!("honker_scheduler_register('s{n}', 'f{n}', '@every 1h', 'p', 0, 60, 2)"), "1".into()),
        (format!("honker_scheduler_update('s{n}', NULL, 'p{n}', NULL, NULL, 0)"), "1".into()),
        (format!("honker_scheduler_update('s{n}', '@every 2h', NULL, {n}, NULL, 1, 4, 1)"), "1".into()),
        (format!("honker_scheduler_pause('s{n}')"), "1".into()),
        ("honker_scheduler_tick(0)".into(), "[]".into()),
        (format!("honker_scheduler_resume('s{n}')"), "1".into()),
        ("honker_scheduler_soonest()".into(), format!("{}", now + 7200)),
        ("honker_scheduler_list() ->> '$[0].payload'".into(), format!("p{n}")),
        (format!("honker_scheduler_tick({now} + 7200) ->> '$[0].queue'"), format!("f{n}")),
        (format!("json_array_length(honker_claim_batch('f{n}', 'w', 1, 60))"), "1".into()),
        (format!("honker_ack((SELECT id FROM _honker_live WHERE queue = 'f{n}'), 'w')"), "1".into()),
        (format!("honker_scheduler_unregister('s{n}')"), "1".into()),
        (format!("honker_cron_next_after('@every 7s', {n})"), format!("{}", n + 7)),
    ];
    calls.into_iter().map(|(call, answer)| (format!("SELECT {call}"), answer)).collect()
}

impl Db {
    /// Runs [`every_function`] and checks the answers.
    #[track_caller]
    pub fn run_every_function(&self, n: i64) {
        for (sql, answer) in every_function(n, self.clock().now()) {
            assert_eq!(self.rows(&sql), answer, "{sql}");
        }
    }
}

/// Calls that write, each with something to do once [`Db::furnish`] has run and time has passed.
pub const WRITES: &[&str] = &[
    "notify('c', 'x')",
    "honker_prune_notifications(NULL, 0)",
    "honker_enqueue('q', 'x')",
    "honker_claim_batch('due', 'w', 1, 60)",
    "honker_claim_batch('due', 'w', 2, 60)",
    "honker_claim_batch('lapsed', 'w', 1, 60)",
    "honker_claim_batch('exhausted', 'w', 0, 60)",
    "honker_sweep_expired('expired')",
    "honker_heartbeat(1, 'w', 60)",
    "honker_retry(1, 'w', 0, 'e')",
    "honker_retry(2, 'w', 0, 'e')",
    "honker_fail(1, 'w', 'e')",
    "honker_ack(1, 'w')",
    "honker_ack_batch('[1, 2]', 'w')",
    "honker_cancel(1)",
    "honker_dead_requeue(3)",
    "honker_dead_purge(NULL, 0)",
    "honker_result_save(1, 'x', 60)",
    "honker_result_sweep()",
    "honker_lock_acquire('free', 'a', 60)",
    "honker_lock_acquire('stale', 'b', 60)",
    "honker_lock_renew('held', 'a', 60)",
    "honker_lock_release('held', 'a')",
    "honker_rate_limit_try('r', 9, 60)",
    "honker_rate_limit_sweep(0)",
    "honker_stream_publish('t', NULL, 'x')",
    "honker_stream_save_offset('c', 't', 5)",
    "honker_scheduler_register('new', 'f', '@every 1h', 'p', 0, NULL)",
    "honker_scheduler_register('s', 'f', '@every 2h', 'p', 0, NULL)",
    "honker_scheduler_update('s', NULL, 'y', NULL, NULL, 0)",
    "honker_scheduler_pause('s')",
    "honker_scheduler_resume('paused')",
    "honker_scheduler_tick(unixepoch())",
    "honker_scheduler_unregister('s')",
];

/// Calls that only read.
pub const READS: &[&str] = &[
    "honker_version()",
    "honker_get_job(1)",
    "honker_queue_next_claim_at('held')",
    "honker_stats('held')",
    "honker_stats(NULL)",
    "honker_dead_list(NULL, -1)",
    "honker_result_get(1)",
    "honker_stream_read_since('t', 0, -1)",
    "honker_stream_get_offset('c', 't')",
    "honker_scheduler_list()",
    "honker_scheduler_soonest()",
    "honker_cron_next_after('@every 1h', 0)",
];

/// Calls that could write and have nothing to write, once [`Db::furnish`] has run and time has passed.
pub const IDLE: &[&str] = &[
    "honker_bootstrap()",
    "honker_prune_notifications(NULL, NULL)",
    "honker_prune_notifications(1000, 1000)",
    "honker_claim_batch('none', 'w', 1, 60)",
    "honker_claim_batch('none', 'w', -1, 60)",
    "honker_claim_batch('held', 'v', 1, 60)",
    "honker_claim_batch('held', 'v', 5, 60)",
    "honker_claim_batch('delayed', 'v', 1, 60)",
    "honker_claim_batch('delayed', 'v', -1, 60)",
    "honker_claim_batch('expired', 'v', 1, 60)",
    "honker_claim_batch('due', 'v', 0, 60)",
    "honker_claim_batch('lapsed', 'v', 0, 60)",
    "honker_sweep_expired('due')",
    "honker_sweep_expired('held')",
    "honker_heartbeat(1, 'v', 60)",
    "honker_retry(1, 'v', 0, 'e')",
    "honker_retry(2, 'v', 0, 'e')",
    "honker_fail(1, 'v', 'e')",
    "honker_ack(1, 'v')",
    "honker_ack_batch('[1, 2, 99]', 'v')",
    "honker_ack_batch('[]', 'w')",
    "honker_cancel(99)",
    "honker_dead_requeue(99)",
    "honker_dead_purge('none', 0)",
    "honker_dead_purge(NULL, 1000)",
    "honker_lock_acquire('held', 'b', 60)",
    "honker_lock_acquire('held', 'a', 600)",
    "honker_lock_renew('held', 'b', 60)",
    "honker_lock_release('held', 'b')",
    "honker_rate_limit_try('full', 1, 3600)",
    "honker_rate_limit_sweep(100000)",
    "honker_stream_save_offset('c', 't', 1)",
    "honker_stream_save_offset('c', 't', 0)",
    "honker_scheduler_update('s', NULL, NULL, NULL, 9, 0)",
    "honker_scheduler_update('none', '@every 1h', 'p', 1, 1, 1)",
    "honker_scheduler_pause('paused')",
    "honker_scheduler_resume('s')",
    "honker_scheduler_tick(0)",
    "honker_scheduler_unregister('none')",
];

impl Db {
    /// Puts into every table what [`WRITES`] needs, and lets ten seconds pass.
    pub fn furnish(&self) {
        self.run(
            "SELECT honker_enqueue('held', 'x'), honker_enqueue('held', 'x', NULL, NULL, 0, 1),
                    honker_claim_batch('held', 'w', 2, 3600);
             SELECT honker_enqueue('fails', 'x'), honker_claim_batch('fails', 'w', 1, 60), honker_fail(3, 'w', 'e');
             SELECT honker_enqueue('due', 'x') FROM (VALUES (1), (2), (3));
             SELECT honker_enqueue('delayed', 'x', NULL, 3600);
             SELECT honker_enqueue('lapsed', 'x'), honker_claim_batch('lapsed', 'w', 1, 1);
             SELECT honker_enqueue('exhausted', 'x', NULL, NULL, 0, 0);
             SELECT honker_enqueue('expired', 'x', NULL, NULL, 0, 3, 1) FROM (VALUES (1), (2));
             SELECT notify('c', 'x'), honker_result_save(1, 'x', 1), honker_stream_publish('t', 'k', 'x');
             SELECT honker_lock_acquire('held', 'a', 3600), honker_lock_acquire('stale', 'a', 1);
             SELECT honker_rate_limit_try('r', 9, 1), honker_rate_limit_try('full', 1, 3600);
             SELECT honker_stream_save_offset('c', 't', 1);
             SELECT honker_scheduler_register('s', 'f', '@every 5s', 'p', 0, NULL);
             SELECT honker_scheduler_register('paused', 'f', '@every 1h', 'p', 0, NULL), honker_scheduler_pause('paused')",
        );
        self.clock().advance(10);
    }
}
