//! What is counted, when it is in the file, and what is not counted.

use std::time::Duration;

use honker_core::counters::QueueMetrics;
use honker_core::database::{Database, Options};
use honker_core::queue::{Claim, Enqueue};

use crate::clock;
use crate::support::*;

/// What others find in the file.
fn in_file(file: &File, queue: &str) -> Option<QueueMetrics> {
    let database = file.database(&Options::default());
    database.metrics().unwrap().queues.into_iter().find(|metrics| metrics.queue == queue)
}

fn claim(database: &Database, queue: &str) -> Vec<i64> {
    let claim = Claim { queue, worker_id: "w", n: -1, timeout_s: 300 };
    database.claim(&claim).unwrap().into_iter().map(|job| job.id).collect()
}

#[test]
fn a_database_counts_what_it_has_committed() {
    let (file, database) = open();
    let ids: Vec<i64> = (0..6).map(|_| enqueue(&database, "q", "p")).collect();
    enqueue(&database, "other", "p");
    // Undone, refused, or about nothing.
    let mut transaction = database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
    drop(transaction);
    assert!(!database.ack(ids[0], "w").unwrap());
    assert!(!database.cancel(999).unwrap());
    assert!(database.enqueue(&Enqueue { delay_s: Some(i64::MAX), ..Enqueue::new("q", "p") }).is_err());
    file.plain().execute("INSERT INTO _honker_live (queue, payload) VALUES ('q', 'raw')", []).unwrap();
    database.cancel(ids[5]).unwrap();
    let mut transaction = database.begin().unwrap();
    transaction.enqueue_many(&[Enqueue::new("q", "p"), Enqueue::new("q", "p")]).unwrap();
    transaction.commit().unwrap();

    let claimed = claim(&database, "q");
    assert_eq!(claimed.len(), 8);
    assert!(database.ack(ids[0], "w").unwrap());
    assert_eq!(database.ack_batch(&[ids[1], 999], "w").unwrap(), 1);
    assert!(database.retry(ids[2], "w", 60, "e").unwrap());
    assert!(database.release(ids[3], "w", 60).unwrap());
    assert!(database.fail(ids[4], "w", "e").unwrap());
    // Of a job that another process has claimed.
    let other = file.database(&Options::default());
    assert!(other.ack(claimed[7], "w").unwrap());
    other.close().unwrap();
    database.close().unwrap();

    let found = in_file(&file, "q").unwrap();
    let counts = &found.counts;
    assert_eq!((counts.enqueued, counts.claimed, counts.done), (8, 8, 3));
    assert_eq!((counts.retried, counts.released, counts.dead, counts.cancelled), (1, 1, 1, 1));
    assert_eq!(found.wait.buckets.iter().map(|bucket| bucket.count).sum::<i64>(), 8);
    // The other process does not know how long the job took.
    assert_eq!(found.run.buckets.iter().map(|bucket| bucket.count).sum::<i64>(), 5);
    let depth = &found.depth;
    assert_eq!((depth.due, depth.delayed, depth.processing, depth.dead), (0, 2, 2, 1));
    assert_eq!(depth.oldest_due_age_s, None);
    assert_eq!(in_file(&file, "other").unwrap().counts.enqueued, 1);
}

#[test]
fn a_histogram_says_how_long_jobs_waited_and_ran() {
    alone("metrics::a_histogram_says_how_long_jobs_waited_and_ran", || {
        let (file, database) = open();
        let now = clock::stop_wall();
        for waited_s in [0, 1, 14, 15, 100_000] {
            enqueue_at(&database, "q", now - waited_s);
        }
        let ids = claim(&database, "q");
        clock::set_monotonic(5_500);
        assert_eq!(database.ack_batch(&ids, "w").unwrap(), 5);
        database.close().unwrap();
        let found = in_file(&file, "q").unwrap();
        let counted = |buckets: &[honker_core::counters::Bucket]| -> Vec<(Option<f64>, i64)> {
            let counted = buckets.iter().filter(|bucket| bucket.count > 0);
            counted.map(|bucket| (bucket.up_to_s, bucket.count)).collect()
        };
        let waits = [(Some(1.0), 1), (Some(2.0), 1), (Some(15.0), 1), (Some(60.0), 1), (None, 1)];
        assert_eq!(counted(&found.wait.buckets), waits);
        assert_eq!(counted(&found.run.buckets), [(Some(15.0), 5)]);
        assert!(found.run.sum_s >= 5.0 * 5.5);
    });
}

