//! The line for the writer: who wants the connection, in which order, and how those who wait are told.
//!
//! Invariants: first come, first served. A ticket that has been taken out of the line is about to be served, and its thread
//! waits until it is. Threads: the line is used under its lock; waiters sleep on the lock of their group.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use super::writer::{Request, lock};

/// How many threads are woken at once, at most: they meet at a lock.
const GROUP_MAX: usize = 32;

/// How long a thread in line sleeps before it looks whether it has been interrupted.
pub(super) const SLICE: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(super) struct Line {
    pub(super) owner: Owner,
    pub(super) waiting: VecDeque<Ticket>,
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

/// Threads that are told together. To wake one costs the leader more than to run its call; to wake many at once, little
/// more than to wake one.
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
    /// A waiter for the next in line: with the call before it, as a batch will take both. Not if that is the first that a
    /// batch could begin with: to make it the leader must not wake anybody else.
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
