//! What is left over in one transaction is done in the next, until nothing is left, and others write in between.

use std::sync::atomic::{AtomicBool, Ordering};

use honker_core::database::Options;
use honker_core::queue::Claim;

use crate::support::*;

fn fill(file: &File, count: i64, columns: &str, values: &str) {
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO _honker_live (queue, payload, {columns}) SELECT 'q', 'p', {values} FROM n"
    );
    file.plain().execute_batch(&sql).unwrap();
}

fn one() -> Claim<'static> {
    Claim { queue: "q", worker_id: "w", n: 1, timeout_s: 60 }
}

const DEAD: &str = "SELECT count(*) FROM _honker_dead";

#[test]
fn a_claim_goes_on_until_it_has_a_job_or_nothing_is_left() {
    for innocent in [true, false] {
        let file = File::new();
        let database = file.database(&Options::default());
        fill(&file, 3_500, "expires_at", "1");
        if innocent {
            fill(&file, 1, "priority", "-1");
        }
        // In a transaction of the caller's it stops.
        let mut transaction = database.begin().unwrap();
        assert_eq!(transaction.claim(&one()).unwrap(), []);
        transaction.commit().unwrap();
        assert_eq!(file.count(DEAD), 1_000);

        assert_eq!(database.claim(&one()).unwrap().len(), usize::from(innocent));
        assert_eq!(file.count(DEAD), 3_500);
    }
}

#[test]
fn sweeps_go_on_until_nothing_is_left() {
    let file = File::new();
    let database = file.database(&Options::default());
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)";
    fill(&file, 2_500, "expires_at", "1");
    file.plain()
        .execute_batch(&format!(
            "{numbers} INSERT INTO _honker_results (job_id, value, expires_at) SELECT i, 'v', 1 FROM n;
             {numbers} INSERT INTO _honker_rate_limits SELECT 'r', i, 1 FROM n;
             {numbers} INSERT INTO _honker_notifications (channel, payload, created_at) SELECT 'c', 'p', 1 FROM n;
             {numbers} INSERT INTO _honker_dead (id, queue, payload, died_at)
                       SELECT 10000 + i, iif(i % 5, 'd', 'e'), 'p', 1 FROM n"
        ))
        .unwrap();
    // In a transaction of the caller's each stops.
    let mut transaction = database.begin().unwrap();
    assert_eq!(transaction.sweep_expired("q").unwrap(), 1_000);
    assert_eq!(transaction.result_sweep().unwrap(), 1_000);
    assert_eq!(transaction.rate_limit_sweep(60).unwrap(), 1_000);
    assert_eq!(transaction.notifications_prune(None, Some(0)).unwrap(), 1_000);
    assert_eq!(transaction.dead_purge(Some("d"), 60).unwrap(), 1_000);
    transaction.rollback().unwrap();

    assert_eq!(database.sweep_expired("q").unwrap(), 2_500);
    assert_eq!(database.result_sweep().unwrap(), 2_500);
    assert_eq!(database.rate_limit_sweep(60).unwrap(), 2_500);
    assert_eq!(database.notifications_prune(None, Some(100)).unwrap(), 2_400);
    assert_eq!(file.count("SELECT min(id) FROM _honker_notifications"), 2_401);
    assert_eq!(database.notifications_prune(Some(60), Some(100)).unwrap(), 100);
    assert_eq!(database.dead_purge(Some("d"), 60).unwrap(), 2_000);
    assert_eq!(database.dead_purge(None, 60).unwrap(), 500);
    assert_eq!(file.count(DEAD), 2_500);
}

#[test]
fn others_write_while_a_sweep_goes_on() {
    const ROWS: i64 = 50_000;
    let file = File::new();
    let database = file.database(&Options::default());
    fill(&file, ROWS, "expires_at", "1");
    let over = AtomicBool::new(false);
    let (swept, in_between) = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let connection = file.plain();
            let mut in_between = 0;
            while !over.load(Ordering::SeqCst) {
                connection
                    .execute("INSERT INTO _honker_live (queue, payload) VALUES ('other', 'p')", [])
                    .unwrap();
                let moved: i64 = connection.query_row(DEAD, [], |row| row.get(0)).unwrap();
                in_between += i64::from(moved > 0 && moved < ROWS);
                // One that writes without a pause could starve the sweep on a busy machine.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            in_between
        });
        let swept = database.sweep_expired("q");
        over.store(true, Ordering::SeqCst);
        (swept, other.join().unwrap())
    });
    assert_eq!(swept, Ok(ROWS));
    assert!(in_between > 0);
}
