//! Calls that write: each done once or not at all, whoever runs it.

use std::collections::HashSet;
use std::sync::Mutex;

use honker_core::Error;
use honker_core::database::Options;
use honker_core::queue::{Claim, Enqueue};

use crate::support::{File, enqueue, guarded};

const THREADS: usize = 16;
const CALLS: usize = 400;

/// What the threads were told has been done.
#[derive(Default)]
struct Acknowledged {
    enqueued: HashSet<i64>,
    notified: HashSet<i64>,
    acked: HashSet<i64>,
    failed: HashSet<i64>,
    claims: usize,
}

#[test]
fn every_acknowledged_call_is_done_once() {
    guarded(|| {
        let file = File::new();
        let database = file.database(&Options::default());
        let acknowledged = Mutex::new(Acknowledged::default());
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (database, acknowledged) = (&database, &acknowledged);
                scope.spawn(move || {
                    let worker = format!("w{thread}");
                    for call in 0..CALLS {
                        mixed(database, acknowledged, &worker, call);
                    }
                });
            }
        });
        check(&file, &acknowledged.into_inner().unwrap());
        database.close().unwrap();
        assert!(file.is_intact());
    });
}

fn mixed(
    database: &honker_core::database::Database,
    acknowledged: &Mutex<Acknowledged>,
    worker: &str,
    call: usize,
) {
    match call % 8 {
        0..=2 => {
            let id = enqueue(database, &format!("{worker}/{call}")).unwrap();
            assert!(acknowledged.lock().unwrap().enqueued.insert(id), "the id {id} was given twice");
        }
        3 => {
            let id = database.notify("c", worker).unwrap();
            assert!(acknowledged.lock().unwrap().notified.insert(id), "the id {id} was given twice");
        }
        4 => {
            // Too far in the future: refused, alone.
            let late = Enqueue { delay_s: Some(i64::MAX), ..Enqueue::new("q", "late") };
            let error = database.enqueue(&late).unwrap_err();
            assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        }
        _ => {
            let jobs =
                database.claim(&Claim { queue: "q", worker_id: worker, n: 1, timeout_s: 600 }).unwrap();
            let Some(job) = jobs.first() else { return };
            acknowledged.lock().unwrap().claims += 1;
            let id = job.id;
            match call % 3 {
                0 => {
                    assert!(database.ack(id, worker).unwrap());
                    assert!(acknowledged.lock().unwrap().acked.insert(id), "job {id} was acknowledged twice");
                }
                1 => {
                    assert!(database.fail(id, worker, "e").unwrap());
                    assert!(acknowledged.lock().unwrap().failed.insert(id), "job {id} failed twice");
                }
                _ => {
                    let retried = database.retry(id, worker, 600, "e");
                    assert!(retried.unwrap());
                }
            }
        }
    }
}

fn check(file: &File, acknowledged: &Acknowledged) {
    let ids = |sql: &str| -> HashSet<i64> {
        let connection = file.plain();
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(acknowledged.enqueued.len(), THREADS * CALLS / 8 * 3);
    assert!(acknowledged.claims > THREADS);
    assert_eq!(ids("SELECT id FROM _honker_notifications"), acknowledged.notified);
    let dead = ids("SELECT id FROM _honker_dead");
    assert_eq!(dead, acknowledged.failed);
    let live = ids("SELECT id FROM _honker_live");
    let settled: HashSet<i64> = acknowledged.acked.union(&acknowledged.failed).copied().collect();
    assert_eq!(live, acknowledged.enqueued.difference(&settled).copied().collect());
    let attempts = "SELECT coalesce(sum(attempts), 0) FROM _honker_live WHERE state = 'pending'";
    assert_eq!(
        file.count(attempts),
        i64::try_from(acknowledged.claims - settled.len()).unwrap(),
        "each claim that was not settled was retried once"
    );
}

#[test]
fn the_log_stays_bounded() {
    let file = File::new();
    let options = Options { wal_autocheckpoint: 200, ..Options::default() };
    let database = file.database(&options);
    let log = file.path.with_file_name("app.db-wal");
    let mut longest = 0;
    for call in 0..30_000 {
        enqueue(&database, "p").unwrap();
        if call % 100 == 0 {
            longest = longest.max(std::fs::metadata(&log).unwrap().len());
        }
    }
    assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 30_000);
    // 200 pages, and the commit that passed them.
    assert!(longest < 300 * 4096, "{longest}");
}