/// By a commit that is made anyway, every ten seconds.
#[test]
fn counts_are_in_the_file_after_ten_seconds() {
    alone("metrics::counts_are_in_the_file_after_ten_seconds", || {
        let (file, database) = open();
        enqueue(&database, "q", "p");
        // Some seconds are left to a machine that stops meanwhile.
        clock::set_monotonic(5_000);
        enqueue(&database, "q", "p");
        assert_eq!(in_file(&file, "q").unwrap().counts.enqueued, 0);
        clock::set_monotonic(10_001);
        // Nothing to commit.
        assert!(!database.cancel(999).unwrap());
        assert_eq!(in_file(&file, "q").unwrap().counts.enqueued, 0);
        // It is counted with the next ones.
        enqueue(&database, "q", "p");
        assert_eq!(in_file(&file, "q").unwrap().counts.enqueued, 2);
        clock::set_monotonic(25_000);
        let mut transaction = database.begin().unwrap();
        transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
        drop(transaction);
        assert_eq!(in_file(&file, "q").unwrap().counts.enqueued, 2);
        let mut transaction = database.begin().unwrap();
        transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
        transaction.commit().unwrap();
        assert_eq!(in_file(&file, "q").unwrap().counts.enqueued, 3);
        database.close().unwrap();
        assert_eq!(in_file(&file, "q").unwrap().counts.enqueued, 4);
    });
}

fn own(database: &Database, queue: &str) -> QueueMetrics {
    database.metrics().unwrap().queues.into_iter().find(|metrics| metrics.queue == queue).unwrap()
}

/// Whoever asks the database that has counted need not wait until the counts are in the file.
#[test]
fn a_database_tells_what_it_has_counted_and_not_added_yet() {
    alone("metrics::a_database_tells_what_it_has_counted_and_not_added_yet", || {
        let (file, database) = open();
        let id = enqueue(&database, "q", "p");
        assert_eq!(claim(&database, "q"), [id]);
        assert!(database.ack(id, "w").unwrap());
        assert_eq!(in_file(&file, "q").map_or(0, |metrics| metrics.counts.enqueued), 0);
        let found = own(&database, "q");
        assert_eq!((found.counts.enqueued, found.counts.claimed, found.counts.done), (1, 1, 1));
        assert_eq!(found.wait.buckets.iter().map(|bucket| bucket.count).sum::<i64>(), 1);
        assert_eq!(found.run.buckets.iter().map(|bucket| bucket.count).sum::<i64>(), 1);
        // In a transaction, and through SQL there, what is committed counts.
        let mut transaction = database.begin().unwrap();
        transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
        let found = transaction.metrics().unwrap().queues.remove(0);
        assert_eq!((found.counts.enqueued, found.depth.due), (1, 1));
        let rows = transaction.query("SELECT honker_metrics() ->> '$.queues[0].counts.done'", &[]).unwrap();
        assert_eq!(rows.rows[0][0], honker_core::database::Value::Integer(1));
        drop(transaction);
        // Once they are in the file they count as often.
        clock::set_monotonic(10_001);
        enqueue(&database, "q", "p");
        assert_eq!(in_file(&file, "q").unwrap().counts.enqueued, 1);
        assert_eq!(own(&database, "q").counts.enqueued, 2);
        enqueue(&database, "q", "p");
        assert_eq!(in_file(&file, "q").unwrap().counts.enqueued, 1);
        assert_eq!(own(&database, "q").counts.enqueued, 3);
    });
}

/// While one thread enqueues and its counts are added again and again, no other sees a job twice or not at all.
#[test]
fn what_is_being_added_is_counted_once() {
    alone("metrics::what_is_being_added_is_counted_once", || {
        let (_file, database) = open();
        let enqueued = std::sync::atomic::AtomicI64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=400 {
                    clock::set_monotonic(round * 10_001);
                    enqueue(&database, "q", "p");
                    enqueued.store(round, std::sync::atomic::Ordering::SeqCst);
                }
            });
            loop {
                let before = enqueued.load(std::sync::atomic::Ordering::SeqCst);
                let found =
                    database.metrics().unwrap().queues.first().map_or(0, |queue| queue.counts.enqueued);
                let after = enqueued.load(std::sync::atomic::Ordering::SeqCst);
                // One may be committed and not said to be.
                assert!(before <= found && found <= after + 1, "{before} {found} {after}");
                if before == 400 {
                    break;
                }
            }
        });
    });
}

