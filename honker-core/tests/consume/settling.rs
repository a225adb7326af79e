//! Settling jobs and claiming the next ones in one step: all of it or nothing, and never in secret.

use std::time::Duration;

use honker_core::Error;
use honker_core::consume::{Settlement, Verdict};

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
    assert_eq!(settled.held, [true, true, true, false, false]);
    // What was retried is due as well, behind what became due earlier or has a lower number.
    let mut ids: Vec<_> = jobs(settled.next).iter().map(|job| job.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [2, 4, 5]);
    assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 3);
    assert_eq!(file.count("SELECT count(*) FROM _honker_dead WHERE id = 3 AND last_error = 'never'"), 1);
}

#[test]
fn what_cannot_be_settled_undoes_the_rest() {
    let (file, database) = open();
    for _ in 0..3 {
        enqueue(&database, "q", "p");
    }
    let mut worker = worker(&database, "q", no_fallback());
    let claimed = jobs(worker.next(2, NOW));
    let (first, second) = (&claimed[0], &claimed[1]);
    let outcome = worker.settle_and_next(&[ack(first), retry(second, i64::MAX, "again")], 1, NOW);
    assert!(matches!(&outcome, Err(Error::Invalid(message)) if message.contains("delay_s")), "{outcome:?}");
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE state = 'processing'"), 2);
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE state = 'pending'"), 1);
    let settled = worker.settle_and_next(&[ack(first), retry(second, 60, "again")], 1, NOW).unwrap();
    assert_eq!(settled.held, [true, true]);
    assert_eq!(job(settled.next).id, 3);
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
    assert_eq!(settled.held, [true]);
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
        assert_eq!(settled.held, [held]);
        assert_timeout(settled.next);
    }
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE state = 'pending'"), 1);
    // That it took none does not mean that there is none.
    let third = job(worker.next(1, NOW));
    assert_eq!(third.id, 3);
    assert_eq!(worker.settle(&[ack(&third)]).unwrap(), [true]);
    assert_eq!(worker.settle(&[ack(&third)]).unwrap(), [false]);
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
            assert_eq!(settled.held, [true], "{how}");
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
    assert_eq!(settled.held, [false]);
    assert_timeout(settled.next);
}
