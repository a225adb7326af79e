//! What the tests share: files, plain connections, threads that can be watched, and guards against hanging.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use honker_core::database::{Database, JournalMode, Options, Rows, Value};
use honker_core::queue::Enqueue;
use honker_core::{Error, Result};
use rusqlite::Connection;

/// How long anything may take before it counts as hanging.
pub const GUARD: Duration = Duration::from_secs(600);

/// A query that never ends.
pub const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

/// A statement that writes and never ends.
pub const ENDLESS_WRITE: &str = "INSERT INTO _honker_notifications (channel, payload) \
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'c', 'p' FROM n WHERE i < 0";

/// A file in a directory of its own.
pub struct File {
    pub path: PathBuf,
    _directory: tempfile::TempDir,
}

impl File {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        File { path: directory.path().join("app.db"), _directory: directory }
    }

    pub fn database(&self, options: &Options) -> Database {
        Database::open(&self.path, options).unwrap()
    }

    /// A connection of somebody else's, who does not wait.
    pub fn plain(&self) -> Connection {
        plain(&self.path)
    }

    pub fn count(&self, sql: &str) -> i64 {
        self.plain().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// How many commits there were, as the file keeps it with a rollback journal: SQLite's change counter.
    pub fn commits(&self) -> u32 {
        let header = std::process::Command::new("head").args(["-c", "28"]).arg(&self.path).output();
        u32::from_be_bytes(header.unwrap().stdout[24..28].try_into().unwrap())
    }

    pub fn is_intact(&self) -> bool {
        let answer: String = self.plain().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        answer == "ok"
    }
}

pub fn plain(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

pub fn patient_for(busy_timeout: Duration) -> Options {
    Options { busy_timeout, ..Options::default() }
}

pub fn journal(journal_mode: JournalMode) -> Options {
    Options { journal_mode, ..Options::default() }
}

pub fn enqueue(database: &Database, payload: &str) -> Result<i64> {
    database.enqueue(&Enqueue::new("q", payload)).map(|enqueued| enqueued.id)
}

/// The only value of a query.
pub fn single(rows: Rows) -> Value {
    assert_eq!((rows.columns.len(), rows.rows.len()), (1, 1), "{rows:?}");
    rows.rows[0][0].clone()
}

/// The primary result code that SQLite has for an outcome that has to be a refusal, whoever refused.
pub fn code<T: std::fmt::Debug>(outcome: Result<T>) -> i32 {
    let error = outcome.unwrap_err();
    assert!(
        !matches!(error, Error::Invalid(_) | Error::Misuse(_) | Error::Closed | Error::Forked),
        "{error:?}"
    );
    error.as_sqlite_code() & 0xff
}

pub fn is_interrupted<T: std::fmt::Debug>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::Interrupted(_)))
}

pub fn is_misuse<T: std::fmt::Debug>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::Misuse(_)))
}

/// Runs a test's body and fails, instead of hanging, when it does not come back.
pub fn guarded(body: impl FnOnce() + Send + 'static) {
    let (done, is_done) = channel::<()>();
    let thread = std::thread::spawn(move || {
        let _done = done;
        body();
    });
    match is_done.recv_timeout(GUARD) {
        Err(RecvTimeoutError::Timeout) => panic!("hangs: not done after {GUARD:?}"),
        _ => {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// Whether tests take their time, as under `make test-long`.
#[allow(dead_code, reason = "for the tests of the consumers")]
pub fn is_long() -> bool {
    std::env::var_os("HONKER_TEST_LONG").is_some_and(|long| !long.is_empty())
}

/// Waits for a condition.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + GUARD;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A thread whose state can be watched.
pub struct Worker<T> {
    thread: JoinHandle<T>,
    stat: PathBuf,
}

impl<T: Send + 'static> Worker<T> {
    pub fn start(body: impl FnOnce() -> T + Send + 'static) -> Self {
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            // SAFETY: asks for a number.
            tell.send(unsafe { libc::gettid() }).unwrap();
            body()
        });
        let stat = format!("/proc/self/task/{}/stat", told.recv().unwrap()).into();
        Worker { thread, stat }
    }

    /// Waits until the thread waits.
    pub fn until_asleep(self) -> Self {
        self.until_asleep_here();
        self
    }

    pub fn until_asleep_here(&self) {
        let mut in_a_row = 0;
        until("the thread sleeps", || {
            // One that has ended will not wait any more.
            in_a_row = if self.thread.is_finished() || self.field(0) == "S" { in_a_row + 1 } else { 0 };
            in_a_row == 5
        });
    }

    /// Waits until the thread has computed for a while (two ticks of 10 ms).
    pub fn until_computing(self) -> Self {
        let ticks = || self.field(11).parse::<u64>().unwrap();
        let before = ticks();
        until("the thread computes", || ticks() >= before + 2);
        self
    }

    /// Whether the thread has computed for a while.
    pub fn has_computed(&self) -> bool {
        self.field(11).parse::<u64>().unwrap() >= 2
    }

    pub fn join(self) -> T {
        let deadline = Instant::now() + GUARD;
        while !self.thread.is_finished() {
            assert!(Instant::now() < deadline, "a thread hangs");
            std::thread::sleep(Duration::from_micros(200));
        }
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A field of `/proc/…/stat`, counted from the one behind the name.
    fn field(&self, index: usize) -> String {
        let stat = std::fs::read_to_string(&self.stat).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        fields.split_whitespace().nth(index).unwrap_or("0").to_owned()
    }
}

pub type Call = fn(&Database) -> Result<()>;

/// Starts a call on a thread of its own, and waits until it waits.
pub fn waiting(database: &Database, call: Call) -> Worker<Result<()>> {
    let database = database.clone();
    Worker::start(move || call(&database)).until_asleep()
}

/// Calls and transactions that wait for the one that is open.
pub fn waiting_in_line(database: &Database) -> Vec<Worker<Result<()>>> {
    const KINDS: [Call; 2] =
        [|database| enqueue(database, "p").map(drop), |database| database.begin().map(drop)];
    KINDS.into_iter().cycle().take(6).map(|call| waiting(database, call)).collect()
}

/// Starts a call that reads until somebody ends it.
pub fn reading(database: &Database) -> Worker<Result<()>> {
    let database = database.clone();
    Worker::start(move || database.query(ENDLESS, &[]).map(drop)).until_computing()
}

/// Runs a test in a process of its own: one that forks, or changes what all threads share. `name` is its full name.
pub fn alone(name: &str, body: impl FnOnce()) {
    const VARIABLE: &str = "HONKER_TEST_ALONE";
    if std::env::var_os(VARIABLE).is_some() {
        return body();
    }
    let mut process = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, "1")
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + GUARD;
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            assert!(status.success(), "{name} failed in its own process: {status}");
            return;
        }
        if Instant::now() > deadline {
            process.kill().unwrap();
            process.wait().unwrap();
            panic!("{name} hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
