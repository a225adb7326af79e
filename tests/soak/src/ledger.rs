//! What an actor says it has done: one file for each thread, appended to by one write a line, so that what was written
//! stays written when the process is killed.
//!
//! What is done by a call is written down when the call has returned. In a process that may be killed, what a call is
//! about to do is written down before it as well: an intent at the end of a ledger with nothing behind it is in doubt,
//! and may have happened or not. Everything else is certain.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Something that a call has changed, or seen. Names are unique in a run: "actor:number".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// A job, its id and name. In an intent the id is not known yet: 0.
    Enqueued(i64, String),
    /// A job, its attempts with this claim, its name.
    Claimed(i64, i64, String),
    Acked(i64),
    /// One of a batch of which not all were the actor's any more.
    PerhapsAcked(i64),
    Cancelled(i64),
    /// Not the actor's any more, although its claim was not over: somebody must have cancelled it.
    LostEarly(i64),
    Purged(i64),
    Requeued(i64),
    /// Given back with its attempt.
    Released(i64),
    /// A row of the user's own table, and the job enqueued with it.
    Ordered(String, i64),
    /// An order and a job that were rolled back.
    RolledBack(String),
    /// Topic, offset, name.
    Published(String, i64, String),
    /// Consumer, topic, offset.
    Saved(String, String, i64),
    /// How many events of a topic there are up to an offset, read one after the other.
    Seen(String, i64, i64),
    /// Id, name.
    Notified(i64, String),
    /// The first and the last notification that a listener heard, and how many those were.
    Heard(i64, i64, i64),
    /// Job id, number of the value. One actor writes to a job id, and counts.
    Result(i64, u64),
    /// Lock, and the milliseconds since when and until when it is the actor's for sure.
    Locked(String, i64, i64),
    /// Lock, and the milliseconds when the actor was about to give it up.
    Unlocked(String, i64),
    /// Rate limit, and the second in which its use was counted, if that is sure.
    Counted(String, i64),
    /// Schedule, boundary, job.
    Fired(String, i64, i64),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Line {
    Intent(Vec<Effect>),
    Done(Vec<Effect>),
    NotDone,
    /// Something that must not be, noticed on the way.
    Complaint(String),
}

pub struct Ledger {
    file: File,
    /// Whether the process may be killed.
    mortal: bool,
    /// What the open transaction has done, if there is one.
    transaction: Option<Vec<Effect>>,
}

impl Ledger {
    pub fn create(directory: &Path, actor: &str, mortal: bool) -> Self {
        let path = directory.join(format!("{actor}.ledger"));
        let file = OpenOptions::new().create_new(true).append(true).open(path).expect("a new ledger");
        Ledger { file, mortal, transaction: None }
    }

    /// A call begins.
    pub fn intend(&mut self, effects: &[Effect]) {
        if self.mortal && self.transaction.is_none() {
            self.write(&Line::Intent(effects.to_vec()));
        }
    }

    /// The call has returned, and this is what it did.
    pub fn done(&mut self, effects: Vec<Effect>) {
        match &mut self.transaction {
            Some(transaction) => transaction.extend(effects),
            None => self.write(&Line::Done(effects)),
        }
    }

    /// The call has returned, and did nothing.
    pub fn not_done(&mut self) {
        if self.mortal && self.transaction.is_none() {
            self.write(&Line::NotDone);
        }
    }

    /// From now on effects are a transaction's.
    pub fn begin(&mut self) {
        self.transaction = Some(Vec::new());
    }

    /// The transaction is over; what it would do if it is, or was, committed.
    pub fn end(&mut self) -> Vec<Effect> {
        self.transaction.take().unwrap_or_default()
    }

    pub fn complain(&mut self, what: String) {
        self.write(&Line::Complaint(what));
    }

    fn write(&mut self, line: &Line) {
        let mut text = serde_json::to_string(line).expect("plain data");
        text.push('\n');
        self.file.write_all(text.as_bytes()).expect("room for the ledger");
    }
}
