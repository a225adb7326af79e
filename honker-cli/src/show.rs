//! How a command shows what it has read: once, or again after each commit (`--watch`); for people or as JSON.

use std::io::{self, IsTerminal, StdoutLock, Write};
use std::time::{Duration, Instant};

use clap::Args;
use honker_core::consume::Updates;
use honker_core::database::Database;
use serde::Serialize;

use crate::failure::Result;

/// The options of commands that show something.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Show {
    /// Print JSON: one document; with --watch, one on a line each time
    #[arg(long)]
    pub json: bool,
    /// Show it again after each commit, by whatever process, until interrupted
    #[arg(long)]
    pub watch: bool,
}

/// Commits that come faster than this are drawn together.
const REDRAW_MIN: Duration = Duration::from_millis(100);

impl Show {
    /// Reads and draws, once or again after each commit.
    pub fn each<T: Serialize>(
        self,
        database: &Database,
        mut read: impl FnMut(&Database) -> Result<T>,
        draw: impl Fn(&T, &mut Screen) -> Result,
    ) -> Result {
        // Before the first look: what is committed after it is not missed.
        let mut updates = self.watch.then(|| Updates::new(database)).transpose()?;
        let mut is_first = true;
        loop {
            let started = Instant::now();
            let value = read(database)?;
            let mut screen = Screen::new();
            match (self.json, self.watch) {
                (true, true) => writeln!(screen, "{}", json(&value)?)?,
                (true, false) => writeln!(screen, "{}", json_pretty(&value)?)?,
                (false, watch) => {
                    if watch {
                        screen.begin_again(is_first)?;
                    }
                    draw(&value, &mut screen)?;
                }
            }
            screen.flush()?;
            is_first = false;
            let Some(updates) = &mut updates else { return Ok(()) };
            drop(screen);
            std::thread::sleep(REDRAW_MIN.saturating_sub(started.elapsed()));
            updates.next(None)?;
        }
    }
}

/// As one line.
pub fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| crate::failure::Failure::Failed(error.to_string()))
}

fn json_pretty<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| crate::failure::Failure::Failed(error.to_string()))
}

/// Standard output.
pub struct Screen {
    out: io::BufWriter<StdoutLock<'static>>,
    columns: Option<usize>,
    styled: bool,
}

impl Screen {
    /// Standard output, to write to in one go.
    pub fn new() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let columns = is_terminal.then(|| crossterm::terminal::size().ok()).flatten();
        Screen {
            out: io::BufWriter::new(io::stdout().lock()),
            columns: columns.map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0),
            styled: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// The width of the terminal, if it is one.
    pub fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// The text in bold, on a terminal that is to have styles.
    pub fn bold(&self, text: &str) -> String {
        if self.styled { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// What follows takes the place of what was drawn before; where nothing can be erased, an empty line is between them.
    fn begin_again(&mut self, is_first: bool) -> io::Result<()> {
        if self.columns.is_some() {
            write!(self.out, "\x1b[H\x1b[2J\x1b[3J")
        } else if is_first {
            Ok(())
        } else {
            writeln!(self.out)
        }
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
