//! Trouble that passes by itself, for commands that go on for long: said once, and waited out with growing pauses.

use std::time::{Duration, Instant};

use honker_core::Error;

use crate::failure::{Result, say};

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// See the module documentation.
#[derive(Default)]
pub struct Trouble {
    /// The pause after the last error, while there is one.
    pause: Option<Duration>,
}

impl Trouble {
    /// Whether there is any.
    #[cfg(unix)]
    pub fn is_there(&self) -> bool {
        self.pause.is_some()
    }

    /// Waits before the next try, until `is_urgent` at most. An error that does not pass is answered.
    pub fn wait_out(&mut self, error: Error, mut is_urgent: impl FnMut() -> bool) -> Result {
        if !passes(&error) {
            return Err(error.into());
        }
        if self.pause.is_none() {
            say(format_args!("waiting for this to pass: {error}"));
        }
        let pause = self.pause.map_or(PAUSE_MIN, |pause| (pause * 2).min(PAUSE_MAX));
        self.pause = Some(pause);
        let until = Instant::now() + pause;
        while Instant::now() < until && !is_urgent() {
            std::thread::sleep(PAUSE_MIN.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// It has passed.
    pub fn is_over(&mut self) {
        if self.pause.take().is_some() {
            say("works again");
        }
    }
}

fn passes(error: &Error) -> bool {
    matches!(
        error,
        Error::Busy(_)
            | Error::Interrupted(_)
            | Error::Aborted(_)
            | Error::Full(_)
            | Error::Io(_)
            | Error::CannotOpen(_)
            | Error::ReadOnly(_)
            | Error::Schema(_)
            | Error::System(_)
            | Error::Connection(_)
    )
}
