//! `honker queues`: what is set for each queue.

use clap::Args;
use honker_core::queue::QueueSettings;

use crate::failure::Result;
use crate::file::{Db, File};
use crate::moment;
use crate::show::{Screen, Show};
use crate::table::{Align, Table, number, optional};

/// Show the queues and what is set for them
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker queues app.db
  honker queues --json | jq -r '.[] | select(.paused) | .queue'

honker pause, resume and limit change settings.")]
pub struct Queues {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    show: Show,
}

impl Queues {
    pub fn run(self, db: &Db) -> Result {
        let database = db.look_or(&self.file)?;
        self.show.each(&database, |database| Ok(database.queues()?), |queues, screen| draw(queues, screen))
    }
}

fn draw(queues: &[QueueSettings], screen: &mut Screen) -> Result {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("QUEUE", Left),
        ("STATE", Left),
        ("CONCURRENCY", Right),
        ("PER KEY", Right),
        ("RATE", Right),
        ("ATTEMPTS", Right),
        ("KEEPS DONE", Right),
        ("KEEPS DEAD", Right),
        ("RETRY", Left),
    ]);
    for QueueSettings { queue, settings } in queues {
        table.row([
            queue.clone(),
            if settings.paused { "paused" } else { "open" }.to_owned(),
            optional(settings.concurrency, number),
            optional(settings.concurrency_per_key, number),
            optional(settings.rate, |rate| format!("{} in {} s", rate.limit, rate.per_s)),
            number(settings.max_attempts),
            optional(Some(settings.keep_done_s).filter(|s| *s > 0), moment::duration),
            settings.keep_dead_s.map_or_else(|| "for ever".to_owned(), moment::duration),
            optional(settings.retry, |retry| {
                let (base, max) = (moment::duration(retry.base_s), moment::duration(retry.max_s));
                format!("after {base}, times {}, at most {max}", retry.factor)
            }),
        ]);
    }
    table.draw(screen, "There is no queue yet.")
}
