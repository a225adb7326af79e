//! The loop of `honker run`: the core's worker claims, prolongs and settles; programs run beside it.
//!
//! One thread turns: it settles what has ended, claims into free slots, starts programs, and waits. The threads of the
//! programs and the signals wake it. Errors that pass by themselves are said once, waited out with growing pauses, and what was to be
//! settled is settled after them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use honker_core::Error;
use honker_core::consume::{Batch, Next, Settlement, Waiter, Worker, WorkerOptions, WorkerQueue};
use honker_core::database::Database;

use super::Run;
use super::crew::{Crew, Key};
use super::handler::{Ended, Program};
use crate::failure::{Failure, Result, say};
use crate::signals::{CurrentWaiter, Signals};
use crate::trouble::Trouble;

/// After SIGTERM the programs have the stop timeout, then they are asked to end; they have so long for it.
const STOP_KILL_AFTER: Duration = Duration::from_millis(1_500);

/// How a run of the loop has ended.
pub enum End {
    /// It was asked to, or nothing is due.
    Done,
    /// Another file has the name.
    FileReplaced,
}

/// See the module documentation.
pub struct Work<'a> {
    run: &'a Run,
    program: &'a Program,
    signals: &'a Signals,
    worker: Worker,
    waiter: Waiter,
    crew: Crew,
    ended: Receiver<(Key, Ended)>,
    sender: Sender<(Key, Ended)>,
    /// What has been decided and is not in the file yet.
    settlements: Vec<Settlement>,
    /// When those that still run are asked to end; set by the first signal.
    stop_at: Option<Instant>,
    trouble: Trouble,
    /// Why no program can be started at all.
    broken: Option<String>,
}

impl<'a> Work<'a> {
    pub fn new(
        database: &Database,
        run: &'a Run,
        program: &'a Program,
        signals: &'a Signals,
        current: &CurrentWaiter,
    ) -> Result<Self> {
        let waiter = Waiter::new(database)?;
        current.set(&waiter);
        let options = WorkerOptions {
            visibility_timeout_s: run.visibility_timeout_s,
            max_run_s: run.max_run_s,
            ..WorkerOptions::default()
        };
        let name = run.worker.clone().unwrap_or_else(crate::commands::leader::own_name);
        let queues = run.queue.iter().map(WorkerQueue::new).collect();
        let worker = Worker::on(&waiter, 0, queues, name, options)?;
        let (sender, ended) = channel();
        let kill_after = Duration::from_secs(u64::from(run.kill_after_s));
        Ok(Work {
            crew: Crew::new(kill_after, run.snooze_s, run.quiet),
            run,
            program,
            signals,
            worker,
            waiter,
            ended,
            sender,
            settlements: Vec::new(),
            stop_at: None,
            trouble: Trouble::default(),
            broken: None,
        })
    }

    /// Works until it is told to stop.
    pub fn run(mut self) -> Result<End> {
        loop {
            self.collect();
            self.obey_signals();
            let is_stopping = self.is_stopping();
            if is_stopping && self.crew.len() == 0 && self.settlements.is_empty() {
                return self.finish();
            }
            let free = if is_stopping { 0 } else { self.run.concurrency as usize - self.crew.len() };
            let is_idle = !is_stopping && self.run.until_empty && self.crew.len() == 0;
            // Nothing to wait for: what is left to settle, or whether it works again, is to be known.
            let is_over = is_stopping && self.crew.len() == 0;
            let timeout = self.timeout(is_idle || is_over || self.trouble.is_there());
            let outcome = self.worker.settle_and_next(&self.settlements, free as i64, timeout);
            let next = match outcome {
                Ok(settled) => {
                    self.note_held(&settled.held);
                    settled.next
                }
                Err(error) => Err(error),
            };
            match next {
                Ok(next) => {
                    self.trouble.is_over();
                    match next {
                        Next::Item(batch) => self.take(batch),
                        Next::Timeout if is_idle && self.settlements.is_empty() => return self.finish(),
                        Next::Timeout | Next::Woken => {}
                    }
                }
                Err(error @ Error::Watcher(_)) => return self.leave(&error),
                Err(error) => self.wait_out(error)?,
            }
        }
    }

