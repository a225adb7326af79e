//! `honker schedule-leader`: fires the schedules.

use std::io::Write;

use clap::Args;
use honker_core::consume::{Leader, Next};
use honker_core::schedule::{Fire, FireStatus};

use crate::failure::{Result, say};
use crate::file::{Create, Db, File};
use crate::moment;
use crate::show::Screen;
use crate::signals::Signals;

/// Fire the schedules, for hosts on which no program of their own does
///
/// Of all that run on a file one leads; the others stand by and take over when it ends or dies. It also does the file's
/// maintenance. Each fire is a line. SIGTERM and SIGINT give the leadership up.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker schedule-leader app.db
  honker schedule-leader --json >> fires.ndjson")]
pub struct ScheduleLeader {
    #[command(flatten)]
    file: File,
    /// Print each fire as JSON: name, queue, fire_at, job_id, and status if no job was enqueued
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    create: Create,
}

impl ScheduleLeader {
    pub fn run(self, db: &Db) -> Result {
        let database = db.open_to_write(&self.file, &self.create)?;
        let mut leader = Leader::new(&database, own_name())?;
        let waiter = leader.waiter();
        let signals = Signals::watch(move || waiter.wake())?;
        let mut warned = 0;
        while signals.count() == 0 {
            match leader.next(None)? {
                Next::Item(fires) => self.print(&fires)?,
                Next::Timeout | Next::Woken => {}
            }
            let warnings = database.status()?.warnings;
            for warning in warnings.iter().skip(warned) {
                say(crate::text::one_line(&warning.text));
            }
            warned = warnings.len();
        }
        leader.resign()?;
        drop(leader);
        Ok(database.close()?)
    }

    fn print(&self, fires: &[Fire]) -> Result {
        let mut screen = Screen::new();
        for fire in fires {
            if self.json {
                writeln!(screen, "{}", crate::show::json(fire)?)?;
                continue;
            }
            let (at, name) = (moment::show(fire.fire_at), crate::text::one_line(&fire.name));
            let queue = crate::text::one_line(&fire.queue);
            let job = fire.job_id.map_or_else(|| "no job".to_owned(), |id| format!("job {id}"));
            let status = match fire.status {
                FireStatus::Enqueued => String::new(),
                FireStatus::Exists => ", which has the unique key".to_owned(),
                FireStatus::Replaced => ", which it has replaced".to_owned(),
                FireStatus::Skipped => ", because the last one is not over".to_owned(),
            };
            writeln!(screen, "{at} '{name}': {job} in '{queue}'{status}")?;
        }
        Ok(screen.flush()?)
    }
}

/// What a worker or a leader is called that was given no name: unique among all that run.
pub fn own_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("honker-{host}-{}", std::process::id())
}
