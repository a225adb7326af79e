//! How long after a process was killed does another one have its job in hand?
//!
//! Each round a child of this process claims a job with a visibility timeout of 300 s and is killed. Beside the time from the
//! signal to the job in this process's worker stands the time until the kernel says that the child has ended.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use honker_core::consume::{Next, Settlement, Verdict, Worker, WorkerOptions};
use honker_core::database::{Database, Options};
use honker_core::queue::Enqueue;

use crate::report::{Report, Target};

const ROUNDS: usize = 300;

/// Longer than anything but the visibility timeout.
const MISSED: Duration = Duration::from_secs(60);

/// The argument with which a child is started.
pub const HOLD: &str = "hold";

/// What a child does: it claims a job and holds it until it is killed.
pub fn hold(path: &str) -> Result<(), Box<dyn Error>> {
    let database = Database::open(path, &Options::default())?;
    let mut worker = Worker::new(&database, "q", "child", WorkerOptions::default())?;
    while !matches!(worker.next(1, None)?, Next::Item(batch) if !batch.jobs.is_empty()) {}
    println!("held");
    loop {
        std::thread::park();
    }
}

pub fn run(report: &mut Report, directory: &Path, divisor: usize) -> Result<(), Box<dyn Error>> {
    let path = directory.join("rescue.db");
    let database = Database::open(&path, &Options::default())?;
    let (mut rescued, mut ended, mut missed) = (Vec::new(), Vec::new(), 0);
    let (started, start) = channel::<Worker>();
    let (found, job) = channel();
    let waits = std::thread::spawn(move || {
        for mut worker in start {
            let next = worker.next(1, Some(MISSED));
            let _ = found.send((next, worker, Instant::now()));
        }
    });
    let mut worker = Worker::new(&database, "q", "parent", WorkerOptions::default())?;
    for _ in 0..(ROUNDS / divisor.min(30)) {
        database.enqueue(&Enqueue::new("q", "p"))?;
        let mut child = start_child(&path)?;
        started.send(worker)?;
        // It sleeps by then.
        std::thread::sleep(Duration::from_millis(20));
        let killed = Instant::now();
        child.kill()?;
        child.wait()?;
        ended.push(killed.elapsed());
        let (next, back, at) = job.recv()?;
        worker = back;
        match next? {
            Next::Item(batch) => {
                rescued.push(at.duration_since(killed));
                let held = &batch.jobs[0];
                let ack = Settlement { id: held.id, serial: held.serial, verdict: Verdict::Ack };
                let _ = worker.settle(&[ack])?;
            }
            _ => missed += 1,
        }
    }
    drop(started);
    let _ = waits.join();
    report.table(
        "From a SIGKILL to the job in another process's hands",
        ["", "honker", "process ended", "honker, in ms"],
    );
    for (percent, target) in [(50, Some(1.0)), (99, Some(10.0)), (100, None)] {
        let figures = [&mut rescued, &mut ended].map(|times| percentile(times, percent));
        let name = if percent == 100 { "max".to_owned() } else { format!("p{percent}") };
        let ms = figures[0].as_secs_f64() * 1000.0;
        report.row(
            &name,
            figures.map(|time| format!("{:.0} µs", time.as_secs_f64() * 1e6)),
            ms,
            target.map(Target::AtMost),
        );
    }
    let figures = [missed.to_string(), rescued.len().to_string()];
    report.row("missed, of so many", figures, f64::from(missed), Some(Target::AtMost(0.0)));
    Ok(())
}

fn start_child(path: &Path) -> Result<Child, Box<dyn Error>> {
    let mut child =
        Command::new(std::env::current_exe()?).arg(HOLD).arg(path).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("the child's output")?).read_line(&mut line)?;
    if line == "held\n" { Ok(child) } else { Err("the child has claimed nothing".into()) }
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}
