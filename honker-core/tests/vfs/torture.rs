//! Two copies of SQLite in one process, several threads each, and another process besides, all opening, writing, reading
//! and closing one file; the other process is killed in the middle and started again.
//!
//! Every commit that SQLite acknowledged must be there, once; the file must be intact; and nobody may have seen an error
//! other than BUSY. Without lock-safe access the same fails at once.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::process::{self, Process, Role, TIMEOUT, argument};
use crate::sqlite::{Connection, Failure, READ_ONLY, READ_WRITE, Sqlite, bundled, patiently, safe, system};

pub const ROLES: &[Role] = &[("torture", torture), ("torture_peer", peer)];

/// Commits on one connection before it is closed and another opened.
const COMMITS_PER_CONNECTION: i64 = 40;

/// How long the stock configuration may take to fail. It takes a second.
const FAILS_WITHIN: Duration = Duration::from_secs(20);

struct Plan {
    journal: String,
    directory: PathBuf,
    /// Commits of each writer.
    commits: i64,
}

impl Plan {
    fn from_arguments() -> Self {
        Plan { journal: argument(0), directory: argument(1).into(), commits: argument(2).parse().unwrap() }
    }

    fn database(&self) -> PathBuf {
        self.directory.join("db")
    }

    fn open(&self, sqlite: &'static Sqlite, flags: i32) -> Result<Connection, Failure> {
        let connection = sqlite.open(&self.database(), flags)?;
        connection.run("PRAGMA synchronous = OFF")?;
        Ok(connection)
    }

    fn acknowledged(&self, writer: &str) -> PathBuf {
        self.directory.join(writer)
    }

    /// Writes rows up to the planned number, and after each commit a byte to the list of what was acknowledged.
    fn write(&self, sqlite: &'static Sqlite, writer: &str) -> Result<(), Failure> {
        let mut list = OpenOptions::new().create(true).append(true).open(self.acknowledged(writer)).unwrap();
        loop {
            let connection = patiently(|| self.open(sqlite, READ_WRITE))?;
            // One more than was acknowledged may be there, if the writer was killed in between.
            let last = format!("SELECT coalesce(max(n), 0) FROM t WHERE writer = '{writer}'");
            let done = patiently(|| connection.integer(&last))?;
            let missing = done - list.metadata().unwrap().len() as i64;
            list.write_all(&vec![b'.'; missing.max(0) as usize]).unwrap();
            for n in done + 1..=(done + COMMITS_PER_CONNECTION).min(self.commits) {
                let row = format!("INSERT INTO t VALUES ('{writer}', {n}, hex(randomblob({})))", n % 200);
                patiently(|| connection.run(&row))?;
                list.write_all(b".").unwrap();
            }
            if done >= self.commits {
                return Ok(());
            }
        }
    }

    fn read(&self, sqlite: &'static Sqlite, stop: &AtomicBool) -> Result<(), Failure> {
        let mut most = 0;
        while !stop.load(Ordering::Relaxed) {
            let counted = patiently(|| {
                let connection = self.open(sqlite, READ_ONLY)?;
                connection.integer("SELECT count(*) FROM t")?;
                connection.integer("SELECT count(*) FROM t")
            });
            match counted {
                Ok(count) => {
                    if count < most {
                        let text = format!("{count} rows after {most}");
                        return Err(Failure { code: 0, text });
                    }
                    most = count;
                }
                // The killed process has left a journal, which a read-only connection may not play back.
                Err(failure) if failure.code == rusqlite::ffi::SQLITE_READONLY_ROLLBACK => {}
                Err(failure) => return Err(failure),
            }
            sleep(Duration::from_millis(3));
        }
        Ok(())
    }

    fn verify(&self, writers: &[&str]) {
        let connection = system().connect(&self.database());
        assert_eq!(connection.query("PRAGMA integrity_check").unwrap().unwrap(), "ok");
        for writer in writers {
            let acknowledged = self.acknowledged(writer).metadata().unwrap().len() as i64;
            assert_eq!(acknowledged, self.commits, "{writer}");
            let of_writer = format!("FROM t WHERE writer = '{writer}'");
            assert_eq!(connection.integer(&format!("SELECT count(*) {of_writer}")).unwrap(), acknowledged);
            assert_eq!(
                connection.integer(&format!("SELECT count(DISTINCT n) {of_writer}")).unwrap(),
                acknowledged
            );
            assert_eq!(connection.integer(&format!("SELECT max(n) {of_writer}")).unwrap(), acknowledged);
        }
    }

