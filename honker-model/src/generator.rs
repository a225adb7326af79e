//! Chooses operations.
//!
//! A generator runs the model beside the program it writes, so that it can name jobs that exist, workers that hold them
//! and moments at which something is about to change. Names come from tiny sets and durations are short, because the
//! interesting cases are those where two things meet in the same second.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::Model;
use crate::ROWS_MAX;
use crate::operation::Operation::{self, *};
use crate::queue::{EXPIRED_IN_PLACE_MAX, Enqueue as Job, LAPSED_IN_PLACE_MAX, Setting};
use crate::schedule::{CRON_LINES, Changes, FIRES_MAX, NEVER, Registration, Rule};
use crate::unique::Unique;

const QUEUES: [&str; 3] = ["mail", "Mail", ""];
const WORKERS: [&str; 2] = ["w1", "w2"];
/// Queues, topics, channels, locks, limits and schedules are different things and may have the same names.
const NAMES: [&str; 3] = ["a", "A", "é"];
const PAYLOADS: [&str; 4] = ["{}", "null", "", "naïve \"text\""];
const ERRORS: [&str; 2] = ["boom", ""];
const MALFORMED_IDS: [&str; 6] = ["", "[1,", "{}", "[1.5]", "[\"1\"]", "[9223372036854775808]"];
const INTERVALS: [&str; 8] = [
    "@every 1s",
    "@every 2s",
    "@every3s",
    " @every  3s ",
    "@every 1m",
    "@every 1h",
    "@every 1d",
    "@every 9000000000000000000s",
];
const MALFORMED: [&str; 9] = [
    "",
    "@every 0s",
    "@every 5",
    "@every 5w",
    "@every s",
    "@every 99999999999999999999s",
    "@every 106751991167301d",
    "61 * * * *",
    "* * *",
];

/// See the module documentation.
pub(crate) struct Generator {
    rng: Rng,
    model: Model,
    /// What comes next, when an earlier choice was about more than one operation.
    planned: VecDeque<Operation>,
}

fn pick<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

/// A weight, and what to do that often.
type Choice = (u32, fn(&mut Generator) -> Operation);

