//! `honker schedule`: adding, pausing, running and removing schedules.

use std::io::Write;

use clap::{Args, Subcommand};
use honker_core::database::Database;
use honker_core::schedule::{Overlap, Registration};

use super::enqueue::JobOptions;
use crate::act;
use crate::confirm::Confirm;
use crate::failure::Result;
use crate::file::{Create, Db, File};
use crate::moment;
use crate::payload::Payload;
use crate::show::Screen;

/// Change schedules
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker schedule add nightly reports '0 3 * * *' '{}'
  honker schedule pause nightly

honker schedules lists them; honker schedule-leader fires them.")]
pub struct Schedule {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Add(Box<Add>),
    Pause(Pause),
    Resume(Resume),
    RunNow(RunNow),
    Rm(Rm),
}

/// Add a schedule, or replace the one of that name
///
/// A schedule is cron's five fields (or six, with seconds first), @every 90s, @hourly and the like, with a time zone in front
/// if it is not to be this machine's: docs/sql.md has all of it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker schedule add nightly reports '0 3 * * *' '{}'
  honker schedule add poll feeds '@every 90s' '{\"feed\": 7}' --skip-overlap --yes")]
struct Add {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// The queue of its jobs
    #[arg(value_name = "QUEUE")]
    queue: String,
    /// When it fires
    #[arg(value_name = "SCHEDULE")]
    expression: String,
    #[command(flatten)]
    payload: Payload,
    #[command(flatten)]
    options: JobOptions,
    /// Enqueue nothing while the last job of it is not over
    #[arg(long)]
    skip_overlap: bool,
    #[command(flatten)]
    create: Create,
    #[command(flatten)]
    confirm: Confirm,
}

/// Stop a schedule from firing
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker schedule pause nightly")]
struct Pause {
    #[command(flatten)]
    named: Named,
}

/// Let a paused schedule fire again
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker schedule resume nightly --yes")]
struct Resume {
    #[command(flatten)]
    named: Named,
}

/// Enqueue the job of a schedule now, beside those of its boundaries
///
/// Prints the job's id.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker schedule run-now nightly")]
struct RunNow {
    #[command(flatten)]
    named: Named,
}

/// Remove a schedule; its jobs stay
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker schedule rm nightly --yes")]
struct Rm {
    #[command(flatten)]
    named: Named,
}

/// The schedule that is meant.
#[derive(Args, Debug)]
struct Named {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    confirm: Confirm,
}

impl Schedule {
    pub fn run(self, db: &Db) -> Result {
        match self.action {
            Action::Add(add) => add.run(db),
            Action::Pause(Pause { named }) => named.set_enabled(db, false),
            Action::Resume(Resume { named }) => named.set_enabled(db, true),
            Action::RunNow(RunNow { named }) => named.run_now(db),
            Action::Rm(Rm { named }) => named.remove(db),
        }
    }
}

impl Add {
    fn run(self, db: &Db) -> Result {
        let payload = self.payload.read()?;
        let metadata = self.options.metadata()?;
        let database = db.open_to_write(&File::default(), &self.create)?;
        let exists = database.scheduler_list()?.into_iter().any(|schedule| schedule.name == self.name);
        let verb = if exists { "Replace" } else { "Add" };
        let registration = Registration {
            name: &self.name,
            expression: &self.expression,
            job: self.options.job(&self.queue, &payload, metadata.as_deref()),
            overlap: if self.skip_overlap { Overlap::Skip } else { Overlap::Allow },
        };
        // What is wrong with it is known before anybody is asked.
        let mut trial = database.begin()?;
        trial.scheduler_register(&registration)?;
        trial.rollback()?;
        self.confirm.ask(&format!("{verb} schedule '{}' ({})?", self.name, self.expression))?;
        database.scheduler_register(&registration)?;
        let schedules = database.scheduler_list()?;
        let mut screen = Screen::new();
        if let Some(schedule) = schedules.iter().find(|schedule| schedule.name == self.name) {
            let (at, name) = (moment::show(schedule.next_fire_at), crate::text::one_line(&self.name));
            writeln!(screen, "'{name}' fires next at {at}")?;
        }
        Ok(screen.flush()?)
    }
}

impl Named {
    /// Opens the file, and asks, if there is such a schedule.
    fn open_and_ask(&self, db: &Db, question: &str) -> Result<Database> {
        let database = db.open()?;
        if !database.scheduler_list()?.iter().any(|schedule| schedule.name == self.name) {
            return Err(act::no_schedule(&self.name));
        }
        self.confirm.ask(question)?;
        Ok(database)
    }

    fn set_enabled(self, db: &Db, enabled: bool) -> Result {
        let verb = if enabled { "Resume" } else { "Pause" };
        let database = self.open_and_ask(db, &format!("{verb} schedule '{}'?", self.name))?;
        // That it was so already is as good.
        match enabled {
            true => database.scheduler_resume(&self.name)?,
            false => database.scheduler_pause(&self.name)?,
        };
        let mut screen = Screen::new();
        let name = crate::text::one_line(&self.name);
        writeln!(screen, "'{name}' {}", if enabled { "fires again" } else { "is paused" })?;
        Ok(screen.flush()?)
    }

    fn run_now(self, db: &Db) -> Result {
        let database = self.open_and_ask(db, &format!("Enqueue a job of schedule '{}' now?", self.name))?;
        let id = act::run_schedule_now(&database, &self.name)?;
        let mut screen = Screen::new();
        writeln!(screen, "{id}")?;
        Ok(screen.flush()?)
    }

    fn remove(self, db: &Db) -> Result {
        let database = self.open_and_ask(db, &format!("Remove schedule '{}'?", self.name))?;
        match database.scheduler_unregister(&self.name)? {
            0 => Err(act::no_schedule(&self.name)),
            _ => {
                let mut screen = Screen::new();
                writeln!(screen, "'{}' is removed", crate::text::one_line(&self.name))?;
                Ok(screen.flush()?)
            }
        }
    }
}
