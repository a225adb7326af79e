//! Setting, and what holds because of it: pauses, budgets, delays, done jobs that are kept.

use honker_core::queue::{self, Delay, Enqueue, Outcome, Settings, Settlement};
use honker_core::{Error, result, schema};
use rusqlite::Connection;

use crate::support::*;

fn settings(file: &File) -> String {
    serde_json::to_string(&queue::settings(&file.store, "q").unwrap()).unwrap()
}

const DEFAULTS: &str = r#"{"paused":false,"concurrency":null,"concurrency_per_key":null,"rate":null,"max_attempts":3,"retry":null,"keep_done_s":0,"keep_dead_s":null}"#;

#[test]
fn settings_are_merged_and_null_removes_them() {
    let file = File::new();
    assert_eq!(settings(&file), DEFAULTS);
    file.configure(r#"{"paused":true,"concurrency":2,"rate":{"limit":5,"per_s":60}}"#);
    file.configure(
        r#"{"paused":false,"concurrency_per_key":1,"max_attempts":9,"keep_done_s":60,"keep_dead_s":0,
            "retry":{"base_s":1,"factor":3.5}}"#,
    );
    assert_eq!(
        settings(&file),
        r#"{"paused":false,"concurrency":2,"concurrency_per_key":1,"rate":{"limit":5,"per_s":60},"max_attempts":9,"retry":{"base_s":1,"factor":3.5,"max_s":3600,"jitter":0.1},"keep_done_s":60,"keep_dead_s":0}"#
    );
    file.configure(
        r#"{"paused":null,"concurrency":null,"concurrency_per_key":null,"rate":null,"max_attempts":null,
            "retry":null,"keep_done_s":null,"keep_dead_s":null}"#,
    );
    assert_eq!(settings(&file), DEFAULTS);
    assert_eq!(file.int("SELECT count(*) FROM _honker_queues"), 0);
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_set() {
    let file = File::new();
    file.configure(r#"{"concurrency":7}"#);
    let before = file.dump();
    for (given, named) in [
        ("", "settings must be a JSON object"),
        ("[]", "settings must be a JSON object"),
        (r#"{"paused":true,"colour":"red"}"#, "unknown key 'colour'"),
        (r#"{"colour":null}"#, "unknown key 'colour'"),
        (r#"{"paused":1}"#, "settings: paused must be a boolean or null, not 1"),
        (r#"{"concurrency":0}"#, "settings: concurrency must be an integer of at least 1 or null, not 0"),
        (r#"{"concurrency":1.5}"#, "concurrency"),
        (r#"{"concurrency":"1"}"#, "concurrency"),
        (r#"{"concurrency_per_key":-1}"#, "concurrency_per_key"),
        (r#"{"rate":5}"#, "settings: rate must be an object of limit and per_s"),
        (r#"{"rate":{"limit":5}}"#, "settings: rate has no per_s"),
        (r#"{"rate":{"per_s":5}}"#, "settings: rate has no limit"),
        (r#"{"rate":{"limit":0,"per_s":5}}"#, "rate.limit"),
        (r#"{"rate":{"limit":1,"per_s":0}}"#, "rate.per_s"),
        (r#"{"rate":{"limit":1,"per_s":5,"burst":2}}"#, "unknown key 'rate.burst'"),
        (r#"{"max_attempts":0}"#, "max_attempts"),
        (r#"{"retry":[]}"#, "retry"),
        (r#"{"retry":{"base_s":-1}}"#, "retry.base_s"),
        (r#"{"retry":{"factor":0.9}}"#, "retry.factor"),
        (r#"{"retry":{"max_s":"1h"}}"#, "retry.max_s"),
        (r#"{"retry":{"jitter":1.1}}"#, "retry.jitter"),
        (r#"{"retry":{"jitters":1}}"#, "unknown key 'retry.jitters'"),
        (r#"{"keep_done_s":-1}"#, "keep_done_s"),
        (r#"{"keep_dead_s":true}"#, "keep_dead_s"),
    ] {
        let error = queue::configure(&file.store, "q", given).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{given}: {error:?}");
        assert!(error.to_string().contains(named), "{given}: {error}");
        assert_eq!(file.dump(), before, "{given}");
    }
}

#[test]
fn settings_raise_the_version_and_what_is_set_already_writes_nothing() {
    let file = File::new();
    let min_version = || file.int("SELECT min_version FROM _honker_schema");
    file.configure("{}");
    file.configure(r#"{"paused":null}"#);
    assert_eq!(min_version(), 1);
    file.configure(r#"{"paused":true}"#);
    assert_eq!(min_version(), 3);
    let changes = file.connection.total_changes();
    file.configure(r#"{"paused":true}"#);
    assert_eq!(file.connection.total_changes(), changes);
}

#[test]
fn settings_need_bootstrap_and_say_so() {
    let file = File::over(Connection::open_in_memory().unwrap());
    let said = |error: Error| assert!(error.to_string().contains("honker_bootstrap"), "{error}");
    said(queue::configure(&file.store, "q", r#"{"paused":true}"#).unwrap_err());
    said(queue::settings(&file.store, "q").unwrap_err());
    said(queue::queues(&file.store).unwrap_err());
}

#[test]
fn what_this_version_cannot_read_is_as_if_it_were_not_set() {
    let file = File::new();
    file.configure(r#"{"concurrency":1}"#);
    file.run(r#"UPDATE _honker_queues SET settings = '{"paused":"yes","concurrency":2,"later":{"a":1}}'"#);
    let read = queue::settings(&file.store, "q").unwrap();
    assert_eq!(read, Settings { concurrency: Some(2), ..Settings::default() });
    // And stays for who can.
    file.configure(r#"{"max_attempts":4}"#);
    assert!(file.text("SELECT settings FROM _honker_queues").contains(r#""later":{"a":1}"#));
    file.run("UPDATE _honker_queues SET settings = 'nonsense'");
    assert_eq!(queue::settings(&file.store, "q").unwrap(), Settings::default());
    let id = file.enqueue();
    assert_eq!(file.claim(1), [id]);
}

#[test]
fn every_queue_that_is_known_is_listed_by_name() {
    let file = File::new();
    assert_eq!(queue::queues(&file.store).unwrap(), []);
    for (queue, delay_s) in [("", 0), ("due", 0), ("due", 1), ("late", 100), ("held", 0), ("gone", 0)] {
        file.enqueue_with(&Enqueue { delay_s: Some(delay_s), ..Enqueue::new(queue, "p") });
    }
    queue::claim(&file.store, NOW, "held", "w", 1, 10).unwrap();
    file.run(
        "INSERT INTO _honker_live (queue, payload, attempts) VALUES ('exhausted', 'p', 3);
         INSERT INTO _honker_dead (id, queue, payload) VALUES (-1, 'dead', 'p'), (-2, 'dead', 'p');
         INSERT INTO _honker_done (id, queue, payload) VALUES (-3, 'done', 'p');
         DELETE FROM _honker_live WHERE queue = 'gone'",
    );
    queue::configure(&file.store, "set", r#"{"max_attempts":5}"#).unwrap();
    let listed = queue::queues(&file.store).unwrap();
    let names: Vec<&str> = listed.iter().map(|of| &*of.queue).collect();
    assert_eq!(names, ["", "dead", "done", "due", "exhausted", "held", "late", "set"]);
    assert_eq!(listed.iter().map(|of| of.settings.max_attempts).max(), Some(5));
    let json = serde_json::to_string(&listed[1]).unwrap();
    assert_eq!(json, DEFAULTS.replace(r#"{"paused"#, r#"{"queue":"dead","paused"#));
}

#[test]
fn a_paused_queue_answers_empty_and_does_nothing() {
    let file = File::new();
    let held = file.enqueue();
    assert_eq!(file.claim(1), [held]);
    let [due, other] = [file.enqueue(), file.enqueue()];
    file.run("INSERT INTO _honker_live (queue, payload, attempts) VALUES ('q', 'p', 3)");
    file.configure(r#"{"paused":true}"#);
    let before = file.dump();
    for n in [0, 1, 2, -1] {
        assert_eq!(file.claim(n), NONE);
    }
    assert!(!file.may_claim());
    assert_eq!(file.next_claim_in(), None);
    assert_eq!(file.dump(), before);
    assert_eq!(file.at(NOW + 11).next_claim_in(), None);
    assert_eq!(file.dump(), before);
    // Of another queue nothing is said.
    file.enqueue_with(&Enqueue::new("r", "p"));
    assert_eq!(queue::claim(&file.store, file.now(), "r", "w", 1, 10).unwrap().len(), 1);
    // What runs goes on, and can be settled.
    assert!(file.at(NOW).ack(held));
    file.configure(r#"{"paused":false}"#);
    assert!(file.may_claim());
    assert_eq!(file.claim(-1), [due, other]);
}

/// What somebody else sets holds for a connection that has used the file before.
#[test]
fn settings_hold_for_connections_that_knew_of_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let open = || File::over(Connection::open(&path).unwrap());
    let [one, other] = [open(), open()];
    schema::bootstrap(&one.store).unwrap();
    other.enqueue();
    one.configure(r#"{"max_attempts":7,"keep_done_s":10}"#);
    let budgets = || {
        one.text("SELECT group_concat(max_attempts) FROM (SELECT max_attempts FROM _honker_live ORDER BY id)")
    };
    let second = other.enqueue();
    assert_eq!(budgets(), "3,7");
    other.run("BEGIN");
    other.enqueue();
    other.enqueue_with(&Enqueue { max_attempts: Some(2), ..Enqueue::new("q", "p") });
    other.enqueue_with(&Enqueue::new("r", "p"));
    other.run("COMMIT");
    assert_eq!(budgets(), "3,7,7,2,3");
    one.run("DELETE FROM _honker_live WHERE id = 1");
    let third = open();
    assert_eq!(third.claim(1), [second]);
    assert!(open().ack(second));
    assert_eq!(one.int("SELECT count(*) FROM _honker_done"), 1);
    one.configure(r#"{"paused":true}"#);
    assert_eq!(third.claim(1), NONE);
    assert_eq!(third.claim(2), NONE);
}

#[test]
fn the_budget_of_a_queue_is_that_of_jobs_that_name_none() {
    let file = File::new();
    file.configure(r#"{"max_attempts":2}"#);
    let id = file.enqueue();
    queue::enqueue_many(&file.store, NOW, &[Enqueue::new("q", "p"), Enqueue::new("r", "p")]).unwrap();
    let budgets = "SELECT group_concat(queue || max_attempts) FROM (SELECT * FROM _honker_live ORDER BY id)";
    assert_eq!(file.text(budgets), "q2,q2,r3");
    for _ in 0..2 {
        assert_eq!(file.claim(1), [id]);
        assert!(queue::retry(&file.store, file.now(), id, "w", -1, "e").unwrap());
    }
    assert_eq!(file.text("SELECT last_error FROM _honker_dead"), "e");
}

fn settle(file: &File, id: i64, delay: Delay) -> i64 {
    let outcome = Outcome::Retry { delay, error: "e".to_owned() };
    assert!(queue::settle(&file.store, file.now(), "w", &Settlement { id, outcome }).unwrap());
    file.int(&format!("SELECT run_at FROM _honker_live WHERE id = {id}")) - file.now()
}

#[test]
fn the_delay_of_a_retry_is_the_one_given_then_the_queues_then_the_workers() {
    let file = File::new();
    let id = file.enqueue_with(&Enqueue { max_attempts: Some(9), ..Enqueue::new("q", "p") });
    let claim = || {
        file.run(&format!("UPDATE _honker_live SET run_at = {NOW}"));
        assert_eq!(file.claim(1), [id]);
    };
    claim();
    assert_eq!(settle(&file, id, Delay::UnlessSet(77)), 77);
    file.configure(r#"{"retry":{"base_s":100,"factor":3,"max_s":1000,"jitter":0}}"#);
    for delay in [300, 900, 1_000, 1_000] {
        claim();
        assert_eq!(settle(&file, id, Delay::UnlessSet(77)), delay);
    }
    claim();
    assert_eq!(settle(&file, id, Delay::Given(5)), 5);
    file.configure(r#"{"retry":{"base_s":1000,"factor":1,"jitter":0.5}}"#);
    claim();
    let delay = settle(&file, id, Delay::UnlessSet(77));
    assert!((500..=1_500).contains(&delay), "{delay}");
    file.configure(r#"{"retry":null}"#);
    claim();
    assert_eq!(settle(&file, id, Delay::UnlessSet(77)), 77);
}

#[test]
fn done_jobs_are_kept_with_their_options_and_results_if_the_queue_says_so() {
    let file = File::new();
    let job = Enqueue { metadata: Some(r#"{"a":"b"}"#), priority: 4, ..Enqueue::new("q", "p") };
    let plain = file.enqueue_with(&job);
    assert_eq!(file.claim(1), [plain]);
    assert!(file.ack(plain));
    assert_eq!(file.int("SELECT count(*) FROM _honker_job_options"), 0);

    file.configure(r#"{"keep_done_s":100}"#);
    let [kept, failed, lost, gone] = [(); 4].map(|()| file.enqueue_with(&job));
    assert_eq!(file.claim(4), [kept, failed, lost, gone]);
    for (id, ttl_s) in [(kept, 50), (failed, 50)] {
        result::save(&file.store, NOW, id, "r", ttl_s).unwrap();
    }
    assert!(file.at(NOW + 5).ack(kept));
    assert!(queue::fail(&file.store, NOW + 5, failed, "w", "e").unwrap());
    assert!(!queue::ack(&file.store, NOW + 5, lost, "other").unwrap());
    assert!(!queue::ack(&file.store, NOW + 11, lost, "w").unwrap());
    assert!(queue::cancel(&file.store, NOW + 5, gone).unwrap());
    assert_eq!(file.int("SELECT count(*) FROM _honker_done"), 1);
    assert_eq!(
        file.text(
            "SELECT format('%d %s %s %d %d %d %d %d %d', id = 2, queue, payload, priority, run_at, attempts, max_attempts,
                           created_at, finished_at) FROM _honker_done"
        ),
        format!("1 q p 4 {NOW} 1 3 {NOW} {}", NOW + 5)
    );
    let options = "SELECT group_concat(job_id) FROM (SELECT job_id FROM _honker_job_options ORDER BY 1)";
    assert_eq!(file.text(options), format!("{kept},{failed},{lost}"));
    let until = |id| file.int(&format!("SELECT expires_at FROM _honker_results WHERE job_id = {id}"));
    assert_eq!((until(kept), until(failed)), (NOW + 105, NOW + 50));

    // In a batch as well, and results that stay longer, or are over, are left alone.
    let [long, over] = [file.enqueue(), file.enqueue()];
    assert_eq!(file.claim(2), [long, over]);
    result::save(&file.store, NOW + 5, long, "r", 1_000).unwrap();
    result::save(&file.store, NOW + 5, over, "r", 1).unwrap();
    assert_eq!(queue::ack_batch(&file.store, NOW + 6, &[long, over, 99], "w").unwrap(), 2);
    assert_eq!((until(long), until(over)), (NOW + 1_005, NOW + 6));
    assert_eq!(file.int("SELECT count(*) FROM _honker_done"), 3);
}

/// The job is in one of the tables, whatever a trigger says.
#[test]
fn a_done_job_that_cannot_be_removed_is_not_kept_either() {
    let file = File::new();
    file.configure(r#"{"keep_done_s":100}"#);
    let id = file.enqueue();
    assert_eq!(file.claim(1), [id]);
    file.run("CREATE TRIGGER no BEFORE DELETE ON _honker_live BEGIN SELECT RAISE(IGNORE); END");
    queue::ack(&file.store, NOW, id, "w").unwrap_err();
    assert_eq!(file.int("SELECT count(*) FROM _honker_done"), 0);
    file.run("DROP TRIGGER no; CREATE TRIGGER no BEFORE INSERT ON _honker_done BEGIN SELECT RAISE(ABORT, 'no'); END");
    queue::ack(&file.store, NOW, id, "w").unwrap_err();
    assert_eq!(file.int("SELECT count(*) FROM _honker_live"), 1);
    file.run("DROP TRIGGER no");
    assert!(file.ack(id));
}

/// What a transaction had removed, and has not, is still known.
#[test]
fn settings_that_were_removed_and_are_back_hold() {
    let file = File::new();
    file.configure(r#"{"paused":true}"#);
    file.enqueue();
    file.run("BEGIN; SAVEPOINT s");
    file.configure(r#"{"paused":null}"#);
    // As when the host asks for all statements: what is known is looked up again.
    file.store.clear();
    file.enqueue();
    file.run("ROLLBACK TO s");
    for n in [1, 2] {
        assert_eq!(file.claim(n), NONE);
    }
    file.run("ROLLBACK");
    assert_eq!(file.claim(1), NONE);
}
