//! What the tests share: files in every journal mode, ways to watch them, and guards against hanging.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use honker_core::watch::{Backend, Settings, Subscription, Target, Wake, Watcher};

use crate::foreign::Foreign;

/// How long anything may take before it counts as hanging.
pub const GUARD: Duration = Duration::from_secs(600);

/// Longer than anything that runs in a watcher by itself, unless it is kept from running.
pub const QUIET: Duration = Duration::from_millis(150);

pub const MODES: [&str; 4] = ["WAL", "DELETE", "TRUNCATE", "PERSIST"];

/// All there are, and `Auto` as it is where events do not come.
pub const WAYS: [Settings; 7] = [
    way(Backend::Auto),
    THREADED,
    way(Backend::Kernel),
    way(Backend::Polling),
    way(Backend::Shm),
    DEAF,
    Settings { threaded: true, ..DEAF },
];

/// A thread watches, as it does where a second waiter has a descriptor; otherwise whoever waits does.
pub const THREADED: Settings = Settings { threaded: true, ..way(Backend::Auto) };

pub const DEAF: Settings = Settings { deaf: true, ..way(Backend::Auto) };

pub const fn way(backend: Backend) -> Settings {
    Settings { backend, poll_interval: Duration::from_millis(1), deaf: false, threaded: false }
}

/// A file with a table `row`, in a directory of its own.
pub struct File {
    pub path: PathBuf,
    pub directory: tempfile::TempDir,
}

impl File {
    /// One that does not exist yet.
    pub fn none() -> Self {
        assert!(honker_core::vfs::install(), "lock-safe file access is not active");
        let directory = tempfile::tempdir().unwrap();
        File { path: directory.path().join("app.db"), directory }
    }

    pub fn new(mode: &str) -> Self {
        let file = File::none();
        create(&file.path, mode);
        file
    }

    pub fn target(&self) -> Target {
        Target::new(self.path.to_str().unwrap())
    }

    pub fn watch(&self, settings: &Settings) -> Arc<Watcher> {
        Watcher::start(&self.target(), settings).unwrap()
    }

    pub fn beside(&self, suffix: &str) -> PathBuf {
        self.directory.path().join(format!("app.db{suffix}"))
    }
}

pub fn create(path: &Path, mode: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", mode).unwrap();
    connection.execute_batch("CREATE TABLE row (id INTEGER PRIMARY KEY, payload)").unwrap();
}

/// Writes over a database as no SQLite would, and in another process: this one must not have a descriptor of it.
pub fn overwrite(file: &File, bytes: &[u8]) {
    let copy = file.beside(".copy");
    std::fs::write(&copy, bytes).unwrap();
    let done = std::process::Command::new("dd")
        .arg(format!("if={}", copy.display()))
        .arg(format!("of={}", file.path.display()))
        .args(["conv=notrunc", "status=none"])
        .status();
    assert!(done.unwrap().success());
}

pub const INSERT: &str = "INSERT INTO row (payload) VALUES (hex(randomblob(20)))";

type Body<'a> = &'a (dyn Fn(&File, &mut Foreign, &Settings) + Sync);

/// Runs `body` for every way to watch a file in every journal mode that it can be watched in.
pub fn everywhere(body: impl Fn(&File, &mut Foreign, &Settings) + Sync) {
    std::thread::scope(|scope| {
        for (mode, settings) in combinations() {
            let body: Body<'_> = &body;
            let name = format!("{mode}, {settings:?}");
            std::thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, move || run(mode, &settings, body))
                .unwrap();
        }
    });
}

/// The same, one after the other.
pub fn everywhere_in_turn(body: impl Fn(&File, &mut Foreign, &Settings) + Sync) {
    combinations().for_each(|(mode, settings)| run(mode, &settings, &body));
}

fn combinations() -> impl Iterator<Item = (&'static str, Settings)> {
    let all = MODES.into_iter().flat_map(|mode| WAYS.map(|settings| (mode, settings)));
    all.filter(|(mode, settings)| *mode == "WAL" || settings.backend != Backend::Shm)
}

fn run(mode: &str, settings: &Settings, body: Body<'_>) {
    let file = File::new(mode);
    let mut foreign = Foreign::on(&file.path);
    foreign.sql(&format!("PRAGMA journal_mode = {mode}"));
    foreign.sql("PRAGMA synchronous = OFF");
    body(&file, &mut foreign, settings);
}

#[track_caller]
pub fn wakes(subscription: &Subscription) {
    assert_eq!(subscription.wait(Some(GUARD)), Ok(Wake::Update));
}

