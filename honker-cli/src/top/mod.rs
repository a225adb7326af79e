//! `honker top`: the file in a terminal, live, with keys to act.
//!
//! `view.rs` is what is shown and chosen, `paint.rs` draws it. One thread reads after a commit, or when time alone changes something, as the
//! page does; the main one draws and obeys keys. It draws when there is something new, and once a second while ages move.

mod paint;
mod view;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use clap::Args;
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use honker_core::consume::{Updates, Waiter};
use honker_core::database::Database;
use honker_core::queue::DeadGroup;

use self::view::{Act, View};
use crate::act;
use crate::failure::{Failure, Result};
use crate::file::{self, Db, File};
use crate::overview::Overview;
use crate::signals::Signals;
use crate::{moment, overview};

/// At most so many readings in a second, and a tenth of a core.
const EVERY_MIN: Duration = Duration::from_millis(100);
const SHARE: u32 = 9;

/// A file that cannot be read is read again after this.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Ages are drawn anew so often.
const AGES: Duration = Duration::from_secs(1);

/// Show queues, running jobs and dead ones in the terminal, live
///
/// Keys: Tab the next list, arrows or j and k the next row; p pauses or resumes a queue, c cancels a running job, r retries the dead of a
/// group, each after a question; q ends.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker top app.db
  HONKER_DB=app.db honker top")]
pub struct Top {
    #[command(flatten)]
    file: File,
}

/// What has been read.
pub struct Read {
    pub overview: Overview,
    pub dead: Vec<DeadGroup>,
}

/// What the main thread waits for.
enum News {
    Read(Box<Read>),
    Trouble(String),
    Key(KeyCode, KeyModifiers),
    Resized,
    Stopped,
}

impl Top {
    pub fn run(self, db: &Db) -> Result {
        if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
            return Err(Failure::Usage("top needs a terminal; honker stats --watch does not".to_owned()));
        }
        let path = db.path_or(&self.file)?;
        let database = file::look(&path)?;
        let (sender, news) = channel();
        let waiter = Waiter::new(&database)?;
        let stopping = sender.clone();
        let _signals = Signals::watch(move || drop(stopping.send(News::Stopped)))?;
        let (reading, reading_waiter) = (database.clone(), waiter.clone());
        let read_sender = sender.clone();
        std::thread::spawn(move || read_on(&reading, &reading_waiter, &read_sender));
        std::thread::spawn(move || keys(&sender));
        let mut terminal = ratatui::try_init()?;
        let outcome = show(&mut terminal, &path, database.path(), &news);
        ratatui::restore();
        waiter.close();
        database.close()?;
        outcome
    }
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    path: &Path,
    shown_path: &str,
    news: &Receiver<News>,
) -> Result {
    let mut view = View::new(shown_path);
    loop {
        terminal.draw(|frame| paint::paint(frame, &mut view))?;
        let mut next = match news.recv_timeout(AGES) {
            Ok(next) => Some(next),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        // All that is there already, before it is drawn.
        while let Some(one) = next {
            match one {
                News::Read(read) => view.take(*read),
                News::Trouble(text) => view.say(text),
                News::Key(KeyCode::Char('c'), KeyModifiers::CONTROL) | News::Stopped => return Ok(()),
                News::Key(key, _) => match view.key(key) {
                    Act::None => {}
                    Act::End => return Ok(()),
                    other => view.say(perform(path, &other).unwrap_or_else(|failure| failure.to_string())),
                },
                News::Resized => {}
            }
            next = news.try_recv().ok();
        }
    }
}

/// Does what was confirmed, on the file that has the name now; what there is to say of it.
fn perform(path: &Path, act: &Act) -> Result<String> {
    let database = &file::open(path)?;
    match act {
        Act::Pause(queue, paused) => {
            database.queue_configure(queue, &act::paused(*paused))?;
            Ok(format!("'{queue}' {}", if *paused { "is paused" } else { "goes on" }))
        }
        Act::Cancel(id) => {
            let was_there = database.cancel(*id)?;
            Ok(format!("job {id} {}", if was_there { "is cancelled" } else { "is gone already" }))
        }
        Act::Retry(error) => {
            let done = act::retry_group(database, None, error.as_deref(), None, |_| true)?;
            Ok(format!("{} retried, {} passed over", done.changed, done.conflicts))
        }
        Act::None | Act::End => Ok(String::new()),
    }
}

/// Reads after each commit, and when time alone changes something, until nobody wants to know.
fn read_on(database: &Database, waiter: &Waiter, news: &Sender<News>) {
    // Before the first look: what is committed after it is not missed.
    let mut updates = Updates::on(waiter, 0);
    loop {
        let started = Instant::now();
        let read = overview::read(database)
            .and_then(|overview| Ok(Read { overview, dead: database.dead_groups(None)? }));
        let next = match read {
            Ok(read) => {
                let next_at = read.overview.next_at;
                if news.send(News::Read(Box::new(read))).is_err() {
                    return;
                }
                next_at.map(|at| Duration::from_secs(at.saturating_sub(moment::now()).max(0).cast_unsigned()))
            }
            Err(failure) => {
                if news.send(News::Trouble(failure.to_string())).is_err() {
                    return;
                }
                Some(AFTER_ERROR)
            }
        };
        let took = started.elapsed();
        std::thread::sleep(EVERY_MIN.max(took * SHARE).saturating_sub(took));
        match updates.next(next.map(|next| next.max(EVERY_MIN))) {
            Ok(_) => {}
            Err(honker_core::Error::Closed) => return,
            Err(_) => std::thread::sleep(AFTER_ERROR),
        }
    }
}

fn keys(news: &Sender<News>) {
    loop {
        let sent = match event::read() {
            Ok(Event::Key(key)) if key.kind == KeyEventKind::Press => {
                news.send(News::Key(key.code, key.modifiers))
            }
            Ok(Event::Resize(..)) => news.send(News::Resized),
            Ok(_) => Ok(()),
            Err(_) => news.send(News::Stopped),
        };
        if sent.is_err() {
            return;
        }
    }
}
