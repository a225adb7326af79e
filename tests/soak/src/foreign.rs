//! Another copy of SQLite in the same process, which knows nothing of honker and writes to the same file.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::actor::Stage;
use crate::ledger::{Effect, Ledger};

/// Whether another copy in the process may have the file open (docs/decisions/0007-lock-safe-files.md).
const ALLOWED: bool = cfg!(any(windows, all(target_os = "linux", target_pointer_width = "64")));

/// Writes jobs and orders with SQL of its own now and then, each time on a new connection; how often.
pub fn run(directory: &Path, stage: &Stage) -> u64 {
    if !ALLOWED {
        return 0;
    }
    let mut ledger = Ledger::create(directory, "foreign", false);
    let mut written = 0;
    for number in 0.. {
        if stage.is_over() {
            break;
        }
        match write(directory, &format!("foreign:{number}")) {
            Ok(effects) => {
                ledger.done(effects);
                written += 1;
            }
            Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == ErrorCode::DatabaseBusy => {}
            Err(error) => ledger.complain(format!("the other SQLite: {error}")),
        }
        thread::sleep(Duration::from_millis(20));
    }
    written
}

fn write(directory: &Path, name: &str) -> rusqlite::Result<Vec<Effect>> {
    let mut connection = Connection::open(crate::file(directory))?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let mut effects = Vec::new();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for name in [name.to_owned(), format!("{name}-order")] {
        transaction.execute("INSERT INTO _honker_live (queue, payload) VALUES ('q1', ?1)", [&name])?;
        effects.push(Effect::Enqueued(transaction.last_insert_rowid(), name));
    }
    if let [_, Effect::Enqueued(job, name)] = &effects[..] {
        transaction.execute("INSERT INTO orders VALUES (?1, ?2)", (name, job))?;
        let order = Effect::Ordered(name.clone(), *job);
        effects.push(order);
    }
    transaction.commit()?;
    Ok(effects)
}
