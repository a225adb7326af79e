//! How long after a commit in another process does a consumer have the row in its hands, and what does waiting cost?
//!
//! The writer is a Python with the system's SQLite, which knows nothing of us. It commits rows at random distances and
//! notes when each commit returned. The reader waits in one of four ways, which take turns: through our watcher, led by
//! the thread that waits or by a thread of its own; with the least that could do, one thread that sleeps on inotify and then
//! asks for `PRAGMA data_version` until that moves; or by asking every millisecond. It notes when it first saw each row.
//! Both clocks are the machine's monotonic one.
//!
//! And what waiting costs those that commit in the same process, and to make and free a file's first waiter.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use honker_core::database::{Database, Options};
use honker_core::queue::Enqueue;
use honker_core::watch::{self, Settings, Subscription, Target as File, Wake};
use rusqlite::Connection;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::time::{ClockId, clock_gettime};

use crate::report::{Report, Target, median, microseconds};

const BLOCK: usize = 250;
const ROUNDS: usize = 8;
const IDLE: Duration = Duration::from_secs(2);

const WRITER: &str = r#"
import random, sqlite3, sys, time
path, journal_mode, synchronous = sys.argv[1:]
db = sqlite3.connect(path, isolation_level=None, timeout=60)
db.execute(f"PRAGMA journal_mode = {journal_mode}")
db.execute(f"PRAGMA synchronous = {synchronous}")
db.execute("CREATE TABLE IF NOT EXISTS row (id INTEGER PRIMARY KEY, payload TEXT)")
print("ready", flush=True)
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        time.sleep(random.uniform(0.001, 0.006))
        id = db.execute("INSERT INTO row (payload) VALUES ('hello')").lastrowid
        times.append((id, time.monotonic_ns()))
    print(" ".join(f"{id}:{at}" for id, at in times), flush=True)
"#;

pub fn run(report: &mut Report, directory: &Path, divisor: usize) -> Result<(), Box<dyn Error>> {
    let Some(python) = python() else {
        println!("SKIPPED wake: no python3 for the writer");
        return Ok(());
    };
    let (rounds, idle) = if divisor == 1 { (ROUNDS, IDLE) } else { (1, IDLE / 10) };
    report.table(
        "From a commit in another process to the row in hand",
        ["journal mode, synchronous", "honker", "1 ms polling", "polling / honker"],
    );
    let mut beside_bare = Vec::new();
    for (journal_mode, synchronous) in
        [("WAL", "NORMAL"), ("WAL", "FULL"), ("DELETE", "NORMAL"), ("DELETE", "FULL")]
    {
        let path = directory.join(format!("wake-{journal_mode}-{synchronous}.db"));
        let mut writer = Writer::start(&python, &path, journal_mode, synchronous)?;
        let [mut ours, mut theirs, mut bare, mut threaded] = [(); 4].map(|()| Measured::default());
        for _ in 0..rounds {
            measure(&mut writer, &path, &Honker { threaded: false }, &mut ours)?;
            measure(&mut writer, &path, &Bare { path: path.clone() }, &mut bare)?;
            measure(&mut writer, &path, &Honker { threaded: true }, &mut threaded)?;
            measure(&mut writer, &path, &Polling, &mut theirs)?;
        }
        ours.idle = idle_share(&path, &Honker { threaded: false }, idle)?;
        theirs.idle = idle_share(&path, &Polling, idle)?;
        let name = format!("{journal_mode}, {synchronous}");
        for (percent, target) in [(50, Some(1.2)), (90, None), (99, Some(1.5))] {
            for (who, measured, target) in [("", &mut ours, target), (", by a thread", &mut threaded, None)] {
                let (us, them) = (measured.percentile(percent), bare.percentile(percent));
                let figures = [us, them].map(|us| format!("{us:.0} µs"));
                let target = target.map(Target::AtMost);
                beside_bare.push((format!("{name}: p{percent}{who}"), figures, us / them, target));
            }
        }
        let figures =
            [&ours, &bare].map(|measured| format!("{} of {}", measured.missed, measured.times_us.len()));
        beside_bare.push((format!("{name}: missed"), figures, ours.missed as f64, Some(Target::AtMost(0.0))));
        for (percent, target) in [(50, Some(8.0)), (90, None), (99, Some(3.0)), (100, None)] {
            let (us, them) = (ours.percentile(percent), theirs.percentile(percent));
            let figures = [us, them].map(|us| format!("{us:.0} µs"));
            let what = if percent == 100 { "max".to_owned() } else { format!("p{percent}") };
            report.row(&format!("{name}: {what}"), figures, them / us, target.map(Target::AtLeast));
        }
        let figures = [ours.idle, theirs.idle].map(|share| format!("{:.3} %", share * 100.0));
        let ratio = theirs.idle / ours.idle;
        report.row(&format!("{name}: idle, of a core"), figures, ratio, Some(Target::AtLeast(20.0)));
        let figures = [&ours, &theirs].map(|measured| measured.wakes.to_string());
        report.row(&format!("{name}: wakes"), figures, theirs.wakes as f64 / ours.wakes as f64, None);
        let figures =
            [&ours, &theirs].map(|measured| format!("{} of {}", measured.missed, measured.times_us.len()));
        report.row(&format!("{name}: missed"), figures, ours.missed as f64, Some(Target::AtMost(0.0)));
    }
    report.table(
        "The same beside one thread that sleeps on inotify and checks",
        ["journal mode, synchronous", "honker", "bare loop", "honker / bare loop"],
    );
    for (name, figures, ratio, target) in beside_bare {
        report.row(&name, figures, ratio, target);
    }
    beside_waiters(report, directory, divisor)?;
    first_waiter(report, directory, divisor)
}

