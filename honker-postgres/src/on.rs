//! Where operations call SQL functions: a connection, in a transaction of the caller's or not.
//!
//! In a transaction every call is its own savepoint, so that a refused one leaves the transaction as it was; the savepoint goes
//! with the call in one round trip. Outside each statement is a transaction, unless several are one unit ([`On::unit`]).
//!
//! What a call has changed, so far as somebody may wait for it, the SQL gathers in a setting of the transaction, which is asked
//! for in a column called `woken`. It is collected here, and told once it is committed (`listening.rs`).

use honker_core::database::Settling;
use honker_core::{Error, Result};
use tokio_postgres::types::{FromSql, ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::failure;
use crate::operations::Schedules;
use crate::session::Session;
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
    settling: &'a mut Settling,
    woken: &'a mut Vec<String>,
}

impl<'a> On<'a> {
    pub(crate) fn new(
        session: &'a mut Session,
        call: &'a Call,
        within: bool,
        schedules: &'a Schedules,
        settling: &'a mut Settling,
        woken: &'a mut Vec<String>,
    ) -> Self {
        On { session, call, within, units: 0, schedules, settling, woken }
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
        let rows = if self.within && self.units == 0 {
            self.in_savepoint(sql, parameters)?
        } else {
            self.session.run(self.call, async |client: &Client| client.query_typed(sql, parameters).await)?
        };
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
            (false, 0) => ("BEGIN ISOLATION LEVEL READ COMMITTED", "COMMIT", "ROLLBACK"),
            _ => (SAVEPOINT, RELEASE, UNDO),
        };
        let (notes, woken) = (self.settling.len(), self.woken.len());
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
                self.settling.forget(notes);
                self.woken.truncate(woken);
                if !failure::is_lost(&error) && self.undo(undo).is_err() {
                    self.session.taint();
                }
                Err(error)
            }
        }
    }

    fn in_savepoint(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>> {
        let notes = self.settling.len();
        let called = self.session.run(self.call, async |client: &Client| {
            // They are sent in this order, before the first is answered.
            let (_, called, released) = tokio::join!(
                biased;
                client.batch_execute(SAVEPOINT),
                client.query_typed(sql, parameters),
                client.batch_execute(RELEASE),
            );
            called.and_then(|rows| released.map(|()| rows))
        });
        called.inspect_err(|error| {
            self.settling.forget(notes);
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
        self.woken.extend(gathered(items)?);
        Ok(())
    }

    /// Something was changed of which the SQL does not tell.
    pub(crate) fn hear_item(&mut self, item: String) {
        self.woken.push(item);
    }
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
