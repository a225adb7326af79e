//! What a file uses of the features that most files do not: options of jobs, unique keys, settings of queues, batches, steps.
//!
//! A file that uses none of them costs what it would cost if they did not exist. Each connection knows what the file may use
//! ([`Store::features`]), from the look that it takes under the write lock when somebody else has committed, and the code of
//! a feature runs only behind that. What is known may be too much (a transaction that used a feature was rolled back), never
//! too little.
//!
//! Programs of before [`MIN_VERSION`] know none of them but metadata, and would leave their rows behind. The first use of
//! one raises the file's `min_version`, so that those do not write to it any more; and a file whose `min_version` is lower
//! uses none, which is how the look stays cheap.

use crate::queue::options;
use crate::statement::Sql;
use crate::version::FileVersion;
use crate::{Error, Result, Store, schedule};

/// The oldest version of a program that may write to a file that uses one of these.
pub(crate) const MIN_VERSION: i64 = 3;

static SQL_ANY: Sql = Sql::new(
    "SELECT EXISTS (SELECT 1 FROM main._honker_unique), EXISTS (SELECT 1 FROM main._honker_queues),
            EXISTS (SELECT 1 FROM main._honker_slots), EXISTS (SELECT 1 FROM main._honker_blocked),
            EXISTS (SELECT 1 FROM main._honker_batches), EXISTS (SELECT 1 FROM main._honker_steps),
            EXISTS (SELECT 1 FROM main._honker_schedule_options)",
);

static SQL_RAISE: Sql = Sql::new("UPDATE main._honker_schema SET min_version = ?1");

/// See the module documentation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// A job has a row of options.
    pub(crate) options: bool,
    /// A unique key is taken.
    pub(crate) unique: bool,
    /// A queue has settings.
    pub(crate) queues: bool,
    /// A job has a slot of its concurrency key.
    pub(crate) slots: bool,
    /// A job waits for one.
    pub(crate) blocked: bool,
    /// There is a batch.
    pub(crate) batches: bool,
    /// A step of a job is saved.
    pub(crate) steps: bool,
    /// A schedule has options.
    pub(crate) schedules: bool,
}

impl Features {
    /// All of both.
    pub(crate) fn or(self, other: Self) -> Self {
        Features {
            options: self.options || other.options,
            unique: self.unique || other.unique,
            queues: self.queues || other.queues,
            slots: self.slots || other.slots,
            blocked: self.blocked || other.blocked,
            batches: self.batches || other.batches,
            steps: self.steps || other.steps,
            schedules: self.schedules || other.schedules,
        }
    }

    /// Whether anything has to be known, or done, of a job beside its row.
    pub(crate) fn any(self) -> bool {
        Features { schedules: false, ..self } != Features::default()
    }

    /// Those of a file whose `min_version` is this.
    pub(crate) fn read(store: &Store, min_version: i64) -> Result<Self> {
        let options = options::any(store)?;
        if min_version < MIN_VERSION {
            return Ok(Features { options, ..Features::default() });
        }
        let features = store.query_one(&SQL_ANY, &[], |row| Features {
            options,
            unique: row.integer(0) != 0,
            queues: row.integer(1) != 0,
            slots: row.integer(2) != 0,
            blocked: row.integer(3) != 0,
            batches: row.integer(4) != 0,
            steps: row.integer(5) != 0,
            schedules: row.integer(6) != 0,
        })?;
        Ok(features.expect("a SELECT without FROM has one row"))
    }
}

/// Whether there is anything in the tables of these features that an older program would break, whatever the file says of
/// itself.
pub(crate) fn are_used(store: &Store) -> Result<bool> {
    let used = store
        .query_one(&SQL_ANY, &[], |row| ((0..6).any(|column| row.integer(column) != 0), row.integer(6) != 0));
    match used {
        Ok(Some((false, true))) => schedule::uses_options(store),
        Ok(used) => Ok(used.is_some_and(|(used, _)| used)),
        Err(error) if error.lacks_table("_honker_") => Ok(false),
        Err(error) => Err(error),
    }
}

/// The open transaction uses a feature, which `set` sets: from now on this connection knows, and older programs do not write
/// to the file any more. Belongs into [`Store::atomic`].
pub(crate) fn begin_use(store: &Store, set: impl FnOnce(&mut Features)) -> Result<()> {
    // Looked up each time: what was raised before may have been rolled back.
    let file = FileVersion::read(store)?;
    if file.version < MIN_VERSION {
        return Err(Error::invalid(
            "this file was made by an older version: call honker_bootstrap() on it to use this feature",
        ));
    }
    if file.min_version < MIN_VERSION {
        store.execute(&SQL_RAISE, &[MIN_VERSION.into()])?;
        // What did not matter until now may be there.
        store.set_features(store.features().or(Features::read(store, MIN_VERSION)?));
    }
    // Others' commits are all that would make this connection read it again. Should this be rolled back, it looks for
    // features in vain.
    store.last_look().set_min_version(MIN_VERSION);
    let mut features = store.features();
    set(&mut features);
    store.set_features(features);
    Ok(())
}