/// How often each operation is chosen, and its arguments.
const MENU: &[Choice] = &[
    (34, |g| Clock { by: g.clock() }),
    (5, |_| Savepoint),
    (4, |_| RollBack),
    (4, |_| Release),
    (1, |_| Bootstrap),
    (3, |g| RawInsert { queue: g.queue(), payload: g.payload() }),
    (4, |g| RawBudget { id: g.id(), max_attempts: g.rng.i64(-1..4) }),
    (1, |g| RawRevive { id: g.dead_id() }),
    (1, |g| RawExpression { name: g.name(), expression: g.expression() }),
    (26, |g| Enqueue(g.job())),
    (16, |g| EnqueueUnique { job: g.job(), unique: g.unique() }),
    (3, |g| EnqueueMany { jobs: (0..g.rng.usize(..5)).map(|_| g.job()).collect(), times: 1 }),
    (5, |g| Configure { queue: g.queue(), setting: g.setting() }),
    (2, Generator::lapsing_storm),
    (1, Generator::expiring_storm),
    (34, |g| Claim { queue: g.queue(), worker_id: g.worker(), n: g.n(), timeout_s: g.duration() }),
    (6, Generator::claim_round),
    (4, Generator::expiry_round),
    (9, |g| g.with_held(|_, id, worker_id| Ack { id, worker_id })),
    (5, Generator::ack_batch),
    (1, |g| AckBatchMalformed { ids_json: pick(&mut g.rng, &MALFORMED_IDS), worker_id: g.worker() }),
    (14, |g| {
        g.with_held(|g, id, worker_id| Retry { id, worker_id, delay_s: g.duration(), error: g.error() })
    }),
    (5, |g| g.with_held(|g, id, worker_id| Fail { id, worker_id, error: g.error() })),
    (8, |g| g.with_held(|g, id, worker_id| Heartbeat { id, worker_id, extend_s: g.duration() })),
    (4, |g| g.with_held(|g, id, worker_id| StepSave { id, worker_id, name: g.name(), value: g.payload() })),
    (4, |g| StepGet { id: g.id(), name: g.name() }),
    (4, |g| Cancel { id: g.id() }),
    (4, |g| GetJob { id: g.id() }),
    (6, |g| SweepExpired { queue: g.queue() }),
    (12, |g| NextClaimAt { queue: g.queue() }),
    (4, |g| Stats { queue: g.queue() }),
    (3, |_| StatsAll),
    (4, |g| DeadList { queue: g.maybe(Generator::queue), limit: g.n() }),
    (5, |g| DeadRequeue { id: g.dead_id() }),
    (4, |g| DeadPurge { queue: g.maybe(Generator::queue), older_than_s: g.age() }),
    (5, |g| Publish { topic: g.name(), key: g.maybe(Generator::name), payload: g.payload() }),
    (5, |g| ReadSince { topic: g.name(), offset: g.offset(), limit: g.n() }),
    (7, |g| SaveOffset { consumer: g.name(), topic: g.name(), offset: g.offset() }),
    (4, |g| GetOffset { consumer: g.name(), topic: g.name() }),
    (6, |g| Notify { channel: g.name(), payload: g.payload() }),
    (5, |g| Prune { older_than_s: g.maybe(Generator::age), max_keep: g.maybe(Generator::keep) }),
    (5, |g| ResultSave { job_id: g.rng.i64(-1..4), value: g.payload(), ttl_s: g.duration() }),
    (6, |g| ResultGet { job_id: g.rng.i64(-1..4) }),
    (3, |_| ResultSweep),
    (9, |g| LockAcquire { name: g.name(), owner: g.worker(), ttl_s: g.duration() }),
    (5, |g| LockRenew { name: g.name(), owner: g.worker(), ttl_s: g.duration() }),
    (4, |g| LockRelease { name: g.name(), owner: g.worker() }),
    (12, |g| RateLimitTry { name: g.name(), limit: g.small(), per_s: g.small() }),
    (3, |g| RateLimitSweep { older_than_s: g.age() }),
    (8, |g| Register(g.registration())),
    (2, |g| Unregister { name: g.name() }),
    (5, |g| Update { name: g.name(), changes: g.changes() }),
    (3, |g| Pause { name: g.name() }),
    (4, |g| Resume { name: g.name() }),
    (2, |_| ListSchedules),
    (12, |g| Tick { until: g.until() }),
    (3, |_| Soonest),
    (3, |g| NextAfter { expression: g.expression(), from: g.model.now - g.rng.i64(0..4) }),
];

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let start = pick(&mut rng, &[1_700_000_000, 1_700_000_000, 1_699_999_999, 3]);
        Generator { rng, model: Model::new(start), planned: VecDeque::new() }
    }

    /// The second at which the next operation happens.
    pub(crate) fn now(&self) -> i64 {
        self.model.now
    }

    pub(crate) fn next(&mut self) -> Operation {
        let operation = self.planned.pop_front().unwrap_or_else(|| self.choose());
        self.model.apply(&operation);
        operation
    }

    fn choose(&mut self) -> Operation {
        let mut choice = self.rng.u32(..MENU.iter().map(|(weight, _)| weight).sum::<u32>());
        for (weight, make) in MENU {
            match choice.checked_sub(*weight) {
                Some(rest) => choice = rest,
                None => return make(self),
            }
        }
        unreachable!("the choice is less than the sum of the weights")
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(..100) < percent
    }

    fn queue(&mut self) -> &'static str {
        QUEUES[if self.chance(75) { 0 } else { self.rng.usize(..QUEUES.len()) }]
    }

    fn worker(&mut self) -> &'static str {
        pick(&mut self.rng, &WORKERS)
    }

    fn name(&mut self) -> &'static str {
        pick(&mut self.rng, &NAMES)
    }

    fn payload(&mut self) -> &'static str {
        pick(&mut self.rng, &PAYLOADS)
    }

    fn error(&mut self) -> &'static str {
        pick(&mut self.rng, &ERRORS)
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(60).then(|| make(self))
    }

    fn extreme(&mut self) -> i64 {
        pick(&mut self.rng, &[i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX])
    }

    /// Seconds: mostly a few, sometimes none or less than none, rarely more than fit.
    fn duration(&mut self) -> i64 {
        match self.rng.u32(..100) {
            0 => self.extreme(),
            1..10 => self.rng.i64(-3..0),
            10..90 => self.rng.i64(0..5),
            _ => self.rng.i64(5..100),
        }
    }

    fn age(&mut self) -> i64 {
        if self.chance(2) { self.extreme() } else { self.rng.i64(-1..6) }
    }

    fn small(&mut self) -> i64 {
        if self.chance(2) { self.extreme() } else { self.rng.i64(0..5) }
    }

    fn keep(&mut self) -> i64 {
        if self.chance(5) { self.extreme() } else { self.rng.i64(0..5) }
    }

    /// A limit: mostly one.
    fn n(&mut self) -> i64 {
        match self.rng.u32(..100) {
            0 => self.extreme(),
            1..7 => 0,
            7..15 => -1,
            15..65 => 1,
            _ => self.rng.i64(2..6),
        }
    }

    fn priority(&mut self) -> i64 {
        match self.rng.u32(..100) {
            0..2 => self.extreme(),
            2..50 => 0,
            _ => self.rng.i64(-1..3),
        }
    }

    fn budget(&mut self) -> i64 {
        if self.chance(10) { self.rng.i64(-1..1) } else { self.rng.i64(1..4) }
    }

    /// Mostly one that takes a limit away, or most of a program would be about queues from which nobody claims.
    fn setting(&mut self) -> Setting {
        let sets = self.chance(40);
        match self.rng.u32(..3) {
            // Never false, which is a setting of its own to the file and none to the model.
            0 => Setting::Paused((sets && self.chance(40)).then_some(true)),
            1 => Setting::Concurrency(sets.then(|| self.rng.i64(1..4))),
            _ => Setting::Rate(sets.then(|| (self.rng.i64(1..4), [1, 7, 60, 3600][self.rng.usize(..4)]))),
        }
    }

    fn job(&mut self) -> Job {
        Job {
            queue: self.queue(),
            payload: self.payload(),
            run_at: self.maybe(|g| g.model.now.saturating_add(g.duration())),
            delay_s: if self.chance(30) { Some(self.duration()) } else { None },
            priority: self.priority(),
            max_attempts: self.budget(),
            expires_s: if self.chance(25) { Some(self.duration()) } else { None },
        }
    }

    /// One of few keys.
    fn unique(&mut self) -> Unique {
        Unique {
            key: pick(&mut self.rng, &WORKERS),
            until_claimed: self.chance(50),
            for_s: if self.chance(30) { Some(self.rng.i64(1..5)) } else { None },
            replace: self.chance(40),
        }
    }

    /// The id of a job that mostly exists.
    fn id(&mut self) -> i64 {
        let live: Vec<i64> = self.model.state.queue.live.keys().copied().collect();
        match self.rng.u32(..100) {
            0..75 if !live.is_empty() => pick(&mut self.rng, &live),
            75..85 => self.dead_id(),
            _ => self.rng.i64(-1..12),
        }
    }

    fn dead_id(&mut self) -> i64 {
        let dead: Vec<i64> = self.model.state.queue.dead.keys().copied().collect();
        if dead.is_empty() || self.chance(10) { self.rng.i64(-1..12) } else { pick(&mut self.rng, &dead) }
    }

    /// A job that mostly is claimed, and the worker that mostly holds it.
    fn with_held(&mut self, make: impl FnOnce(&mut Self, i64, &'static str) -> Operation) -> Operation {
        let claims =
            self.model.state.queue.live.iter().filter_map(|(id, job)| Some((*id, job.claim.as_ref()?)));
        let held: Vec<(i64, &'static str)> = claims
            .map(|(id, claim)| (id, if claim.worker_id == WORKERS[0] { WORKERS[0] } else { WORKERS[1] }))
            .collect();
        let (id, worker_id) = match held.is_empty() || self.chance(8) {
            true => (self.id(), self.worker()),
            false => pick(&mut self.rng, &held),
        };
        let worker_id = if self.chance(8) { self.worker() } else { worker_id };
        make(self, id, worker_id)
    }

    fn ack_batch(&mut self) -> Operation {
        let worker_id = self.worker();
        let jobs = self.model.state.queue.live.iter();
        let all: Vec<i64> = jobs.filter(|(_, job)| job.claim.is_some()).map(|(id, _)| *id).collect();
        // Once in a while everything, so that queues do not only grow.
        let ids = if self.chance(30) { all } else { (0..self.rng.usize(..5)).map(|_| self.id()).collect() };
        AckBatch { ids, worker_id }
    }

    /// Claims, and a moment later the same queue again: with a claim that lapses at once if its timeout is short.
    fn claim_round(&mut self) -> Operation {
        let (queue, timeout_s) = (self.queue(), self.rng.i64(-1..3));
        let by = timeout_s + self.rng.i64(0..3);
        let n = self.n();
        let again = Claim { queue, worker_id: self.worker(), n: self.n(), timeout_s: self.duration() };
        self.planned.extend([Clock { by: by.max(0) }, again]);
        Claim { queue, worker_id: self.worker(), n, timeout_s }
    }

    /// A job is claimed, the claim lapses, and about when the job expires somebody comes by.
    fn expiry_round(&mut self) -> Operation {
        let (queue, expires_s) = (self.queue(), self.rng.i64(1..4));
        let job = Job { queue, run_at: None, delay_s: None, expires_s: Some(expires_s), ..self.job() };
        let claim = |n, timeout_s| Claim { queue, worker_id: WORKERS[0], n, timeout_s };
        let visit = if self.chance(60) { SweepExpired { queue } } else { claim(self.n(), 1) };
        let (timeout_s, by) = (self.rng.i64(-1..expires_s), expires_s + self.rng.i64(-1..2));
        self.planned.extend([SweepExpired { queue }, claim(-1, timeout_s), Clock { by }, visit]);
        Enqueue(job)
    }

    /// About as many lapsed claims in one queue as a claim still weighs in place.
    fn lapsing_storm(&mut self) -> Operation {
        let queue = self.queue();
        let expires_s = if self.chance(20) { Some(self.rng.i64(1..4)) } else { None };
        let job = Job {
            queue,
            run_at: None,
            delay_s: None,
            expires_s,
            max_attempts: self.rng.i64(1..4),
            ..self.job()
        };
        let times = self.burst(LAPSED_IN_PLACE_MAX);
        let (timeout_s, by) = (self.rng.i64(0..2), self.rng.i64(1..4));
        self.planned.extend([
            Claim { queue, worker_id: WORKERS[0], n: -1, timeout_s },
            Clock { by },
            Claim { queue, worker_id: WORKERS[1], n: self.rng.i64(0..4), timeout_s: 60 },
        ]);
        self.plan_clean_up();
        EnqueueMany { jobs: vec![job], times }
    }

    /// About as many expired jobs in one queue as a claim still leaves alone.
    fn expiring_storm(&mut self) -> Operation {
        let queue = self.queue();
        let (expires_s, by) = (self.rng.i64(-1..3), self.rng.i64(0..3));
        let job =
            Job { queue, delay_s: self.maybe(|g| g.rng.i64(0..3)), expires_s: Some(expires_s), ..self.job() };
        let times = self.burst(EXPIRED_IN_PLACE_MAX);
        let claim = |n| Claim { queue, worker_id: WORKERS[0], n, timeout_s: 1 };
        let any = self.n();
        self.planned.extend([Clock { by }, claim(any), claim(1), SweepExpired { queue }]);
        self.plan_clean_up();
        EnqueueMany { jobs: vec![job], times }
    }

    /// About as many rows as `threshold` and, seldom, as one call may move.
    fn burst(&mut self, threshold: usize) -> usize {
        let threshold = if self.chance(2) { ROWS_MAX } else { threshold };
        (threshold + self.rng.usize(..5)).saturating_sub(2)
    }

    /// Storms make many rows, and many rows make everything slow.
    fn plan_clean_up(&mut self) {
        for id in self.model.state.queue.live.keys() {
            self.planned.push_back(Cancel { id: *id });
        }
        self.planned.push_back(DeadPurge { queue: None, older_than_s: -1 });
    }

    fn offset(&mut self) -> i64 {
        let last = self.model.state.stream.last_offset;
        if self.chance(2) { self.extreme() } else { self.rng.i64(-1..last + 2) }
    }

    fn expression(&mut self) -> &'static str {
        match self.rng.u32(..100) {
            0..55 => pick(&mut self.rng, &INTERVALS),
            55..90 => CRON_LINES[self.rng.usize(..CRON_LINES.len())].0,
            90..92 => NEVER,
            _ => pick(&mut self.rng, &MALFORMED),
        }
    }

    fn registration(&mut self) -> Registration {
        Registration {
            name: self.name(),
            queue: self.queue(),
            expression: self.expression(),
            payload: self.payload(),
            priority: self.priority(),
            expires_s: if self.chance(30) { Some(self.duration()) } else { None },
            max_attempts: self.maybe(Self::budget),
        }
    }

    fn changes(&mut self) -> Changes {
        Changes {
            expression: if self.chance(40) { Some(self.expression()) } else { None },
            payload: if self.chance(30) { Some(self.payload()) } else { None },
            priority: if self.chance(30) { Some(self.priority()) } else { None },
            expires_s: if self.chance(30) { Some(self.maybe(Self::duration)) } else { None },
            max_attempts: if self.chance(30) { Some(self.maybe(Self::budget)) } else { None },
        }
    }

    /// Where a tick ends: now, a little off, about as far as the cap on a schedule's fires, or at the end of time.
    fn until(&mut self) -> i64 {
        let now = self.model.now;
        let schedules: Vec<_> = self.model.state.schedule.0.values().collect();
        match self.rng.u32(..100) {
            0..55 => now,
            55..80 => now + self.rng.i64(-2..4),
            80..98 if !schedules.is_empty() => {
                let schedule = pick(&mut self.rng, &schedules);
                let period = match Rule::parse(&schedule.expression) {
                    Ok(Rule::Every(period) | Rule::Aligned { period, .. }) => period,
                    _ => 1,
                };
                let fires = if self.rng.u32(..100) < 40 { FIRES_MAX as i64 } else { self.rng.i64(1..4) };
                let boundary = schedule.next_fire_at.saturating_add(period.saturating_mul(fires));
                boundary.saturating_sub(period).saturating_add(self.rng.i64(-2..3))
            }
            _ => self.extreme(),
        }
    }

    /// Mostly a small step, often one to the very second at which something changes or to one beside it.
    fn clock(&mut self) -> i64 {
        let now = self.model.now;
        match self.rng.u32(..100) {
            0..50 => self.rng.i64(0..4),
            50..85 => {
                let near =
                    |moment: &i64| moment.saturating_sub(now).saturating_abs() <= 200 && *moment >= now - 1;
                let moments: Vec<i64> = self.moments().into_iter().filter(near).collect();
                if moments.is_empty() { 1 } else { pick(&mut self.rng, &moments) - now + self.rng.i64(-1..2) }
            }
            85..92 => -self.rng.i64(1..5),
            92..98 => self.rng.i64(5..150),
            98 => self.rng.i64(-5000..5000),
            _ => self.rng.i64(-1_000_000..1_000_000),
        }
    }

    fn moments(&self) -> Vec<i64> {
        let state = &self.model.state;
        let mut moments = Vec::new();
        for job in state.queue.live.values() {
            moments.push(job.run_at);
            moments.extend(job.expires_at);
            moments.extend(job.claim.as_ref().map(|claim| claim.expires_at));
        }
        moments.extend(state.result.0.values().filter_map(|saved| saved.expires_at));
        moments.extend(state.lock.0.values().map(|lock| lock.expires_at));
        moments.extend(state.schedule.0.values().map(|schedule| schedule.next_fire_at));
        moments
    }
}
