//! `honker tail`: the events of a stream, those that are there and those that come.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use honker_core::consume::{Next, StreamOptions, StreamSubscription};
use honker_core::database::Database;
use serde_json::json;

use super::listen::wait;
use crate::failure::Result;
use crate::file::{Create, Db, File};
use crate::read;
use crate::show::Screen;

/// Print the events of a stream, the last ones and those that come, each on a line
///
/// With --consumer it goes on where that consumer was, and saves how far it has come after each event: an event is finished when the next
/// one is asked for, so one that was being printed when the program was killed is printed again.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker tail orders --db app.db
  honker tail orders --from 0 --no-follow --json > orders.ndjson
  honker tail orders --consumer billing | ./bill")]
pub struct Tail {
    /// The topic
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// Begin with the last N events
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10, conflicts_with_all = ["from", "consumer"])]
    lines: u32,
    /// Begin after this offset; 0: with the oldest event
    #[arg(long, value_name = "OFFSET", conflicts_with = "consumer")]
    from: Option<i64>,
    /// Go on where this consumer was, and save how far it has come
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// End when all events that are there have been printed
    #[arg(long)]
    no_follow: bool,
    /// End with 3 if there was none for so many seconds
    #[arg(long, value_name = "N", conflicts_with = "no_follow")]
    timeout_s: Option<u64>,
    /// Print each as JSON: offset, topic, key, payload, created_at
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    create: Create,
}

impl Tail {
    pub fn run(self, db: &Db) -> Result {
        let database = db.open_to_write(&File::default(), &self.create)?;
        let from_offset = match (&self.consumer, self.from) {
            (Some(_), _) => None,
            (None, Some(from)) => Some(from),
            (None, None) => Some(before_last(&database, &self.topic, self.lines)?),
        };
        let options = StreamOptions {
            consumer: self.consumer.clone(),
            from_offset,
            save_every_n: 1,
            ..StreamOptions::default()
        };
        let mut events = StreamSubscription::new(&database, &self.topic, options)?;
        loop {
            let event = if self.no_follow {
                match events.next(Some(Duration::ZERO))? {
                    Next::Item(event) => event,
                    Next::Timeout | Next::Woken => return Ok(()),
                }
            } else {
                wait(self.timeout_s, |timeout| events.next(timeout))?
            };
            let mut screen = Screen::new();
            if self.json {
                let one = json!({
                    "offset": event.offset,
                    "topic": event.topic,
                    "key": event.key,
                    "payload": event.payload,
                    "created_at": event.created_at,
                });
                writeln!(screen, "{one}")?;
            } else {
                writeln!(screen, "{}", event.payload)?;
            }
            screen.flush()?;
        }
    }
}

/// After which offset the last `n` events of a topic begin.
fn before_last(database: &Database, topic: &str, n: u32) -> Result<i64> {
    let sql = "SELECT \"offset\" FROM main._honker_stream WHERE topic = ?1 ORDER BY \"offset\" DESC LIMIT 1 OFFSET ?2";
    let rows = read::query(database, sql, &[topic.into(), i64::from(n).into()])?;
    Ok(rows.rows.first().and_then(|row| read::integer(&row[0])).unwrap_or(0))
}
