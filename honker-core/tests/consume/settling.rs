//! Settling jobs and claiming the next ones in one step: all that the file takes or nothing, and never in secret.

use std::time::Duration;

use honker_core::Error;
use honker_core::consume::{Batch, LostJob, Reason, Settlement, Verdict, WorkerOptions};

use crate::common::patient_for;
use crate::support::*;

#[test]
fn each_job_is_settled_and_the_next_ones_are_claimed() {
    let (file, database) = open();
    for _ in 0..5 {
        enqueue(&database, "q", "p");
    }
    let mut worker = worker(&database, "q", no_fallback());
    let claimed = jobs(worker.next(3, NOW));
    let [first, second, third] = &claimed[..] else { panic!("{claimed:?}") };
    let unknown = |id| Settlement { id, serial: first.serial, verdict: Verdict::Ack };
    let settlements = [ack(first), retry(second, 0, "again"), fail(third, "never"), unknown(4), unknown(99)];
    let settled = worker.settle_and_next(&settlements, 3, NOW).unwrap();
    assert_eq!(settled.held, [Ok(true), Ok(true), Ok(true), Ok(false), Ok(false)]);
    // What was retried is due as well, behind what became due earlier or has a lower number.
    let mut ids: Vec<_> = jobs(settled.next).iter().map(|job| job.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [2, 4, 5]);
    assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 3);
    assert_eq!(file.count("SELECT count(*) FROM _honker_dead WHERE id = 3 AND last_error = 'never'"), 1);
}

/// How a file refuses to settle the jobs with the payload `bad`: the SQL that makes it, the SQL that ends it.
const REFUSALS: &[(&str, &str)] = &[
    (
        "CREATE TRIGGER no BEFORE DELETE ON _honker_live WHEN old.payload = 'bad' BEGIN SELECT RAISE(ABORT, 'mine'); END",
        "DROP TRIGGER no",
    ),
    (
        "CREATE TRIGGER no BEFORE DELETE ON _honker_live WHEN old.payload = 'bad' BEGIN SELECT RAISE(FAIL, 'mine'); END",
        "DROP TRIGGER no",
    ),
    (
        "CREATE TRIGGER no AFTER DELETE ON _honker_live WHEN old.payload = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'mine'); END",
        "DROP TRIGGER no",
    ),
    (
        "CREATE TRIGGER no BEFORE DELETE ON _honker_live WHEN old.payload = 'bad' BEGIN SELECT abs(-9223372036854775807 - 1); END",
        "DROP TRIGGER no",
    ),
    (
        "CREATE TABLE mine (id INTEGER REFERENCES _honker_live (id)); INSERT INTO mine SELECT id FROM _honker_live \
         WHERE payload = 'bad'",
        "DROP TABLE mine",
    ),
    (
        "CREATE TABLE mine (id INTEGER REFERENCES _honker_live (id) DEFERRABLE INITIALLY DEFERRED); \
         INSERT INTO mine SELECT id FROM _honker_live WHERE payload = 'bad'",
        "DROP TABLE mine",
    ),
];

