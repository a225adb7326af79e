//! The line for the writer: who wants the connection, in which order, and how those who wait are told.
//!
//! Invariants: first come, first served. A ticket that has been taken out of the line is about to be served, and its thread
//! waits until it is. Threads: the line is used under its lock; waiters sleep on the lock of their group.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use super::call::Request;
use super::last_write::Write;
use super::writer::lock;

/// How many threads are woken at once, at most: they meet at a lock.
const GROUP_MAX: usize = 32;

/// How long a thread in line sleeps before it looks whether it has been interrupted.
pub(super) const SLICE: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(super) struct Line {
    pub(super) owner: Owner,
    pub(super) waiting: VecDeque<Ticket>,
    /// How many transactions have begun: the last one's number.
    pub(super) transactions: u64,
    /// The transaction that has the connection and is not being ended.
    pub(super) open: Option<u64>,
    /// What consumers that ended meanwhile left to be written by who has the connection.
    pub(super) last_writes: Vec<Write>,
}

#[derive(Default, Clone, Copy, PartialEq)]
pub(super) enum Owner {
    #[default]
    Nobody,
    /// A thread that runs batches.
    Leader(ThreadId),
    /// A user's transaction, and the thread that used it last.
    Transaction(ThreadId),
}

/// A place in the line.
pub(super) struct Ticket {
    pub(super) wants: Wants,
    pub(super) thread: ThreadId,
    pub(super) waiter: Waiter,
}

/// Where a thread in line sleeps.
#[derive(Clone)]
pub(super) struct Waiter {
    group: Arc<WakeGroup>,
    number: usize,
}

/// Threads that are woken together. Waking one thread costs the leader more than running its call; waking many at once
/// costs little more than waking one.
#[derive(Default)]
struct WakeGroup {
    /// By the number of the waiter.
    turns: Mutex<Vec<Turn>>,
    changed: Condvar,
}

pub(super) enum Wants {
    /// To have a call run, by whichever thread.
    Call(Request),
    /// To own the connection.
    Transaction,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Turn {
    /// In line.
    Waiting,
    /// Out of the line; a leader runs the call.
    Taken,
    /// The connection is ours.
    Granted,
    /// The call has been run.
    Done,
}

impl Wants {
    pub(super) fn owner(&self, thread: ThreadId) -> Owner {
        match self {
            Wants::Call(_) => Owner::Leader(thread),
            Wants::Transaction => Owner::Transaction(thread),
        }
    }
}

impl Line {
    /// A waiter for the next in line. A call joins the group of the call before it, because one batch will run both and
    /// wake both at once. It does not join the first call in line, which becomes the leader of a batch and has to be woken
    /// alone.
    pub(super) fn waiter(&self, wants: &Wants) -> Waiter {
        let mut last_two =
            self.waiting.iter().rev().take(2).filter(|ticket| matches!(ticket.wants, Wants::Call(_)));
        let group = match (wants, last_two.next(), last_two.next()) {
            (Wants::Call(_), Some(Ticket { waiter, .. }), Some(_)) if waiter.number + 1 < GROUP_MAX => {
                Arc::clone(&waiter.group)
            }
            _ => Arc::default(),
        };
        let mut turns = lock(&group.turns);
        turns.push(Turn::Waiting);
        let number = turns.len() - 1;
        drop(turns);
        Waiter { group, number }
    }
}

impl Waiter {
    pub(super) fn is(&self, other: &Waiter) -> bool {
        Arc::ptr_eq(&self.group, &other.group) && self.number == other.number
    }

    pub(super) fn set(&self, turn: Turn) {
        lock(&self.group.turns)[self.number] = turn;
    }

    /// Waits until the turn changes, at most for `time`.
    pub(super) fn wait(&self, time: Duration) -> Turn {
        let turns = lock(&self.group.turns);
        let seen = turns[self.number];
        if matches!(seen, Turn::Granted | Turn::Done) {
            return seen;
        }
        // One that is taken has nothing else to look out for.
        let time = if seen == Turn::Taken { SLICE } else { time };
        let (turns, _) = self
            .group
            .changed
            .wait_timeout_while(turns, time, |turns| turns[self.number] == seen)
            .unwrap_or_else(PoisonError::into_inner);
        turns[self.number]
    }
}

/// Tells the threads of these tickets, those of one group at once.
pub(super) fn tell(tickets: &[Ticket], turn: Turn) {
    for together in tickets.chunk_by(|one, next| Arc::ptr_eq(&one.waiter.group, &next.waiter.group)) {
        together.iter().for_each(|ticket| ticket.waiter.set(turn));
        together[0].waiter.group.changed.notify_all();
    }
}
