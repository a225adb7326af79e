//! Where operations call SQL functions: a connection, in a transaction of the caller's or not.
//!
//! In a transaction every call is its own savepoint, so that a refused one leaves the transaction as it was; the savepoint goes
//! with the call in one round trip. Outside each statement is a transaction, unless several are one unit ([`On::unit`]).
//!
//! What a call has changed, so far as somebody may wait for it, the SQL gathers in a setting of the transaction, which is asked
//! for in a column called `woken`. It is collected here, and told once it is committed (`listening.rs`).

use std::collections::HashMap;
use std::sync::Arc;

use honker_core::counters::{Left, Said};
use honker_core::database::Settling;
use honker_core::queue::ClaimedJob;
use honker_core::{Error, Result};
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::failure;
use crate::operations::Schedules;
use crate::session::{Prepared, Session};
use crate::stop::Call;

/// A parameter, with its type.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

pub(crate) fn text<'a>(value: &'a (impl ToSql + Sync)) -> Parameter<'a> {
    (value, Type::TEXT)
}

pub(crate) fn int<'a>(value: &'a (impl ToSql + Sync)) -> Parameter<'a> {
    (value, Type::INT8)
}

pub(crate) fn flag<'a>(value: &'a (impl ToSql + Sync)) -> Parameter<'a> {
    (value, Type::BOOL)
}

pub(crate) fn texts<'a>(value: &'a (impl ToSql + Sync)) -> Parameter<'a> {
    (value, Type::TEXT_ARRAY)
}

pub(crate) fn ints<'a>(value: &'a (impl ToSql + Sync)) -> Parameter<'a> {
    (value, Type::INT8_ARRAY)
}

/// See the module documentation.
pub(crate) struct On<'a> {
    session: &'a mut Session,
    call: &'a Call,
    /// In a transaction of the caller's.
    within: bool,
    /// In a unit that spans several statements.
    units: u32,
    schedules: &'a Schedules,
    begin: &'a Begin,
    settling: &'a mut Settling,
    woken: &'a mut Vec<String>,
}

/// How a transaction begins.
pub(crate) struct Begin {
    pub(crate) sql: String,
    /// Each has to set what a session of one's own has set, for the session is a pooler's.
    pub(crate) is_pooled: bool,
}

impl<'a> On<'a> {
    pub(crate) fn new(
        session: &'a mut Session,
        call: &'a Call,
        within: bool,
        schedules: &'a Schedules,
        begin: &'a Begin,
        settling: &'a mut Settling,
        woken: &'a mut Vec<String>,
    ) -> Self {
        On { session, call, within, units: 0, schedules, begin, settling, woken }
    }

