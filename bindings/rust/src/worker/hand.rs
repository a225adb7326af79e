//! Jobs in hand: how their handlers are started, and what becomes of them when those have returned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Span;

use super::context::Cancelled;
use super::failure::Kind;
use super::handler::{self, Handler};
use super::run::{Event, Notifier, Run};
use super::{Failure, JobContext, Outcome, Reporter};
use crate::{Backoff, Error, Job, LostJob, QueueOpts, Result, Settlement, Verdict};

/// A job that a handler runs for.
pub(super) struct InHand {
    pub(super) context: JobContext,
    /// It is not the worker's any more.
    pub(super) lost: bool,
}

/// A job whose handler has returned, or which is given up, to be settled.
pub(super) struct Pending {
    context: JobContext,
    verdict: Verdict,
    failure: Option<Failure>,
}

impl Pending {
    pub(super) fn settlement(&self) -> Settlement {
        Settlement { id: self.context.id, serial: self.context.serial(), verdict: self.verdict.clone() }
    }

    pub(super) fn release(in_hand: &InHand) -> Self {
        let context = in_hand.context.clone();
        match context.step_not_saved().cloned().map(Failure::discard) {
            None => Pending { context, verdict: Verdict::Release, failure: None },
            Some(failure) => {
                Pending { context, verdict: Verdict::Fail { error: failure.text() }, failure: Some(failure) }
            }
        }
    }
}

/// What a handler made of its job.
pub(super) struct Finished {
    token: u64,
    outcome: Outcome,
    /// Its context had been cancelled by then.
    cancelled: Option<Cancelled>,
}

/// Tells the loop what a handler made of its job; that it was given back if its task is dropped.
struct Telling {
    notifier: Arc<Notifier>,
    token: u64,
    finished: Option<Finished>,
}

impl Telling {
    fn tell(mut self, outcome: Outcome, context: &JobContext) {
        self.finished = Some(Finished { token: self.token, outcome, cancelled: context.cancelled() });
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let dropped = || Finished { token: self.token, outcome: Err(Failure::release()), cancelled: None };
        let finished = self.finished.take().unwrap_or_else(dropped);
        self.notifier.tell(Event::Finished(finished));
    }
}

/// A failure after a step that has run and is not saved discards the job.
fn of_steps(outcome: Outcome, context: &JobContext) -> Outcome {
    outcome.map_err(|failure| match context.step_not_saved() {
        Some(not_saved) => failure.of_step(not_saved),
        None => failure,
    })
}

/// Tells the reporter of a failure, unless it is none, or came of being cancelled.
fn report(reporter: Option<&Reporter>, context: &JobContext, outcome: &Outcome) {
    let Err(failure) = outcome else { return };
    if failure.is_panic() && context.is_cancelled() {
        tracing::error!(target: "honker", queue = context.queue, job = context.id, error = failure.text(), "a handler panicked after its context had been cancelled");
    }
    if !failure.is_failure() || context.is_cancelled() && !failure.is_panic() {
        return;
    }
    tell_reporter(reporter, context, failure);
}

fn tell_reporter(reporter: Option<&Reporter>, context: &JobContext, failure: &Failure) {
    if let Some(reporter) = reporter
        && let Err(panic) = catch_unwind(AssertUnwindSafe(|| reporter(context, failure)))
    {
        let error = Failure::panic(&*panic).text();
        tracing::error!(target: "honker", job = context.id, error, "on_error panicked");
    }
}

