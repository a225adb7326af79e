//! Cases. They are read from their files, and what is wrong with one is said then, with file, case and step.
//!
//! Invariant: a `Case` asks only for operations that exist, with the arguments they have, by actors that it has, and
//! uses no name before something was saved under it.

mod expected;
mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::control::Action;

pub use expected::{Dies, Expected, Failure};
pub use reader::load;

pub const NOON: i64 = 1_700_000_000;

/// An actor's place: `a` is 0.
pub type Actor = usize;

pub struct Case {
    /// `area/topic: name`.
    pub id: String,
    pub area: String,
    pub actors: Vec<Actor>,
    /// The second it begins at, or the machine's clock.
    pub clock: Option<i64>,
    /// Options of the first `open`; `None`: there is none.
    pub open: Option<Map<String, Value>>,
    pub each_journal: bool,
    pub fixture: Option<PathBuf>,
    pub tz: String,
    /// Each with its number in the file.
    pub steps: Vec<(usize, Step)>,
    /// What each actor needs.
    pub needs: BTreeMap<Actor, BTreeSet<String>>,
    /// Why it is not run on this engine.
    pub unfit: Option<String>,
}

impl Case {
    /// Whether a fault is planted in this actor.
    pub fn plants_fault_in(&self, actor: Actor) -> bool {
        self.steps.iter().any(|(_, step)| matches!(step, Step::Fault { of, .. } if *of == actor))
    }

    /// Whether nothing else may run beside it.
    pub fn is_alone(&self) -> bool {
        let stops = |step: &Step| matches!(step, Step::Server { .. });
        self.clock.is_none() || self.steps.iter().any(|(_, step)| stops(step))
    }
}

pub enum Step {
    Operation(Box<Operation>),
    Sql {
        sql: String,
        params: Vec<Value>,
        gives: Option<Value>,
        save: Vec<(String, String)>,
    },
    Exec(String),
    Advance {
        by: Value,
        of: Option<Actor>,
    },
    Clock {
        to: Value,
        of: Option<Actor>,
    },
    /// Without an action: disarms.
    Fault {
        point: String,
        of: Actor,
        action: Option<Action>,
        nth: u64,
    },
    Fired(Actor),
    Kill(Actor),
    Stop(Actor),
    Continue(Actor),
    Restart(Actor),
    /// The server itself.
    Server {
        up: bool,
    },
    Await {
        name: String,
        expected: Expected,
    },
    Waits(String),
    Chmod {
        file: String,
        mode: u32,
    },
    Delete(String),
    Write {
        file: String,
        text: Value,
    },
    Copy {
        file: String,
        to: String,
    },
    Truncate {
        file: String,
        to: u64,
    },
}

pub struct Operation {
    pub actors: Vec<Actor>,
    pub op: String,
    pub arguments: Map<String, Value>,
    pub lane: Option<String>,
    pub start: Option<String>,
    pub times: Option<u64>,
    pub expected: Expected,
    /// Where it comes from, if that is not the case's own file.
    pub place: Option<String>,
}

/// What an actor is called.
pub fn letter(actor: Actor) -> char {
    ['a', 'b', 'c', 'd'][actor]
}
