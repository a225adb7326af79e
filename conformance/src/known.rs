//! Failures that are known: `known/<testee>.txt`, a line for each.
//!
//! ```text
//! area/topic: case name  # how the message begins  # issue or reason
//! ```
//!
//! A line counts for the cases in which its testee is one of the actors. One whose case passes makes the run fail.

use std::path::Path;

use crate::report::Record;
use crate::run::Verdict;

#[derive(Default)]
pub struct Known {
    entries: Vec<Entry>,
}

struct Entry {
    testee: String,
    id: String,
    message: String,
    reason: String,
}

impl Known {
    /// Reads the lists of these testees in `dir`.
    pub fn read(dir: &Path, testees: &[&str]) -> Result<Known, String> {
        let mut known = Known::default();
        for testee in testees {
            let file = dir.join(format!("{testee}.txt"));
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            for (index, line) in text.lines().enumerate() {
                if line.trim().is_empty() || line.starts_with('#') {
                    continue;
                }
                let parts: Vec<&str> = line.splitn(3, " # ").map(str::trim).collect();
                let [id, message, reason] = parts[..] else {
                    let place = format!("{}:{}", file.display(), index + 1);
                    return Err(format!(
                        "{place}: it takes a case, the beginning of a message and a reason: {line}"
                    ));
                };
                let (id, message) = (id.to_owned(), message.to_owned());
                known.entries.push(Entry {
                    testee: (*testee).to_owned(),
                    id,
                    message,
                    reason: reason.to_owned(),
                });
            }
        }
        Ok(known)
    }

    /// Why it is known that this case fails with this message on one of these testees.
    pub fn reason(&self, id: &str, testees: &[String], message: &str) -> Option<&str> {
        let mut entries =
            self.entries.iter().filter(|entry| entry.id == id && testees.contains(&entry.testee));
        entries.find(|entry| message.starts_with(&entry.message)).map(|entry| entry.reason.as_str())
    }

    /// Testee and case of the lines whose case passed each time it was run.
    pub fn stale(&self, records: &[Record]) -> Vec<(String, String)> {
        let runs = |entry: &Entry| {
            let mine = |record: &&Record| record.id == entry.id && record.testees.contains(&entry.testee);
            let mut mine = records.iter().filter(mine).peekable();
            mine.peek().is_some() && mine.all(|record| record.verdict == Verdict::Passed)
        };
        let stale = self.entries.iter().filter(|entry| runs(entry));
        stale.map(|entry| (entry.testee.clone(), entry.id.clone())).collect()
    }
}
