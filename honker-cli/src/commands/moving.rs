//! `honker move`: everything that is in one database goes to another one.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use honker_core::database::{Database, Durability, Options};
use honker_core::moving::Stage;
use honker_postgres::moving::{self, Event, Report};
use indicatif::ProgressBar;

use crate::failure::{Failure, Result, say};
use crate::file::{self, Db};
use crate::show::Screen;
use crate::table::{Align, Table, number};
use crate::{moment, progress};

/// Move everything from one database to another: from a file to Postgres, or back
///
/// Jobs with their options, unique keys, batches and steps; the dead and the done; schedules, results, streams with offsets,
/// notifications, locks, limits and settings, all with their ids. From the moment it begins nothing can be added to the source or
/// claimed there: who tries is told where everything goes (HONKER_MOVED). Jobs that run may end; it waits for them. Then everything is
/// copied in one transaction, and the source stays as it is, closed for good.
///
/// The target has to be empty. Whatever goes wrong, run the same command again: it goes on where it was. --cancel takes it back, unless
/// everything is there already.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker move app.db postgres://admin@db.example/app
  honker move app.db postgres://admin@db.example/app --now
  honker move app.db postgres://admin@db.example/app --cancel
  honker move postgres://admin@db.example/app app.db")]
pub struct Moving {
    /// From where: a file, or the URL of a server
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// To where
    #[arg(value_name = "TARGET")]
    target: PathBuf,
    /// Give jobs that run back, instead of waiting for them; their workers are told that they have lost them
    #[arg(long, conflicts_with = "cancel")]
    now: bool,
    /// Take back a move that has begun and not arrived
    #[arg(long)]
    cancel: bool,
    /// Print JSON: id, from, to, was_there (an earlier run had copied everything), tables (name and rows of each)
    #[arg(long)]
    json: bool,
}

impl Moving {
    pub fn run(self, db: &Db) -> Result {
        if db.db.is_some() {
            return Err(Failure::Usage("move takes its databases as arguments: SOURCE TARGET".to_owned()));
        }
        // Before the target is opened: a second name of a file that is open would get a log of its own.
        if file::are_one(&self.source, &self.target) {
            return Err(Failure::Usage("the source and the target are one file".to_owned()));
        }
        let source = file::open_with(&self.source, &durable())?;
        if self.cancel {
            let target = open_to_ask(&self.target)?;
            let cancelled = moving::cancel(&source, &target)?;
            let mut screen = Screen::new();
            writeln!(screen, "{}: move {} to {} cancelled", source.path(), cancelled.id, cancelled.to)?;
            return Ok(screen.flush()?);
        }
        let target = open_to_fill(&self.target)?;
        let mut shown = Shown::new();
        let started = Instant::now();
        let moved = moving::run(&source, &target, self.now, &mut |event| shown.tell(&event));
        shown.end();
        match moved {
            Ok(report) => self.report(&report, started.elapsed()),
            Err(error) => Err(with_advice(error.into(), &source)),
        }
    }

    fn report(&self, report: &Report, took: Duration) -> Result {
        let mut screen = Screen::new();
        if self.json {
            writeln!(screen, "{}", crate::show::json(report)?)?;
            return Ok(screen.flush()?);
        }
        let mut table = Table::new(&[("rows", Align::Right), ("of", Align::Left)]);
        for (name, rows) in report.tables.iter().filter(|(_, rows)| *rows > 0) {
            let rows = i64::try_from(*rows).unwrap_or(i64::MAX);
            table.row([number(rows), what(name).to_owned()]);
        }
        table.draw(&mut screen, "nothing was there to be moved")?;
        let Report { id, from, to, was_there, .. } = report;
        let how = match was_there {
            true => "everything was there already, by an earlier run".to_owned(),
            false => format!("moved in {:.1} s", took.as_secs_f64()),
        };
        writeln!(screen, "{from} → {to}: {how} (move {id})")?;
        Ok(screen.flush()?)
    }
}

