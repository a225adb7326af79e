//! `honker move`: everything that is in one database goes to another one, with its ids; from a file to a server, from a server to a
//! file, or to another of its kind.
//!
//! The source says that it moves (`honker_core::moving`: a row, and triggers that stop whoever writes); what runs may end; then
//! nobody changes anything any more, and all is copied in one transaction of the target, which says in the end by which move it was
//! filled. Only then the source says that it has moved.
//!
//! Invariants, whoever dies at whatever moment:
//! - Where the target says that the move has arrived, it has everything, and the source stays closed.
//! - Where it does not, it has nothing, and the source has everything.
//! - A move that is repeated with the same id asks the target first. It is cancelled only while the target's lock is held, which who
//!   fills it holds until it has committed, so that nobody fills it afterwards.
//!
//! docs/decisions/0052-move.md has the reasons.

mod check;
mod copy;
mod fit;
mod page;
mod same;
mod tables;

use std::time::{Duration, Instant};

use honker_core::database::{Database, Transaction};
use honker_core::moving::{Claims, Move, Stage};
use honker_core::{Error, Result};

use self::page::Side;
use self::tables::TABLES;

/// How long a lock is tried for that somebody else holds.
const BUSY_MAX: Duration = Duration::from_secs(60);
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// At least so often it looks whether claims are over.
const LOOK: Duration = Duration::from_secs(1);

/// What happens meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// Nothing is added to the source and claimed there any more.
    Begun {
        /// The move.
        id: &'a str,
        /// It had begun before.
        again: bool,
    },
    /// It waits for claims to end.
    Waiting(Claims),
    /// So many rows of so many have been copied.
    Copying {
        /// The table, without `_honker_`.
        table: &'a str,
        /// Rows of all tables that are done.
        done: u64,
        /// Rows of all tables.
        total: u64,
    },
    /// It is being committed.
    Committing,
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The move.
    pub id: String,
    /// From where.
    pub from: String,
    /// To where.
    pub to: String,
    /// By an earlier run, which did not come to saying so.
    pub was_there: bool,
    /// Each table, without `_honker_`, and how many rows of it.
    pub tables: Vec<(String, u64)>,
}