/// The others are committed; the refused one is told at once, stays in hand, and can be given again.
#[test]
fn what_the_file_refuses_to_settle_leaves_the_rest_alone() {
    for (refuse, end) in REFUSALS {
        let (file, database) = open();
        for payload in ["a", "bad", "b", "bad"] {
            enqueue(&database, "q", payload);
        }
        enqueue_at(&database, "q", i64::MAX);
        let mut worker = worker(&database, "q", no_fallback());
        let claimed = jobs(worker.next(5, NOW));
        file.plain().execute_batch(refuse).unwrap();
        let settlements: Vec<_> = claimed.iter().map(ack).collect();
        // With nothing to claim it does not wait either.
        let settled = worker.settle_and_next(&settlements, 0, LONG).unwrap();
        assert_eq!(item(settled.next), Batch::default(), "{refuse}");
        let [Ok(true), Err(second), Ok(true), Err(fourth)] = &settled.held[..] else {
            panic!("{refuse}: {:?}", settled.held)
        };
        for error in [second, fourth] {
            let is_own = match error {
                Error::Constraint(cause) => {
                    cause.message == "mine" || cause.message.contains("FOREIGN KEY constraint failed")
                }
                Error::Sql(cause) => cause.message.contains("integer overflow"),
                _ => false,
            };
            assert!(is_own, "{refuse}: {error:?}");
        }
        let left = "SELECT group_concat(payload || ' ' || state, ', ') FROM (SELECT * FROM _honker_live ORDER BY id)";
        let left = || file.plain().query_row(left, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(left(), "bad processing, bad processing, p pending", "{refuse}");
        assert_eq!(worker.in_hand(), 2, "{refuse}");
        // Otherwise than with an ack, beside a claim, which finds what was released.
        let again = [settle(&claimed[1], Verdict::Release), ack(&claimed[3])];
        let settled = worker.settle_and_next(&again, 1, LONG).unwrap();
        assert!(matches!(settled.held[..], [Ok(true), Err(_)]), "{refuse}: {:?}", settled.held);
        assert_eq!(job(settled.next).payload, "bad");
        file.plain().execute_batch(end).unwrap();
        assert_eq!(worker.settle(&[ack(&claimed[3])]).unwrap(), [Ok(true)], "{refuse}");
        assert_eq!(left(), "bad processing, p pending");
        assert!(file.is_intact());
    }
}

/// The time that a retry leads to is checked before the file is.
#[test]
fn a_time_that_cannot_be_is_refused_alone() {
    let (file, database) = open();
    for _ in 0..3 {
        enqueue(&database, "q", "p");
    }
    let mut worker = worker(&database, "q", no_fallback());
    let claimed = jobs(worker.next(2, NOW));
    let (first, second) = (&claimed[0], &claimed[1]);
    let settled = worker.settle_and_next(&[ack(first), retry(second, i64::MAX, "again")], 1, NOW).unwrap();
    let [Ok(true), Err(Error::Invalid(message))] = &settled.held[..] else { panic!("{:?}", settled.held) };
    assert!(message.contains("delay_s"), "{message}");
    assert_eq!(job(settled.next).id, 3);
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE state = 'processing'"), 2);
    // Given up: it is nobody's loss, and lapses.
    assert!(worker.settled(second.id, second.serial));
    assert_timeout(worker.next(0, NOW));
    assert_eq!(worker.settle(&[ack(second)]).unwrap(), [Ok(false)]);
}

/// What is refused beside the settlements does not undo them.
#[test]
fn a_claim_that_is_refused_leaves_the_settlements_alone() {
    let (file, database) = open();
    for payload in ["p", "bad"] {
        enqueue(&database, "q", payload);
    }
    let mut worker = worker(&database, "q", no_fallback());
    let first = job(worker.next(1, NOW));
    file.plain()
        .execute_batch(
            "CREATE TRIGGER no BEFORE UPDATE ON _honker_live WHEN old.payload = 'bad'
             BEGIN SELECT RAISE(ABORT, 'mine'); END",
        )
        .unwrap();
    let settled = worker.settle_and_next(&[ack(&first)], 1, NOW).unwrap();
    assert_eq!(settled.held, [Ok(true)]);
    assert_timeout(settled.next);
    assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 1);
    file.plain().execute_batch("DROP TRIGGER no").unwrap();
    assert_eq!(job(worker.next(1, NOW)).payload, "bad");
}

/// Its handler is told to stop, once, and its claim ends by itself.
#[test]
fn a_job_that_runs_too_long_and_cannot_be_retried_is_told_once() {
    let (file, database) = open();
    enqueue(&database, "q", "p");
    let options = WorkerOptions { max_run_s: Some(1), ..no_fallback() };
    let mut worker = worker(&database, "q", options);
    let claimed = job(worker.next(1, NOW));
    file.plain()
        .execute_batch(
            "CREATE TRIGGER no BEFORE UPDATE ON _honker_live BEGIN SELECT RAISE(ABORT, 'mine'); END",
        )
        .unwrap();
    let batch = item(worker.next(0, LONG));
    assert_eq!(batch.lost, [LostJob { id: claimed.id, serial: claimed.serial, reason: Reason::Timeout }]);
    assert_eq!(worker.in_hand(), 0);
    assert_timeout(worker.next(0, NOW));
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE state = 'processing'"), 1);
}

