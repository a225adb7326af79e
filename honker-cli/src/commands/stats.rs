//! `honker stats`: how many jobs each queue has, and what was counted of it.

use clap::Args;
use honker_core::counters::QueueMetrics;

use crate::failure::Result;
use crate::file::{Db, File};
use crate::moment;
use crate::show::{Screen, Show};
use crate::table::{Align, Table, number, optional};

/// Count the jobs of each queue
///
/// DUE, DELAYED, RUNNING, BLOCKED, EXPIRED and DEAD are jobs that are there now; OLDEST is for how long the oldest due job
/// has been due. DONE and FAILED (retried or dead) are what honker's own processes have counted so far, up to ten seconds late.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker stats app.db
  honker stats --watch
  honker stats --json | jq '.[] | select(.depth.due > 100) | .queue'")]
pub struct Stats {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    show: Show,
    /// Only this queue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
}

impl Stats {
    pub fn run(self, db: &Db) -> Result {
        let database = db.look_or(&self.file)?;
        let read = |database: &honker_core::database::Database| {
            let mut queues = database.metrics()?.queues;
            if let Some(queue) = &self.queue {
                queues.retain(|metrics| metrics.queue == *queue);
            }
            Ok(queues)
        };
        self.show.each(&database, read, |queues, screen| draw(queues, screen))
    }
}

fn draw(queues: &[QueueMetrics], screen: &mut Screen) -> Result {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("QUEUE", Left),
        ("DUE", Right),
        ("OLDEST", Right),
        ("DELAYED", Right),
        ("RUNNING", Right),
        ("BLOCKED", Right),
        ("EXPIRED", Right),
        ("DEAD", Right),
        ("DONE", Right),
        ("FAILED", Right),
    ]);
    for QueueMetrics { queue, counts, depth, .. } in queues {
        table.row([
            queue.clone(),
            number(depth.due),
            optional(depth.oldest_due_age_s, moment::duration),
            number(depth.delayed),
            number(depth.processing),
            number(depth.blocked),
            number(depth.expired),
            number(depth.dead),
            number(counts.done),
            number(counts.retried + counts.dead),
        ]);
    }
    table.draw(screen, "No queue has had a job yet.")
}
