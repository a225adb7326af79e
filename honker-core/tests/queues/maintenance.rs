//! What maintenance does with whatever somebody's SQL has left behind, and that it is one run a minute.

use honker_core::maintenance;
use honker_core::queue::{self, Enqueue};

use crate::support::*;

#[test]
fn there_is_one_run_a_minute_and_none_for_a_plain_file() {
    let file = File::new();
    let id = file.enqueue();
    assert_eq!(file.claim(1), [id]);
    let before = file.dump();
    assert!(!file.maintain());
    assert_eq!(file.dump(), before);
    file.configure(r#"{"keep_done_s":1}"#);
    assert!(file.maintain());
    for after in [0, 1, 59] {
        assert!(!file.at(NOW + after).maintain(), "{after}");
    }
    assert!(file.at(NOW + 60).maintain());
    assert!(!file.at(NOW + 119).maintain());
    // A clock that was set back keeps nobody from it.
    assert!(file.at(NOW + 59).maintain());
    assert!(!file.maintain());
    // Nor does what somebody has written there.
    file.run("UPDATE _honker_settings SET value = 'tomorrow'");
    assert!(file.maintain());
}

/// Who looked before another has begun does not begin as well.
#[test]
fn of_two_that_want_to_run_one_does() {
    let file = File::new();
    file.configure(r#"{"keep_done_s":1}"#);
    let due = || maintenance::is_due(&file.store, file.now()).unwrap();
    assert!(due() && due());
    assert!(maintenance::begin(&file.store, NOW).unwrap().is_some());
    assert!(maintenance::begin(&file.store, NOW).unwrap().is_none());
}

#[test]
fn done_jobs_go_with_what_belonged_to_them_when_their_time_is_over() {
    let file = File::new();
    file.configure(r#"{"keep_done_s":10}"#);
    queue::configure(&file.store, "r", r#"{"keep_done_s":100}"#).unwrap();
    for queue in ["q", "r"] {
        let job = Enqueue { metadata: Some("{}"), ..Enqueue::new(queue, "p") };
        let id = file.enqueue_with(&job);
        assert_eq!(queue::claim(&file.store, NOW, queue, "w", 1, 10).unwrap().len(), 1);
        assert!(file.ack(id));
    }
    let left = || {
        file.int("SELECT count(*) FROM _honker_done") * 10
            + file.int("SELECT count(*) FROM _honker_job_options")
    };
    file.at(NOW + 9).run_all_of_it();
    assert_eq!(left(), 22);
    file.at(NOW + 10).run_all_of_it();
    assert_eq!(left(), 11);
    // The setting that holds when it is looked at, also for jobs that were kept by another one.
    queue::configure(&file.store, "r", r#"{"keep_done_s":50}"#).unwrap();
    file.at(NOW + 49).run_all_of_it();
    assert_eq!(left(), 11);
    file.at(NOW + 50).run_all_of_it();
    assert_eq!(left(), 0);
}

#[test]
fn dead_jobs_go_if_their_queue_says_so() {
    let file = File::new();
    file.configure(r#"{"keep_dead_s":10}"#);
    for queue in ["q", "r"] {
        let id = file.enqueue_with(&Enqueue { metadata: Some("{}"), ..Enqueue::new(queue, "p") });
        assert_eq!(queue::claim(&file.store, NOW, queue, "w", 1, 10).unwrap().len(), 1);
        assert!(queue::fail(&file.store, NOW, id, "w", "e").unwrap());
    }
    let dead = || file.int("SELECT count(*) FROM _honker_dead");
    file.at(NOW + 9).run_all_of_it();
    assert_eq!(dead(), 2);
    file.at(NOW + 10).run_all_of_it();
    assert_eq!(file.text("SELECT group_concat(queue) FROM _honker_dead"), "r");
    assert_eq!(file.int("SELECT count(*) FROM _honker_job_options"), 1);
    file.at(NOW + 1_000_000).run_all_of_it();
    assert_eq!(dead(), 1);
}

#[test]
fn a_run_takes_as_many_transactions_as_it_needs() {
    let file = File::new();
    file.configure(r#"{"keep_dead_s":0,"keep_done_s":1}"#);
    file.run(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
         INSERT INTO _honker_dead (id, queue, payload, died_at) SELECT -i, 'q', 'p', {NOW} FROM n;
         INSERT INTO _honker_done (id, queue, payload, finished_at) SELECT id, queue, payload, {NOW} - 1 FROM _honker_dead;
         INSERT INTO _honker_job_options (job_id, metadata) SELECT -id, '{{}}' FROM _honker_dead"
    ));
    let rows = "SELECT (SELECT count(*) FROM _honker_dead) + (SELECT count(*) FROM _honker_done)
                     + (SELECT count(*) FROM _honker_job_options)";
    let mut before = file.int(rows);
    assert_eq!(before, 7_500);
    let mut run = maintenance::begin(&file.store, NOW).unwrap().unwrap();
    while !run.is_over() {
        run = file.maintenance_step(run);
        let now = file.int(rows);
        assert!(before - now <= 1_000, "{}", before - now);
        before = now;
    }
    assert_eq!(before, 0);
}

#[test]
fn rows_whose_job_is_nowhere_are_removed() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1,"keep_done_s":1000}"#);
    let job = Enqueue { metadata: Some("{}"), concurrency_key: Some("k"), ..Enqueue::new("q", "p") };
    let [live, dead, done, gone, waits] = [(); 5].map(|()| file.enqueue_with(&job));
    file.run("UPDATE _honker_queues SET settings = '{\"keep_done_s\":1000}'");
    assert_eq!(file.claim(4), [live, dead, done, gone]);
    assert!(queue::fail(&file.store, NOW, dead, "w", "e").unwrap() && file.ack(done));
    file.configure(r#"{"concurrency_per_key":2}"#);
    assert_eq!(file.claim(1), NONE);
    file.run(&format!(
        "DELETE FROM _honker_live WHERE id = {gone};
         INSERT INTO _honker_steps VALUES ({gone}, 's', '1'), ({gone}, 't', '1'), ({live}, 's', '1')"
    ));
    let ids = |sql: &str| file.text(&format!("SELECT group_concat(i) FROM ({sql} ORDER BY 1)"));
    file.run_all_of_it();
    let left = format!("{live},{dead},{done},{waits}");
    assert_eq!(ids("SELECT job_id AS i FROM _honker_job_options"), left);
    assert_eq!(ids("SELECT job_id AS i FROM _honker_steps"), live.to_string());
    assert_eq!(ids("SELECT job_id AS i FROM _honker_slots"), live.to_string());
    // The slot that came free was for the one that waits.
    assert_eq!(file.int("SELECT count(*) FROM _honker_blocked"), 0);
    assert_eq!(file.claim(-1), [waits]);
}

#[test]
fn rows_that_disagree_with_the_state_of_their_job_are_removed() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let ids: Vec<i64> = (0..4).map(|_| file.enqueue_key("k")).collect();
    assert_eq!(file.claim(-1), ids[..1]);
    // Somebody makes the running one pending, takes one that waits, and removes what says that another one waits.
    file.run(&format!(
        "UPDATE _honker_live SET state = 'pending', worker_id = NULL, claim_expires_at = NULL WHERE id = {};
         DELETE FROM _honker_live WHERE id = {};
         DELETE FROM _honker_blocked WHERE job_id = {}",
        ids[0], ids[1], ids[2]
    ));
    file.run_all_of_it();
    assert_eq!(file.int("SELECT count(*) FROM _honker_slots"), 0);
    assert_eq!(
        file.text("SELECT group_concat(id || state) FROM (SELECT * FROM _honker_live ORDER BY id)"),
        format!("{}pending,{}pending,{}pending", ids[0], ids[2], ids[3])
    );
    assert_eq!(file.claim(-1), [ids[0]]);
}

#[test]
fn unique_keys_that_nothing_holds_are_free() {
    let file = File::new();
    let live = file.enqueue();
    file.run(&format!(
        "INSERT INTO _honker_unique VALUES
           ('q', 'live', {live}, 'settled', NULL), ('q', 'gone', 98, 'settled', NULL),
           ('q', 'until', 99, 'settled', {NOW} + 5), ('q', 'over', 97, 'settled', {NOW} - 1),
           ('q', 'text', 96, 'settled', 'later'), ('q', 'blob', 95, 'settled', x'00')"
    ));
    let keys = || file.text("SELECT group_concat(key) FROM (SELECT key FROM _honker_unique ORDER BY 1)");
    file.run_all_of_it();
    assert_eq!(keys(), "live,until");
    file.at(NOW + 5).run_all_of_it();
    assert_eq!(keys(), "live,until");
    file.at(NOW + 6).run_all_of_it();
    assert_eq!(keys(), "live");
}

#[test]
fn malformed_rows_are_mended_although_nobody_claims() {
    let file = File::new();
    queue::configure(&file.store, "r", r#"{"paused":true}"#).unwrap();
    file.run(
        "INSERT INTO _honker_live (queue, payload, run_at) VALUES ('q', 'real', 5.5), ('r', 'real', 6.5);
         INSERT INTO _honker_live (queue, payload, run_at) VALUES ('q', 'text', 'soon'), ('r', x'00', 7);
         INSERT INTO _honker_live (queue, payload, state, attempts, claim_expires_at)
         VALUES ('r', 'held', 'processing', 1, 'never')",
    );
    file.run_all_of_it();
    assert_eq!(
        file.text("SELECT group_concat(queue || run_at) FROM (SELECT * FROM _honker_live ORDER BY id)"),
        "q6,r7"
    );
    assert_eq!(file.int("SELECT count(*) FROM _honker_dead WHERE last_error = 'malformed row'"), 3);
}

/// What a trigger refuses is passed over, and the run comes to its end.
#[test]
fn a_run_ends_whatever_a_trigger_refuses() {
    for refusal in ["RAISE(ABORT, 'no')", "RAISE(IGNORE)", "RAISE(ROLLBACK, 'no')"] {
        let file = File::new();
        file.configure(r#"{"keep_dead_s":0}"#);
        file.run(&format!(
            "INSERT INTO _honker_live (queue, payload, run_at) VALUES ('q', 'real', 5.5), ('q', 'text', 'soon');
             INSERT INTO _honker_dead (id, queue, payload, died_at) VALUES (-1, 'q', 'p', 1);
             INSERT INTO _honker_slots VALUES (77, 'q', 'k'), (78, 'q', 'k');
             CREATE TRIGGER a BEFORE UPDATE ON _honker_live BEGIN SELECT {refusal}; END;
             CREATE TRIGGER b BEFORE DELETE ON _honker_dead BEGIN SELECT {refusal}; END;
             CREATE TRIGGER c BEFORE DELETE ON _honker_slots WHEN old.job_id = 77 BEGIN SELECT {refusal}; END"
        ));
        file.run_all_of_it();
        assert_eq!(file.text("SELECT group_concat(job_id) FROM _honker_slots"), "77", "{refusal}");
        file.run("DROP TRIGGER a; DROP TRIGGER b; DROP TRIGGER c");
        file.run_all_of_it();
        assert_eq!(file.int("SELECT count(*) FROM _honker_slots"), 0);
        // The one that was unreadable died a moment ago, and is kept for no time at all.
        assert_eq!(file.int("SELECT count(*) FROM _honker_dead"), 0);
    }
}

/// Statements that walk a table or sort, and why they may.
const WALKS: [(&str, &str); 8] = [
    ("_honker_schema", "one row"),
    ("EXISTS (SELECT 1 FROM main._honker_", "whether there is a row"),
    ("names (name)", "the names of queues, each found by a step in an index"),
    ("name, settings FROM main._honker_queues", "all queues with settings"),
    ("topic, keep_s, keep_n FROM main._honker_streams", "all topics with settings"),
    ("_honker_stream_consumers", "all consumers"),
    ("WHERE 0", "looks at no row"),
    ("main.sqlite_master", "the schema"),
];

#[test]
fn no_statement_of_a_run_walks_a_table_beside_the_scans() {
    let file = File::new();
    file.configure(r#"{"keep_dead_s":0,"keep_done_s":1,"concurrency_per_key":1}"#);
    honker_core::stream::configure(&file.store, "t", r#"{"keep_s":1,"keep_n":1}"#).unwrap();
    honker_core::notify::configure(&file.store, r#"{"keep_s":1}"#).unwrap();
    let ids = [file.enqueue_key("k"), file.enqueue_key("k")];
    assert_eq!(file.claim(-1), ids[..1]);
    assert!(file.ack(ids[0]));
    file.run("INSERT INTO _honker_live (queue, payload, run_at) VALUES ('q', 'real', 5.5)");
    file.run_all_of_it();
    let statements = file.store.prepared_statements();
    assert!(statements.len() > 30, "{}", statements.len());
    for statement in statements {
        let mut explain = file.connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.sql)).unwrap();
        let mut rows = explain.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get("detail").unwrap();
            let walks = step.starts_with("SCAN")
                && step != "SCAN CONSTANT ROW"
                && !step.starts_with("SCAN (subquery");
            let may = WALKS.iter().any(|(part, _)| statement.sql.contains(part));
            assert!(may || !walks && !step.contains("TEMP B-TREE"), "{step} in {}", statement.sql);
        }
    }
}

/// Members that somebody else has removed count as done, unless they were counted already.
#[test]
fn members_of_a_batch_that_are_nowhere_are_counted_once() {
    let file = File::new();
    let batch_id = honker_core::batch::create(&file.store, NOW, "{}").unwrap();
    let job = Enqueue { batch_id: Some(batch_id), ..Enqueue::new("q", "p") };
    let [gone, dead, live] = [(); 3].map(|()| file.enqueue_with(&job));
    assert_eq!(file.claim(2), [gone, dead]);
    assert!(queue::fail(&file.store, NOW, dead, "w", "e").unwrap());
    file.run(&format!(
        "DELETE FROM _honker_live WHERE id = {gone}; DELETE FROM _honker_dead WHERE id = {dead}"
    ));
    file.run_all_of_it();
    file.run_all_of_it();
    assert_eq!(
        file.text("SELECT total || ' ' || pending || ' ' || done || ' ' || dead || ' ' || cancelled FROM _honker_batches"),
        "3 1 1 1 0"
    );
    assert_eq!(file.int("SELECT group_concat(job_id) + 0 FROM _honker_job_options"), live);
}

/// Wherever somebody's SQL has put them: into the dead, among the done, or to where they were purged meanwhile.
#[test]
fn members_of_a_batch_that_somebody_has_moved_finish_it() {
    let file = File::new();
    let callback = r#"{"on_finished":{"queue":"f","payload":"p"},"on_success":{"queue":"s","payload":"p"}}"#;
    let batch_id = honker_core::batch::create(&file.store, NOW, callback).unwrap();
    let job = Enqueue { batch_id: Some(batch_id), ..Enqueue::new("q", "p") };
    let [dead, done, purged, pending] = [(); 4].map(|()| file.enqueue_with(&job));
    for (id, table, columns) in
        [(dead, "dead", "died_at"), (done, "done", "finished_at"), (purged, "dead", "died_at")]
    {
        file.run(&format!(
            "INSERT INTO _honker_{table} (id, queue, payload, {columns}) SELECT id, queue || {id}, payload, 5
             FROM _honker_live WHERE id = {id}; DELETE FROM _honker_live WHERE id = {id}"
        ));
    }
    honker_core::batch::seal(&file.store, NOW, batch_id).unwrap();
    let counts = "SELECT total || ' ' || pending || ' ' || done || ' ' || dead || ' ' || ifnull(finished_at - 1700000000, '-') FROM _honker_batches";
    assert_eq!(file.text(counts), "4 4 0 0 -");
    assert_eq!(queue::dead_purge(&file.store, NOW, Some(&format!("q{purged}")), 0), Ok(1));
    assert_eq!(file.text(counts), "4 3 0 1 -");
    file.run_all_of_it();
    // The done job, which no queue keeps, is gone by now.
    assert_eq!(file.text(counts), "4 1 1 2 -");
    assert_eq!(queue::cancel(&file.store, NOW, pending), Ok(true));
    assert_eq!(file.text(counts), "4 0 1 2 0");
    file.at(NOW + 9).run_all_of_it();
    assert_eq!(file.text(counts), "4 0 1 2 0");

    // The last one.
    let batch_id = honker_core::batch::create(&file.store, NOW, callback).unwrap();
    let job = Enqueue { batch_id: Some(batch_id), ..Enqueue::new("q", "p") };
    let [last] = [(); 1].map(|()| file.enqueue_with(&job));
    honker_core::batch::seal(&file.store, NOW, batch_id).unwrap();
    file.run(&format!("DELETE FROM _honker_live WHERE id = {last}"));
    file.run_all_of_it();
    file.run_all_of_it();
    let of_batch = format!("SELECT finished_at - 1700000000 FROM _honker_batches WHERE id = {batch_id}");
    assert_eq!(file.int(&of_batch), 9);
    let callbacks = "SELECT group_concat(queue || ' ' || (metadata ->> 'batch_id')) FROM (
         SELECT * FROM _honker_live JOIN _honker_job_options ON job_id = id ORDER BY id)";
    assert_eq!(file.text(callbacks), "f 1,f 2,s 2");
    // And a dead one that somebody's SQL has put back is counted where it goes.
    file.run(&format!(
        "INSERT INTO _honker_live (id, queue, payload) SELECT id, 'q', payload FROM _honker_dead WHERE id = {dead};
         DELETE FROM _honker_dead WHERE id = {dead}"
    ));
    assert_eq!(queue::cancel(&file.store, NOW, dead), Ok(true));
    assert_eq!(
        file.text("SELECT done || ' ' || dead || ' ' || cancelled FROM _honker_batches WHERE id = 1"),
        "1 1 2"
    );
}

#[test]
fn a_done_member_that_is_kept_counts_once() {
    let file = File::new();
    file.configure(r#"{"keep_done_s":10}"#);
    let batch_id = honker_core::batch::create(&file.store, NOW, "{}").unwrap();
    let id = file.enqueue_with(&Enqueue { batch_id: Some(batch_id), ..Enqueue::new("q", "p") });
    assert_eq!(file.claim(1), [id]);
    assert!(file.ack(id));
    for after in [0, 9, 10] {
        file.at(NOW + after).run_all_of_it();
        assert_eq!(file.text("SELECT pending || ' ' || done || ' ' || dead FROM _honker_batches"), "0 1 0");
    }
    assert_eq!(file.int("SELECT count(*) FROM _honker_job_options"), 0);
}

#[test]
fn batches_go_when_their_time_is_over() {
    for (options, keep_s) in [("{}", 86_400), (r#"{"keep_s":5}"#, 5), (r#"{"keep_s":0}"#, 0)] {
        let file = File::new();
        let [first, open] = [(); 2].map(|()| honker_core::batch::create(&file.store, NOW, options).unwrap());
        honker_core::batch::seal(&file.at(NOW + 7).store, NOW + 7, first).unwrap();
        let left = || file.text("SELECT group_concat(id) FROM (SELECT id FROM _honker_batches ORDER BY id)");
        if keep_s > 0 {
            file.at(NOW + 7 + keep_s - 1).run_all_of_it();
            assert_eq!(left(), format!("{first},{open}"), "{options}");
        }
        file.at(NOW + 7 + keep_s).run_all_of_it();
        assert_eq!(left(), open.to_string(), "{options}");
    }
    // More than one transaction takes.
    let file = File::new();
    honker_core::batch::create(&file.store, NOW, "{}").unwrap();
    file.run(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
         INSERT INTO _honker_batches (sealed_at, finished_at) SELECT 1, i FROM n",
    );
    file.run_all_of_it();
    assert_eq!(file.int("SELECT count(*) FROM _honker_batches"), 1);
}

/// Nothing but their state says that they are blocked: their rows are gone by somebody's SQL, and the limit by whoever set it.
#[test]
fn blocked_jobs_come_back_although_nothing_says_that_any_is() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let [first, second] = [file.enqueue_key("k"), file.enqueue_key("k")];
    assert_eq!(file.claim(-1), [first]);
    file.run("DELETE FROM _honker_blocked");
    file.configure(r#"{"concurrency_per_key":null}"#);
    assert!(file.ack(first));
    assert_eq!(file.claim(-1), NONE);
    file.run_all_of_it();
    assert_eq!(file.claim(-1), [second]);
}

/// Whose options are gone: nobody else knows that they were members.
#[test]
fn members_of_a_batch_that_nobody_knows_of_finish_it() {
    let counts = "SELECT total || ' ' || pending || ' ' || done || ' ' || dead || ' ' || ifnull(finished_at - 1700000000, '-') FROM _honker_batches";
    for sealed_before in [true, false] {
        let file = File::new();
        let callback = r#"{"on_finished":{"queue":"f","payload":"p"}}"#;
        let batch_id = honker_core::batch::create(&file.store, NOW, callback).unwrap();
        let job = Enqueue { batch_id: Some(batch_id), ..Enqueue::new("q", "p") };
        let [dead, lost, live] = [(); 3].map(|()| file.enqueue_with(&job));
        assert_eq!(file.claim(2), [dead, lost]);
        assert!(queue::fail(&file.store, NOW, dead, "w", "e").unwrap());
        if sealed_before {
            honker_core::batch::seal(&file.store, NOW, batch_id).unwrap();
        }
        file.run(&format!("DELETE FROM _honker_job_options WHERE job_id = {lost}"));
        assert!(file.ack(lost));
        file.run_all_of_it();
        // There is still one that will be counted.
        assert_eq!(file.text(counts), "3 2 0 1 -");
        assert_eq!(queue::cancel(&file.store, NOW, live), Ok(true));
        file.at(NOW + 5).run_all_of_it();
        if !sealed_before {
            assert_eq!(file.text(counts), "3 0 1 1 -");
            // By somebody's SQL, which finishes nothing.
            file.run("UPDATE _honker_batches SET sealed_at = 1");
            file.run_all_of_it();
        }
        assert_eq!(file.text(counts), "3 0 1 1 5");
        file.run_all_of_it();
        assert_eq!(file.int("SELECT count(*) FROM _honker_live WHERE queue = 'f'"), 1);
    }
}
