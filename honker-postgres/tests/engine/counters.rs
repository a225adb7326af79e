//! What is counted of a process's own calls.

use honker_core::counters::{QueueMetrics, Totals};
use honker_core::database::Database;
use honker_core::queue::{Delay, Enqueue, Outcome, Settlement, Turn};

use crate::support::{Server, claim, count, enqueue};

fn of(database: &Database, queue: &str) -> QueueMetrics {
    let metrics = database.metrics().unwrap();
    metrics.queues.into_iter().find(|it| it.queue == queue).unwrap()
}

#[test]
fn all_that_becomes_of_jobs_is_counted() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let jobs: Vec<_> = (0..8).map(|_| Enqueue { max_attempts: Some(2), ..Enqueue::new("q", "p") }).collect();
    database.enqueue_many(&jobs).unwrap();
    let id = |at: usize, jobs: &[honker_core::queue::ClaimedJob]| jobs[at].id;
    let jobs = claim(&database, "q", "w", 8);
    assert!(database.ack(id(0, &jobs), "w").unwrap());
    assert!(!database.ack(id(0, &jobs), "w").unwrap());
    assert_eq!(database.ack_batch(&[id(1, &jobs), id(2, &jobs)], "w").unwrap(), 2);
    assert!(database.retry(id(3, &jobs), "w", 60, "e").unwrap());
    assert!(database.release(id(4, &jobs), "w", 60).unwrap());
    assert!(database.fail(id(5, &jobs), "w", "e").unwrap());
    assert!(database.cancel(id(6, &jobs)).unwrap());
    let settle = |outcome| Settlement { id: id(7, &jobs), outcome };
    let retry = settle(Outcome::Retry { delay: Delay::Given(0), error: "e".to_owned() });
    assert!(database.settle("w", &retry).unwrap());
    let turn = Turn {
        worker_id: "w",
        timeout_s: 300,
        settlements: &[],
        held: &[],
        prolong: false,
        queues: &[("q", 1)],
        frees: &[],
        n: 1,
    };
    assert_eq!(database.turn(&turn).unwrap().claimed.len(), 1);
    // Its second attempt, which is its last.
    assert!(database.settle("w", &retry).unwrap());
    let metrics = of(&database, "q");
    let counts = Totals { enqueued: 8, claimed: 9, done: 3, retried: 2, released: 1, dead: 2, cancelled: 1 };
    assert_eq!(metrics.counts, counts);
    assert_eq!(metrics.wait.buckets.iter().map(|bucket| bucket.count).sum::<i64>(), 9);
    // Not that which was cancelled: that was not its worker's doing.
    assert_eq!(metrics.run.buckets.iter().map(|bucket| bucket.count).sum::<i64>(), 8);
    assert_eq!(metrics.depth.dead, 2);
    assert_eq!(of(&database, "q").counts, counts);
}

#[test]
fn what_is_rolled_back_or_refused_is_not_counted() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut transaction = database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
    transaction.rollback().unwrap();
    let mut transaction = database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
    assert!(transaction.enqueue_many(&[Enqueue::new("q", "p"), Enqueue::new("q", "\0")]).is_err());
    transaction.commit().unwrap();
    server.client().batch_execute("SELECT honker.honker_enqueue('q', 'not by this process')").unwrap();
    assert_eq!(of(&database, "q").counts, Totals { enqueued: 1, ..Totals::default() });
}

#[test]
fn what_others_have_claimed_and_what_goes_by_itself_is_counted_by_its_queue() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    server
        .client()
        .batch_execute(
            "SELECT honker.honker_enqueue('q', n::text) FROM generate_series(1, 3) n;
             SELECT honker.honker_claim_batch('q', 'w', 3, 300)",
        )
        .unwrap();
    assert!(database.ack(1, "w").unwrap());
    assert_eq!(database.ack_batch(&[2, 3], "w").unwrap(), 2);
    database.enqueue(&Enqueue { expires_s: Some(0), ..Enqueue::new("late", "p") }).unwrap();
    assert_eq!(database.sweep_expired("late").unwrap(), 1);
    let batch = database.batch_create(r#"{"on_finished":{"queue":"next","payload":"p"}}"#).unwrap();
    let id = database.enqueue(&Enqueue { batch_id: Some(batch), ..Enqueue::new("member", "p") }).unwrap().id;
    database.batch_seal(batch).unwrap();
    claim(&database, "member", "w", 1);
    assert!(database.ack(id, "w").unwrap());
    assert_eq!(of(&database, "q").counts, Totals { done: 3, ..Totals::default() });
    assert_eq!(of(&database, "late").counts, Totals { enqueued: 1, dead: 1, ..Totals::default() });
    assert_eq!(of(&database, "next").counts.enqueued, 1);
}

#[test]
fn counts_are_added_when_the_database_is_closed_and_not_for_each_call() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    for _ in 0..20 {
        enqueue(&database, "q", "p");
    }
    let other = server.open();
    assert_eq!(count(&other, "honker._honker_counters"), 0);
    database.close().unwrap();
    assert_eq!(of(&other, "q").counts.enqueued, 20);
}