/// An enqueue in a process in which others wait.
fn beside_waiters(report: &mut Report, directory: &Path, divisor: usize) -> Result<(), Box<dyn Error>> {
    const WAITERS: usize = 2_000;
    let (waiters, jobs) = (WAITERS / divisor.min(10), 2_000 / divisor.min(10));
    report.table(
        "An enqueue beside waiters of the same process (median)",
        ["waiters", "with them", "alone", "with them / alone"],
    );
    let database = |name: &str| Database::open(directory.join(name), &Options::default());
    let (alone, together) = (database("wake-alone.db")?, database("wake-together.db")?);
    let mut waiting: Vec<Subscription> = Vec::new();
    for (what, target) in [("idle waiters", Some(1.2)), ("idle waiters with descriptors", Some(1.2))] {
        if waiting.is_empty() {
            for _ in 0..waiters {
                waiting.push(together.subscribe()?);
            }
        } else {
            for waiter in &waiting {
                waiter.descriptor()?;
            }
        }
        compare(report, &format!("{waiters} {what}"), jobs, &alone, &together, target)?;
    }
    waiting.truncate(waiters / 10);
    let wakers: Vec<_> = waiting.iter().map(Subscription::waker).collect();
    thread::scope(|scope| {
        let count = waiting.len();
        for waiter in waiting.drain(..) {
            scope.spawn(move || while waiter.wait(None).is_ok() {});
        }
        let compared =
            compare(report, &format!("{count} blocked waiters, all woken"), jobs, &alone, &together, None);
        wakers.iter().for_each(watch::Waker::close);
        compared
    })
}

fn compare(
    report: &mut Report,
    name: &str,
    jobs: usize,
    alone: &Database,
    together: &Database,
    target: Option<f64>,
) -> Result<(), Box<dyn Error>> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..jobs {
        for (database, times) in [together, alone].into_iter().zip(&mut times) {
            let began = Instant::now();
            database.enqueue(&Enqueue::new("q", "p"))?;
            times.push(began.elapsed());
        }
    }
    let [with, without] = times.map(|mut times| median(&mut times));
    let ratio = with.as_secs_f64() / without.as_secs_f64();
    report.row(name, [with, without].map(microseconds), ratio, target.map(Target::AtMost));
    Ok(())
}

/// To make a waiter and free it, in a database that nobody else waits in.
fn first_waiter(report: &mut Report, directory: &Path, divisor: usize) -> Result<(), Box<dyn Error>> {
    let rounds = 200 / divisor.min(10);
    report.table("Making and freeing a waiter (median)", ["waiter", "first", "later", "later / first"]);
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let database = Database::open(directory.join("wake-first.db"), &Options::default())?;
        for times in [&mut first, &mut later] {
            let began = Instant::now();
            drop(database.subscribe()?);
            times.push(began.elapsed());
        }
    }
    let [first, later] = [median(&mut first), median(&mut later)];
    let ratio = later.as_secs_f64() / first.as_secs_f64();
    report.row("of a database", [first, later].map(microseconds), ratio, None);
    Ok(())
}