/// Lost before its time was over: the reason is that of the loss.
#[test]
fn a_job_that_was_lost_before_it_ran_too_long_is_told_with_its_reason() {
    for (how, reason) in [
        ("claim_expires_at = unixepoch() - 1", Reason::Lapsed),
        ("worker_id = 'other', attempts = 2", Reason::Taken),
        ("state = 'pending', worker_id = NULL, claim_expires_at = NULL", Reason::Gone),
    ] {
        let (file, database) = open();
        enqueue(&database, "q", "p");
        let options = WorkerOptions { max_run_s: Some(1), ..no_fallback() };
        let mut worker = worker(&database, "q", options);
        let claimed = job(worker.next(1, NOW));
        std::thread::sleep(Duration::from_millis(1_050));
        // It writes first, its time being over.
        file.plain().execute_batch(&format!("UPDATE _honker_live SET {how}")).unwrap();
        let batch = item(worker.next(0, LONG));
        assert_eq!(batch.lost, [LostJob { id: claimed.id, serial: claimed.serial, reason }], "{how}");
    }
}

#[test]
fn a_lock_that_is_kept_settles_nothing() {
    let file = File::new();
    let database = file.database(&patient_for(Duration::from_millis(200)));
    for _ in 0..2 {
        enqueue(&database, "q", "p");
    }
    let mut worker = worker(&database, "q", no_fallback());
    let first = job(worker.next(1, NOW));
    let other = file.plain();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(code(worker.settle_and_next(&[ack(&first)], 1, NOW)), rusqlite::ffi::SQLITE_BUSY);
    assert_eq!(code(worker.next(1, NOW)), rusqlite::ffi::SQLITE_BUSY);
    other.execute_batch("COMMIT").unwrap();
    let settled = worker.settle_and_next(&[ack(&first)], 1, NOW).unwrap();
    assert_eq!(settled.held, [Ok(true)]);
    // Nobody has claimed it in the meantime, in vain.
    assert_eq!(job(settled.next).attempts, 1);
}

#[test]
fn settling_alone_takes_nothing() {
    let (file, database) = open();
    for _ in 0..3 {
        enqueue(&database, "q", "p");
    }
    let mut worker = worker(&database, "q", no_fallback());
    let claimed = jobs(worker.next(2, NOW));
    for (job, n, held) in [(&claimed[0], 0, true), (&claimed[0], -1, false), (&claimed[1], i64::MIN, true)] {
        let settled = worker.settle_and_next(&[ack(job)], n, NOW).unwrap();
        assert_eq!(settled.held, [Ok(held)]);
        assert_timeout(settled.next);
    }
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE state = 'pending'"), 1);
    // That it took none does not mean that there is none.
    let third = job(worker.next(1, NOW));
    assert_eq!(third.id, 3);
    assert_eq!(worker.settle(&[ack(&third)]).unwrap(), [Ok(true)]);
    assert_eq!(worker.settle(&[ack(&third)]).unwrap(), [Ok(false)]);
}

/// Whatever ends the waiting: the caller hears that its jobs are settled.
#[test]
fn the_settlements_are_told_whatever_ends_the_waiting() {
    guarded(|| {
        for how in ["timeout", "woken", "interrupted", "closed", "an item"] {
            let (file, database) = open();
            enqueue(&database, "q", "p");
            let mut worker = worker(&database, "q", no_fallback());
            let first = job(worker.next(1, NOW));
            let waker = worker.waiter();
            let timeout = if how == "timeout" { Some(Duration::from_millis(50)) } else { LONG };
            let waiting = Thread::start(move || worker.settle_and_next(&[ack(&first)], 1, timeout));
            until("it is settled", || file.count("SELECT count(*) FROM _honker_live") == 0);
            waiting.until_asleep_here();
            match how {
                "woken" => waker.wake(),
                "interrupted" => database.interrupt().unwrap(),
                "closed" => database.close().unwrap(),
                "an item" => {
                    enqueue(&database, "q", "p");
                }
                _ => {}
            }
            let settled = waiting.join().unwrap();
            assert_eq!(settled.held, [Ok(true)], "{how}");
            match how {
                "timeout" => assert_timeout(settled.next),
                "woken" => assert_woken(settled.next),
                "interrupted" => assert!(is_interrupted(&settled.next), "{settled:?}"),
                "closed" => assert_eq!(settled.next, Err(Error::Closed)),
                _ => assert_eq!(job(settled.next).id, 2),
            }
        }
    });
}

#[test]
fn a_claim_that_is_lost_is_not_settled() {
    let (_file, database) = open();
    let id = enqueue(&database, "q", "p");
    let mut worker = worker(&database, "q", no_fallback());
    let claimed = job(worker.next(1, NOW));
    assert!(database.cancel(id).unwrap());
    let settled = worker.settle_and_next(&[retry(&claimed, 0, "again")], 1, NOW).unwrap();
    assert_eq!(settled.held, [Ok(false)]);
    assert_timeout(settled.next);
}
