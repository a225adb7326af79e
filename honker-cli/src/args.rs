//! The commands as clap knows them. Help, completions and manual pages come from here and from the commands' own files.

use clap::{Parser, Subcommand};

use crate::commands::completions::{Completions, Man};
use crate::commands::{
    dead, enqueue, job, jobs, leader, listen, locks, migrate, moving, notify, prune, publish, queues, result,
    schedule, schedules, settings, stats, streams, tail,
};
use crate::doctor;
use crate::failure::Result;
use crate::file::Db;
#[cfg(unix)]
use crate::run;
use crate::{serve, top};

const EXIT_CODES: &str = "Database:
  Which one a command is for is said by its argument FILE (where it has one), by --db FILE, or by HONKER_DB: a file, or the
  URL of a Postgres server (postgres://user@host/database).

Exit codes:
  0   done
  1   failed; standard error says why
  2   the arguments make no sense
  3   what was asked for is not there, or did not come in time
  4   not confirmed
  75  the file is busy, or the server away: try again

Examples:
  honker stats app.db
  export HONKER_DB=app.db
  honker enqueue emails '{\"to\": \"ada@example.com\"}'
  honker jobs --queue emails --state due";

/// Look at a honker database, act on it, and work it
///
/// honker is a durable job queue, streams, notifications and a scheduler inside an application's SQLite file, or its Postgres database.
/// This program needs nothing but that: it works beside the processes that use it.
#[derive(Parser, Debug)]
#[command(name = "honker", version, after_help = EXIT_CODES, max_term_width = 120)]
pub struct Args {
    #[command(flatten)]
    db: Db,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Stats(stats::Stats),
    Queues(queues::Queues),
    Jobs(Box<jobs::Jobs>),
    Job(job::Job),
    Dead(dead::Dead),
    Schedules(schedules::Schedules),
    Streams(streams::Streams),
    Locks(locks::Locks),
    Enqueue(Box<enqueue::Enqueue>),
    Result(result::JobResult),
    Notify(notify::Notify),
    Listen(listen::Listen),
    Publish(publish::Publish),
    Tail(tail::Tail),
    Pause(settings::Pause),
    Resume(settings::Resume),
    Limit(settings::Limit),
    Schedule(schedule::Schedule),
    #[cfg(unix)]
    Run(run::Run),
    ScheduleLeader(leader::ScheduleLeader),
    Prune(prune::Prune),
    Migrate(migrate::Migrate),
    #[command(name = "move")]
    Moving(moving::Moving),
    Doctor(doctor::Doctor),
    Serve(serve::Serve),
    Top(top::Top),
    Completions(Completions),
    Man(Man),
}

impl Args {
    /// Does it.
    pub fn run(self) -> Result {
        let db = &self.db;
        match self.command {
            Command::Stats(command) => command.run(db),
            Command::Queues(command) => command.run(db),
            Command::Jobs(command) => command.run(db),
            Command::Job(command) => command.run(db),
            Command::Dead(command) => command.run(db),
            Command::Schedules(command) => command.run(db),
            Command::Streams(command) => command.run(db),
            Command::Locks(command) => command.run(db),
            Command::Enqueue(command) => command.run(db),
            Command::Result(command) => command.run(db),
            Command::Notify(command) => command.run(db),
            Command::Listen(command) => command.run(db),
            Command::Publish(command) => command.run(db),
            Command::Tail(command) => command.run(db),
            Command::Pause(command) => command.run(db),
            Command::Resume(command) => command.run(db),
            Command::Limit(command) => command.run(db),
            Command::Schedule(command) => command.run(db),
            #[cfg(unix)]
            Command::Run(command) => command.run(db),
            Command::ScheduleLeader(command) => command.run(db),
            Command::Prune(command) => command.run(db),
            Command::Migrate(command) => command.run(db),
            Command::Moving(command) => command.run(db),
            Command::Doctor(command) => command.run(db),
            Command::Serve(command) => command.run(db),
            Command::Top(command) => command.run(db),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
        }
    }
}
