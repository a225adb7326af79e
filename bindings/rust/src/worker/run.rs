//! One run of a worker: a loop in one thread, which settles, claims and waits, and handlers elsewhere that tell it when they
//! have returned.
//!
//! Invariants:
//! - Only the loop's thread uses what is in here. Handlers, signals and [`Stopper`](super::Stopper)s send it an event and wake it,
//!   in this order, and it takes all events before it waits: none is missed.
//! - A job is in `hand` from its claim until its handler has returned; then in `pending` until it is settled. What a handler
//!   makes of a job that was lost, or of one whose file was replaced, is nobody's business any more.
//! - Whatever is not settled when the run ends is claimed again when its claim is over.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::hand::{Finished, InHand, Pending};
use super::handler::Handler;
use super::pool::Pool;
use super::schedules::Firing;
use super::signals::Signals;
use super::{Cancelled, Config, Control, Source, Worker};
use crate::{Claimer, Database, Error, Result, Settlement, Waker, WorkerQueue};

/// How long handlers have to return once their contexts are cancelled.
const CANCEL_TIMEOUT: Duration = Duration::from_millis(1500);

/// For how long a run that ends tries to settle what is finished.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(feature = "tokio")]
pub(super) type Runtime = tokio::runtime::Handle;
/// There is none.
#[cfg(not(feature = "tokio"))]
#[derive(Clone)]
pub(super) enum Runtime {}

pub(super) enum Event {
    Finished(Finished),
    Signal(&'static str),
    /// Look at what has changed.
    Look,
}

/// Tells the loop of an event, from any thread.
pub(crate) struct Notifier {
    events: Mutex<Sender<Event>>,
    waker: Mutex<Option<Waker>>,
}

impl Notifier {
    pub(super) fn tell(&self, event: Event) {
        // Nobody may be there any more.
        let _ = self.events.lock().unwrap_or_else(PoisonError::into_inner).send(event);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn look(&self) {
        self.tell(Event::Look);
    }

    fn set_waker(&self, waker: Option<Waker>) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = waker;
    }
}

/// What has become of jobs.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) done: u64,
    pub(super) snoozed: u64,
    pub(super) retried: u64,
    pub(super) dead: u64,
    pub(super) released: u64,
}

pub(super) struct Run {
    pub(super) config: Config,
    source: Source,
    control: Arc<Control>,
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "there is none"))]
    pub(super) runtime: Option<Runtime>,
    pub(super) handlers: HashMap<String, Handler>,
    pub(super) notifier: Arc<Notifier>,
    events: Receiver<Event>,
    pub(super) pool: Pool,
    /// Handlers run in the loop's own thread.
    pub(super) inline: bool,

    /// `None`: to be opened.
    database: Option<Database>,
    /// The file was replaced: the one that `source` has open is another.
    replaced: bool,
    pub(super) claimer: Option<Claimer>,
    firing: Option<Firing>,

    pub(super) hand: HashMap<u64, InHand>,
    /// Handlers that still run for jobs of a file that was replaced.
    pub(super) orphans: HashSet<u64>,
    pub(super) pending: Vec<Pending>,
    pub(super) started: u64,
    pub(super) counts: Counts,

    why: Option<String>,
    signalled: bool,
    cancelled: bool,
    hurried: bool,
    /// When the time that handlers have is over.
    deadline: Option<Instant>,
    /// When handlers whose jobs were lost should have returned.
    pub(super) stuck: Option<Instant>,
    /// When to try again after an error.
    again: Option<Instant>,
    /// How long that was the last time.
    pause: Option<Duration>,
    interrupted: Option<Error>,
}

