//! What a handler makes of its job.

use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What a handler returns: the job is done, or a [`Failure`], which `?` makes of any error.
///
/// ```
/// use honker::{JobContext, Outcome};
///
/// fn resize(job: &JobContext) -> Outcome {
///     let path: String = job.payload_as()?;
///     std::fs::metadata(path)?; // an error: tried again later
///     Ok(())
/// }
/// ```
pub type Outcome = Result<(), Failure>;

/// Why a job is not done, and what becomes of it: it is tried again as the backoff says, unless it says otherwise.
///
/// `?` makes one of every type that is a [`std::error::Error`]. `anyhow::Error` and `Box<dyn Error + Send + Sync>` are none:
/// `.map_err(Failure::new)?` takes them.
///
/// ```
/// use std::time::Duration;
/// use honker::{Failure, JobContext, Outcome};
///
/// fn charge(job: &JobContext) -> Outcome {
///     let amount: i64 = job.payload_as()?;
///     match amount {
///         0 => Err(Failure::snooze(Duration::from_secs(60))), // not yet; the attempt does not count
///         1 => Err(Failure::retry_after(Duration::from_secs(5), "the bank is busy")),
///         2 => Err(Failure::discard("no such account")), // among the dead
///         _ => Ok(()),
///     }
/// }
/// ```
pub struct Failure {
    pub(crate) kind: Kind,
    pub(crate) error: Box<dyn StdError + Send + Sync>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As the backoff says.
    Retry,
    RetryAfter(i64),
    Discard,
    Snooze(i64),
    Panic,
}

impl Failure {
    /// Tried again as the backoff says. For texts, `anyhow::Error` and boxed errors; others are made into one by `?`.
    pub fn new(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Failure { kind: Kind::Retry, error: error.into() }
    }

    /// Tried again after so long, in whole seconds, rounded up; dead with the error if that was its last attempt.
    pub fn retry_after(delay: Duration, error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Failure { kind: Kind::RetryAfter(whole_seconds(delay)), error: error.into() }
    }

    /// It can never be done: it is among the dead with the error.
    pub fn discard(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Failure { kind: Kind::Discard, error: error.into() }
    }

    /// Due again after so long, in whole seconds, rounded up; this attempt does not count. It is no failure: nobody is told.
    pub fn snooze(delay: Duration) -> Self {
        Failure { kind: Kind::Snooze(whole_seconds(delay)), error: "snoozed".into() }
    }

    /// Due again now; this attempt does not count.
    pub fn release() -> Self {
        Failure { kind: Kind::Snooze(0), error: "released".into() }
    }

    /// The handler panicked.
    pub(crate) fn panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("of another type");
        Failure { kind: Kind::Panic, error: format!("panic: {text}").into() }
    }

    /// What becomes of a job of which a step has run, and is not saved: it must not be run again.
    pub(crate) fn of_step(self, not_saved: &crate::Error) -> Self {
        let told = not_saved.to_string();
        let (kind, text) = (if self.is_panic() { Kind::Panic } else { Kind::Discard }, self.text());
        let error = match self.kind {
            Kind::Snooze(_) => told.into(),
            _ if text.contains(&told) => self.error,
            _ => format!("{text}: {told}").into(),
        };
        Failure { kind, error }
    }

    /// Whether the handler panicked.
    pub fn is_panic(&self) -> bool {
        self.kind == Kind::Panic
    }

    /// Whether it says that the job failed; a snooze does not.
    pub fn is_failure(&self) -> bool {
        !matches!(self.kind, Kind::Snooze(_))
    }

    /// The error that it was made of.
    pub fn error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.error
    }

    /// The error and what caused it, as it is stored with the job. The worker calls it in its own thread, which an error
    /// that cannot be displayed must not end.
    pub(crate) fn text(&self) -> String {
        catch_unwind(AssertUnwindSafe(|| self.chain()))
            .unwrap_or_else(|_| "an error whose text cannot be had: its Display panics".to_owned())
    }

    fn chain(&self) -> String {
        const MAX: usize = 16 * 1024;
        let mut text = self.error.to_string();
        let mut source = self.error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some errors tell their cause themselves.
            if !text.ends_with(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        if text.len() > MAX {
            let end = (0..=MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
        }
        text
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::new(error)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure").field("kind", &self.kind).field("error", &self.error).finish()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

pub(crate) fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