impl Run {
    /// Runs the handler of a job. If that needs a thread and there is none, the job is given back.
    pub(super) fn start(&mut self, job: Job) -> Result<()> {
        self.started += 1;
        let token = self.started;
        let limit_s = job.max_run_s.or(self.config.claims.max_run_s).filter(|_| !self.inline);
        let limit = limit_s.and_then(|limit_s| u64::try_from(limit_s).ok()).map(Duration::from_secs);
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let context = JobContext::new(job, deadline);
        let span = self.span(&context);
        self.hand.insert(token, InHand { context: context.clone(), lost: false });
        let telling = Telling { notifier: Arc::clone(&self.notifier), token, finished: None };
        let reporter = self.config.on_error.clone();
        match self.handlers.get(&context.queue).cloned() {
            Some(Handler::Blocking(blocking)) => {
                let middleware = self.config.middleware.clone();
                let task: Box<dyn FnOnce() + Send> = Box::new(move || {
                    let _entered = span.enter();
                    let outcome = of_steps(handler::run(&blocking, &middleware, &context), &context);
                    report(reporter.as_ref(), &context, &outcome);
                    telling.tell(outcome, &context);
                });
                if self.inline {
                    task();
                    return Ok(());
                }
                self.pool.run(task).map_err(|error| {
                    Error::System(format!("a thread for a job could not be had: {error}").into())
                })?;
            }
            #[cfg(feature = "tokio")]
            Some(Handler::Asynchronous(asynchronous)) => {
                use tracing::Instrument;
                let Some(runtime) = &self.runtime else { return Ok(()) };
                let middleware = self.config.async_middleware.clone();
                let task = async move {
                    let outcome = handler::run_asynchronous(asynchronous, middleware, context.clone()).await;
                    let outcome = of_steps(outcome, &context);
                    report(reporter.as_ref(), &context, &outcome);
                    telling.tell(outcome, &context);
                };
                let task = task.instrument(span);
                match self.inline {
                    true => runtime.block_on(task),
                    false => drop(runtime.spawn(task)),
                }
            }
            // Only jobs of its queues are claimed; `telling` gives back what is not.
            #[cfg(not(feature = "tokio"))]
            Some(Handler::Asynchronous(_)) => {}
            None => {}
        }
        Ok(())
    }

    /// The span in which a handler runs.
    fn span(&self, job: &JobContext) -> Span {
        let make = self.config.span.as_deref().unwrap_or(&default_span);
        catch_unwind(AssertUnwindSafe(|| make(job))).unwrap_or_else(|panic| {
            let error = Failure::panic(&*panic).text();
            tracing::error!(target: "honker", job = job.id, error, "what makes the span panicked");
            default_span(job)
        })
    }

    /// Says what becomes of a job whose handler has returned.
    pub(super) fn finish(&mut self, finished: Finished) {
        let Finished { token, outcome, cancelled } = finished;
        self.orphans.remove(&token);
        let Some(InHand { context, lost }) = self.hand.remove(&token) else { return };
        let outcome = of_steps(outcome, &context);
        if outcome.is_ok() && context.is_settled() {
            if let Some(claimer) = &self.claimer {
                claimer.settled(context.id, context.serial());
            }
            self.counts.done += 1;
            return;
        }
        if lost {
            return;
        }
        let verdict = match &outcome {
            Ok(()) => Verdict::Ack,
            Err(failure) if context.step_not_saved().is_some() => Verdict::Fail { error: failure.text() },
            Err(failure) => match failure.kind {
                Kind::Snooze(delay_s) => Verdict::Snooze { delay_s },
                Kind::Discard => Verdict::Fail { error: failure.text() },
                Kind::RetryAfter(delay_s) => Verdict::Retry { delay_s: Some(delay_s), error: failure.text() },
                Kind::Retry | Kind::Panic if cancelled.is_some() => {
                    tracing::info!(
                        target: "honker", queue = context.queue, job = context.id, error = failure.text(),
                        "a job failed after its context had been cancelled, and is given back"
                    );
                    Verdict::Release
                }
                Kind::Retry | Kind::Panic => Verdict::Retry { delay_s: None, error: failure.text() },
            },
        };
        self.pending.push(Pending { context, verdict, failure: outcome.err() });
    }