impl Run {
    pub(super) fn new(worker: &Worker, runtime: Option<Runtime>) -> Result<Self> {
        let (sender, events) = channel();
        let notifier = Arc::new(Notifier { events: Mutex::new(sender), waker: Mutex::default() });
        let handlers: HashMap<_, _> = worker
            .config
            .queues
            .iter()
            .map(|(queue, handler)| (queue.name.clone(), handler.clone()))
            .collect();
        if runtime.is_none() && handlers.values().any(|handler| matches!(handler, Handler::Asynchronous(_))) {
            return Err(Error::Misuse(
                "a handler is a future, which needs run_async or run_due_async".to_owned(),
            ));
        }
        {
            let mut state = worker.control.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.running.is_some() {
                return Err(Error::Misuse(format!("the worker '{}' runs already", worker.config.name)));
            }
            state.running = Some(Arc::clone(&notifier));
        }
        Ok(Run {
            config: worker.config.clone(),
            source: worker.source.clone(),
            control: Arc::clone(&worker.control),
            runtime,
            handlers,
            notifier,
            events,
            pool: Pool::default(),
            inline: false,
            database: None,
            replaced: false,
            claimer: None,
            firing: None,
            hand: HashMap::new(),
            orphans: HashSet::new(),
            pending: Vec::new(),
            started: 0,
            counts: Counts::default(),
            why: None,
            signalled: false,
            cancelled: false,
            hurried: false,
            deadline: None,
            stuck: None,
            again: None,
            pause: None,
            interrupted: None,
        })
    }

    /// Runs until the end, and says in one line what that left.
    pub(super) fn run(mut self) -> Result<()> {
        let worker = self.config.name.clone();
        let queues: Vec<&str> = self.config.queues.iter().map(|(queue, _)| queue.name.as_str()).collect();
        tracing::info!(target: "honker", worker, ?queues, concurrency = self.config.concurrency, "the worker has begun");
        let mut ended = self.begin_signals().and_then(|_signals| self.run_loop());
        self.log_unsettled();
        let running = self.running();
        let Counts { done, snoozed, retried, dead, released } = self.counts;
        let why = self.why.clone().unwrap_or_else(|| "an error".to_owned());
        let error = ended.as_ref().err().map(tracing::field::display);
        tracing::info!(
            target: "honker", worker, why, done, snoozed, retried, dead, released, running, error, "the worker has ended"
        );
        if running > 0 && ended.is_ok() {
            ended = Err(Error::Misuse(match self.hurried {
                true => {
                    format!("the second signal left {running} handlers no time to return; they still run")
                }
                false => {
                    format!("{running} handlers ignored that their contexts were cancelled, and still run")
                }
            }));
        }
        ended
    }

    /// Runs what is due, in this thread.
    pub(super) fn run_due(mut self) -> Result<usize> {
        self.inline = true;
        self.connect()?;
        loop {
            let before = self.started;
            self.turn(Some(Duration::ZERO))?;
            self.take_events();
            if self.started == before && self.pending.is_empty() {
                break;
            }
        }
        Ok(usize::try_from(self.started).unwrap_or(usize::MAX))
    }

    fn begin_signals(&self) -> Result<Option<Signals>> {
        if !self.config.signals {
            return Ok(None);
        }
        let notifier = Arc::clone(&self.notifier);
        Signals::listen(Arc::new(move |name| notifier.tell(Event::Signal(name))))
            .map(Some)
            .map_err(|error| Error::System(format!("signals cannot be listened to: {error}").into()))
    }

