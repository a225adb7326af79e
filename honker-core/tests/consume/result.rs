//! Waiting for a job's result.

use std::time::Duration;

use honker_core::consume::ResultWait;
use honker_core::database::Database;

use crate::support::*;

fn wait_for(database: &Database, job_id: i64) -> ResultWait {
    ResultWait::new(database, job_id).unwrap()
}

#[test]
fn a_result_that_is_there_is_returned_at_once_and_again() {
    let (_file, database) = open();
    save_result(&database, 7, "null");
    let mut wait = wait_for(&database, 7);
    assert_eq!(item(wait.next(NOW)), "null");
    save_result(&database, 7, "");
    assert_eq!(item(wait.next(NOW)), "");
    assert_timeout(wait_for(&database, 8).next(NOW));
}

#[test]
fn a_result_that_comes_wakes_who_waits_for_it() {
    let (_file, database) = open();
    let mut wait = wait_for(&database, 7);
    save_result(&database, 8, "other");
    assert_timeout(wait.next(Some(Duration::from_millis(20))));
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let mut wait = wait_for(&database, 7);
            Thread::start(move || item(wait.next(LONG)))
        })
        .collect();
    assert_eq!(woken_by(move || item(wait.next(LONG)), || save_result(&database, 7, "{}")), "{}");
    waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join(), "{}"));
}

#[test]
fn a_result_that_has_expired_is_none() {
    let (_file, database) = open();
    database.result_save(7, "old", 60).unwrap();
    let mut transaction = database.begin().unwrap();
    transaction.execute("UPDATE _honker_results SET expires_at = expires_at - 60", &[]).unwrap();
    transaction.commit().unwrap();
    let mut wait = wait_for(&database, 7);
    assert_timeout(wait.next(Some(Duration::from_millis(20))));
    database.result_save(7, "new", 60).unwrap();
    assert_eq!(item(wait.next(LONG)), "new");
}

#[test]
fn a_job_that_dies_has_no_result() {
    let (_file, database) = open();
    let id = enqueue(&database, "q", "p");
    let mut worker = worker(&database, "q", no_fallback());
    let mut wait = wait_for(&database, id);
    job(worker.next(1, NOW));
    assert!(database.fail(id, "w", "e").unwrap());
    assert_timeout(wait.next(Some(Duration::from_millis(100))));
}