    /// Counts and logs what has been settled. A job that the file refuses to settle, because of a trigger for instance, is
    /// retried with the reason; if that is refused as well it is left alone, and run again when its claim is over.
    pub(super) fn after_settling(&mut self, held: Vec<Result<bool>>) {
        for (pending, held) in std::mem::take(&mut self.pending).into_iter().zip(held) {
            let Pending { context, verdict, failure } = pending;
            match (held, &verdict) {
                (Ok(_), Verdict::Ack) => self.counts.done += 1,
                (Ok(_), Verdict::Snooze { .. }) => self.counts.snoozed += 1,
                (Ok(_), Verdict::Release) => self.counts.released += 1,
                (Ok(true), Verdict::Retry { .. } | Verdict::Fail { .. }) => {
                    let failure = failure.unwrap_or_else(|| Failure::new("it could not be settled"));
                    self.log_failure(&context, &failure.text(), &verdict);
                }
                (Ok(false), Verdict::Retry { error, .. } | Verdict::Fail { error }) => tracing::warn!(
                    target: "honker", queue = context.queue, job = context.id, error,
                    "a job failed that is not the worker's any more; it has been settled already, or its claim is over"
                ),
                (Err(refused), Verdict::Retry { .. }) => {
                    if let Some(claimer) = &self.claimer {
                        claimer.settled(context.id, context.serial());
                    }
                    tracing::error!(
                        target: "honker", queue = context.queue, job = context.id, %refused,
                        "a job cannot be settled, and is run again when its claim is over"
                    );
                }
                (Err(refused), _) => {
                    tracing::error!(target: "honker", queue = context.queue, job = context.id, %refused, "a job cannot be settled, and is retried");
                    let error = format!("it could not be settled: {refused}");
                    self.pending.push(Pending {
                        context,
                        verdict: Verdict::Retry { delay_s: None, error },
                        failure,
                    });
                }
            }
        }
    }

    /// Logs and counts a failure that has been settled.
    fn log_failure(&mut self, context: &JobContext, error: &str, verdict: &Verdict) {
        let (queue, job, attempt, max_attempts) =
            (&*context.queue, context.id, context.attempts, context.max_attempts);
        if matches!(verdict, Verdict::Fail { .. }) || attempt >= max_attempts {
            self.counts.dead += 1;
            tracing::error!(target: "honker", queue, job, attempt, max_attempts, error, "a job failed, and is dead");
            return;
        }
        self.counts.retried += 1;
        let next_try_in_s = match verdict {
            Verdict::Retry { delay_s: Some(delay_s), .. } => *delay_s,
            _ => {
                let queue = self.database().map(|database| database.queue(queue, QueueOpts::default()));
                let set = queue.and_then(|queue| queue.settings().ok()?.retry);
                Backoff { jitter: 0.0, ..set.unwrap_or(self.config.claims.backoff) }.delay_s(attempt)
            }
        };
        tracing::warn!(target: "honker", queue, job, attempt, max_attempts, error, next_try_in_s, "a job failed, and is retried");
    }

    /// Logs what nobody knows the end of.
    pub(super) fn log_unsettled(&mut self) {
        for pending in self.pending.drain(..) {
            let error = pending.failure.as_ref().map(Failure::text);
            tracing::error!(
                target: "honker", queue = pending.context.queue, job = pending.context.id, error,
                "a job could not be settled; it is run again when its claim is over"
            );
        }
    }

    /// Cancels the handler of a job that is the worker's no more. It keeps its place until that has returned.
    pub(super) fn lose(&mut self, lost: &LostJob) {
        let found = self.hand.values_mut().find(|in_hand| in_hand.context.serial() == lost.serial);
        let Some(in_hand) = found else { return };
        in_hand.lost = true;
        let (context, why) = (in_hand.context.clone(), Cancelled::from(lost.reason));
        // By its handler, which goes on.
        if why == Cancelled::Gone && context.is_settled() {
            return;
        }
        context.cancel(why);
        self.stuck = Some(Instant::now() + Duration::from_millis(1500));
        if why != Cancelled::Timeout {
            tracing::warn!(target: "honker", queue = context.queue, job = context.id, attempt = context.attempts, "{why}");
            return;
        }
        // It has been settled. It may be long until the handler returns.
        let error = why.to_string();
        self.log_failure(&context, &error, &Verdict::Retry { delay_s: None, error: error.clone() });
        if let Some(reporter) = self.config.on_error.clone() {
            // Not here, where a reporter that blocks would stop everything. Without a thread, the log has told it.
            let task = Box::new(move || tell_reporter(Some(&reporter), &context, &Failure::from(why)));
            let _ = self.pool.run(task);
        }
    }
}

fn default_span(job: &JobContext) -> Span {
    let traceparent = job.metadata.get("traceparent").map(String::as_str);
    tracing::info_span!(
        target: "honker", "job", queue = job.queue, id = job.id, attempt = job.attempts, max_attempts = job.max_attempts,
        wait_s = job.waited().as_secs(), traceparent
    )
}
