//! What came out: told on the terminal as it comes, and written to a directory.
//!
//! Invariant: each job is counted once, as passed, failed or skipped; a known failure is skipped for the reason that is
//! listed.
//!
//! Threads: all workers tell one report; a mutex around what they tell.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::engine::Kind;
use crate::known::Known;
use crate::pages;
use crate::run::Verdict;

/// One case on certain testees, and how it came out.
pub struct Record {
    pub number: usize,
    pub id: String,
    pub area: String,
    pub testees: Vec<String>,
    pub verdict: Verdict,
    pub seconds: f64,
    /// Where its files have been kept.
    pub artifacts: Option<PathBuf>,
}

impl Record {
    /// The command that repeats it.
    pub fn command(&self, engine: Kind) -> String {
        let on = match engine {
            Kind::File => "",
            Kind::Postgres => "--engine postgres ",
        };
        if let Some(seed) = self.id.strip_prefix("fuzz: seed ") {
            return format!("conformance/run fuzz {on}--programs 1 --seed {seed} (with the same testees)");
        }
        let id = self.id.split(" [").next().unwrap_or(&self.id).replace('\'', "'\\''");
        let who = match self.testees.as_slice() {
            [first, second] => format!("--pair {first},{second}"),
            others => format!("--testee {}", others.join(",")),
        };
        format!("conformance/run {on}{who} --case '{id}'")
    }
}

#[derive(Default, Clone, Copy)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Counts {
    pub fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::Skipped(_) => self.skipped += 1,
        }
    }
}

pub struct Report {
    engine: Kind,
    dir: PathBuf,
    known: Known,
    state: Mutex<State>,
    jobs: AtomicUsize,
    processes: AtomicUsize,
    began: Instant,
}

struct State {
    records: Vec<Record>,
    lines: std::fs::File,
}

impl Report {
    /// Makes the directory anew.
    pub fn create(dir: &Path, engine: Kind, testees: &[&str], known: Known) -> Result<Report, String> {
        let say = |error: std::io::Error| format!("{}: {error}", dir.display());
        for old in ["failures", "kept"] {
            let _ = std::fs::remove_dir_all(dir.join(old));
        }
        std::fs::create_dir_all(dir).map_err(say)?;
        let lines = std::fs::File::create(dir.join("report.jsonl")).map_err(say)?;
        let report = Report {
            engine,
            dir: dir.to_owned(),
            known,
            state: Mutex::new(State { records: Vec::new(), lines }),
            jobs: AtomicUsize::new(1),
            processes: AtomicUsize::new(1),
            began: Instant::now(),
        };
        report.line(&json!({"kind": "header", "version": 1, "engine": engine.name(), "testees": testees}));
        Ok(report)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, value: &Value) {
        let _ = writeln!(self.lock().lines, "{value}");
    }

    /// A case begins; its number.
    pub fn begin(&self, id: &str, testees: &[String]) -> usize {
        let number = self.jobs.fetch_add(1, Ordering::Relaxed);
        self.line(&json!({"kind": "case", "number": number, "id": id, "testees": testees}));
        number
    }

    pub fn end(&self, mut record: Record) {
        if let Verdict::Failed(message) = &record.verdict
            && let Some(reason) = self.known.reason(&record.id, &record.testees, message)
        {
            record.verdict = Verdict::Skipped(format!("known to fail: {reason}"));
        }
        let (verdict, message) = match &record.verdict {
            Verdict::Passed => ("passed", None),
            Verdict::Failed(message) => ("failed", Some(message.clone())),
            Verdict::Skipped(reason) => ("skipped", Some(reason.clone())),
        };
        self.line(&json!({
            "kind": "result", "number": record.number, "verdict": verdict, "message": message,
            "seconds": record.seconds,
        }));
        if let Verdict::Failed(message) = &record.verdict {
            let kept = record.artifacts.as_ref().map(|dir| format!("\n  kept: {}", dir.display()));
            println!(
                "FAILED {} ({})\n  {}\n  again: {}{}",
                record.id,
                record.testees.join(", "),
                message.replace('\n', "\n  "),
                record.command(self.engine),
                kept.unwrap_or_default()
            );
        }
        self.lock().records.push(record);
    }

    /// A figure worth keeping.
    pub fn note(&self, number: usize, said: &str) {
        if !said.is_empty() {
            self.line(&json!({"kind": "note", "number": number, "said": said}));
        }
    }

    /// Something about a testee failed that is no case.
    pub fn odd(&self, what: &str, testee: &str, error: String) {
        let testees = vec![testee.to_owned()];
        let id = format!("testee: {what}");
        let number = self.begin(&id, &testees);
        let verdict = Verdict::Failed(error);
        let area = "testee".to_owned();
        self.end(Record { number, id, area, testees, verdict, seconds: 0.0, artifacts: None });
    }

    /// Where the files of a case are kept.
    pub fn artifacts(&self, number: usize, id: &str) -> PathBuf {
        let name: String = id.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(60).collect();
        self.dir.join("failures").join(format!("{number}-{}", name.trim_matches('-')))
    }

    /// A directory for a testee's processes.
    pub fn process_dir(&self, root: &Path, testee: &str) -> PathBuf {
        root.join(format!("{testee}-{}", self.processes.fetch_add(1, Ordering::Relaxed)))
    }

    /// Writes the pages, and tells what there is to tell at the end.
    pub fn finish(self) -> Result<Counts, String> {
        let stale = self.known.stale(&self.lock().records);
        for (testee, entry) in stale {
            self.odd(
                &format!("{entry} is listed as known to fail, and passes"),
                &testee,
                "take it off the list".into(),
            );
        }
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let State { mut records, mut lines } = state;
        records.sort_by_key(|record| record.number);
        let mut counts = Counts::default();
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for record in &records {
            counts.add(&record.verdict);
            if let Verdict::Skipped(reason) = &record.verdict {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        let seconds = self.began.elapsed().as_secs_f64();
        let Counts { passed, failed, skipped } = counts;
        let footer = json!({
            "kind": "footer", "passed": passed, "failed": failed, "skipped": skipped, "seconds": seconds,
        });
        let say = |error: std::io::Error| format!("{}: {error}", self.dir.display());
        writeln!(lines, "{footer}").map_err(say)?;
        std::fs::write(self.dir.join("report.md"), pages::markdown(&records, self.engine, counts, seconds))
            .map_err(say)?;
        std::fs::write(self.dir.join("junit.xml"), pages::junit(&records)).map_err(say)?;
        for (reason, times) in reasons {
            println!("skipped {times}: {reason}");
        }
        println!("{seconds:.1} s; report: {}", self.dir.join("report.md").display());
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        Ok(counts)
    }
}
