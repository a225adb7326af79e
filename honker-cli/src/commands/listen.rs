//! `honker listen`: the notifications of a channel, as they come.

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use honker_core::consume::{Listener, Next};
use serde_json::json;

use crate::failure::{Failure, Result};
use crate::file::{Create, Db, File};
use crate::show::Screen;

/// How often it looks without having been woken.
const FALLBACK: Duration = Duration::from_secs(15);

/// Print the notifications of a channel as they come, each on a line
///
/// Those from before are not printed. Line breaks in a payload are printed as they are; --json keeps one notification on one line.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker listen deploys --db app.db
  honker listen deploys --count 1 --timeout-s 60 && ./restart
  honker listen orders --json | jq -r .payload")]
pub struct Listen {
    /// The channel
    #[arg(value_name = "CHANNEL")]
    channel: String,
    /// End after so many
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// End with 3 if there was none for so many seconds
    #[arg(long, value_name = "N")]
    timeout_s: Option<u64>,
    /// Print each as JSON: id, channel, payload, created_at
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    create: Create,
}

impl Listen {
    pub fn run(self, db: &Db) -> Result {
        let database = db.open_to_write(&File::default(), &self.create)?;
        let mut listener = Listener::new(&database, &self.channel, Some(FALLBACK))?;
        let mut left = self.count;
        while left != Some(0) {
            let notification = wait(self.timeout_s, |timeout| listener.next(timeout))?;
            let mut screen = Screen::new();
            if self.json {
                let one = json!({
                    "id": notification.id,
                    "channel": notification.channel,
                    "payload": notification.payload,
                    "created_at": notification.created_at,
                });
                writeln!(screen, "{one}")?;
            } else {
                writeln!(screen, "{}", notification.payload)?;
            }
            screen.flush()?;
            left = left.map(|left| left - 1);
        }
        Ok(())
    }
}

/// What comes next, or an error if nothing does in so many seconds.
pub fn wait<T>(
    timeout_s: Option<u64>,
    mut next: impl FnMut(Option<Duration>) -> honker_core::Result<Next<T>>,
) -> Result<T> {
    let until = timeout_s.and_then(|s| Instant::now().checked_add(Duration::from_secs(s)));
    loop {
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        match next(timeout)? {
            Next::Item(item) => return Ok(item),
            Next::Timeout => {
                return Err(Failure::NotFound(format!("nothing came in {} s", timeout_s.unwrap_or(0))));
            }
            Next::Woken => {}
        }
    }
}
