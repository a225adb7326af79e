//! Whose turn it is to do bulk work: sweeps and purges, which take many transactions of some milliseconds each.
//!
//! Only who has the turn stands in the line for the writer, so that a call which comes to that line waits for one step of
//! bulk work at most, however many threads have some to do. The turn is kept for the pause after a step as well, in which
//! other processes find the file free.
//!
//! Invariants: first come, first served; the first has the turn. Threads: any; those that wait sleep on the condition.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::line::SLICE;
use super::options::deadline;
use super::signals::{Signals, busy};
use super::writer::lock;
use crate::Result;

#[derive(Default)]
pub(super) struct BulkTurns {
    line: Mutex<BulkLine>,
    changed: Condvar,
}

#[derive(Default)]
struct BulkLine {
    waiting: VecDeque<u64>,
    last: u64,
}

/// A place among those who do bulk work; the turn, once [`BulkTurns::take`] has returned it. Given up when it is dropped.
pub(super) struct BulkTurn<'a> {
    turns: &'a BulkTurns,
    number: u64,
}

impl BulkTurns {
    /// Waits for the turn, at most for `timeout`. What ends that early is a signal since `interrupts` was the count.
    pub(super) fn take(&self, signals: &Signals, interrupts: u64, timeout: Duration) -> Result<BulkTurn<'_>> {
        let deadline = deadline(timeout);
        let mut line = lock(&self.line);
        line.last += 1;
        let number = line.last;
        line.waiting.push_back(number);
        let turn = BulkTurn { turns: self, number };
        while line.waiting.front() != Some(&number) {
            let left = deadline.map_or(SLICE, |at| at.saturating_duration_since(Instant::now()));
            let reason = signals.check(interrupts).err();
            let reason = reason
                .or_else(|| left.is_zero().then(|| busy("other calls of this process kept it for too long")));
            if let Some(reason) = reason {
                // It takes the lock.
                drop(line);
                drop(turn);
                return Err(reason);
            }
            line = self.changed.wait_timeout(line, SLICE.min(left)).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(line);
        Ok(turn)
    }
}

impl Drop for BulkTurn<'_> {
    fn drop(&mut self) {
        lock(&self.turns.line).waiting.retain(|number| *number != self.number);
        self.turns.changed.notify_all();
    }
}