/// A table that cannot be written to keeps no job from being enqueued, and loses no count.
#[test]
fn counts_that_are_refused_are_kept() {
    alone("metrics::counts_that_are_refused_are_kept", || {
        let (file, database) = open();
        let plain = file.plain();
        let refuse =
            "CREATE TRIGGER refuse BEFORE INSERT ON _honker_counters BEGIN SELECT RAISE(ABORT, 'no'); END";
        plain.execute_batch(refuse).unwrap();
        for second in [0, 11, 22] {
            clock::set_monotonic(second * 1_000);
            enqueue(&database, "q", "p");
        }
        assert_eq!(in_file(&file, "q").unwrap().counts.enqueued, 0);
        plain.execute_batch("DROP TRIGGER refuse").unwrap();
        clock::set_monotonic(33_000);
        enqueue(&database, "q", "p");
        assert_eq!(in_file(&file, "q").unwrap().counts.enqueued, 3);
    });
}

/// Old minutes are one, so that totals only grow.
#[test]
fn maintenance_adds_up_what_is_older_than_a_day() {
    let (file, database) = open();
    let minute = clock::second() / 60;
    let plain = file.plain();
    for (minute, value) in [(minute - 1_441, 1), (minute - 1_500, 2), (minute - 1_000, 4)] {
        let sql = "INSERT INTO _honker_counters VALUES (?1, 'q', 'done', ?2)";
        plain.execute(sql, [minute, value]).unwrap();
    }
    // Whoever works a queue does it.
    let mut worker = worker(&database, "q", no_fallback());
    until("they are one", || {
        assert_timeout(worker.next(1, NOW));
        file.count("SELECT count(*) FROM _honker_counters WHERE minute = 0 AND name = 'done' AND value = 3")
            == 1
    });
    assert_eq!(file.count("SELECT count(*) FROM _honker_counters WHERE name = 'done'"), 2);
    assert_eq!(in_file(&file, "q").unwrap().counts.done, 7);
}

/// Of which there is nothing but done jobs that are kept: what was counted of it is not in the file yet.
#[test]
fn a_queue_is_there_before_its_counts() {
    let (file, database) = open();
    database.queue_configure("q", r#"{"keep_done_s":60}"#).unwrap();
    let id = enqueue(&database, "q", "p");
    assert_eq!(claim(&database, "q"), [id]);
    assert!(database.ack(id, "w").unwrap());
    file.plain().execute("DELETE FROM _honker_queues", []).unwrap();
    assert_eq!(in_file(&file, "q").unwrap().depth.due, 0);
}

/// Jobs that are acked together are removed by one statement if all of them are held, and otherwise one by one.
#[test]
fn of_jobs_that_are_acked_together_those_count_that_were_held() {
    let (file, database) = open();
    let ids: Vec<i64> = (0..150).map(|_| enqueue(&database, "q", "p")).collect();
    assert_eq!(claim(&database, "q").len(), 150);
    let lose = |id: i64| {
        assert_eq!(file.plain().execute("DELETE FROM _honker_live WHERE id = ?1", [id]).unwrap(), 1);
    };
    assert_eq!(database.ack_batch(&ids[..60], "w").unwrap(), 60);
    // One is gone, one is given twice, one is somebody else's.
    lose(ids[60]);
    assert_eq!(database.ack_batch(&ids[60..70], "w").unwrap(), 9);
    assert_eq!(database.ack_batch(&[ids[70], ids[71], ids[70]], "w").unwrap(), 2);
    assert_eq!(database.ack_batch(&ids[72..75], "other").unwrap(), 0);
    // In a transaction what is undone and done again is no more than that.
    lose(ids[80]);
    let mut transaction = database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("other", "p")).unwrap();
    assert_eq!(transaction.ack_batch(&ids[80..90], "w").unwrap(), 9);
    transaction.commit().unwrap();
    let mut transaction = database.begin().unwrap();
    assert_eq!(transaction.ack_batch(&ids[90..100], "w").unwrap(), 10);
    drop(transaction);
    // Within a statement that writes nothing can be undone alone.
    lose(ids[100]);
    let mut transaction = database.begin().unwrap();
    transaction.execute("CREATE TABLE acked (n)", &[]).unwrap();
    let some = serde_json::to_string(&ids[100..110]).unwrap();
    let sql = format!("INSERT INTO acked VALUES (honker_ack_batch('{some}', 'w'))");
    transaction.execute(&sql, &[]).unwrap();
    transaction.commit().unwrap();
    assert_eq!(file.count("SELECT n FROM acked"), 9);
    database.close().unwrap();

    let found = in_file(&file, "q").unwrap();
    assert_eq!(
        (found.counts.enqueued, found.counts.claimed, found.counts.done),
        (150, 150, 60 + 9 + 2 + 9 + 9)
    );
    assert_eq!(found.run.buckets.iter().map(|bucket| bucket.count).sum::<i64>(), 89);
    assert_eq!(found.depth.processing, 150 - 89 - 3);
    assert_eq!(in_file(&file, "other").unwrap().counts.enqueued, 1);
}

