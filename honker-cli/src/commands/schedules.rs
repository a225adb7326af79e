//! `honker schedules`: the schedules, when they fired last and fire next, and who leads.

use std::io::Write;

use clap::Args;
use honker_core::database::Database;

use crate::failure::Result;
use crate::file::{Db, File};
use crate::moment;
use crate::read::{self, ScheduleDetail};
use crate::show::{Screen, Show};
use crate::table::{Align, Table, optional};

/// Show the schedules
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker schedules app.db
  honker schedules --json | jq -r '.[] | select(.enabled | not) | .name'

honker schedule add, pause, resume, run-now and rm change them; honker schedule-leader fires them.")]
pub struct Schedules {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    show: Show,
}

impl Schedules {
    pub fn run(self, db: &Db) -> Result {
        let database = db.look_or(&self.file)?;
        self.show.each(&database, read::schedules, |schedules, screen| {
            draw(schedules, moment::now(), screen)?;
            draw_leader(&database, schedules, screen)
        })
    }
}

fn draw(schedules: &[ScheduleDetail], now: i64, screen: &mut Screen) -> Result {
    use Align::Left;
    let mut table = Table::new(&[
        ("NAME", Left),
        ("QUEUE", Left),
        ("SCHEDULE", Left),
        ("STATE", Left),
        ("LAST", Left),
        ("NEXT", Left),
        ("PAYLOAD", Left),
    ]);
    for ScheduleDetail { schedule, last_fire_at } in schedules {
        table.row([
            schedule.name.clone(),
            schedule.queue.clone(),
            schedule.cron_expr.clone(),
            if schedule.enabled { "on" } else { "paused" }.to_owned(),
            optional(*last_fire_at, |at| moment::relative(at, now)),
            match schedule.error.as_ref() {
                Some(error) => error.clone(),
                None => format!(
                    "{} ({})",
                    moment::show(schedule.next_fire_at),
                    moment::relative(schedule.next_fire_at, now)
                ),
            },
            schedule.payload.clone(),
        ]);
    }
    table.draw(screen, "There is no schedule.")
}

fn draw_leader(database: &Database, schedules: &[ScheduleDetail], screen: &mut Screen) -> Result {
    if schedules.is_empty() {
        return Ok(());
    }
    let now = moment::now();
    let holder = database.lock_holder(honker_core::schedule::LEADER_LOCK)?;
    let said = match holder.filter(|holder| holder.expires_at > now) {
        Some(holder) => format!("The leader is {}.", crate::text::one_line(&holder.owner)),
        None => "Nobody leads: nothing is fired. honker schedule-leader does.".to_owned(),
    };
    writeln!(screen, "{said}")?;
    Ok(())
}