    fn run_loop(&mut self) -> Result<()> {
        loop {
            self.take_events();
            let (stopped, hurried) = self.control.asked();
            if stopped {
                self.stop("it was told to");
            }
            if self.hurried || hurried {
                self.hurried = true;
                self.cancel();
                return self.release();
            }
            if self.is_stopping() && self.running() == 0 {
                self.settle_rest()?;
                return self.interrupted.take().map_or(Ok(()), Err);
            }
            let now = Instant::now();
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                if self.cancelled {
                    return self.release();
                }
                self.cancel();
            }
            if self.stuck.is_some_and(|stuck| stuck <= now) {
                self.stuck = None;
                self.say_if_stuck();
            }
            if self.again.is_some_and(|again| again <= now) {
                self.again = None;
            }
            if self.again.is_some() || self.is_stopping() && self.claimer.is_none() {
                self.wait_for_event();
                continue;
            }
            let done = match self.claimer {
                Some(_) => {
                    let timeout =
                        if self.pending.is_empty() { self.time_left(now) } else { Some(Duration::ZERO) };
                    self.turn(timeout)
                }
                None => self.connect(),
            };
            match done {
                Ok(()) => {}
                Err(error @ Error::WatcherDied(_)) => self.leave_replaced(&error),
                Err(error @ Error::Interrupted(_)) => {
                    self.stop("Database::interrupt");
                    self.interrupted.get_or_insert(error);
                }
                Err(error) if error.is_transient() => self.pause(&error),
                Err(error) => return self.give_up(error),
            }
        }
    }

    /// Opens the file, if need be, and makes what claims.
    fn connect(&mut self) -> Result<()> {
        let database = match (&self.database, &self.source) {
            (Some(database), _) => database.clone(),
            (None, Source::Open(database)) if !self.replaced => database.clone(),
            (None, source) => {
                let (path, options) = match source {
                    Source::Open(database) => (database.path(), database.options()),
                    Source::Path(path, options) => (path.as_path(), options),
                };
                // Opening it would make an empty one. A URI is for SQLite to read, a URL for the engine for servers.
                let is_uri = path.to_str().is_some_and(|path| path.starts_with("file:"));
                if !is_uri && !crate::names::is_url(path) && !path.exists() {
                    return Err(Error::CannotOpen(format!("there is no file {}", path.display()).into()));
                }
                Database::open_with_options(path, options.clone())?
            }
        };
        self.database = Some(database.clone());
        let queues: Vec<WorkerQueue> = self.config.queues.iter().map(|(queue, _)| queue.clone()).collect();
        let claimer = database.claimer(queues, &self.config.name, self.config.claims.clone())?;
        if !self.config.schedules.is_empty() && !self.inline {
            self.firing = Some(Firing::begin(&database, &self.config.schedules)?);
        }
        self.notifier.set_waker(Some(claimer.waker()));
        self.claimer = Some(claimer);
        Ok(())
    }

    /// The opposite of connect; a database that was given stays open.
    fn disconnect(&mut self) {
        self.notifier.set_waker(None);
        self.firing = None;
        self.claimer = None;
        if let Some(database) = self.database.take() {
            let is_given = matches!(&self.source, Source::Open(given) if given.is(&database));
            if !is_given {
                let _ = database.close();
            }
        }
    }

    /// Settles what is finished, claims what there is room for, starts handlers; waits if there is nothing of that.
    fn turn(&mut self, timeout: Option<Duration>) -> Result<()> {
        let n = match () {
            () if self.is_stopping() => 0,
            () if self.inline => 1,
            () => self.config.concurrency.saturating_sub(self.running()),
        };
        let settlements: Vec<Settlement> = self.pending.iter().map(Pending::settlement).collect();
        let Some(claimer) = &mut self.claimer else { return Err(Error::Closed) };
        let claims =
            match claimer.settle_and_next(&settlements, i64::try_from(n).unwrap_or(i64::MAX), timeout) {
                Ok(claims) => claims,
                Err(Error::Woken) => return Ok(()),
                Err(error) => return Err(error),
            };
        self.after_settling(claims.held);
        claims.lost.iter().for_each(|lost| self.lose(lost));
        let mut started = Ok(());
        for job in claims.jobs {
            started = started.and(self.start(job));
        }
        if started.is_ok() && self.pause.take().is_some() {
            tracing::info!(target: "honker", worker = self.config.name, "the worker works again");
        }
        started
    }

    /// Takes the events that are there.
    fn take_events(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Finished(finished) => self.finish(finished),
            Event::Signal(name) if !self.signalled => {
                self.signalled = true;
                self.stop(name);
            }
            Event::Signal(_) => self.hurried = true,
            Event::Look => {}
        }
    }

    /// Waits without a claimer, or while it is not to be called.
    fn wait_for_event(&mut self) {
        let now = Instant::now();
        let until = [self.time_left(now), self.again.map(|again| again.saturating_duration_since(now))];
        let event = match until.into_iter().flatten().min() {
            Some(left) => self.events.recv_timeout(left),
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if let Ok(event) = event {
            self.take(event);
        }
    }

    fn time_left(&self, now: Instant) -> Option<Duration> {
        let until = [self.deadline, self.stuck].into_iter().flatten().min();
        until.map(|until| until.saturating_duration_since(now))
    }

    pub(super) fn running(&self) -> usize {
        self.hand.len() + self.orphans.len()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.why.is_some()
    }

    /// Begins to stop.
    fn stop(&mut self, why: &str) {
        if self.why.is_none() {
            self.why = Some(why.to_owned());
            self.again = None;
            self.firing = None;
            self.deadline = Instant::now().checked_add(self.config.stop_timeout);
        }
    }

    /// Cancels what runs, because the worker stops.
    fn cancel(&mut self) {
        self.cancelled = true;
        self.hand.values().for_each(|in_hand| in_hand.context.cancel(Cancelled::Stopping));
        self.deadline = Some(Instant::now() + CANCEL_TIMEOUT);
    }

    /// Gives back what still runs, and settles what does not.
    fn release(&mut self) -> Result<()> {
        self.take_events();
        let running =
            self.hand.values().filter(|in_hand| !in_hand.lost).map(Pending::release).collect::<Vec<_>>();
        self.pending.extend(running);
        self.settle_rest()
    }

    /// Settles what is finished, at the end. Errors that pass are waited out, but not for ever.
    fn settle_rest(&mut self) -> Result<()> {
        let until = Instant::now() + SETTLE_TIMEOUT;
        while !self.pending.is_empty() && self.claimer.is_some() {
            match self.turn(Some(Duration::ZERO)) {
                Ok(()) => {}
                Err(error @ Error::WatcherDied(_)) => self.leave_replaced(&error),
                Err(error) if error.is_transient() && Instant::now() < until => {
                    thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends a run that cannot go on.
    fn give_up(&mut self, error: Error) -> Result<()> {
        for in_hand in self.hand.values_mut() {
            in_hand.lost = true;
            in_hand.context.cancel(Cancelled::Closed);
        }
        let until = Instant::now() + CANCEL_TIMEOUT;
        while self.running() > 0 {
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(event),
                Err(_) => break,
            }
        }
        Err(error)
    }

    /// An error that may pass: says when to try again.
    fn pause(&mut self, error: &Error) {
        // Claims are not extended meanwhile, so that it has to be short beside the visibility timeout.
        let visibility_s = self.config.claims.visibility_timeout_s.clamp(1, 60);
        let mut longest = Duration::from_secs(visibility_s.unsigned_abs()) / 6;
        if self.is_stopping() {
            longest = longest.min(Duration::from_millis(500));
        }
        if self.pause.is_none() {
            tracing::warn!(target: "honker", worker = self.config.name, %error, "the worker cannot work; it tries again");
        }
        let pause = self.pause.map_or(Duration::from_millis(100), |pause| pause * 2).min(longest);
        self.pause = Some(pause);
        self.again = Some(Instant::now() + pause);
    }

    /// Leaves a file that was replaced. What the handlers of its jobs make of them, nobody can settle.
    fn leave_replaced(&mut self, error: &Error) {
        tracing::warn!(
            target: "honker", worker = self.config.name, running = self.hand.len(), unsettled = self.pending.len(), %error,
            "the file was replaced; the worker goes on with the new one"
        );
        for (token, in_hand) in self.hand.drain() {
            in_hand.context.cancel(Cancelled::Replaced);
            self.orphans.insert(token);
        }
        self.stuck = Some(Instant::now() + CANCEL_TIMEOUT);
        self.log_unsettled();
        self.disconnect();
        self.replaced = true;
    }

    /// Says that nothing more is run because handlers of jobs that were lost hold all the places.
    fn say_if_stuck(&self) {
        let running = self.orphans.len() + self.hand.values().filter(|in_hand| in_hand.lost).count();
        if running == self.config.concurrency {
            tracing::error!(
                target: "honker", worker = self.config.name, running,
                "the worker runs no job until a handler returns; all ignore that their contexts are cancelled"
            );
        }
    }

    pub(super) fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.disconnect();
        self.control.state.lock().unwrap_or_else(PoisonError::into_inner).running = None;
    }
}
