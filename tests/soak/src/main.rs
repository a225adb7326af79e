//! `make soak`: sixteen threads that do everything at once to one file through the C ABI, beside processes that are
//! killed and a SQLite that knows nothing of honker; then an audit of what they say they have done.
//!
//!     honker-soak [--seconds N] [--seed N] [--threads N] [--peers N] [--keep DIRECTORY]
//!     honker-soak audit DIRECTORY     audits once more what a run with --keep has left
//!
//! Each thread (actor.rs) writes down what calls have acknowledged (ledger.rs). The audit (audit/) holds the books of all
//! against each other and against the file: nothing that was acknowledged may be missing, and nothing may be there, or
//! have happened twice, that nobody did. It exits with 1 if there is anything to say.

mod actor;
mod audit;
mod consumers;
mod foreign;
mod jobs;
mod ledger;
mod peers;
mod resources;
mod schedules;
mod services;
mod tally;
mod transactions;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use honker_library::{Answer, Database, handles_to_free, settings, status};

use crate::actor::{Actor, Stage};
use crate::consumers::Loop;
use crate::ledger::Ledger;
use crate::peers::Peers;
use crate::tally::Tally;

/// How often the main process opens the file anew and closes what all its threads use.
const REOPENED_EVERY: Duration = Duration::from_secs(1);

/// What is held besides, for good: a database in use has this many descriptors at most, and two are open at a time.
const DESCRIPTORS: usize = 100;

/// What stays after closing: those of two open databases, each with a writer and eight readers, and a few more.
const DESCRIPTORS_KEPT: usize = 30;

/// Megabytes that the process may grow by after its first tenth. Caches are 32 a connection.
const MEMORY: u64 = 600;

/// Threads of this process that wait for everything, beside the actors.
const WAITING: i64 = 2;