    /// What has ended since: to be settled.
    fn collect(&mut self) {
        while let Ok((key, ended)) = self.ended.try_recv() {
            self.settlements.extend(self.crew.end(key, &ended));
        }
    }

    fn obey_signals(&mut self) {
        let signals = self.signals.count();
        if signals >= 1 && self.stop_at.is_none() {
            let timeout = Duration::from_secs(u64::from(self.run.stop_timeout_s));
            self.stop_at = Instant::now().checked_add(timeout);
            if self.crew.len() > 0 {
                let n = crate::confirm::jobs(self.crew.len() as u64);
                say(format_args!("stopping; {n} running, for {} s at most", self.run.stop_timeout_s));
            }
        }
        if signals >= 2 {
            self.crew.kill_all();
        } else if let Some(at) = self.stop_at {
            let now = Instant::now();
            if at.checked_add(STOP_KILL_AFTER).is_some_and(|at| at <= now) {
                self.crew.kill_all();
            } else if at <= now {
                self.crew.stop();
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop_at.is_some() || self.broken.is_some()
    }

    /// How long a turn may wait.
    fn timeout(&mut self, at_once: bool) -> Option<Duration> {
        if at_once {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let stop =
            self.stop_at.and_then(|at| if at > now { Some(at) } else { at.checked_add(STOP_KILL_AFTER) });
        let stop = stop.filter(|at| *at > now);
        let next = [self.crew.kill_due(), stop].into_iter().flatten().min();
        next.map(|at| at.saturating_duration_since(now))
    }

    /// Jobs that were claimed and jobs that were lost.
    fn take(&mut self, batch: Batch) {
        for lost in &batch.lost {
            self.crew.lose(lost);
        }
        for job in batch.jobs {
            let (key, sender, waiter) = ((job.id, job.serial), self.sender.clone(), self.waiter.clone());
            let ended = move |ended| {
                let _ = sender.send((key, ended));
                waiter.wake();
            };
            match self.program.start(&job, ended) {
                Ok(handler) => self.crew.add(job, handler),
                Err(error) => {
                    self.settlements.push(self.crew.not_started(&job, &error));
                    use std::io::ErrorKind::{InvalidInput, NotFound, PermissionDenied};
                    if matches!(error.kind(), NotFound | PermissionDenied | InvalidInput) {
                        self.broken = Some(format!("the program cannot be started: {error}"));
                    }
                }
            }
        }
    }

    /// What the file refuses stays with its claim, which lapses some time; the others are settled.
    fn note_held(&mut self, held: &[honker_core::Result<bool>]) {
        for (settlement, held) in self.settlements.drain(..).zip(held) {
            if let Err(error) = held {
                let id = settlement.id;
                say(format_args!("job {id}: it cannot be settled, its claim is left to lapse: {error}"));
                self.worker.settled(settlement.id, settlement.serial);
            }
        }
    }

    fn wait_out(&mut self, error: Error) -> Result {
        let (signals, running) = (self.signals.count(), self.crew.len());
        let mut trouble = std::mem::take(&mut self.trouble);
        let waited = match signals {
            // A signal, or a program that ends, need not wait for all of it.
            0 | 1 => trouble.wait_out(error, || {
                self.collect();
                self.signals.count() != signals || self.crew.len() != running
            }),
            _ => Err(error.into()),
        };
        self.trouble = trouble;
        waited.inspect_err(|_| self.crew.kill_all())
    }

    /// Another file has the name: nothing can be settled any more.
    fn leave(mut self, error: &Error) -> Result<End> {
        say(error);
        self.crew.stop();
        let until = Instant::now() + STOP_KILL_AFTER;
        while self.crew.len() > 0 {
            let left = until.saturating_duration_since(Instant::now());
            match self.ended.recv_timeout(left) {
                Ok((key, ended)) => drop(self.crew.end(key, &ended)),
                Err(_) => self.crew.kill_all(),
            }
        }
        if self.stop_at.is_some() { self.finish() } else { Ok(End::FileReplaced) }
    }

    fn finish(&mut self) -> Result<End> {
        say(format_args!("stopped: {}", self.crew.tally.line()));
        match self.broken.take() {
            Some(why) => Err(Failure::Failed(why)),
            None => Ok(End::Done),
        }
    }
}