/// What is not remembered of a claim is only how long its job ran. Ids as far apart as these share a place.
#[test]
fn jobs_whose_claim_is_forgotten_are_counted_all_the_same() {
    let (file, database) = open();
    let ids = [-5, 1, 2, 1 + 256, 1 + (1 << 15), 1 + (2 << 15), (1 << 62) + 7];
    for id in ids {
        let sql = "INSERT INTO _honker_live (id, queue, payload) VALUES (?1, 'q', 'p')";
        file.plain().execute(sql, [id]).unwrap();
    }
    assert_eq!(claim(&database, "q"), ids);
    // Of the three that share a place the last one is remembered, and stays so.
    assert!(database.ack(1, "w").unwrap());
    assert_eq!(database.ack_batch(&[2, 1 + 256, 1 + (1 << 15)], "w").unwrap(), 3);
    assert!(database.ack((1 << 62) + 7, "w").unwrap());
    database.close().unwrap();
    let found = in_file(&file, "q").unwrap();
    assert_eq!((found.counts.claimed, found.counts.done), (7, 5));
    assert_eq!(found.run.buckets.iter().map(|bucket| bucket.count).sum::<i64>(), 3);
}

/// What a call of a shared commit did that was undone alone does not count.
#[test]
fn what_a_deferred_key_refuses_does_not_count() {
    let (file, database) = open();
    file.plain()
        .execute_batch(
            "CREATE TABLE invoice (job INTEGER REFERENCES _honker_live (id) DEFERRABLE INITIALLY DEFERRED)",
        )
        .unwrap();
    let ids: Vec<i64> = (0..20).map(|_| enqueue(&database, "q", "p")).collect();
    file.plain().execute("INSERT INTO invoice VALUES (?1)", [ids[0]]).unwrap();
    assert_eq!(claim(&database, "q").len(), 20);
    // They wait for this one, and share a commit with the one that is refused.
    let transaction = database.begin().unwrap();
    std::thread::scope(|scope| {
        for id in &ids {
            let database = &database;
            let is_billed = *id == ids[0];
            scope.spawn(move || assert_eq!(database.ack(*id, "w").is_err(), is_billed));
        }
        std::thread::sleep(Duration::from_millis(200));
        drop(transaction);
    });
    database.close().unwrap();
    let found = in_file(&file, "q").unwrap();
    assert_eq!((found.counts.claimed, found.counts.done, found.depth.processing), (20, 19, 1));
}

/// To find out whether a job was claimed here costs the same however much a transaction does.
#[test]
fn many_jobs_of_others_are_acked_at_the_cost_of_few() {
    let (file, database) = open();
    let ack = |count: i64| {
        let plain = file.plain();
        plain
            .execute(
                "INSERT INTO _honker_live (queue, payload, state, worker_id, claim_expires_at, attempts)
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                 SELECT 'q', 'p', 'processing', 'w', 1 << 40, 1 FROM n",
                [count],
            )
            .unwrap();
        let mut ids = plain.prepare("SELECT id FROM _honker_live").unwrap();
        let ids: Vec<i64> = ids.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let before = cpu_time();
        assert_eq!(database.ack_batch(&ids, "w"), Ok(count));
        cpu_time() - before
    };
    let (few, many) = (ack(4_000), ack(40_000));
    assert!(many < few * 25, "{few:?} for a tenth of what took {many:?}");
}