struct Plan {
    seconds: u64,
    seed: u64,
    threads: i64,
    peers: usize,
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let clean = match words[..] {
        ["peer", directory, number, seed] => peer(directory, number, seed).map(|()| true),
        ["audit", directory] => audit(Path::new(directory)),
        _ => plan(&words).and_then(|plan| soak(&plan)),
    };
    match clean {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

fn plan(words: &[&str]) -> Result<Plan, Box<dyn Error>> {
    let mut plan = Plan { seconds: 20, seed: fastrand::u64(..), threads: 16, peers: 3, keep: None };
    for pair in words.chunks(2) {
        match *pair {
            ["--seconds", value] => plan.seconds = value.parse()?,
            ["--seed", value] => plan.seed = value.parse()?,
            ["--threads", value] => plan.threads = value.parse()?,
            ["--peers", value] => plan.peers = value.parse()?,
            ["--keep", value] => plan.keep = Some(value.into()),
            _ => return Err(format!("unknown arguments: {pair:?}; main.rs lists them").into()),
        }
    }
    Ok(plan)
}

fn peer(directory: &str, number: &str, seed: &str) -> Result<(), Box<dyn Error>> {
    peers::run(Path::new(directory), number.parse()?, seed.parse()?)
}

/// The file that everybody uses.
fn file(directory: &Path) -> PathBuf {
    directory.join("soak.db")
}

fn open(directory: &Path) -> Answer<Database> {
    let path = file(directory);
    loop {
        match Database::open(path.to_str().expect("a directory with a name in UTF-8"), &settings()) {
            // The others are many.
            Err(failure) if failure.status == status::BUSY => {}
            opened => return opened,
        }
    }
}

fn soak(plan: &Plan) -> Result<bool, Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let directory = plan.keep.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(directory)?;
    println!("soak: {} s, {} threads, {} peers, seed {}", plan.seconds, plan.threads, plan.peers, plan.seed);

    let descriptors_before = resources::descriptors();
    let database = open(directory)?;
    let transaction = database.begin()?;
    for table in transactions::TABLES.split(';') {
        transaction.execute(table, &[])?;
    }
    schedules::register(transaction.place())?;
    transaction.commit()?;
    drop(transaction);

    let stage = Arc::new(Stage::new(database));
    let began = Instant::now();
    let mut peers = Peers::start(directory, plan.seed, plan.peers)?;
    let mut tally = Tally::default();
    let (watched, foreign) = thread::scope(|scope| {
        let actors: Vec<_> = (0..plan.threads)
            .map(|number| {
                let ledger = Ledger::create(directory, &format!("a{number}"), false);
                let actor = Actor::new(Arc::clone(&stage), number, plan.seed, ledger);
                scope.spawn(|| actor.run())
            })
            .collect();
        let waiting: Vec<_> = (plan.threads..plan.threads + WAITING)
            .map(|number| {
                let ledger = Ledger::create(directory, &format!("a{number}"), false);
                let waiting = Loop::new(Arc::clone(&stage), number, plan.seed, ledger);
                scope.spawn(|| waiting.run())
            })
            .collect();
        let foreign = scope.spawn(|| foreign::run(directory, &stage));
        let watched = watch(directory, &stage, &mut peers, Duration::from_secs(plan.seconds));
        stage.over.store(true, Ordering::Relaxed);
        for actor in actors.into_iter().chain(waiting) {
            tally.add(actor.join().expect("an actor that did not panic"));
        }
        (watched, foreign.join().expect("no panic"))
    });
    let seconds = began.elapsed().as_secs_f64();
    let watched = watched?;
    peers.end()?;
    stage.current().close()?;

    let mut findings = audit::audit(directory)?;
    println!("\ncalls of this process, and what they answered:");
    tally.print();
    println!("\n{}", findings.summary);
    println!(
        "calls {} ({:.0} /s), entries {:.0} /s, kills {}, reopened {}, commits of another SQLite {foreign}",
        tally.calls(),
        tally.calls() as f64 / seconds,
        findings.entries as f64 / seconds,
        peers.kills,
        watched.reopened
    );
    println!("memory {:?} MB after a tenth, {:?} MB at the end", watched.memory[0], watched.memory[1]);
    let descriptors = [descriptors_before, watched.descriptors, resources::descriptors()];
    println!("descriptors {descriptors:?} before, at most, after closing");
    if let [Some(before), Some(most), Some(after)] = descriptors {
        findings.hold("descriptors in use", most <= before + DESCRIPTORS, || format!("{most}"));
        // As many as were in use at once are kept for the next open (docs/decisions/0007-lock-safe-files.md).
        findings.hold("descriptors left", after <= before + DESCRIPTORS_KEPT, || {
            format!("{after} after {before}")
        });
    }
    if let [Some(before), Some(after)] = watched.memory {
        findings.hold("memory", after <= before + MEMORY, || format!("{after} MB after {before}"));
    }
    findings.hold("handles freed", handles_to_free() == 0, || format!("{} are not", handles_to_free()));
    findings.hold("peers that ended by themselves", peers.deserters == 0, || peers.deserters.to_string());
    Ok(findings.print())
}

/// What was seen while the actors acted.
struct Watched {
    reopened: usize,
    /// Megabytes after a tenth of the time, and at the end.
    memory: [Option<u64>; 2],
    /// The most that were open.
    descriptors: Option<usize>,
}

/// Kills and reopens for as long as it lasts.
fn watch(
    directory: &Path,
    stage: &Stage,
    peers: &mut Peers,
    time: Duration,
) -> Result<Watched, Box<dyn Error>> {
    let began = Instant::now();
    let mut watched = Watched { reopened: 0, memory: [None, None], descriptors: None };
    while began.elapsed() < time {
        thread::sleep(Duration::from_millis(10));
        peers.kill_due()?;
        if began.elapsed() > REOPENED_EVERY * (watched.reopened as u32 + 1) {
            let new = open(directory)?;
            let old = std::mem::replace(&mut *stage.database.write().expect("no panic"), new);
            old.close()?;
            watched.reopened += 1;
        }
        if watched.memory[0].is_none() && began.elapsed() > time / 10 {
            watched.memory[0] = resources::memory();
        }
        watched.descriptors = watched.descriptors.max(resources::descriptors());
    }
    watched.memory[1] = resources::memory();
    Ok(watched)
}

fn audit(directory: &Path) -> Result<bool, Box<dyn Error>> {
    let findings = audit::audit(directory)?;
    println!("{}", findings.summary);
    Ok(findings.print())
}
