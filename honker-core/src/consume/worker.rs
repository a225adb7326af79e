//! A worker: claims jobs of its queues, and keeps the ones it has in hand until they are settled.
//!
//! Each call of [`Worker::settle_and_next`] is a turn: one commit settles what is finished, prolongs what runs, retries what
//! ran for too long and claims what there is room for. If there is nothing to say after that, it waits: for jobs, for
//! claims that are lost, for the next heartbeat and the next maximum run time.
//!
//! A turn that has claimed as many as it was asked for leaves the worker at its waiter as one would that asks for none: whoever
//! has its hands full need not ask for that.
//!
//! Invariants:
//! - On an error nothing was settled and nothing claimed; the same settlements can be given again. A settlement that the
//!   file refuses is no such error: the others are committed, and its job stays in hand.
//! - A job is settled only by who has its present serial (see `database/hand.rs`).
//! - A loss is reported once. What the worker's user settles itself, through the same database, is no loss.
//! - A wake that is not for this worker costs a read, not a write.
//!
//! Threads: one uses it at a time. Dropping it leaves the jobs in hand to the end of their claims, as a crash does.

use std::time::Duration;

use super::registration::{Next, Registration};
use super::settlement::{Batch, Settled, Settlement, Verdict};
use super::turns::Turns;
use super::waiter::Waiter;
use super::worker_options::{WorkerOptions, WorkerQueue};
use crate::Result;
use crate::database::Database;

/// See the module documentation.
pub struct Worker {
    registration: Registration,
    turns: Turns,
}

impl Worker {
    /// A worker on one queue that claims as `worker_id`, with a waiter of its own.
    pub fn new(
        database: &Database,
        queue: impl Into<String>,
        worker_id: impl Into<String>,
        options: WorkerOptions,
    ) -> Result<Self> {
        Worker::on(&Waiter::new(database)?, 0, vec![WorkerQueue::new(queue)], worker_id, options)
    }

    /// A worker on these queues, at a waiter that others wait at as well, which names it by `token`.
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if there is no queue, one of them twice, or an option that makes no sense.
    pub fn on(
        waiter: &Waiter,
        token: u64,
        queues: Vec<WorkerQueue>,
        worker_id: impl Into<String>,
        options: WorkerOptions,
    ) -> Result<Self> {
        options.check(&queues)?;
        let registration = Registration::new(waiter, token);
        let database = registration.database().clone();
        let worker_id = worker_id.into();
        let worker_id = if options.rescue { database.claimant(&worker_id) } else { worker_id };
        let turns = Turns::new(database, queues, worker_id, options);
        Ok(Worker { registration, turns })
    }

    /// Up to `n` jobs, and jobs that were lost; waits for one of either for at most `timeout` (`None`: without end). With
    /// an `n` of 0 or less it claims none, and waits for jobs that are lost. One that has claimed `n` jobs and has no loss to
    /// tell leaves the worker at its waiter as an `n` of 0 does.
    pub fn next(&mut self, n: i64, timeout: Option<Duration>) -> Result<Next<Batch>> {
        self.settle_and_next(&[], n, timeout)?.next
    }

    /// Settles jobs, prolongs those that run and claims the next ones in one commit, then waits as [`Worker::next`] does if
    /// there is nothing to report. A job that is settled makes room in its queue ([`WorkerQueue::max_in_hand`]) for the claim.
    ///
    /// On an error nothing was settled, and nothing claimed. Otherwise the settlements are committed, but for those that were
    /// refused ([`Settled::held`]), whatever has become of the waiting ([`Settled::next`]). It does not wait if one was
    /// refused: there is that to report.
    pub fn settle_and_next(
        &mut self,
        settlements: &[Settlement],
        n: i64,
        timeout: Option<Duration>,
    ) -> Result<Settled> {
        let Worker { registration, turns } = self;
        let mut held = Vec::new();
        if !settlements.is_empty() {
            let commits = registration.begin_look();
            let batch;
            (held, batch) =
                turns.turn(settlements, n).inspect_err(|error| registration.fail_call(timeout, error))?;
            match batch {
                Ok(batch) if batch.is_empty() && held.iter().all(Result::is_ok) => {}
                Ok(batch) => {
                    if let Some(rest) = turns.rest_if_full() {
                        registration.found_all(commits, rest);
                    }
                    return Ok(Settled { held, next: Ok(Next::Item(batch)) });
                }
                Err(error) => {
                    registration.fail();
                    return Ok(Settled { held, next: Err(error) });
                }
            }
        }
        Ok(Settled { held, next: registration.next(timeout, || turns.look(n)) })
    }

    /// Settles jobs and claims none; as [`Settled::held`], for each. On an error nothing was settled.
    pub fn settle(&mut self, settlements: &[Settlement]) -> Result<Vec<Result<bool>>> {
        self.turns.settle(settlements)
    }

    /// Settles one job that this worker claimed, by itself; whether it was still its own. `attempts` is what the job says.
    pub(super) fn settle_by_id(&self, id: i64, attempts: i64, verdict: &Verdict) -> Result<bool> {
        self.turns.settle_by_id(id, attempts, verdict)
    }

    /// The user has settled a job in hand otherwise than through this database, or gives it up to the end of its claim: it
    /// is in hand no more. `false` if it was not with this serial.
    pub fn settled(&self, id: i64, serial: i64) -> bool {
        self.turns.put_down(id, serial)
    }

    /// What this waits with.
    pub fn waiter(&self) -> Waiter {
        self.registration.waiter()
    }

    /// How many jobs are in hand.
    pub fn in_hand(&self) -> usize {
        self.turns.in_hand()
    }
}