/// What one side has said is not to be lost in a power cut when the other one relies on it.
fn durable() -> Options {
    Options { durability: Durability::Full, ..Options::default() }
}

/// The target, with its schema.
fn open_to_fill(target: &Path) -> Result<Database> {
    match target.to_str().filter(|text| honker_postgres::is_url(text)) {
        Some(url) => Ok(honker_postgres::connect(url, &durable(), true)?),
        None => Ok(Database::open(target, &durable())?),
    }
}

/// The target, which has to be there to be asked: a disk that is not mounted has no file.
fn open_to_ask(target: &Path) -> Result<Database> {
    if file::is_url(target) || target.exists() {
        return open_to_fill(target);
    }
    Err(Failure::NotFound(format!(
        "{} is not there to be asked whether everything has arrived. If it is gone for good, and nobody has worked with it: make it \
         again by running the move, then cancel",
        target.display()
    )))
}

/// What to do about it.
fn with_advice(failure: Failure, source: &Database) -> Failure {
    let begun = source.move_state().ok().flatten().filter(|found| found.stage != Stage::Moved);
    let advice = |text: String| match &begun {
        Some(found) => format!(
            "{text}\nthe move {} has begun, and {} stays closed for new jobs: run the same command again, or with --cancel",
            found.id,
            source.path()
        ),
        None => text,
    };
    match failure {
        Failure::Failed(text) => Failure::Failed(advice(text)),
        Failure::Usage(text) => Failure::Failed(advice(text)),
        Failure::Temporary(text) => Failure::Temporary(advice(text)),
        other => other,
    }
}

/// What a table holds, in plain words.
fn what(table: &str) -> &str {
    match table {
        "live" => "jobs",
        "dead" => "dead jobs",
        "done" => "done jobs",
        "job_options" => "options of jobs",
        "unique" => "unique keys",
        "blocked" => "jobs that wait for their key",
        "slots" => "concurrency keys in use",
        "queues" => "queues with settings",
        "scheduler_tasks" => "schedules",
        "schedule_options" => "schedules with options",
        "stream" => "events",
        "stream_consumers" => "offsets of consumers",
        "streams" => "streams with settings",
        "rate_limits" => "windows of rate limits",
        other => other,
    }
}

/// How far it is: a bar on a terminal, elsewhere a line when it begins to wait.
struct Shown {
    bar: Option<ProgressBar>,
    is_counting: bool,
    waits: bool,
}

impl Shown {
    fn new() -> Self {
        Shown { bar: None, is_counting: false, waits: false }
    }

    fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Begun { id, again: true } => say(format_args!("going on with move {id}")),
            Event::Begun { .. } => {}
            Event::Waiting(claims) if claims.n > 0 => {
                let until = claims.until.map_or_else(String::new, |until| {
                    format!(" (until {}, if nobody prolongs that)", moment::show(until))
                });
                let text = format!(
                    "waiting for {}{until}; another run with --now does not, and one with --cancel takes the move back",
                    running(claims.n)
                );
                if std::io::stderr().is_terminal() {
                    self.bar.get_or_insert_with(|| progress::bar(None, "")).set_message(text);
                } else if !std::mem::replace(&mut self.waits, true) {
                    say(text);
                }
            }
            Event::Waiting(_) => {}
            Event::Copying { done, total, .. } => {
                if !std::mem::replace(&mut self.is_counting, true) {
                    self.end();
                    self.bar = Some(progress::bar(Some(*total), "copying"));
                }
                if let Some(bar) = &self.bar {
                    bar.set_position(*done);
                }
            }
            Event::Committing => {
                if let Some(bar) = &self.bar {
                    bar.set_message("committing");
                }
            }
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn running(n: i64) -> String {
    if n == 1 { "one job that runs".to_owned() } else { format!("{n} jobs that run") }
}