/// The writing process.
struct Writer {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Writer {
    fn start(
        python: &Path,
        path: &Path,
        journal_mode: &str,
        synchronous: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(python)
            .args(["-c", WRITER])
            .arg(path)
            .args([journal_mode, synchronous])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().ok_or("no pipe")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        let mut writer = Writer { child, orders, answers };
        writer.answer()?;
        Ok(writer)
    }

    /// Commits rows; the id of each, and when its commit returned.
    fn commit(&mut self, rows: usize) -> Result<Vec<(i64, i64)>, Box<dyn Error>> {
        writeln!(self.orders, "{rows}")?;
        let answer = self.answer()?;
        let pairs = answer.split_whitespace().filter_map(|pair| pair.split_once(':'));
        pairs.map(|(id, at)| Ok((id.parse()?, at.parse()?))).collect()
    }

    fn answer(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("the writer has ended".into());
        }
        Ok(line)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct Measured {
    times_us: Vec<f64>,
    missed: usize,
    wakes: usize,
    idle: f64,
}

impl Measured {
    fn percentile(&mut self, percent: usize) -> f64 {
        self.times_us.sort_by(f64::total_cmp);
        let last = self.times_us.len().saturating_sub(1);
        self.times_us.get(last * percent / 100).copied().unwrap_or(f64::NAN)
    }
}

/// A way to wait.
trait Waiting: Sync {
    type Waiter: Send;
    fn begin(&self, path: &Path) -> Result<Self::Waiter, Box<dyn Error>>;
    /// Returns when something may have been committed, or it has been told to stop.
    fn wait(&self, waiter: &mut Self::Waiter, stop: &AtomicBool);
    /// What makes a wait look whether it has been told to stop.
    fn rouse(&self, waiter: &Self::Waiter) -> Box<dyn Fn() + Send>;
}

struct Honker {
    threaded: bool,
}

impl Waiting for Honker {
    type Waiter = Subscription;

    fn begin(&self, path: &Path) -> Result<Subscription, Box<dyn Error>> {
        let file = File::new(path.to_str().ok_or("a path in UTF-8")?);
        let settings = Settings { threaded: self.threaded, ..Settings::default() };
        Ok(watch::shared(&file, &settings)?.subscribe()?)
    }

    fn wait(&self, subscription: &mut Subscription, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) && subscription.wait(None) != Ok(Wake::Update) {}
    }

    fn rouse(&self, subscription: &Subscription) -> Box<dyn Fn() + Send> {
        let waker = subscription.waker();
        Box::new(move || waker.wake())
    }
}

/// The least that could do: events of the file that a commit writes to, and asking until it is there.
struct Bare {
    path: PathBuf,
}

impl Waiting for Bare {
    type Waiter = (Connection, i64, OwnedFd);

    fn begin(&self, path: &Path) -> Result<Self::Waiter, Box<dyn Error>> {
        let connection = open(path)?;
        let version = data_version(&connection).unwrap_or_default();
        let events = inotify::init(CreateFlags::NONBLOCK)?;
        let log = PathBuf::from(format!("{}-wal", path.display()));
        inotify::add_watch(&events, if log.exists() { &log } else { path }, WatchFlags::MODIFY)?;
        Ok((connection, version, events))
    }

    fn wait(&self, (connection, seen, events): &mut Self::Waiter, stop: &AtomicBool) {
        let mut buffer = [0; 4096];
        let mut event = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            if let Some(version) = data_version(connection).filter(|version| version != seen) {
                *seen = version;
                return;
            }
            let time =
                if event.elapsed() < Duration::from_millis(100) { Duration::from_micros(50) } else { IDLE };
            let mut fds = [PollFd::new(&*events, PollFlags::IN)];
            if poll(&mut fds, Timespec::try_from(time).ok().as_ref()).is_ok_and(|ready| ready > 0) {
                let _ = rustix::io::read(&*events, &mut buffer);
                event = Instant::now();
            }
        }
    }