    fn peer(&self, copy: &str) -> Process {
        let commits = self.commits.to_string();
        Process::start("torture_peer", &[&self.journal, self.directory.to_str().unwrap(), &commits, copy])
    }

    fn progress(&self, writer: &str) -> u64 {
        self.acknowledged(writer).metadata().map_or(0, |list| list.len())
    }
}

/// The other process, with one copy.
fn peer() {
    let sqlite = if argument(3) == "safe" { safe() } else { system() };
    Plan::from_arguments().write(sqlite, "peer").unwrap();
}

/// One failure ends it all: the other threads may not come to an end on a broken file.
fn succeed(who: &str, outcome: Result<(), Failure>) {
    if let Err(failure) = outcome {
        eprintln!("{who}: {failure:?}");
        std::process::exit(1);
    }
}

/// The process with two copies.
fn torture() {
    let plan = Plan::from_arguments();
    let ours = if argument(3) == "safe" { safe() } else { bundled() };
    let other = system();
    ours.connect(&plan.database())
        .run(&format!("PRAGMA journal_mode = {}; CREATE TABLE t(writer, n, padding)", plan.journal))
        .unwrap();
    const WRITERS: [&str; 6] = ["ours_1", "ours_2", "ours_3", "other_1", "other_2", "peer"];
    let plan = &plan;
    let stop = &AtomicBool::new(false);
    let began = Instant::now();
    scope(|threads| {
        let readers =
            [ours, other].map(|sqlite| threads.spawn(move || succeed("reader", plan.read(sqlite, stop))));
        let mut writers = Vec::new();
        for writer in WRITERS.iter().filter(|writer| **writer != "peer") {
            let sqlite = if writer.starts_with("ours") { ours } else { other };
            writers.push(threads.spawn(move || succeed(writer, plan.write(sqlite, writer))));
        }
        // Killed a few times on the way; the last one runs to its end.
        let mut process = plan.peer("system");
        for kill in 1..=4 {
            let deadline = Instant::now() + TIMEOUT;
            while plan.progress("peer") < plan.commits as u64 * kill / 5 && Instant::now() < deadline {
                sleep(Duration::from_millis(2));
            }
            process.kill();
            process = plan.peer(if kill % 2 == 0 { "system" } else { "safe" });
        }
        process.ends_well();
        for writer in writers {
            writer.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    process::say(format!(
        "{} commits, {:.1} s",
        plan.commits * WRITERS.len() as i64,
        began.elapsed().as_secs_f64()
    ));
    plan.verify(&WRITERS);
}

fn survives(journal: &str, commits_per_writer: i64) {
    let directory = tempfile::tempdir().unwrap();
    let commits = commits_per_writer.to_string();
    let mut process = Process::start("torture", &[journal, path(directory.path()), &commits, "safe"]);
    println!("{journal}: {}", process.line());
    process.ends_well();
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn two_copies_and_another_process_in_wal_mode() {
    survives("WAL", 4_000);
}

#[test]
fn two_copies_and_another_process_with_a_rollback_journal() {
    survives("DELETE", 2_500);
}

/// What all of this is for: that it fails without shows that it tests something.
#[test]
fn without_lock_safe_access_it_fails() {
    for journal in ["WAL", "DELETE"] {
        let fails = || {
            let directory = tempfile::tempdir().unwrap();
            let began = Instant::now();
            let mut process =
                Process::start("torture", &[journal, path(directory.path()), "1000000", "stock"]);
            let ended = process.end_within(FAILS_WITHIN);
            println!("{journal}, stock: {ended:?} after {:.1} s", began.elapsed().as_secs_f64());
            ended.is_some_and(|status| !status.success())
        };
        assert!((0..3).any(|_| fails()), "{journal}: two stock copies in one process went well");
    }
}
