//! Who works a queue, or leads the schedules, makes the run of maintenance beside that.

use honker_core::consume::Leader;
use honker_core::database::Database;
use honker_core::queue::Enqueue;

use crate::support::*;

/// A file with so many dead jobs to remove.
fn untidy(rows: usize) -> (File, Database) {
    let (file, database) = open();
    database.queue_configure("q", r#"{"keep_dead_s":0}"#).unwrap();
    file.plain()
        .execute_batch(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO _honker_dead (id, queue, payload, died_at) SELECT -i, 'q', 'p', 1 FROM n"
        ))
        .unwrap();
    (file, database)
}

fn is_tidy(file: &File) -> bool {
    file.count("SELECT count(*) FROM _honker_dead") == 0
}

#[test]
fn a_worker_tidies_up_while_it_waits() {
    guarded(|| {
        let (file, database) = untidy(2_500);
        let mut worker = worker(&database, "q", no_fallback());
        until("the dead are gone", || {
            assert_timeout(worker.next(1, NOW));
            is_tidy(&file)
        });
        assert_eq!(file.count("SELECT count(*) FROM _honker_settings WHERE name = 'maintenance'"), 1);
    });
}

/// For some milliseconds at a time: the jobs that are there come first, and none waits for the end of the run.
#[test]
fn a_worker_works_while_it_tidies_up() {
    guarded(|| {
        let (file, database) = untidy(200_000);
        let mut worker = worker(&database, "q", no_fallback());
        let id = database.enqueue(&Enqueue::new("q", "p")).unwrap().id;
        let claimed = job(worker.next(1, LONG));
        assert_eq!(claimed.id, id);
        assert!(!is_tidy(&file));
    });
}

#[test]
fn the_leader_tidies_up_and_a_minute_passes_before_the_next_does() {
    guarded(|| {
        let (file, database) = untidy(2_500);
        let mut leader = Leader::new(&database, "a").unwrap();
        until("the dead are gone", || {
            assert_timeout(leader.next(NOW));
            is_tidy(&file)
        });
        file.plain()
            .execute("INSERT INTO _honker_dead (id, queue, payload, died_at) VALUES (-1, 'q', 'p', 1)", [])
            .unwrap();
        let mut worker = worker(&database, "q", no_fallback());
        for _ in 0..20 {
            assert_timeout(worker.next(1, NOW));
        }
        assert!(!is_tidy(&file));
    });
}

/// A program that only makes single calls, each with a worker of its own, comes to the end of a run.
#[test]
fn single_calls_tidy_up_as_well() {
    guarded(|| {
        let (file, database) = untidy(10);
        database.queue_configure("q", r#"{"keep_done_s":0}"#).unwrap();
        let batch_id = database.batch_create(r#"{"keep_s":0}"#).unwrap();
        database.batch_seal(batch_id).unwrap();
        file.plain()
            .execute("INSERT INTO _honker_unique VALUES ('q', 'k', 99, 'settled', NULL)", [])
            .unwrap();
        let left = "SELECT (SELECT count(*) FROM _honker_batches) + (SELECT count(*) FROM _honker_unique)";
        until("all of it is done", || {
            // As if a minute had passed.
            file.plain().execute("DELETE FROM _honker_settings WHERE name = 'maintenance'", []).unwrap();
            assert_timeout(worker(&database, "q", no_fallback()).next(1, NOW));
            is_tidy(&file) && file.count(left) == 0
        });
    });
}
