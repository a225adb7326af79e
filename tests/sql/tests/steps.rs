//! Steps: saved once, by whoever holds the job, and there as long as the job is.

use std::ffi::OsStr;
use std::time::Duration;

use honker_sql_tests::*;

const STEPS: &str = "SELECT job_id, name, value FROM _honker_steps ORDER BY job_id, name";

/// A file with a job that `w` holds through the second [`NOW`] + 60; its id is 1.
fn held() -> Db {
    let db = Db::new();
    db.enqueue("q");
    assert_eq!(db.claim("q", 1, 60), [1]);
    db
}

#[test]
fn a_step_is_saved_once() {
    let db = held();
    let other = db.another();
    assert_eq!(db.rows("SELECT honker_step_get(1, 'a')"), "NULL");
    // Stored as it is.
    assert_eq!(db.text("SELECT honker_step_save(1, 'w', 'a', '{ \"x\": 1 }')"), r#"{ "x": 1 }"#);
    let before = db.dump();
    assert_eq!(other.text("SELECT honker_step_save(1, 'w', 'a', '2')"), r#"{ "x": 1 }"#);
    assert_eq!(db.text("SELECT honker_step_save(1, 'w', 'a', '2')"), r#"{ "x": 1 }"#);
    db.assert_still(&before);
    assert_eq!(other.text("SELECT honker_step_get(1, 'a')"), r#"{ "x": 1 }"#);

    // Another step, and the same of another job.
    assert_eq!(db.text("SELECT honker_step_save(1, 'w', 'A', '')"), "");
    db.enqueue("q");
    assert_eq!(db.claim("q", 1, 60), [2]);
    assert_eq!(db.rows("SELECT honker_step_get(2, 'a')"), "NULL");
    assert_eq!(db.text("SELECT honker_step_save(2, 'w', 'a', '3')"), "3");
    assert_eq!(db.rows(STEPS), "1|A|\n1|a|{ \"x\": 1 }\n2|a|3");
    assert_eq!(db.rows("SELECT honker_step_get(1, 'A'), honker_step_get(3, 'a')"), "|NULL");
}

#[test]
fn only_with_a_valid_claim() {
    for (wait, worker, saves) in
        [(59, "w", true), (60, "w", true), (61, "w", false), (0, "v", false), (0, "", false)]
    {
        let db = held();
        db.clock().advance(wait);
        let before = db.dump();
        let saved: Option<String> = db.get("SELECT honker_step_save(1, ?1, 'a', '1')", [worker]);
        assert_eq!(saved.as_deref(), saves.then_some("1"), "{worker} after {wait} s");
        if !saves {
            db.assert_still(&before);
        }
    }
    // Not for one that is pending, dead, gone, or that never was; not even the text that was saved before.
    let db = held();
    db.run("SELECT honker_step_save(1, 'w', 'a', '1')");
    let lost = |id: i64| {
        let before = db.dump();
        let saved: Option<String> = db.get("SELECT honker_step_save(?1, 'w', 'a', '2')", [id]);
        assert_eq!(saved, None);
        db.assert_still(&before);
    };
    lost(2);
    db.run("SELECT honker_retry(1, 'w', 0, 'e')");
    lost(1);
    assert_eq!(db.claim("q", 1, 60), [1]);
    db.run("SELECT honker_fail(1, 'w', 'e')");
    lost(1);
    db.run("SELECT honker_dead_purge(NULL, -1)");
    lost(1);
}

#[test]
fn steps_stay_while_the_job_is_anywhere() {
    let db = held();
    db.run("SELECT honker_step_save(1, 'w', 'a', '1')");
    for _ in 0..2 {
        db.run("SELECT honker_retry(1, 'w', 0, 'e')");
        assert_eq!(db.claim("q", 1, 60), [1]);
        assert_eq!(db.text("SELECT honker_step_save(1, 'w', 'a', '2')"), "1");
    }
    // A lapsed claim that dies, another worker, and one who brings it back.
    db.run("SELECT honker_fail(1, 'w', 'e')");
    assert_eq!(db.text("SELECT honker_step_get(1, 'a')"), "1");
    db.run("SELECT honker_dead_requeue(1)");
    db.run("SELECT honker_claim_batch('q', 'v', 1, 60)");
    assert_eq!(db.text("SELECT honker_step_save(1, 'v', 'a', '2')"), "1");
}

#[test]
fn steps_go_with_the_job() {
    for leave in [
        "SELECT honker_ack(1, 'w')",
        "SELECT honker_ack_batch('[1, 1]', 'w')",
        "SELECT honker_cancel(1)",
        "SELECT honker_fail(1, 'w', 'e'), honker_dead_purge(NULL, -1)",
    ] {
        for through_another in [false, true] {
            let db = held();
            let other = db.another();
            // It has been here before anybody had saved a step, and has not looked since.
            other.run("SELECT honker_cancel(99)");
            db.enqueue("q");
            assert_eq!(db.claim("q", 1, 60), [2]);
            db.run("SELECT honker_step_save(id, 'w', name, CAST(id AS TEXT)) FROM _honker_live, (SELECT 'a' AS name UNION SELECT 'b')");
            let on = if through_another { &other } else { &db };
            on.run(&format!("BEGIN; {leave}; ROLLBACK"));
            assert_eq!(db.rows(STEPS), "1|a|1\n1|b|1\n2|a|2\n2|b|2", "{leave}");
            on.run(leave);
            assert_eq!(db.rows(STEPS), "2|a|2\n2|b|2", "{leave}");
            on.run("BEGIN; SELECT honker_cancel(2); COMMIT");
            assert_eq!(db.rows(STEPS), "", "{leave}");
        }
    }
}

#[test]
fn a_save_takes_part_in_the_callers_transaction() {
    let db = held();
    let before = db.dump();
    db.run("BEGIN; CREATE TABLE mine (x)");
    assert_eq!(db.text("SELECT honker_step_save(1, 'w', 'a', '1')"), "1");
    db.run("ROLLBACK");
    db.assert_still(&before);
    // What was known of the step, and that there are steps, is not believed any more.
    assert_eq!(db.text("SELECT honker_step_save(1, 'w', 'a', '2')"), "2");
    assert_eq!(db.rows(STEPS), "1|a|2");
    assert_eq!(db.rows("SELECT min_version FROM _honker_schema"), "3");
}

#[test]
fn older_programs_are_kept_out_from_the_first_step_on() {
    let db = held();
    let min_version = "SELECT min_version FROM _honker_schema";
    db.run("SELECT honker_step_get(1, 'a'), honker_step_save(1, 'v', 'a', '1')");
    assert_eq!(db.int(min_version), 1);
    db.run("SELECT honker_step_save(1, 'w', 'a', '1')");
    assert_eq!(db.int(min_version), 3);
}

#[test]
fn it_needs_bootstrap_and_says_so() {
    let db = held();
    db.run("DROP TABLE _honker_steps");
    let before = db.dump();
    for call in ["honker_step_get(1, 'a')", "honker_step_save(1, 'w', 'a', '1')"] {
        db.error(&format!("SELECT {call}")).says(&["_honker_steps", "honker_bootstrap()"]);
        db.assert_still(&before);
    }
    db.run("DROP TABLE _honker_schema");
    db.error("SELECT honker_step_save(1, 'w', 'a', '1')").says(&["honker_bootstrap()"]);
    // What a job can do without steps it can still do.
    assert_eq!(db.int("SELECT honker_ack(1, 'w')"), 1);
}

/// Takes the steps of one job after the other, each with a write of its own, until the process is killed.
fn step_until_killed(path: &OsStr) {
    let connection = connect_in_child(path);
    let run = |sql: &str| run_to_end(&connection, sql);
    loop {
        let id: i64 = connection.query_one("SELECT honker_enqueue('q', 'x')", [], |row| row.get(0)).unwrap();
        run("SELECT honker_claim_batch('q', 'w', -1, 3600)");
        for step in 0..3 {
            run("BEGIN IMMEDIATE");
            run(&format!("INSERT INTO effects VALUES ({id}, {step})"));
            run(&format!("SELECT honker_step_save({id}, 'w', '{step}', 'x')"));
            run("COMMIT");
        }
        if id % 2 == 0 {
            run(&format!("SELECT honker_ack({id}, 'w')"));
        }
    }
}

#[test]
fn a_killed_process_leaves_a_step_and_its_writes_together() {
    const NAME: &str = "a_killed_process_leaves_a_step_and_its_writes_together";
    let db = Db::new();
    db.run("CREATE TABLE effects (job_id, step)");
    let mut last = 0;
    let rounds = if is_long() { 300 } else { 8 };
    for round in 0..rounds {
        in_child_process(NAME, db.file().path().as_os_str(), step_until_killed, |child| {
            while db.int("SELECT count(*) FROM effects") == last {
                assert_eq!(child.try_wait().unwrap(), None, "the child has to be running");
                std::thread::sleep(Duration::from_millis(2));
            }
            std::thread::sleep(Duration::from_millis(7 * (round % 8)));
            child.kill().unwrap();
            child.wait().unwrap();
        });
        let effects = db.int("SELECT count(*) FROM effects");
        last = effects;
        assert_eq!(db.int("SELECT count(*) FROM (SELECT DISTINCT * FROM effects)"), effects);
        let live = "(SELECT id FROM _honker_live)";
        let (done, saved) = (
            format!("SELECT job_id, step + 0 FROM effects WHERE job_id IN {live}"),
            "SELECT job_id, name + 0 FROM _honker_steps",
        );
        assert_eq!(db.rows(&format!("{done} EXCEPT {saved}")), "");
        assert_eq!(db.rows(&format!("{saved} EXCEPT {done}")), "");
        // Of the jobs that are gone nothing is left.
        assert_eq!(db.int(&format!("SELECT count(*) FROM _honker_steps WHERE job_id NOT IN {live}")), 0);
        assert_eq!(db.text("PRAGMA integrity_check"), "ok");
    }
    println!("{last} steps, {rounds} kills");
}