/// Moves everything from `source` to `target`. With `give_back` jobs that run are given back at once, otherwise it waits for them.
///
/// After an error the source is as it was, or is being moved: then this may be called again, or [`cancel`].
pub fn run(
    source: &Database,
    target: &Database,
    give_back: bool,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Report> {
    let found = source.move_state()?;
    let again = found.is_some();
    let begun = match found {
        Some(found) => found,
        None => begin(source, target)?,
    };
    same_target(&begun, target)?;
    tell(Event::Begun { id: &begun.id, again });
    if target.move_arrived()?.as_deref() != Some(&begun.id) {
        if begun.stage == Stage::Moved {
            return Err(Error::Misuse(format!(
                "{} says that everything is in {}, which does not say so: it is another database of that name, or was replaced",
                source.path(),
                target.path()
            )));
        }
        drain(source, give_back, tell)?;
        if let Some(report) = patiently(|| fill(source, target, &begun, tell))? {
            return Ok(report);
        }
    }
    // It was there before: nothing is left but to say so.
    patiently(|| source.move_end())?;
    let mut transaction = target.begin()?;
    let tables = count(&mut Side { database: target, transaction: &mut transaction })?;
    transaction.rollback()?;
    Ok(report(source, target, &begun.id, true, tables))
}

/// Lets the source be as if it had not been moved, if the target can be asked and has nothing of it; the move that was.
pub fn cancel(source: &Database, target: &Database) -> Result<Move> {
    let Some(found) = source.move_state()? else {
        return Err(Error::Misuse(format!(
            "{} is not being moved: there is nothing to cancel",
            source.path()
        )));
    };
    same_target(&found, target)?;
    // Whoever fills it holds this lock until it has committed.
    let mut asked = patiently(|| locked(target))?;
    if asked.move_arrived()?.as_deref() == Some(&found.id) {
        return Err(Error::Misuse(format!(
            "everything is in {} already, so that this move cannot be cancelled: run it again to finish it",
            target.path()
        )));
    }
    patiently(|| source.move_cancel())?;
    asked.rollback()?;
    Ok(found)
}

fn begin(source: &Database, target: &Database) -> Result<Move> {
    if same::names(source.path(), target.path()) {
        return Err(same::error());
    }
    check::rows(source, target)?;
    // With all that filling it takes: whoever may not do that finds out while nothing has begun.
    let mut into = patiently(|| locked(target))?;
    let mut to = Side { database: target, transaction: &mut into };
    if same::servers(source, &mut to)? {
        return Err(same::error());
    }
    refuse_what_is_there(&mut to)?;
    let id = format!("{:032x}", fastrand::u128(..));
    let begun = patiently(|| source.move_begin(&id, target.path()))?;
    into.rollback()?;
    Ok(begun)
}

fn same_target(begun: &Move, target: &Database) -> Result<()> {
    if same::names(&begun.to, target.path()) {
        return Ok(());
    }
    Err(Error::Misuse(format!(
        "the database is being moved to {}, not to {} (move {}): finish that move, or cancel it",
        begun.to,
        target.path(),
        begun.id
    )))
}

/// A transaction that keeps others from filling, or from asking.
fn locked(target: &Database) -> Result<Transaction> {
    let mut transaction = target.begin()?;
    transaction.move_lock()?;
    Ok(transaction)
}

/// An error if the target has anything.
fn refuse_what_is_there(target: &mut Side<'_>) -> Result<()> {
    if let Some(found) = target.transaction.move_state()? {
        return Err(Error::Moved(found.message().into()));
    }
    let refused = |what: String| {
        Err(Error::Misuse(format!(
            "{} is not empty: {what}. Everything goes to a database of its own, in which honker has nothing yet",
            target.database.path()
        )))
    };
    if let Some(id) = target.transaction.move_arrived()? {
        return refused(format!("it was filled by move {id}"));
    }
    for (table, n) in count(target)? {
        if n > 0 {
            let rows = if n == 1 { "a row".to_owned() } else { format!("{n} rows") };
            return refused(format!(
                "_honker_{table} has {rows} (programs work there only once the move is done)"
            ));
        }
    }
    Ok(())
}

fn count(side: &mut Side<'_>) -> Result<Vec<(String, u64)>> {
    TABLES.iter().map(|table| Ok((table.name.to_owned(), page::count(side, table)?))).collect()
}

/// Waits until no claim is valid, and lets nobody change anything any more.
fn drain(source: &Database, give_back: bool, tell: &mut dyn FnMut(Event<'_>)) -> Result<()> {
    let commits = source.subscribe()?;
    loop {
        if give_back {
            patiently(|| source.move_give_back())?;
        }
        let claims = source.move_claims()?;
        tell(Event::Waiting(claims));
        if claims.n == 0 && patiently(|| source.move_close())? {
            return Ok(());
        }
        commits.wait(Some(LOOK))?;
    }
}

/// Copies everything, in one transaction of the target; `None` if somebody else has.
fn fill(
    source: &Database,
    target: &Database,
    begun: &Move,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Option<Report>> {
    let mut into = locked(target)?;
    if into.move_arrived()?.as_deref() == Some(&begun.id) {
        return Ok(None);
    }
    let mut to = Side { database: target, transaction: &mut into };
    refuse_what_is_there(&mut to)?;
    // The lock of the source is held from before the first read until it says that everything has moved.
    let mut out = source.begin()?;
    out.move_lock()?;
    let state = out.move_state()?;
    if state.as_ref().is_none_or(|state| state.id != begun.id || state.stage != Stage::Closed) {
        return Err(Error::Misuse("the move was cancelled, or ended, by somebody else".to_owned()));
    }
    let mut from = Side { database: source, transaction: &mut out };
    let counts = count(&mut from)?;
    let total = counts.iter().map(|(_, n)| n).sum();
    let (mut before, mut tables) = (0, Vec::new());
    for table in TABLES {
        let n = copy::copy(&mut from, &mut to, table, |done| {
            tell(Event::Copying { table: table.name, done: before + done, total });
        })?;
        before += n;
        tables.push((table.name.to_owned(), n));
    }
    if tables != counts {
        return Err(Error::Internal("not all that is there was read".into()));
    }
    for ((table, n), (_, arrived)) in counts.iter().zip(count(&mut to)?) {
        if *n != arrived {
            return Err(Error::Constraint(
                format!(
                    "{arrived} of {n} rows are in _honker_{table} of {}: is there a trigger that keeps others out?",
                    target.path()
                )
                .into(),
            ));
        }
    }
    let last = out.move_last_ids()?;
    into.move_arrive(&begun.id, source.path(), &last)?;
    tell(Event::Committing);
    into.commit()?;
    out.move_end()?;
    out.commit()?;
    Ok(Some(report(source, target, &begun.id, false, tables)))
}

fn report(
    source: &Database,
    target: &Database,
    id: &str,
    was_there: bool,
    tables: Vec<(String, u64)>,
) -> Report {
    let (from, to) = (source.path().to_owned(), target.path().to_owned());
    Report { id: id.to_owned(), from, to, was_there, tables }
}

/// Tries again while somebody else holds a lock.
fn patiently<T>(mut what: impl FnMut() -> Result<T>) -> Result<T> {
    let until = Instant::now() + BUSY_MAX;
    loop {
        match what() {
            Err(Error::Busy(_)) if Instant::now() < until => std::thread::sleep(BUSY_PAUSE),
            done => return done,
        }
    }
}
