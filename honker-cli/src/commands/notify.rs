//! `honker notify`: a notification from the shell.

use std::io::Write;

use clap::Args;

use crate::failure::Result;
use crate::file::{Create, Db, File};
use crate::payload::Payload;
use crate::show::Screen;

/// Send a notification to those who listen to a channel now
///
/// Prints its id.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker notify deploys '{\"version\": 7}' --db app.db
  git log -1 --format=%H | honker notify commits")]
pub struct Notify {
    /// The channel
    #[arg(value_name = "CHANNEL")]
    channel: String,
    #[command(flatten)]
    payload: Payload,
    #[command(flatten)]
    create: Create,
}

impl Notify {
    pub fn run(self, db: &Db) -> Result {
        let payload = self.payload.read()?;
        let database = db.open_to_write(&File::default(), &self.create)?;
        let id = database.notify(&self.channel, &payload)?;
        let mut screen = Screen::new();
        writeln!(screen, "{id}")?;
        Ok(screen.flush()?)
    }
}
