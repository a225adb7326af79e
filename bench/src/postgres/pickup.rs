//! How long after a commit does a worker of another process have the job in hand?
//!
//! Four ways take turns, each a transaction: a bare NOTIFY; one beside a row, which whoever hears it claims by hand; an enqueue by plain
//! SQL; and one by another process with libhonker, which tells after its commit. What passes from the moment in which the commit is sent counts. And what waiting costs: how many statements
//! a second a process sends of which twenty workers wait.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use honker_core::consume::{Next, Settlement, Verdict, Waiter, Worker, WorkerOptions, WorkerQueue};
use honker_core::database::Options;
use honker_core::queue::Enqueue;
use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, NoTls};
use rustix::time::{ClockId, clock_gettime};

use super::hand::Hand;
use super::server::Server;
use crate::report::{Report, Target, median};
use crate::throughput::Outcome;

/// The argument with which a child is started.
pub const ENQUEUE: &str = "postgres-enqueue";

/// Longer than anything but a notice that was lost.
const MISSED: Option<Duration> = Some(Duration::from_secs(60));

const WORKERS: usize = 20;

/// Nanoseconds of a clock that all processes share.
fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// What a child does: for each line it gets, it enqueues a job and says when it sent the commit.
pub fn enqueue_when_told(url: &str) -> Outcome<()> {
    let database = honker_postgres::connect(url, &Options::default(), false)?;
    println!("ready");
    for line in std::io::stdin().lines() {
        line?;
        let mut transaction = database.begin()?;
        transaction.enqueue(&Enqueue::new("pickup", "p"))?;
        let start = now();
        transaction.commit()?;
        println!("{start}");
    }
    Ok(database.close()?)
}