    fn rouse(&self, _: &Self::Waiter) -> Box<dyn Fn() + Send> {
        let path = self.path.clone();
        Box::new(move || {
            let version = monotonic_ns() & 0x7fff_ffff;
            let _ =
                open(&path).and_then(|connection| connection.pragma_update(None, "user_version", version));
        })
    }
}

struct Polling;

impl Waiting for Polling {
    type Waiter = (Connection, i64);

    fn begin(&self, path: &Path) -> Result<(Connection, i64), Box<dyn Error>> {
        let connection = open(path)?;
        let version = data_version(&connection).unwrap_or_default();
        Ok((connection, version))
    }

    fn wait(&self, (connection, seen): &mut (Connection, i64), stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
            if let Some(version) = data_version(connection).filter(|version| version != seen) {
                *seen = version;
                return;
            }
        }
    }

    fn rouse(&self, _: &(Connection, i64)) -> Box<dyn Fn() + Send> {
        Box::new(|| ()) // it does every millisecond
    }
}

fn data_version(connection: &Connection) -> Option<i64> {
    let mut statement = connection.prepare_cached("PRAGMA data_version").ok()?;
    statement.query_row([], |row| row.get(0)).ok()
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    Ok(connection)
}

fn measure<W: Waiting>(
    writer: &mut Writer,
    path: &Path,
    waiting: &W,
    measured: &mut Measured,
) -> Result<(), Box<dyn Error>> {
    let mut waiter = waiting.begin(path)?;
    let connection = open(path)?;
    let highest = |connection: &Connection| -> i64 {
        let statement = connection.prepare_cached("SELECT coalesce(max(id), 0) FROM row");
        statement.and_then(|mut statement| statement.query_row([], |row| row.get(0))).unwrap_or_default()
    };
    let (stop, rouse) = (AtomicBool::new(false), waiting.rouse(&waiter));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut last = highest(&connection);
    let committed = thread::scope(|scope| {
        let (stop, seen) = (&stop, &seen);
        let waiter = &mut waiter;
        let reader = scope.spawn(move || {
            let mut wakes = 0;
            while !stop.load(Ordering::Relaxed) {
                waiting.wait(waiter, stop);
                wakes += 1;
                let id = highest(&connection);
                let now = monotonic_ns();
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.extend((last + 1..=id).map(|id| (id, now)));
                last = id.max(last);
            }
            wakes
        });
        thread::sleep(Duration::from_millis(20));
        let committed = writer.commit(BLOCK);
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        rouse();
        measured.wakes += reader.join().unwrap_or_default();
        committed
    })?;
    let seen: std::collections::HashMap<i64, i64> =
        seen.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
    for (id, at) in committed {
        match seen.get(&id) {
            Some(now) => measured.times_us.push((now - at).max(0) as f64 / 1e3),
            None => measured.missed += 1,
        }
    }
    Ok(())
}

/// The share of a core that waiting takes while nothing happens.
fn idle_share<W: Waiting>(path: &Path, waiting: &W, time: Duration) -> Result<f64, Box<dyn Error>> {
    let mut waiter = waiting.begin(path)?;
    let (stop, rouse) = (AtomicBool::new(false), waiting.rouse(&waiter));
    thread::scope(|scope| {
        let (stop, waiter) = (&stop, &mut waiter);
        scope.spawn(move || waiting.wait(waiter, stop));
        thread::sleep(Duration::from_millis(200));
        let before = cpu_ns();
        thread::sleep(time);
        let used = cpu_ns() - before;
        stop.store(true, Ordering::Relaxed);
        rouse();
        Ok(used as f64 / time.as_nanos() as f64)
    })
}

fn monotonic_ns() -> i64 {
    nanoseconds(ClockId::Monotonic)
}

fn cpu_ns() -> i64 {
    nanoseconds(ClockId::ProcessCPUTime)
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn python() -> Option<PathBuf> {
    let found = Command::new("scripts/find").arg("python3").output().ok()?;
    let path = String::from_utf8(found.stdout).ok()?;
    Some(PathBuf::from(path.trim())).filter(|path| path.exists())
}
