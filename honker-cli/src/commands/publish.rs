//! `honker publish`: an event from the shell.

use std::io::Write;

use clap::Args;

use crate::failure::Result;
use crate::file::{Create, Db, File};
use crate::payload::Payload;
use crate::show::Screen;

/// Append an event to a stream
///
/// Prints its offset.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker publish orders '{\"id\": 7}' --key customer-3 --db app.db
  honker publish audit @event.json")]
pub struct Publish {
    /// The topic
    #[arg(value_name = "TOPIC")]
    topic: String,
    #[command(flatten)]
    payload: Payload,
    /// A key that comes with the event
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    create: Create,
}

impl Publish {
    pub fn run(self, db: &Db) -> Result {
        let payload = self.payload.read()?;
        let database = db.open_to_write(&File::default(), &self.create)?;
        let offset = database.stream_publish(&self.topic, self.key.as_deref(), &payload)?;
        let mut screen = Screen::new();
        writeln!(screen, "{offset}")?;
        Ok(screen.flush()?)
    }
}
