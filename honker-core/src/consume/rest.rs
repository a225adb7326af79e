//! What a consumer that has found nothing leaves at its waiter: what it waits for, and until when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::WAIT_MIN;
use super::readiness::Deadline;
use crate::news::News;
use crate::outlook::{Interest, Outlook};

/// What a consumer waits for that has found nothing.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    /// What the file is asked after a commit; none: commits do not matter.
    interest: Option<Arc<Interest>>,
    /// When it is ready without a commit.
    deadline: Deadline,
    /// How often the file is asked without a commit.
    fallback: Option<Duration>,
    /// When that is next.
    ask_at: Option<Instant>,
}

impl Rest {
    /// A consumer that waits for this and has no deadline.
    pub(super) fn new(interest: Interest, fallback: Option<Duration>) -> Self {
        let interest = Some(Arc::new(interest));
        Rest { interest, deadline: Deadline::default(), fallback, ask_at: None }
    }

    /// A consumer that waits for nothing but this moment.
    pub(super) fn until_after(after: Option<Instant>) -> Self {
        Rest { interest: None, deadline: Deadline { at: None, after }, fallback: None, ask_at: None }
    }

    /// Also ready at this second of the machine's clock.
    pub(super) fn at(mut self, at: Option<i64>) -> Self {
        self.deadline.at = [self.deadline.at, at].into_iter().flatten().min();
        self
    }

    /// Also ready at this moment.
    pub(super) fn after(mut self, after: Option<Instant>) -> Self {
        self.deadline.after = [self.deadline.after, after].into_iter().flatten().min();
        self
    }

    /// The interval begins now.
    fn ask_later(&mut self, now: Instant) {
        self.ask_at = self.fallback.and_then(|fallback| now.checked_add(fallback.max(WAIT_MIN)));
    }

    /// The rest begins. A second that has come when nothing was found is over by our clock and not by SQLite's: it is
    /// looked at a little later.
    pub(super) fn begin(&mut self, now: Instant) {
        self.ask_later(now);
        let soon = now + WAIT_MIN;
        if self.deadline.is_over(soon) {
            self.deadline = Deadline { at: None, after: Some(soon) };
        }
    }

    /// When something has to be done without a commit.
    pub(super) fn until(&self) -> Deadline {
        self.deadline.earlier(Deadline { at: None, after: self.ask_at })
    }

    /// Whether the time has come.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.deadline.is_over(now)
    }

    /// What to ask of the file, if that is due: after a commit, or as its own interval says.
    pub(super) fn question(&self, committed: bool, now: Instant) -> Option<&Arc<Interest>> {
        let is_due = committed || self.ask_at.is_some_and(|at| at <= now);
        self.interest.as_ref().filter(|_| is_due)
    }

    /// Whether somebody who waits for this should look, after these news.
    pub(super) fn is_concerned_by(&self, news: &News) -> bool {
        self.interest.as_ref().is_some_and(|interest| news.any(|change| interest.is_concerned_by(change)))
    }

    /// Without the interval in which it looks by itself: somebody else does that for it.
    pub(super) fn without_fallback(mut self) -> Self {
        self.fallback = None;
        self
    }

    /// The file has answered to `interest`, or could not be asked (`None`); whether the consumer is ready. By now it may wait
    /// for something else.
    pub(super) fn answer(&mut self, interest: &Arc<Interest>, answer: Option<Outlook>, now: Instant) -> bool {
        if !self.interest.as_ref().is_some_and(|current| Arc::ptr_eq(current, interest)) {
            return false;
        }
        let Some(Outlook { work: false, at }) = answer else { return true };
        self.deadline.at = at;
        self.ask_later(now);
        false
    }
}
