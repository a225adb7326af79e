//! What does an old transaction cost, which keeps the server from removing what was deleted?

use honker_core::database::{Database, Options};
use honker_core::queue::{Claim, Enqueue};
use postgres::{Client, NoTls};

use super::hand::Hand;
use super::server::Server;
use crate::report::Report;
use crate::throughput::{Outcome, PAYLOAD, expect, timed};

/// Jobs in the last part, of which the rate is shown.
const PARTS: usize = 10;

const COMMIT: &str = "synchronous_commit=off";

struct Worn {
    /// Jobs a second in the last tenth.
    rate: f64,
    pages: i64,
}

pub fn run(report: &mut Report, server: &Server, jobs: usize) -> Outcome<()> {
    let [ours, theirs] = [wear(server, jobs)?, wear_by_hand(server, jobs)?];
    let mut old = Client::connect(server.url(), NoTls)?;
    let mut snapshot =
        old.build_transaction().isolation_level(postgres::IsolationLevel::RepeatableRead).start()?;
    snapshot.query_one("SELECT 1", &[])?;
    let [ours_beside, theirs_beside] = [wear(server, jobs)?, wear_by_hand(server, jobs)?];
    snapshot.rollback()?;
    report.table(
        &format!("Postgres: {jobs} jobs enqueued, claimed and acked one by one, the last tenth of them; and pages after that"),
        ["beside an old transaction, and without one", "honker", "by hand", "ratio to by hand"],
    );
    for (name, ours, theirs) in [("without", &ours, &theirs), ("beside it", &ours_beside, &theirs_beside)] {
        let figures = [ours, theirs].map(|worn| format!("{:.0} /s", worn.rate));
        report.row(name, figures, ours.rate / theirs.rate, None);
        let figures = [ours, theirs].map(|worn| format!("{} pages", worn.pages));
        report.row(
            &format!("{name}: table and indexes"),
            figures,
            ours.pages as f64 / theirs.pages.max(1) as f64,
            None,
        );
    }
    Ok(())
}

fn wear(server: &Server, jobs: usize) -> Outcome<Worn> {
    let mut client = Client::connect(server.url(), NoTls)?;
    client.batch_execute("TRUNCATE honker._honker_live")?;
    let database = honker_postgres::connect(&server.with_option(COMMIT), &Options::default(), false)?;
    let rate = last_part(jobs, || once(&database))?;
    database.close()?;
    Ok(Worn { rate, pages: pages(&mut client, "honker._honker_live")? })
}

fn wear_by_hand(server: &Server, jobs: usize) -> Outcome<Worn> {
    let mut hand = Hand::new(&server.with_option(COMMIT))?;
    let rate = last_part(jobs, || {
        hand.enqueue(PAYLOAD)?;
        hand.work(1)
    })?;
    Ok(Worn { rate, pages: pages(&mut Client::connect(server.url(), NoTls)?, "hand.live")? })
}

fn last_part(jobs: usize, mut once: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let part = (jobs / PARTS).max(1);
    let mut last = None;
    for _ in 0..PARTS {
        last = Some(timed(part, &mut once)?);
    }
    Ok(part as f64 / last.ok_or("no part was measured")?.as_secs_f64())
}

fn pages(client: &mut Client, table: &str) -> Outcome<i64> {
    let pages = "SELECT pg_total_relation_size($1::text::regclass) / current_setting('block_size')::int8";
    Ok(client.query_one(pages, &[&table])?.get(0))
}

fn once(database: &Database) -> Outcome<()> {
    database.enqueue(&Enqueue::new("q", PAYLOAD))?;
    let jobs = database.claim(&Claim { queue: "q", worker_id: "w", n: 1, timeout_s: 300 })?;
    let id = jobs.first().ok_or("nothing was claimed")?.id;
    expect(database.ack(id, "w")?.into(), 1)
}
