//! One thread that does at random whatever can be done to the file, and keeps a ledger of it.
//!
//! What an actor is told and what it finds must agree: each call's status must be one that is to be expected, and what can
//! be checked on the spot (an offset that goes back, a job given to somebody else) is, as a complaint in the ledger.
//! Everything else is for the audit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use honker_library::{Answer, Database, Place, Status, status};

use crate::ledger::{Effect, Ledger};
use crate::tally::Tally;

/// What the actors of a process share.
pub struct Stage {
    /// The database; another handle takes its place now and then, and this one is closed whoever uses it.
    pub database: RwLock<Database>,
    pub over: AtomicBool,
}

impl Stage {
    pub fn new(database: Database) -> Self {
        Stage { database: RwLock::new(database), over: AtomicBool::new(false) }
    }

    pub fn current(&self) -> Database {
        *self.database.read().expect("nobody panics with it")
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

pub struct Actor {
    pub stage: Arc<Stage>,
    pub name: String,
    pub number: i64,
    pub random: fastrand::Rng,
    pub ledger: Ledger,
    pub tally: Tally,
    /// The handle of the current call.
    pub database: Database,
    /// Whether a call of the open transaction has failed, which may have been its end.
    pub damaged: bool,
    sequence: u64,
    /// Jobs claimed and not settled, and the last second of their claims.
    pub held: Vec<(i64, i64)>,
    /// Those of them that the open transaction has claimed.
    pub just_claimed: Vec<i64>,
    /// Jobs enqueued lately.
    pub recent: Vec<i64>,
    /// For each topic, up to which offset it was read and how many events that were.
    pub cursors: HashMap<String, (i64, i64)>,
    /// For each consumer and topic, an offset that was saved by somebody.
    pub floors: HashMap<(String, String), i64>,
    /// For each job id, the newest number seen in its result.
    pub results: HashMap<i64, u64>,
    /// Locks that are this actor's, and until when for sure.
    pub locks: HashMap<String, i64>,
    pub scheduled: bool,
}

type Operation = fn(&mut Actor, Place);

/// Every operation, how often it is done relative to the others, and what it is.
const OPERATIONS: &[(u32, Operation)] = &[
    (12, Actor::enqueue),
    (2, Actor::enqueue_many),
    (12, Actor::claim),
    (10, Actor::ack),
    (8, Actor::ack_batch),
    (3, Actor::retry),
    (2, Actor::fail),
    (3, Actor::heartbeat),
    (2, Actor::cancel),
    (1, Actor::ack_of_another),
    (2, Actor::sweep_expired),
    (2, Actor::next_claim_at),
    (3, Actor::get_job),
    (1, Actor::dead_list),
    (2, Actor::dead_requeue),
    (5, Actor::publish),
    (3, Actor::read_stream),
    (3, Actor::save_offset),
    (2, Actor::get_offset),
    (3, Actor::notify),
    (1, Actor::prune),
    (3, Actor::save_result),
    (3, Actor::get_result),
    (1, Actor::sweep_results),
    (3, Actor::count),
    (1, Actor::sweep_counts),
    (3, Actor::tick),
    (1, Actor::schedule),
    (1, Actor::pause),
    (1, Actor::soonest),
    (2, Actor::wrong_handle),
];

/// Those that are done with a database only: they make a transaction, or read what is committed.
const OUTSIDE: &[(u32, Operation)] =
    &[(14, Actor::transact), (2, Actor::purge), (3, Actor::query), (4, Actor::lock), (4, Actor::unlock)];

impl Actor {
    pub fn new(stage: Arc<Stage>, number: i64, seed: u64, ledger: Ledger) -> Self {
        let database = stage.current();
        Actor {
            stage,
            name: format!("a{number}"),
            number,
            random: fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number as u64)),
            ledger,
            tally: Tally::default(),
            database,
            damaged: false,
            sequence: 0,
            held: Vec::new(),
            just_claimed: Vec::new(),
            recent: Vec::new(),
            cursors: HashMap::new(),
            floors: HashMap::new(),
            results: HashMap::new(),
            locks: HashMap::new(),
            scheduled: false,
        }
    }

    /// Acts until the stage is over.
    pub fn run(mut self) -> Tally {
        let (anywhere, outside) = (total(OPERATIONS), total(OUTSIDE));
        while !self.stage.is_over() {
            self.database = self.stage.current();
            self.damaged = false;
            let place = self.database.place();
            if self.random.u32(..anywhere + outside) < anywhere {
                self.anything(place);
            } else {
                let number = self.random.u32(..outside);
                pick(OUTSIDE, number)(&mut self, place);
            }
            // Rare, for everybody feels it.
            if self.chance(1500) {
                self.interrupt();
            }
            // Rare, for it reads everything.
            if self.chance(20_000) {
                self.stats();
            }
        }
        self.tally
    }

    /// One of the operations that can be part of a transaction.
    pub fn anything(&mut self, place: Place) {
        let number = self.random.u32(..total(OPERATIONS));
        pick(OPERATIONS, number)(self, place);
    }

    /// A call that changes nothing the books are about. `Err` is a status to be expected.
    pub fn call<T>(
        &mut self,
        call: &'static str,
        expected: &[Status],
        answer: Answer<T>,
    ) -> Result<T, Status> {
        let failure = match answer {
            Ok(value) => {
                self.tally.count(call, status::OK);
                return Ok(value);
            }
            Err(failure) => failure,
        };
        self.tally.count(call, failure.status);
        // A handle that is closed is wrong only if it was closed before it was used for the last time.
        let closed = self.stage.current() != self.database;
        let known = match failure.status {
            status::BUSY | status::INTERRUPTED | status::ABORTED => true,
            status::CLOSED_HANDLE => closed,
            status::MISUSE => closed || self.damaged || expected.contains(&status::MISUSE),
            other => expected.contains(&other),
        };
        if !known {
            self.complain(format!("{call} answered {failure}"));
        }
        if failure.status < 0 {
            self.damaged = true;
        }
        Err(failure.status)
    }

    /// A call that the books are about: what it is going to do, how, and what it has done.
    pub fn book<T>(
        &mut self,
        call: &'static str,
        expected: &[Status],
        intent: &[Effect],
        make: impl FnOnce() -> Answer<T>,
        done: impl FnOnce(&T) -> Vec<Effect>,
    ) -> Result<T, Status> {
        self.ledger.intend(intent);
        let answer = make();
        let answer = self.call(call, expected, answer);
        match &answer {
            Ok(value) => self.ledger.done(done(value)),
            Err(_) => self.ledger.not_done(),
        }
        answer
    }

    pub fn complain(&mut self, what: String) {
        self.ledger.complain(what);
    }

    /// A name that nobody had before.
    pub fn fresh_name(&mut self) -> String {
        self.sequence += 1;
        format!("{}:{}", self.name, self.sequence)
    }

    pub fn one_of(&mut self, names: &[&'static str]) -> &'static str {
        names[self.random.usize(..names.len())]
    }

    pub fn chance(&mut self, one_in: u32) -> bool {
        self.random.u32(..one_in) == 0
    }
}

fn total(operations: &[(u32, Operation)]) -> u32 {
    operations.iter().map(|(weight, _)| weight).sum()
}

fn pick(operations: &[(u32, Operation)], mut number: u32) -> Operation {
    for (weight, operation) in operations {
        match number.checked_sub(*weight) {
            Some(left) => number = left,
            None => return *operation,
        }
    }
    unreachable!("the number is less than the weights together")
}

/// Milliseconds since 1970, by the clock that all processes and the file share.
pub fn milliseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the end of time")
}
