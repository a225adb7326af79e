//! Holds what everybody says they have done against what is in the file.
//!
//! Each check has a line of its own, and says how much it has looked at. What is certain must be as it was said; what a
//! kill has left in doubt may have happened, but then all of it.

mod books;
mod jobs;
mod services;

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use books::Books;

/// What is wrong, by check.
#[derive(Default)]
pub struct Findings {
    pub summary: String,
    /// How many calls of all processes are in the books.
    pub entries: u64,
    /// For each check how much is wrong, and the first few cases.
    checks: BTreeMap<&'static str, (usize, Vec<String>)>,
}

impl Findings {
    /// Checks one case.
    pub fn hold(&mut self, check: &'static str, holds: bool, otherwise: impl FnOnce() -> String) {
        let (count, cases) = self.checks.entry(check).or_default();
        if !holds {
            *count += 1;
            if cases.len() < 5 {
                cases.push(otherwise());
            }
        }
    }

    /// Checks that there is nothing.
    pub fn none<T: std::fmt::Debug>(&mut self, check: &'static str, cases: impl IntoIterator<Item = T>) {
        self.checks.entry(check).or_default();
        for case in cases {
            self.hold(check, false, || format!("{case:?}"));
        }
    }

    /// Says what was found; whether that is nothing.
    pub fn print(&self) -> bool {
        let wrong: Vec<_> = self.checks.iter().filter(|(_, (count, _))| *count > 0).collect();
        for (check, (count, cases)) in &wrong {
            println!("WRONG {check}: {count}");
            cases.iter().for_each(|case| println!("    {case}"));
        }
        println!("soak: {} checks, {} wrong", self.checks.len(), wrong.len());
        if wrong.is_empty() {
            println!("soak: nothing lost");
        }
        wrong.is_empty()
    }
}

/// Audits what a run has left in a directory.
pub fn audit(directory: &Path) -> Result<Findings, Box<dyn std::error::Error>> {
    let books = Books::read(directory)?;
    // Not read-only: whoever was killed last may have left a log to be played back.
    let file = Connection::open_with_flags(crate::file(directory), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut findings = Findings::default();
    let integrity: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    findings.hold("integrity of the file", integrity == "ok", || integrity.clone());
    findings.none("complaints of actors", &books.complaints);
    let jobs = jobs::audit(&mut findings, &books, &file)?;
    let services = services::audit(&mut findings, &books, &file)?;
    findings.entries = books.done;
    findings.summary = format!(
        "{} ledgers, {} entries, {} calls in doubt\n{jobs}\n{services}",
        books.ledgers, books.done, books.in_doubt
    );
    Ok(findings)
}