/// Waits until the watcher has seen all that has been committed.
pub fn caught_up(watcher: &Watcher) {
    let before = watcher.statistics().checks;
    until("the watcher looks", || {
        // It may be that nobody watches, because nobody waits.
        watcher.look();
        watcher.statistics().checks >= before + 2
    });
}

/// The same, and takes the wake for it.
pub fn settle(watcher: &Watcher, subscription: &Subscription) {
    caught_up(watcher);
    while subscription.wait(Some(Duration::ZERO)) == Ok(Wake::Update) {}
}

/// Nothing has come since the wakes were last taken, nor does anything come.
#[track_caller]
pub fn is_quiet(watcher: &Watcher, subscription: &Subscription) {
    caught_up(watcher);
    assert_eq!(subscription.wait(Some(Duration::ZERO)), Ok(Wake::Timeout));
}

/// The text of an error that says that the watcher died.
#[track_caller]
pub fn died<T: std::fmt::Debug>(outcome: honker_core::Result<T>) -> String {
    match outcome {
        Err(honker_core::Error::Watcher(text)) if text.starts_with("watcher died: ") => text,
        other => panic!("{other:?}"),
    }
}

/// Waits for a condition.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + GUARD;
    while !condition() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs a body and fails, instead of hanging, when it does not come back.
pub fn guarded<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = channel::<()>();
    let thread = std::thread::spawn(move || {
        let _done = done;
        body()
    });
    assert_ne!(is_done.recv_timeout(GUARD), Err(RecvTimeoutError::Timeout), "hangs");
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A thread whose state can be watched.
pub struct Thread<T> {
    thread: std::thread::JoinHandle<T>,
    stat: String,
}

impl<T> Thread<T> {
    pub fn join(self) -> std::thread::Result<T> {
        self.thread.join()
    }
}

/// A thread that waits. It is in the wait when this returns, or has been.
pub fn waiting<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> Thread<T> {
    let (tell, told) = channel();
    let thread = std::thread::spawn(move || {
        // SAFETY: asks for a number.
        tell.send(unsafe { libc::gettid() }).unwrap();
        body()
    });
    let stat = format!("/proc/self/task/{}/stat", told.recv().unwrap());
    let thread = Thread { thread, stat };
    until_asleep(&thread);
    thread
}

/// Waits until a thread sleeps, or has ended.
pub fn until_asleep<T>(thread: &Thread<T>) {
    let mut in_a_row = 0;
    until("the thread sleeps", || {
        let text = std::fs::read_to_string(&thread.stat).unwrap_or_default();
        in_a_row = if text.contains(") S ") || thread.thread.is_finished() { in_a_row + 1 } else { 0 };
        in_a_row == 5
    });
}

/// How many watchers' threads this process has. One that has been joined may still be in the process table for a moment:
/// the kernel tells whoever joins before it takes the thread away. It is marked as exiting by then.
pub fn watchers() -> usize {
    const EXITING: u32 = 0x4;
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok())
        .filter(|stat| {
            let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
            let flags: u32 = rest.split_whitespace().nth(6).unwrap().parse().unwrap();
            name == "honker-watcher" && flags & EXITING == 0
        })
        .count()
}

/// What this process has open, without the descriptors that are kept for locks (`honker_core::vfs`).
pub fn descriptors() -> Vec<String> {
    let mut all: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|path| path.to_string_lossy().into_owned())
        .filter(|path| !path.ends_with(".db") && !path.ends_with("-shm") && !path.starts_with("/proc/"))
        .collect();
    all.sort();
    all
}

/// Whether `poll` says that it can be read.
pub fn is_readable(descriptor: std::os::fd::RawFd) -> bool {
    let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: one descriptor to poll.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}

/// Runs a test in a process of its own; what it wrote to its standard error. `name` is its full name.
pub fn alone(name: &str, body: impl FnOnce()) -> String {
    const VARIABLE: &str = "HONKER_TEST_ALONE";
    if std::env::var_os(VARIABLE).is_some() {
        body();
        return String::new();
    }
    let mut process = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = process.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut pipe, &mut text).map(|_| text)
    });
    let deadline = Instant::now() + 2 * GUARD;
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            process.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = reader.join().unwrap().unwrap_or_default();
    assert!(status.success(), "{name} failed in its own process ({status}):\n{text}");
    text
}

/// Whether this process is one that `alone` started.
pub fn is_alone() -> bool {
    std::env::var_os("HONKER_TEST_ALONE").is_some()
}
