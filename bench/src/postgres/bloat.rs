//! What does an old transaction cost, which keeps the server from removing what was deleted?

use honker_core::database::{Database, Options};
use honker_core::queue::{Claim, Enqueue};
use postgres::{Client, NoTls};

use super::server::Server;
use crate::report::Report;
use crate::throughput::{Outcome, PAYLOAD, expect, timed};

/// Jobs in the last part, of which the rate is shown.
const PARTS: usize = 10;

struct Worn {
    /// Jobs a second in the last tenth.
    rate: f64,
    pages: i64,
}

pub fn run(report: &mut Report, server: &Server, jobs: usize) -> Outcome<()> {
    let without = wear(server, jobs)?;
    let mut old = Client::connect(server.url(), NoTls)?;
    let mut snapshot =
        old.build_transaction().isolation_level(postgres::IsolationLevel::RepeatableRead).start()?;
    snapshot.query_one("SELECT 1", &[])?;
    let with = wear(server, jobs)?;
    snapshot.rollback()?;
    report.table(
        &format!("Postgres: after {jobs} jobs were enqueued, claimed and acked beside an old transaction"),
        ["one by one", "beside it", "without", "beside / without"],
    );
    let figures = [&with, &without].map(|worn| format!("{:.0} /s", worn.rate));
    report.row("the last tenth of them", figures, with.rate / without.rate, None);
    let figures = [&with, &without].map(|worn| format!("{} pages", worn.pages));
    report.row("the table and its indexes", figures, with.pages as f64 / without.pages.max(1) as f64, None);
    Ok(())
}

fn wear(server: &Server, jobs: usize) -> Outcome<Worn> {
    let mut client = Client::connect(server.url(), NoTls)?;
    client.batch_execute("TRUNCATE honker._honker_live")?;
    client.batch_execute("VACUUM honker._honker_live")?;
    let url = server.with_option("synchronous_commit=off");
    let database = honker_postgres::connect(&url, &Options::default(), false)?;
    let part = (jobs / PARTS).max(1);
    let mut last = None;
    for _ in 0..PARTS {
        last = Some(timed(part, || once(&database))?);
    }
    database.close()?;
    let pages = "SELECT pg_total_relation_size('honker._honker_live') / current_setting('block_size')::int8";
    let pages = client.query_one(pages, &[])?.get(0);
    let time = last.ok_or("no part was measured")?;
    Ok(Worn { rate: part as f64 / time.as_secs_f64(), pages })
}

fn once(database: &Database) -> Outcome<()> {
    database.enqueue(&Enqueue::new("q", PAYLOAD))?;
    let jobs = database.claim(&Claim { queue: "q", worker_id: "w", n: 1, timeout_s: 300 })?;
    let id = jobs.first().ok_or("nothing was claimed")?.id;
    expect(database.ack(id, "w")?.into(), 1)
}
