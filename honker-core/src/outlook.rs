//! What a consumer waits for, asked of the file without taking anything: whether there is work for it now, and at which
//! second time alone makes some.
//!
//! One waiter serves many consumers and asks for all of them in one read after each commit
//! ([`consume::Waiter`](crate::consume::Waiter)), so a consumer describes what it waits for as data.

use crate::moving::{Move, Stage};
use crate::news::Change;
use crate::queue::{self, Held};
use crate::statement::Sql;
use crate::{Result, Store, moving, schedule};

/// What a consumer waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interest {
    /// Any commit.
    Commit,
    /// Jobs of these queues, and the claims that the worker holds. Without queues: the claims alone.
    Jobs {
        /// The queues that the worker has room for.
        queues: Vec<String>,
        /// Who claims.
        worker_id: String,
        /// What it holds.
        held: Vec<Held>,
    },
    /// Notifications on a channel.
    Notifications {
        /// The channel.
        channel: String,
        /// The last one that is known.
        after_id: i64,
    },
    /// Events of a stream.
    Events {
        /// The topic.
        topic: String,
        /// The last one that is known.
        after_offset: i64,
    },
    /// The result of a job.
    Result {
        /// The job.
        job_id: i64,
    },
    /// To lead the schedules, or to fire them.
    Leadership {
        /// Who wants to lead.
        owner: String,
        /// Whether it leads, as far as it knows.
        leads: bool,
    },
}

impl Interest {
    /// Whether somebody who waits for this should look when this was changed.
    pub fn is_concerned_by(&self, change: &Change) -> bool {
        match (self, change) {
            (_, Change::Anything) | (Interest::Commit, _) => true,
            (Interest::Jobs { queues, .. }, Change::Queue(queue)) => queues.contains(queue),
            (Interest::Jobs { worker_id, .. }, Change::Worker(changed)) => worker_id == changed,
            (Interest::Notifications { channel, .. }, Change::Channel(changed)) => channel == changed,
            (Interest::Events { topic, .. }, Change::Topic(changed)) => topic == changed,
            (Interest::Result { job_id }, Change::Result(changed)) => job_id == changed,
            (Interest::Leadership { .. }, Change::Schedules) => true,
            _ => false,
        }
    }
}

/// What the file says to an [`Interest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outlook {
    /// There may be work.
    pub work: bool,
    /// The second at which there may be some without a further commit.
    pub at: Option<i64>,
}

static SQL_NOTIFICATION: Sql =
    Sql::new("SELECT EXISTS (SELECT 1 FROM main._honker_notifications WHERE channel = +?1 AND id > +?2)");

static SQL_EVENT: Sql =
    Sql::new("SELECT EXISTS (SELECT 1 FROM main._honker_stream WHERE topic = +?1 AND offset > +?2)");

/// The answers, in the order of the questions, all of one second. An error is that of one question: what keeps one from
/// being answered (a table that is gone, a row that cannot be read) need not keep the others.
pub fn outlooks(store: &Store, now: i64, interests: &[&Interest]) -> Vec<Result<Outlook>> {
    // Looked at once for all of them.
    let moving = match moving::current(store) {
        Ok(moving) => moving,
        Err(error) => return interests.iter().map(|_| Err(error.clone())).collect(),
    };
    interests.iter().map(|interest| outlook(store, now, interest, moving.as_ref())).collect()
}

fn outlook(store: &Store, now: i64, interest: &Interest, moving: Option<&Move>) -> Result<Outlook> {
    let exists = |sql, parameters: &[_]| store.query_one(sql, parameters, |row| row.integer(0) != 0);
    let work = match interest {
        Interest::Commit => true,
        Interest::Jobs { queues, worker_id, held } => {
            let queues: Vec<&str> = queues.iter().map(String::as_str).collect();
            let found = queue::work_outlook_of(store, now, worker_id, held, &queues, moving)?;
            let work = found.may_claim || found.lost.iter().any(Option::is_some);
            return Ok(Outlook { work, at: found.next_at });
        }
        Interest::Notifications { channel, after_id } => {
            exists(&SQL_NOTIFICATION, &[channel.as_str().into(), (*after_id).into()])? == Some(true)
        }
        Interest::Events { topic, after_offset } => {
            exists(&SQL_EVENT, &[topic.as_str().into(), (*after_offset).into()])? == Some(true)
        }
        Interest::Result { job_id } => crate::result::find(store, now, *job_id)?.is_some(),
        Interest::Leadership { owner, leads } => {
            moving.map_or(Ok(()), |moving| Err(moving.error()))?;
            let found = schedule::leadership_here(store, now, &[])?;
            return Ok(Outlook { work: found.has_work_for(owner, *leads), at: found.next_at(owner, *leads) });
        }
    };
    match moving {
        // What jobs that run have to say may still come.
        Some(moving)
            if !work && (moving.stage == Stage::Moved || !matches!(interest, Interest::Result { .. })) =>
        {
            return Err(moving.error());
        }
        _ => {}
    }
    Ok(Outlook { work, at: None })
}
