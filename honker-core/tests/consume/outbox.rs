//! An outbox: deliveries that fail come back later and later, exactly as often as they may.

use honker_core::consume::{Next, Outbox, OutboxOptions, queue_of};
use honker_core::database::Database;
use honker_core::queue::Enqueue;

use crate::clock;
use crate::support::*;

fn put(database: &Database, max_attempts: i64) -> i64 {
    let job = Enqueue { max_attempts: Some(max_attempts), ..Enqueue::new("_outbox:mail", "{\"to\":1}") };
    database.enqueue(&job).unwrap().id
}

fn outbox(database: &Database, options: OutboxOptions) -> Outbox {
    Outbox::new(database, "mail", "w", OutboxOptions { fallback: None, ..options }).unwrap()
}

const AT_ONCE: OutboxOptions = OutboxOptions { visibility_timeout_s: 60, base_backoff_s: 0, fallback: None };

#[test]
fn the_defaults_are_those_of_every_package() {
    let options = OutboxOptions::default();
    assert_eq!((options.visibility_timeout_s, options.base_backoff_s), (60, 5));
    assert_eq!(options.fallback, Some(std::time::Duration::from_secs(5)));
    assert_eq!(queue_of("mail"), "_outbox:mail");
}

#[test]
fn what_is_delivered_is_gone() {
    let (file, database) = open();
    enqueue(&database, "mail", "not an outbox");
    let mut outbox = outbox(&database, OutboxOptions::default());
    assert_timeout(outbox.next(NOW));
    let (job, outbox) = woken_by(move || (item(outbox.next(LONG)), outbox), || put(&database, 5));
    assert_eq!((job.payload.as_str(), job.attempts), ("{\"to\":1}", 1));
    assert!(outbox.delivered(job.id).unwrap());
    assert!(!outbox.delivered(job.id).unwrap());
    assert_eq!(file.count("SELECT count(*) FROM _honker_live WHERE queue = '_outbox:mail'"), 0);
}

#[test]
fn a_failed_delivery_waits_twice_as_long_each_time() {
    let (_file, database) = open();
    let id = put(&database, 5);
    let mut outbox = outbox(&database, OutboxOptions::default());
    for (attempts, delay_s) in [(1, 5), (2, 10), (3, 20), (4, 40)] {
        let job = item(outbox.next(NOW));
        assert_eq!(job.attempts, attempts);
        let before = clock::second();
        assert!(outbox.failed(job.id, job.attempts, "down").unwrap());
        let run_at = database.get_job(id).unwrap().unwrap().run_at;
        assert!((before..=clock::second()).contains(&(run_at - delay_s)), "{run_at}");
        assert_timeout(outbox.next(NOW));
        // It is time.
        let mut transaction = database.begin().unwrap();
        transaction.execute("UPDATE _honker_live SET run_at = 0", &[]).unwrap();
        transaction.commit().unwrap();
    }
}

/// The budget is the job's own.
#[test]
fn it_is_delivered_as_often_as_it_may_be_and_then_dead() {
    let (file, database) = open();
    let mut outbox = outbox(&database, AT_ONCE);
    for max_attempts in [1, 3, 5] {
        let id = put(&database, max_attempts);
        let mut delivered = 0;
        while let Next::Item(job) = outbox.next(NOW).unwrap() {
            assert_eq!(job.id, id);
            delivered += 1;
            assert!(outbox.failed(id, job.attempts, &format!("failure {delivered}")).unwrap());
        }
        assert_eq!(delivered, max_attempts);
        let dead = database.dead_list(Some("_outbox:mail"), 1).unwrap().remove(0);
        assert_eq!((dead.id, dead.attempts), (id, max_attempts));
        assert_eq!(dead.last_error.unwrap(), format!("failure {max_attempts}"));
    }
    assert_eq!(file.count("SELECT count(*) FROM _honker_live"), 0);
}

#[test]
fn a_delivery_that_hangs_goes_to_another_worker() {
    let (_file, database) = open();
    put(&database, 5);
    let mut slow = outbox(&database, OutboxOptions { visibility_timeout_s: 0, ..AT_ONCE });
    let hung = item(slow.next(NOW));
    let mut other = Outbox::new(&database, "mail", "other", AT_ONCE).unwrap();
    let job = item(other.next(LONG));
    assert_eq!((job.id, job.attempts), (hung.id, 2));
    assert!(!slow.delivered(hung.id).unwrap());
    assert!(!slow.failed(hung.id, hung.attempts, "late").unwrap());
    assert!(other.delivered(job.id).unwrap());
}

#[test]
fn it_is_woken_through_its_worker() {
    let (_file, database) = open();
    let mut outbox = outbox(&database, AT_ONCE);
    let waker = outbox.waiter();
    assert_woken(woken_by(move || outbox.next(None), move || waker.wake()));
}
