//! What do the indexes cost that keep claims fast?
//!
//! One row a transaction into a table without indexes, then with one index more each time, in the order of the schema.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::database;
use crate::report::{Report, median, microseconds};

const BLOCKS: usize = 25;

struct Table {
    title: &'static str,
    name: &'static str,
    insert: &'static str,
    indexes: &'static [&'static str],
}

const TABLES: [Table; 3] = [
    Table {
        title: "What the indexes of the job table cost an enqueue",
        name: "_honker_live",
        insert: "INSERT INTO _honker_live (queue, payload) VALUES ('q', '{\"to\":\"alice@example.com\"}')",
        indexes: &[
            "_honker_live_claim",
            "_honker_live_due",
            "_honker_live_inflight",
            "_honker_live_exceptions",
        ],
    },
    Table {
        title: "What the indexes of the notifications table cost a notify",
        name: "_honker_notifications",
        insert: "INSERT INTO _honker_notifications (channel, payload) VALUES ('orders', '{\"id\":42}')",
        indexes: &["_honker_notifications_recent", "_honker_notifications_age"],
    },
    Table {
        title: "What the index of the dead jobs costs a dead-lettering",
        name: "_honker_dead",
        insert: "INSERT INTO _honker_dead (queue, payload, last_error, created_at, died_at)
                 VALUES ('q', '{\"to\":\"alice@example.com\"}', 'timeout', unixepoch() - 60, unixepoch())",
        indexes: &["_honker_dead_age"],
    },
];

pub fn run(report: &mut Report, directory: &Path, divisor: usize) -> Result<(), Box<dyn Error>> {
    let count = (2_000 / divisor).max(100);
    for table in &TABLES {
        let mut files = Vec::new();
        for kept in 0..=table.indexes.len() {
            let connection = database::open(directory, &format!("{}-{kept}.db", table.name))?;
            for dropped in &table.indexes[kept..] {
                connection.execute_batch(&format!("DROP INDEX {dropped}"))?;
            }
            files.push(connection);
        }
        let mut times = vec![Vec::new(); files.len()];
        for block in 0..=BLOCKS {
            for (connection, times) in files.iter().zip(&mut times) {
                let time = insert(connection, table.insert, count)?;
                if block > 0 {
                    times.push(time / u32::try_from(count)?);
                }
            }
        }
        report.table(table.title, ["indexes", "a row", "without", "ratio to without"]);
        let medians: Vec<Duration> = times.iter_mut().map(|times| median(times)).collect();
        for (kept, time) in medians.iter().enumerate() {
            let name = if kept == 0 { "none".to_owned() } else { format!("and {}", table.indexes[kept - 1]) };
            let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
            report.row(&name, [microseconds(*time), microseconds(medians[0])], ratio, None);
        }
    }
    Ok(())
}

fn insert(connection: &Connection, sql: &str, count: usize) -> rusqlite::Result<Duration> {
    let mut insert = connection.prepare(sql)?;
    let start = Instant::now();
    for _ in 0..count {
        insert.execute([])?;
    }
    Ok(start.elapsed())
}