    /// What this engine remembers of schedules.
    pub(crate) fn schedules(&self) -> &'a Schedules {
        self.schedules
    }

    /// A claim is about to be settled.
    pub(crate) fn note_settlement(&mut self, id: i64, worker_id: &str) {
        self.settling.note(id, worker_id);
    }

    /// Calls a function; its rows.
    pub(crate) fn rows(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>> {
        if !self.within && self.units == 0 {
            // A transaction of its own.
            self.settling.noted = 0;
        }
        let mut is_stale = false;
        let mut called = self.call_once(sql, parameters, &mut is_stale);
        if is_stale {
            self.session.forget_prepared();
            // Within a unit the transaction has failed.
            if self.units == 0 {
                called = self.call_once(sql, parameters, &mut is_stale);
            }
        }
        let rows = called?;
        for row in &rows {
            self.hear(row)?;
        }
        Ok(rows)
    }

    /// Calls a function that answers one row.
    pub(crate) fn row(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Row> {
        let mut rows = self.rows(sql, parameters)?;
        match rows.len() {
            1 => Ok(rows.remove(0)),
            count => Err(Error::Internal(format!("a function of honker's answered {count} rows").into())),
        }
    }

    /// Calls a function that answers one value.
    pub(crate) fn value<T: for<'r> FromSql<'r>>(
        &mut self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<T> {
        get(&self.row(sql, parameters)?, 0)
    }

    /// Calls a function that answers 1 or 0.
    pub(crate) fn is(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<bool> {
        Ok(self.value::<i64>(sql, parameters)? != 0)
    }

    /// Makes several calls one transaction, or one savepoint in the caller's.
    pub(crate) fn unit<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (begin, commit, undo) = match (self.within, self.units) {
            (false, 0) => (&*self.begin.sql, "COMMIT", "ROLLBACK"),
            _ => (SAVEPOINT, RELEASE, UNDO),
        };
        let (mark, woken) = (self.settling.mark(), self.woken.len());
        self.run(begin)?;
        self.units += 1;
        let done = body(self);
        self.units -= 1;
        match done {
            Ok(answer) => {
                self.run(commit)?;
                Ok(answer)
            }
            Err(error) => {
                self.settling.forget(mark);
                self.woken.truncate(woken);
                if !failure::is_lost(&error) && self.undo(undo).is_err() {
                    self.session.taint();
                }
                Err(error)
            }
        }
    }

    /// One statement in a transaction, in one round trip.
    fn in_transaction(&mut self, prepared: &Prepared<'_>, is_stale: &mut bool) -> Result<Vec<Row>> {
        let begin = &*self.begin.sql;
        self.session.run(self.call, async |client: &Client| {
            // After an error COMMIT rolls back.
            let (begun, called, committed) = tokio::join!(
                biased;
                client.batch_execute(begin),
                prepared.query(client),
                client.batch_execute("COMMIT"),
            );
            begun?;
            let rows = called.inspect_err(|error| *is_stale = prepared.is_stale(error))?;
            committed.map(|()| rows)
        })
    }

    fn call_once(
        &mut self,
        sql: &str,
        parameters: &[Parameter<'_>],
        is_stale: &mut bool,
    ) -> Result<Vec<Row>> {
        if self.within && self.units == 0 {
            let prepared = self.prepare_within(sql, parameters)?;
            return self.in_savepoint(&prepared, is_stale);
        }
        let prepared = self.session.prepare(self.call, sql, parameters)?;
        if self.begin.is_pooled && self.units == 0 {
            return self.in_transaction(&prepared, is_stale);
        }
        self.session.run(self.call, async |client: &Client| {
            prepared.query(client).await.inspect_err(|error| *is_stale = prepared.is_stale(error))
        })
    }

    /// What cannot be prepared leaves the caller's transaction as it was as well.
    fn prepare_within<'p>(&mut self, sql: &'p str, parameters: &'p [Parameter<'p>]) -> Result<Prepared<'p>> {
        if self.session.is_ready(sql) {
            return self.session.prepare(self.call, sql, parameters);
        }
        self.run(SAVEPOINT)?;
        match self.session.prepare(self.call, sql, parameters) {
            Ok(prepared) => self.run(RELEASE).map(|()| prepared),
            Err(error) => {
                if !failure::is_lost(&error) && self.undo(UNDO).is_err() {
                    self.session.taint();
                }
                Err(error)
            }
        }
    }

    fn in_savepoint(&mut self, prepared: &Prepared<'_>, is_stale: &mut bool) -> Result<Vec<Row>> {
        let mark = self.settling.mark();
        let called = self.session.run(self.call, async |client: &Client| {
            // They are sent in this order, before the first is answered.
            let (_, called, released) = tokio::join!(
                biased;
                client.batch_execute(SAVEPOINT),
                prepared.query(client),
                client.batch_execute(RELEASE),
            );
            let rows = called.inspect_err(|error| *is_stale = prepared.is_stale(error))?;
            released.map(|()| rows)
        });
        called.inspect_err(|error| {
            self.settling.forget(mark);
            if !failure::is_lost(error) && self.undo(UNDO).is_err() {
                self.session.taint();
            }
        })
    }

    fn run(&mut self, sql: &str) -> Result<()> {
        self.session.run(self.call, async |client: &Client| client.batch_execute(sql).await)
    }

    /// As `run`; an interrupt does not keep it from that.
    fn undo(&mut self, sql: &str) -> Result<()> {
        let call = self.call.uninterrupted();
        self.session.run(&call, async |client: &Client| client.batch_execute(sql).await)
    }

    /// Takes what a row says of what was changed.
    fn hear(&mut self, row: &Row) -> Result<()> {
        let Some(last) = row.columns().len().checked_sub(1) else { return Ok(()) };
        if row.columns()[last].name() == "woken"
            && let Some(items) = get::<Option<&str>>(row, last)?
        {
            self.hear_items(items)?;
        }
        Ok(())
    }

    /// Takes items of what was changed, as they are gathered.
    pub(crate) fn hear_items(&mut self, items: &str) -> Result<()> {
        hear(items, self.settling, self.woken)
    }

    /// Something was changed of which the SQL does not tell.
    pub(crate) fn hear_item(&mut self, item: String) {
        self.woken.push(item);
    }

    /// This is to be counted once it is committed.
    pub(crate) fn count(&mut self, said: Said) {
        self.settling.say(said);
    }

    /// A job was enqueued.
    pub(crate) fn count_enqueued(&mut self, queue: &str) {
        self.count(Said::Enqueued(queue.to_owned()));
    }

    /// A job was claimed, for so long.
    pub(crate) fn count_claimed(&mut self, job: &ClaimedJob, timeout_s: i64) {
        let now = job.claim_expires_at.saturating_sub(timeout_s);
        let (queue, wait_s) = (Arc::clone(&job.queue), now.saturating_sub(job.run_at));
        self.count(Said::Claimed { id: job.id, queue, wait_s });
    }

    /// Jobs were acked, of these queues where that has been asked.
    pub(crate) fn count_done(&mut self, ids: &[i64], mut queues: HashMap<i64, String>) {
        for id in ids {
            self.count(Said::Left { id: *id, queue: queues.remove(id), how: Left::Done });
        }
    }

    /// The queues of those jobs that this process has not claimed, and so does not know.
    pub(crate) fn unknown_queues(&mut self, ids: &[i64]) -> Result<HashMap<i64, String>> {
        let unknown: Vec<i64> = ids.iter().copied().filter(|id| !self.settling.tally().knows(*id)).collect();
        if unknown.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.rows(SQL_QUEUES, &[ints(&unknown)])?;
        rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
    }

    /// Adds to the server's counts what this process has counted: if it is time to, or `at_once`. No error is one of the call.
    pub(crate) fn add_counts(&mut self, at_once: bool) {
        if self.within {
            return;
        }
        let Some(counts) = self.settling.tally().take(at_once) else { return };
        let queues: Vec<&str> = counts.iter().map(|(queue, ..)| &**queue).collect();
        let names: Vec<&str> = counts.iter().map(|(_, name, _)| &**name).collect();
        let values: Vec<i64> = counts.iter().map(|(.., value)| *value).collect();
        let added = self.session.run(self.call, async |client: &Client| {
            client.query_typed(SQL_ADD_COUNTS, &[texts(&queues), texts(&names), ints(&values)]).await
        });
        // If the connection is lost nobody knows: what is counted twice would be worse than what is not.
        if added.is_err_and(|error| !failure::is_lost(&error)) {
            self.settling.tally().give_back(counts);
        }
    }
}

