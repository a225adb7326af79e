//! The operations: each calls its SQL function and reads the answer, and no more. What a function does is in sql/.
//!
//! One function for each row of the table of operations (honker-core's `database/operations.rs`), by the same name, whether it
//! runs in a transaction or by itself ([`On`](crate::on::On)). Those that go on until nothing is left answer a [`Step`].

mod looks;
mod moving;
mod queue;
mod rest;
mod schedule;
mod streams;
mod work;

use honker_core::Result;
use honker_core::queue::ClaimedJob;

pub(crate) use self::looks::*;
pub(crate) use self::moving::*;
pub(crate) use self::queue::*;
pub(crate) use self::rest::*;
pub(crate) use self::schedule::*;
pub(crate) use self::streams::*;
pub(crate) use self::work::*;

/// What a bounded call did, for who repeats it until nothing is left to do.
pub(crate) trait Step: Sized {
    type Answer;
    fn goes_on(&self) -> bool;
    fn then(self, next: Self) -> Self;
    fn answer(self) -> Self::Answer;
}

impl Step for i64 {
    type Answer = i64;

    fn goes_on(&self) -> bool {
        *self > 0
    }

    fn then(self, next: Self) -> Self {
        self + next
    }

    fn answer(self) -> i64 {
        self
    }
}

/// What a claim did.
pub(crate) struct ClaimStep {
    pub(crate) jobs: Vec<ClaimedJob>,
    /// Too much was in the way.
    pub(crate) more: bool,
}

impl Step for ClaimStep {
    type Answer = Vec<ClaimedJob>;

    fn goes_on(&self) -> bool {
        self.jobs.is_empty() && self.more
    }

    fn then(mut self, next: Self) -> Self {
        self.jobs.extend(next.jobs);
        self.more = next.more;
        self
    }

    fn answer(self) -> Vec<ClaimedJob> {
        self.jobs
    }
}

/// A JSON answer of a function, of which the empty text stands for nothing.
fn maybe<T: serde::de::DeserializeOwned>(text: Option<String>) -> Result<Option<T>> {
    text.filter(|text| !text.is_empty()).map(|text| crate::on::json(&text)).transpose()
}
