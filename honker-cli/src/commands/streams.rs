//! `honker streams`: topics, and how far their consumers are.

use clap::Args;

use crate::failure::Result;
use crate::file::{Db, File};
use crate::moment;
use crate::read::{self, Topic};
use crate::show::{Screen, Show};
use crate::table::{Align, Table, number, optional};

/// Show the streams, their consumers and how far behind those are
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker streams app.db
  honker streams --json | jq '.[].consumers[] | select(.lag > 1000)'

honker tail shows the events of a topic.")]
pub struct Streams {
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    show: Show,
}

impl Streams {
    pub fn run(self, db: &Db) -> Result {
        let database = db.look_or(&self.file)?;
        self.show.each(&database, read::streams, |topics, screen| draw(topics, moment::now(), screen))
    }
}

fn draw(topics: &[Topic], now: i64, screen: &mut Screen) -> Result {
    use Align::{Left, Right};
    let mut table = Table::new(&[
        ("TOPIC", Left),
        ("EVENTS", Right),
        ("OFFSETS", Right),
        ("NEWEST", Right),
        ("CONSUMER", Left),
        ("AT", Right),
        ("LAG", Right),
    ]);
    for topic in topics {
        let none = [String::new(), String::new(), String::new()];
        let consumers = topic
            .consumers
            .iter()
            .map(|consumer| [consumer.name.clone(), number(consumer.offset), number(consumer.lag)]);
        let consumers: Vec<_> = if topic.consumers.is_empty() { vec![none] } else { consumers.collect() };
        for (at, [name, offset, lag]) in consumers.into_iter().enumerate() {
            let of_topic = |cell: String| if at == 0 { cell } else { String::new() };
            let offsets = topic.first_offset.zip(topic.last_offset);
            table.row([
                of_topic(topic.topic.clone()),
                of_topic(number(topic.events)),
                of_topic(optional(offsets, |(first, last)| format!("{first}–{last}"))),
                of_topic(optional(topic.last_at, |at| moment::relative(at, now))),
                name,
                offset,
                lag,
            ]);
        }
    }
    table.draw(screen, "There is no stream.")
}