const SQL_QUEUES: &str = "SELECT id, queue FROM honker._honker_live WHERE id OPERATOR(pg_catalog.=) ANY ($1)";

const SQL_ADD_COUNTS: &str =
    "SELECT honker._counters_add(honker._now() OPERATOR(pg_catalog./) 60, $1, $2, $3)";

/// Takes items of what was changed apart: what is for those who wait, and what is counted, `n:<how>:<job id>:<queue>`. They are all
/// those of the transaction: what has been counted before is not counted again.
pub(crate) fn hear(items: &str, settling: &mut Settling, woken: &mut Vec<String>) -> Result<()> {
    let (notes, items): (Vec<_>, Vec<_>) =
        gathered(items)?.into_iter().partition(|item| item.starts_with("n:"));
    woken.extend(items);
    for note in notes.iter().skip(settling.noted) {
        note.strip_prefix("n:").and_then(noted).into_iter().for_each(|said| settling.say(said));
    }
    settling.noted = settling.noted.max(notes.len());
    Ok(())
}

fn noted(item: &str) -> Option<Said> {
    let mut parts = item.splitn(3, ':');
    let (how, id, queue) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.to_owned());
    let how = match how {
        "enqueued" => return Some(Said::Enqueued(queue)),
        "retried" => Left::Retried,
        "released" => Left::Released,
        "dead" => Left::Dead,
        "cancelled" => Left::Cancelled,
        _ => return None,
    };
    Some(Said::Left { id, queue: Some(queue), how })
}

const SAVEPOINT: &str = "SAVEPOINT honker_call";
const RELEASE: &str = "RELEASE SAVEPOINT honker_call";
const UNDO: &str = "ROLLBACK TO SAVEPOINT honker_call; RELEASE SAVEPOINT honker_call";

/// A column of a row.
pub(crate) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|error| failure::of(&error))
}

/// What the SQL has gathered in the setting `honker.woken`: the items of a JSON array.
pub(crate) fn gathered(items: &str) -> Result<Vec<String>> {
    if items.is_empty() { Ok(Vec::new()) } else { json(&format!("[{items}]")) }
}

/// What a function has answered as JSON.
pub(crate) fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        Error::Internal(format!("an answer of the server's honker cannot be read: {error}").into())
    })
}