struct Other {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Other {
    fn start(url: &str) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([ENQUEUE, url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        Ok(Other { child, input, output })
    }

    fn enqueue(&mut self) -> Outcome<i64> {
        self.input.write_all(b"\n")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().parse()?)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A thread in which a worker waits for one job after the other; it says when it had each.
fn work(mut worker: Worker, had: &Sender<i64>) {
    while let Ok(Next::Item(batch)) = worker.next(1, MISSED) {
        let at = now();
        let acks =
            batch.jobs.iter().map(|job| Settlement { id: job.id, serial: job.serial, verdict: Verdict::Ack });
        let is_settled = worker.settle(&acks.collect::<Vec<_>>()).is_ok();
        if !is_settled || had.send(at).is_err() {
            return;
        }
    }
}

pub fn run(report: &mut Report, server: &Server, rounds: usize) -> Outcome<()> {
    report.table(
        "Postgres: from a commit to the job in hand, beside a bare NOTIFY",
        ["in another process", "honker", "LISTEN/NOTIFY", "honker / that"],
    );
    let url = server.with_option("synchronous_commit=off");
    let database = honker_postgres::connect(&url, &Options::default(), true)?;
    let worker = Worker::new(&database, "pickup", "w", WorkerOptions::default())?;
    let (had, jobs) = channel();
    thread::spawn(move || work(worker, &had));
    let notices = listen(&url, "bare", || Ok(now()))?;
    let mut hand = Hand::new(&url)?;
    let by_hand_jobs = listen(&url, "by_hand", move || {
        let job = hand.claim(1)?;
        let at = now();
        hand.ack(&job).map(|()| at)
    })?;
    let mut client = Client::connect(&url, NoTls)?;
    let mut other = Other::start(&url)?;
    let [mut bare, mut by_hand, mut by_sql, mut by_library] = [(); 4].map(|()| Vec::new());
    for round in 0..=rounds {
        let note = |times: &mut Vec<i64>, start: i64, end: &Receiver<i64>| -> Outcome<()> {
            let took = end.recv()? - start;
            // The first of each warms the caches.
            if round > 0 {
                times.push(took);
            }
            // All sleep by then.
            thread::sleep(Duration::from_millis(5));
            Ok(())
        };
        note(&mut bare, commit(&mut client, "NOTIFY bare")?, &notices)?;
        let sql = "INSERT INTO hand.live (queue, payload) VALUES ('q', 'p'); NOTIFY by_hand";
        note(&mut by_hand, commit(&mut client, sql)?, &by_hand_jobs)?;
        note(&mut by_sql, commit(&mut client, "SELECT honker.honker_enqueue('pickup', 'p')")?, &jobs)?;
        let start = other.enqueue()?;
        note(&mut by_library, start, &jobs)?;
    }
    let milliseconds = |nanoseconds: i64| nanoseconds as f64 / 1e6;
    let bare = milliseconds(median(&mut bare));
    let by_hand = milliseconds(median(&mut by_hand));
    for (name, times) in [("by plain SQL: p50", &mut by_sql), ("by libhonker: p50", &mut by_library)] {
        let ours = milliseconds(median(times));
        let figures = [ours, bare].map(|time| format!("{time:.2} ms"));
        report.row(name, figures, ours / bare, Some(Target::AtMost(3.0)));
        report.row(
            &format!("{name}, in ms"),
            [format!("{ours:.2} ms"), String::new()],
            ours,
            Some(Target::AtMost(5.0)),
        );
        let figures = [ours, by_hand].map(|time| format!("{time:.2} ms"));
        report.row(&format!("{name}, beside a NOTIFY and a claim by hand"), figures, ours / by_hand, None);
    }
    drop(other);
    // The worker waits no more.
    database.close()?;
    idle(report, server, rounds)
}

/// Runs it in a transaction; when the commit was sent.
fn commit(client: &mut Client, sql: &str) -> Outcome<i64> {
    let mut transaction = client.transaction()?;
    transaction.batch_execute(sql)?;
    let start = now();
    transaction.commit()?;
    Ok(start)
}

/// Listens on a connection of its own, and does this at each notice; says when it had.
fn listen(
    url: &str,
    channel_name: &str,
    mut and_then: impl FnMut() -> Outcome<i64> + Send + 'static,
) -> Outcome<Receiver<i64>> {
    let mut listener = Client::connect(url, NoTls)?;
    listener.batch_execute(&format!("LISTEN {channel_name}"))?;
    let (heard, notices) = channel();
    thread::spawn(move || {
        let mut notifications = listener.notifications();
        let mut each = notifications.blocking_iter();
        while let Ok(Some(_)) = each.next() {
            let Ok(at) = and_then() else { return };
            if heard.send(at).is_err() {
                return;
            }
        }
    });
    Ok(notices)
}

fn idle(report: &mut Report, server: &Server, rounds: usize) -> Outcome<()> {
    let database = honker_postgres::connect(server.url(), &Options::default(), false)?;
    let waiter = Waiter::new(&database)?;
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let queues = vec![WorkerQueue::new(format!("idle-{number}"))];
        workers.push(Worker::on(&waiter, number as u64, queues, "w", WorkerOptions::default())?);
    }
    // A waiter names whoever has work; to begin with that is everybody.
    let mut serve = |time: Duration| -> Outcome<()> {
        let until = Instant::now() + time;
        let mut tokens = [0; WORKERS];
        loop {
            let count = waiter.ready(&mut tokens)?.count;
            for token in &tokens[..count] {
                let worker = usize::try_from(*token).ok().and_then(|place| workers.get_mut(place));
                let worker = worker.ok_or("a worker that is not there")?;
                while worker.next(1, Some(Duration::ZERO))? != Next::Timeout {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            waiter.wait(Some(left))?;
        }
    };
    let mut client = Client::connect(server.url(), NoTls)?;
    // Whose transactions would be counted as well.
    client.batch_execute("ALTER SYSTEM SET autovacuum = off")?;
    client.batch_execute("SELECT pg_reload_conf()")?;
    let mut transactions = || -> Outcome<i64> {
        let sql =
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
        Ok(client.query_one(sql, &[])?.get(0))
    };
    // The server's processes tell their statistics late, and what they tell is looked into once: that is over by then.
    let (settle, time) = if rounds > 100 { (30, 20) } else { (1, 2) };
    serve(Duration::from_secs(settle))?;
    let before = transactions()?;
    serve(Duration::from_secs(time))?;
    let rate = (transactions()? - before) as f64 / time as f64;
    client.batch_execute("ALTER SYSTEM RESET autovacuum")?;
    client.batch_execute("SELECT pg_reload_conf()")?;
    report.table(
        "Postgres: what waiting costs",
        ["a process of which 20 workers wait", "a second", "", "a second"],
    );
    report.row("statements", [format!("{rate:.2}"), String::new()], rate, Some(Target::AtMost(1.3)));
    drop(workers);
    Ok(database.close()?)
}
