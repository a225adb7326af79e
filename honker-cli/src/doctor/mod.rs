//! `honker doctor`: looks at a file and its surroundings, and says what to do about what it finds.
//!
//! `place.rs` looks at the file as the operating system has it; `contents.rs` reads what is in it. Nothing is changed: the file is opened
//! to read, in the journal mode that it has, and one whose schema would have to be brought up to date is left alone.

mod contents;
mod place;

use std::io::Write;
use std::path::Path;

use clap::Args;
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::file::{self, Db, File};
use crate::show::Screen;
use crate::{progress, text};

/// Look at a database and say what is wrong with it, and what to do about it
///
/// It ends with 1 if anything is worse than a note. It changes nothing.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker doctor app.db
  honker doctor --json | jq '.[] | select(.level == \"bad\")'
  honker doctor --quick --late-s 60 || mail -s 'queue is late' ops@example.com")]
pub struct Doctor {
    #[command(flatten)]
    file: File,
    /// A job that has been due for so many seconds, and that nobody works at, is worth a warning
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(i64).range(1..))]
    late_s: i64,
    /// Do not compare indexes with their tables, which reads the whole file
    #[arg(long)]
    quick: bool,
    /// Print JSON: a list of check, level (ok, note, warning, bad), found, advice
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Something should be done.
    Warning,
    /// Something is broken.
    Bad,
}

/// What one look has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Finding { check, level: Level::Ok, found: found.into(), advice: None }
    }

    fn new(check: &'static str, level: Level, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Finding { check, level, found: found.into(), advice: Some(advice.into()) }
    }
}

impl Doctor {
    pub fn run(self, db: &Db) -> Result {
        let path = db.path_or(&self.file)?;
        if file::is_url(&path) {
            return self.look_at_server(&path);
        }
        if !path.exists() {
            return Err(Failure::NotFound(format!("there is no file {}", path.display())));
        }
        let bar = progress::bar(None, "looking");
        let mut findings = place::look(&path);
        match file::read_only(&path) {
            Ok(database) => {
                findings.extend(contents::look(&database, self.late_s, self.quick));
                database.close()?;
            }
            Err(error) if file::is_not_up_to_date(&error) => findings.push(Finding::new(
                "schema",
                Level::Warning,
                "no version of this file that this program knows: it has no tables of honker, or those of an older one",
                "Whatever works with it next brings it up to date, such as `honker prune`. Is it the right file?",
            )),
            Err(error) => findings.push(Finding::new(
                "opening",
                Level::Bad,
                error.to_string(),
                "Nothing more can be said of a file that cannot be opened. If it is damaged: restore a backup, or try \
                 sqlite3 FILE .recover.",
            )),
        }
        bar.finish_and_clear();
        self.conclude(&findings)
    }

    /// A server is asked; of files and their systems there is nothing to say.
    fn look_at_server(&self, url: &Path) -> Result {
        let findings = match file::look(url) {
            Ok(database) => {
                let findings = contents::look(&database, self.late_s, self.quick);
                database.close()?;
                findings
            }
            Err(failure) => {
                let advice = "Nothing more can be said of a server that does not let us in. honker migrate installs a schema that is not there.";
                vec![Finding::new("opening", Level::Bad, failure.to_string(), advice)]
            }
        };
        self.conclude(&findings)
    }

    fn conclude(&self, findings: &[Finding]) -> Result {
        self.print(findings)?;
        let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        if worst <= Level::Note {
            return Ok(());
        }
        let n = findings.iter().filter(|finding| finding.level > Level::Note).count();
        Err(Failure::Failed(format!("{n} of {} checks found something to do", findings.len())))
    }

    fn print(&self, findings: &[Finding]) -> Result {
        let mut screen = Screen::new();
        if self.json {
            writeln!(screen, "{}", crate::show::json(&findings)?)?;
            return Ok(screen.flush()?);
        }
        for finding in findings {
            let level = match finding.level {
                Level::Ok => "ok",
                Level::Note => "note",
                Level::Warning => "WARNING",
                Level::Bad => "BAD",
            };
            writeln!(screen, "{level:<8}{:<13}{}", finding.check, text::one_line(&finding.found))?;
            if let Some(advice) = &finding.advice {
                writeln!(screen, "{:21}{}", "", text::one_line(advice))?;
            }
        }
        Ok(screen.flush()?)
    }
}
