//! What this process's workers have in hand: the jobs they claimed that are not settled yet.
//!
//! Each has a serial, a number that no other claim of the process has: a handler that comes late with an old one settles
//! nothing, even if the same worker has the same job again.
//!
//! A handler may settle its job itself, through the same database and even in a transaction of its own. The job leaves the
//! hand when that is committed, and a worker that looks between the commit and that moment does not take it for lost:
//! [`Hands`] knows of it before.
//!
//! Threads: any. Only the thread that has the writer tells of settlements. Locks are held for as long as a look takes, never
//! over a call into SQLite.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::Result;
use crate::queue::{ClaimedJob, Held, name_and_instance};
use crate::store::SettlementListener;

static NEXT_SERIAL: AtomicI64 = AtomicI64::new(1);

/// The jobs of one worker, by id.
pub(crate) struct Hand {
    worker_id: String,
    jobs: Mutex<BTreeMap<i64, InHand>>,
}

/// A job in hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InHand {
    pub(crate) serial: i64,
    pub(crate) attempts: i64,
    /// Which of the worker's queues it came from.
    pub(crate) queue: usize,
    /// For how many seconds it may run.
    pub(crate) max_run_s: Option<i64>,
    /// When it has run for so long.
    pub(crate) run_until: Option<Instant>,
}

impl Hand {
    /// Takes a job that was just claimed, and may run for `max_run_s` seconds unless it says otherwise; its serial, and that of
    /// an earlier claim of the same job that was in hand.
    pub(crate) fn take(&self, job: &ClaimedJob, queue: usize, max_run_s: Option<i64>) -> (i64, Option<i64>) {
        let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
        let max_run_s = job.max_run_s.or(max_run_s);
        let max_run = max_run_s.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs);
        let run_until = max_run.and_then(|max_run| Instant::now().checked_add(max_run));
        let in_hand = InHand { serial, attempts: job.attempts, queue, max_run_s, run_until };
        (serial, lock(&self.jobs).insert(job.id, in_hand).map(|before| before.serial))
    }

    /// The job leaves the hand, if it is in it with this serial.
    pub(crate) fn put_down(&self, id: i64, serial: i64) -> bool {
        let mut jobs = lock(&self.jobs);
        let is_this = jobs.get(&id).is_some_and(|job| job.serial == serial);
        if is_this {
            jobs.remove(&id);
        }
        is_this
    }

    /// The job leaves the hand, whatever its serial.
    pub(crate) fn drop_job(&self, id: i64) {
        lock(&self.jobs).remove(&id);
    }

    /// The jobs that are in hand now, by id.
    pub(crate) fn jobs(&self) -> Vec<(i64, InHand)> {
        lock(&self.jobs).iter().map(|(id, job)| (*id, *job)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.jobs).len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.jobs).is_empty()
    }
}

/// The hands of all workers of a database, and what is about to leave them.
#[derive(Default)]
pub(crate) struct Hands {
    hands: Mutex<Vec<Weak<Hand>>>,
    /// How many hands there have been: as long as there was none, nobody has to be told anything.
    count: AtomicUsize,
    /// What the open transaction, or the running statement, has settled.
    settling: Mutex<Vec<(i64, String)>>,
}

impl Hands {
    /// The hand of a new worker.
    pub(crate) fn add(&self, worker_id: &str) -> Arc<Hand> {
        let hand = Arc::new(Hand { worker_id: worker_id.to_owned(), jobs: Mutex::default() });
        let mut hands = lock(&self.hands);
        hands.retain(|hand| hand.strong_count() > 0);
        hands.push(Arc::downgrade(&hand));
        self.count.fetch_add(1, Ordering::Release);
        hand
    }

    /// Whether any worker that claims as this instance has a job in hand.
    pub(super) fn any_in_hand_of(&self, instance: &str) -> bool {
        let is_of = |hand: &Hand| name_and_instance(&hand.worker_id).is_some_and(|(_, of)| of == instance);
        lock(&self.hands).iter().filter_map(Weak::upgrade).any(|hand| is_of(&hand) && !hand.is_empty())
    }

    /// Whether a settlement of this job by this worker's id is on its way.
    pub(crate) fn is_settling(&self, id: i64, worker_id: &str) -> bool {
        lock(&self.settling).iter().any(|(other, by)| *other == id && by == worker_id)
    }

    /// Forgets settlements of which the file, that `is_held` asks, knows nothing: ROLLBACK TO has undone them.
    pub(super) fn check(&self, is_held: impl Fn(&str, Held) -> Result<bool>) -> Result<()> {
        if self.told() == 0 {
            return Ok(());
        }
        let settling = lock(&self.settling).clone();
        let hands: Vec<Arc<Hand>> = lock(&self.hands).iter().filter_map(Weak::upgrade).collect();
        let mut made = Vec::with_capacity(settling.len());
        for (id, by) in settling {
            let mut is_made = false;
            for hand in hands.iter().filter(|hand| hand.worker_id == by) {
                let in_hand = lock(&hand.jobs).get(&id).copied();
                if let Some(job) = in_hand {
                    is_made |= !is_held(&by, Held { id, attempts: job.attempts })?;
                }
            }
            if is_made {
                made.push((id, by));
            }
        }
        *lock(&self.settling) = made;
        Ok(())
    }

    /// These settlements, of a transaction that others may be beside, are committed.
    pub(super) fn commit_these(&self, settled: &[(i64, String)]) {
        if settled.is_empty() {
            return;
        }
        for hand in lock(&self.hands).iter().filter_map(Weak::upgrade) {
            settled.iter().filter(|(_, by)| *by == hand.worker_id).for_each(|(id, _)| hand.drop_job(*id));
        }
        self.forget_these(settled);
    }

    /// These settlements were not made, or undone.
    pub(super) fn forget_these(&self, settled: &[(i64, String)]) {
        if settled.is_empty() {
            return;
        }
        let mut settling = lock(&self.settling);
        for note in settled {
            if let Some(at) = settling.iter().position(|other| other == note) {
                settling.swap_remove(at);
            }
        }
    }

    /// What has been settled is committed.
    pub(super) fn commit(&self) {
        if !self.is_listening() {
            return;
        }
        let mut settling = lock(&self.settling);
        if settling.is_empty() {
            return;
        }
        for hand in lock(&self.hands).iter().filter_map(Weak::upgrade) {
            settling.iter().filter(|(_, by)| *by == hand.worker_id).for_each(|(id, _)| hand.drop_job(*id));
        }
        settling.clear();
    }
}

impl SettlementListener for Hands {
    fn is_listening(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    fn told(&self) -> usize {
        if self.is_listening() { lock(&self.settling).len() } else { 0 }
    }

    fn begin(&self, id: i64, worker_id: &str) {
        lock(&self.settling).push((id, worker_id.to_owned()));
    }

    fn forget(&self, but: usize) {
        if self.is_listening() {
            lock(&self.settling).truncate(but);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
