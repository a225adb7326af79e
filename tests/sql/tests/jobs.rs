//! Lists of jobs, bulk actions on them, and the dead by what they died of.

use honker_sql_tests::*;

fn list(db: &Db, filter: &str) -> Json {
    let list: String = db.get("SELECT honker_jobs_list(?1)", [filter]);
    serde_json::from_str(&list).unwrap()
}

#[track_caller]
fn apply(db: &Db, filter: &str, action: &str) -> Json {
    let applied: String = db.get("SELECT honker_jobs_apply(?1, ?2)", [filter, action]);
    serde_json::from_str(&applied).unwrap()
}

/// The ids that a filter finds, on one page.
#[track_caller]
fn found(db: &Db, filter: &str) -> Vec<i64> {
    let list = list(db, filter);
    assert_eq!(list["cursor"], Json::Null);
    ids(&list["jobs"])
}

/// Changed, conflicts, left and cursor.
fn counts(applied: &Json) -> (i64, i64, Option<i64>, Option<i64>) {
    assert_eq!(applied.as_object().unwrap().len(), 4);
    let number = |key: &str| applied[key].as_i64();
    (number("changed").unwrap(), number("conflicts").unwrap(), number("left"), number("cursor"))
}

/// Jobs of all kinds: 1 due, 2 delayed until [`NOW`] + 50, 3 processing, 4 dead since [`NOW`] + 10, 5 done since [`NOW`] + 20,
/// 6 due in another queue, 7 blocked. It is [`NOW`] + 20.
fn all_kinds() -> Db {
    let db = Db::new();
    db.run(&format!(
        "SELECT honker_queue_configure('q', '{{\"keep_done_s\":1000}}');
         SELECT honker_enqueue('q', 'one'), honker_enqueue('q', 'two', {NOW} + 50);
         SELECT honker_enqueue_with('q', 'three', '{{\"priority\":9,\"metadata\":{{\"a\":\"1\",\"b\":\"2\"}}}}');
         SELECT honker_enqueue_with('q', 'four', '{{\"priority\":8,\"metadata\":{{\"a\":\"1\"}}}}');
         SELECT honker_enqueue('q', 'five', NULL, NULL, 7, 4);
         SELECT honker_claim_batch('q', 'w', 2, 60), honker_claim_batch('q', 'v', 1, 60);
         SELECT honker_enqueue('r', 'six');
         INSERT INTO _honker_live (queue, payload, state, created_at) VALUES ('q', 'seven', 'blocked', {NOW} + 5)"
    ));
    db.clock().advance(10);
    db.run("SELECT honker_fail(4, 'w', 'no such order: 17')");
    db.clock().advance(10);
    db.run("SELECT honker_result_save(5, 'r', 100), honker_ack(5, 'v')");
    db
}

#[test]
fn a_list_has_all_that_is_known_of_each_job() {
    let db = all_kinds();
    let list = list(&db, "{}");
    assert_eq!((ids(&list["jobs"]), &list["cursor"]), (vec![7, 6, 5, 4, 3, 2, 1], &Json::Null));
    assert_eq!(
        list["jobs"][6],
        json!({"id": 1, "queue": "q", "payload": "one", "state": "due", "priority": 0, "run_at": NOW, "worker_id": null,
               "claim_expires_at": null, "attempts": 0, "max_attempts": 3, "created_at": NOW, "expires_at": null,
               "last_error": null, "died_at": null, "finished_at": null, "result": null, "metadata": null,
               "unique_key": null, "concurrency_key": null, "batch_id": null, "max_run_s": null})
    );
    let states: Vec<_> = list["jobs"].as_array().unwrap().iter().map(|job| job["state"].clone()).collect();
    assert_eq!(json!(states), json!(["blocked", "due", "done", "dead", "processing", "delayed", "due"]));
    let job = |id: usize, keys: &[&str]| {
        let job = &list["jobs"][7 - id];
        Json::from_iter(keys.iter().map(|key| ((*key).to_owned(), job[*key].clone())))
    };
    assert_eq!(
        job(3, &["worker_id", "claim_expires_at", "attempts", "metadata", "priority"]),
        json!({"worker_id": "w", "claim_expires_at": NOW + 60, "attempts": 1, "metadata": {"a": "1", "b": "2"}, "priority": 9})
    );
    assert_eq!(
        job(4, &["worker_id", "last_error", "died_at", "finished_at", "metadata"]),
        json!({"worker_id": null, "last_error": "no such order: 17", "died_at": NOW + 10, "finished_at": null, "metadata": {"a": "1"}})
    );
    assert_eq!(
        job(5, &["payload", "finished_at", "died_at", "result", "max_attempts", "attempts"]),
        json!({"payload": "five", "finished_at": NOW + 20, "died_at": null, "result": "r", "max_attempts": 4, "attempts": 1})
    );
}

#[test]
fn every_condition_has_to_be_fulfilled() {
    let db = all_kinds();
    for (filter, expected) in [
        (r#"{"queue":"r"}"#, &[6][..]),
        (r#"{"queue":""}"#, &[]),
        (r#"{"state":"due"}"#, &[6, 1]),
        (r#"{"state":"delayed"}"#, &[2]),
        (r#"{"state":"processing"}"#, &[3]),
        (r#"{"state":"blocked"}"#, &[7]),
        (r#"{"state":"dead"}"#, &[4]),
        (r#"{"state":"done"}"#, &[5]),
        (r#"{"state":["dead","done","due"],"order":"oldest"}"#, &[1, 4, 5, 6]),
        (r#"{"state":[]}"#, &[]),
        (r#"{"min_id":3,"max_id":5}"#, &[5, 4, 3]),
        (
            r#"{"min_id":-9223372036854775808,"max_id":9223372036854775807,"order":"oldest"}"#,
            &[1, 2, 3, 4, 5, 6, 7],
        ),
        (r#"{"worker_id":"w"}"#, &[3]),
        (r#"{"metadata":{"a":"1"}}"#, &[4, 3]),
        (r#"{"metadata":{"a":"1","b":"2"}}"#, &[3]),
        (r#"{"metadata":{"a":"2"}}"#, &[]),
        (r#"{"metadata":{"c":"2"}}"#, &[]),
        (r#"{"error":"order"}"#, &[4]),
        (r#"{"error":"Order"}"#, &[]),
        (r#"{"queue":"q","state":"due","cursor":null}"#, &[1]),
        (r#"{"cursor":4}"#, &[3, 2, 1]),
        (r#"{"cursor":4,"order":"oldest"}"#, &[5, 6, 7]),
        (r#"{"cursor":-9223372036854775808}"#, &[]),
        (r#"{"cursor":9223372036854775807,"order":"oldest"}"#, &[]),
    ] {
        assert_eq!(found(&db, filter), expected, "{filter}");
    }
    // Times are inclusive at both ends.
    for (from, to, key, expected) in [
        (0, 0, "created", &[6, 5, 4, 3, 2, 1][..]),
        (1, 4, "created", &[]),
        (1, 5, "created", &[7]),
        (5, 9, "created", &[7]),
        (6, 9, "created", &[]),
        (10, 20, "ended", &[5, 4]),
        (11, 20, "ended", &[5]),
        (10, 19, "ended", &[4]),
        (11, 19, "ended", &[]),
    ] {
        let filter = format!(r#"{{"{key}_from":{},"{key}_to":{}}}"#, NOW + from, NOW + to);
        assert_eq!(found(&db, &filter), expected, "{filter}");
    }
    // A delayed job is due from its run time on.
    db.clock().advance(29);
    assert_eq!(found(&db, r#"{"state":"delayed"}"#), [2]);
    db.clock().advance(1);
    assert_eq!(found(&db, r#"{"state":"delayed"}"#), NONE);
    assert_eq!(found(&db, r#"{"state":"due","queue":"q"}"#), [2, 1]);
}

#[test]
fn the_members_of_a_batch() {
    let db = Db::new();
    db.run("SELECT honker_batch_create('{}'), honker_batch_create('{}')");
    for batch in [1, 2, 1, 1] {
        db.run(&format!("SELECT honker_enqueue_with('q', 'x', '{{\"batch_id\":{batch}}}')"));
    }
    db.run("SELECT honker_claim_batch('q', 'w', 1, 60), honker_fail(1, 'w', 'e')");
    assert_eq!(found(&db, r#"{"batch_id":1}"#), [4, 3, 1]);
    assert_eq!(found(&db, r#"{"batch_id":1,"state":["due"]}"#), [4, 3]);
    assert_eq!(found(&db, r#"{"batch_id":2,"order":"oldest"}"#), [2]);
    assert_eq!(found(&db, r#"{"batch_id":3}"#), NONE);
    let page = list(&db, r#"{"batch_id":1,"limit":2}"#);
    assert_eq!((ids(&page["jobs"]), &page["cursor"]), (vec![4, 3], &json!(3)));
    assert_eq!(page["jobs"][0]["batch_id"], 1);
    assert_eq!(found(&db, r#"{"batch_id":1,"limit":2,"cursor":3}"#), [1]);
}

/// Adds `count` due jobs whose payloads are so long.
fn fill(db: &Db, count: i64, length: i64) {
    db.run(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO _honker_live (queue, payload, created_at) SELECT 'q', hex(zeroblob({length} / 2)), {NOW} FROM n"
    ));
}

#[test]
fn pages_follow_each_other() {
    let db = Db::new();
    fill(&db, 2_500, 2);
    for (order, first) in [("newest", 2_500), ("oldest", 1)] {
        for limit in [1, 100, 999, 1_000] {
            let (mut all, mut cursor, mut pages) = (Vec::new(), Json::Null, 0);
            loop {
                let page = list(&db, &json!({"order": order, "limit": limit, "cursor": cursor}).to_string());
                let ids = ids(&page["jobs"]);
                assert!(ids.len() <= limit);
                pages += 1;
                all.extend(ids);
                cursor = page["cursor"].clone();
                if cursor.is_null() || limit == 1 && pages == 20 {
                    break;
                }
            }
            if limit > 1 {
                assert_eq!(all.len(), 2_500);
                assert!(pages <= 2_500 / limit + 2, "{pages}");
            }
            assert_eq!(all[0], first);
            assert!(all.windows(2).all(|two| (two[0] - two[1]).abs() == 1), "{order} {limit}");
        }
    }
    // What is not limited has a hundred.
    assert_eq!(ids(&list(&db, "{}")["jobs"]).len(), 100);
}

#[test]
fn a_call_looks_at_ten_thousand_jobs_at_most() {
    for (jobs, expected) in [(9_999, None), (10_000, None), (10_001, Some(10_000))] {
        let db = Db::new();
        fill(&db, jobs, 2);
        let filter = r#"{"queue":"none","order":"oldest"}"#;
        assert_eq!(list(&db, filter), json!({"jobs": [], "cursor": expected}), "{jobs}");
        assert_eq!(
            counts(&apply(&db, filter, "cancel")),
            (0, 0, if expected.is_none() { Some(0) } else { None }, expected)
        );
    }
}

#[test]
fn a_page_has_eight_megabytes_at_most() {
    let db = Db::new();
    fill(&db, 5, 3_000_000);
    fill(&db, 1, 9_000_000);
    let (mut pages, mut cursor) = (Vec::new(), Json::Null);
    loop {
        let page = list(&db, &json!({"order": "oldest", "cursor": cursor}).to_string());
        pages.push(ids(&page["jobs"]));
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5], vec![6]]);
    let applied = apply(&db, r#"{"order":"oldest"}"#, r#"{"move":"r"}"#);
    assert_eq!(counts(&applied), (2, 0, None, Some(2)));
}

#[test]
fn jobs_are_found_by_their_concurrency_key() {
    let db = Db::new();
    for options in [r#"{"concurrency_key":"a","max_run_s":5}"#, r#"{"concurrency_key":"b"}"#, "{}"] {
        db.get::<String>("SELECT honker_enqueue_with('q', 'p', ?1)", [options]);
    }
    db.run("SELECT honker_enqueue_with('r', 'p', '{\"concurrency_key\":\"a\"}')");
    assert_eq!(found(&db, r#"{"concurrency_key":"a"}"#), [4, 1]);
    assert_eq!(found(&db, r#"{"concurrency_key":"a","queue":"q"}"#), [1]);
    assert_eq!(found(&db, r#"{"concurrency_key":"A"}"#), NONE);
    let job = &list(&db, r#"{"queue":"q","concurrency_key":"a"}"#)["jobs"][0];
    assert_eq!((&job["concurrency_key"], &job["max_run_s"]), (&json!("a"), &json!(5)));
    assert_eq!(counts(&apply(&db, r#"{"concurrency_key":"b"}"#, "cancel")), (1, 0, Some(0), None));
    // Of one job only what it has.
    let job = db.json("SELECT honker_get_job(1)");
    assert_eq!((&job["concurrency_key"], &job["max_run_s"]), (&json!("a"), &json!(5)));
    let job = db.json("SELECT honker_get_job(3)");
    assert!(job.get("concurrency_key").is_none() && job.get("max_run_s").is_none(), "{job}");
}

#[test]
fn what_no_filter_is_is_named() {
    let db = Db::new();
    let before = db.dump();
    for (filter, says) in [
        ("", "filter must be a JSON object"),
        ("[]", "filter must be a JSON object"),
        (r#"{"stat":1}"#, "'stat'"),
        (r#"{"queue":1}"#, "filter: queue must be a text, not 1"),
        (r#"{"state":"pending"}"#, "filter: state must be one or an array of due, delayed"),
        (r#"{"state":["due",1]}"#, "filter: state"),
        (r#"{"min_id":"1"}"#, "filter: min_id must be an integer"),
        (r#"{"max_id":1.5}"#, "max_id"),
        (r#"{"worker_id":1}"#, "worker_id"),
        (r#"{"unique_key":1}"#, "unique_key"),
        (r#"{"concurrency_key":1}"#, "filter: concurrency_key must be a text that is not empty"),
        (r#"{"batch_id":"1"}"#, "batch_id"),
        (r#"{"metadata":{"a":1}}"#, "filter: metadata must be an object of texts"),
        (r#"{"error":1}"#, "error"),
        (r#"{"created_from":"1"}"#, "created_from"),
        (r#"{"created_to":"1"}"#, "created_to"),
        (r#"{"ended_from":"1"}"#, "ended_from"),
        (r#"{"ended_to":"1"}"#, "ended_to"),
        (r#"{"order":"up"}"#, "filter: order must be 'newest' or 'oldest'"),
        (r#"{"limit":0}"#, "filter: limit must be an integer from 1 to 1000, not 0"),
        (r#"{"limit":1001}"#, "filter: limit"),
        (r#"{"cursor":"1"}"#, "filter: cursor"),
    ] {
        db.try_get::<String>("SELECT honker_jobs_list(?1)", [filter]).unwrap_err().says(&[says]);
        db.try_get::<String>("SELECT honker_jobs_apply(?1, 'cancel')", [filter]).unwrap_err().says(&[says]);
    }
    for action in [
        "",
        "Retry",
        "move",
        "{}",
        r#"{"move":1}"#,
        r#"{"priority":1.5}"#,
        r#"{"move":"q","priority":1}"#,
        "[]",
    ] {
        db.try_get::<String>("SELECT honker_jobs_apply('{}', ?1)", [action])
            .unwrap_err()
            .says(&["action must be retry, "]);
    }
    db.assert_still(&before);
}

#[test]
fn each_action_changes_what_it_is_for() {
    let live =
        "SELECT id, queue, state, priority, run_at - 1750000000, attempts FROM _honker_live ORDER BY id";
    let before =
        "1|q|pending|0|0|0\n2|q|pending|0|50|0\n3|q|processing|9|0|1\n6|r|pending|0|0|0\n7|q|blocked|0|0|0";
    for (action, changed, after) in [
        (
            "retry",
            1,
            "1|q|pending|0|0|0\n2|q|pending|0|50|0\n3|q|processing|9|0|1\n4|q|pending|8|20|0\n6|r|pending|0|0|0\n7|q|blocked|0|0|0",
        ),
        (
            "run_now",
            1,
            "1|q|pending|0|0|0\n2|q|pending|0|20|0\n3|q|processing|9|0|1\n6|r|pending|0|0|0\n7|q|blocked|0|0|0",
        ),
        ("cancel", 5, ""),
        ("delete", 7, ""),
        (
            r#"{"move":"r"}"#,
            4,
            "1|r|pending|0|0|0\n2|r|pending|0|50|0\n3|q|processing|9|0|1\n6|r|pending|0|0|0\n7|r|pending|0|0|0",
        ),
        (
            r#"{"priority":9}"#,
            4,
            "1|q|pending|9|0|0\n2|q|pending|9|50|0\n3|q|processing|9|0|1\n6|r|pending|9|0|0\n7|q|pending|9|0|0",
        ),
    ] {
        for transaction in [false, true] {
            let db = all_kinds();
            db.run("UPDATE _honker_live SET run_at = 1750000000 WHERE id IN (7)");
            assert_eq!(db.rows(live), before);
            if transaction {
                db.run("BEGIN");
            }
            assert_eq!(counts(&apply(&db, "{}", action)), (changed, 0, Some(0), None), "{action}");
            assert_eq!(db.rows(live), after, "{action}");
            let dead = "SELECT id, queue, last_error FROM _honker_dead";
            let expected = match action {
                "retry" | "delete" => "",
                r#"{"move":"r"}"# => "4|r|no such order: 17",
                _ => "4|q|no such order: 17",
            };
            assert_eq!(db.rows(dead), expected, "{action}");
            assert_eq!(db.int("SELECT count(*) FROM _honker_done"), i64::from(action != "delete"));
            let options = db.int("SELECT count(*) FROM _honker_job_options");
            assert_eq!(
                options,
                match action {
                    "cancel" => 1,
                    "delete" => 0,
                    _ => 2,
                },
                "{action}"
            );
            // Once more, there is nothing to change.
            if action != "retry" {
                let again = counts(&apply(&db, r#"{"max_id":5}"#, action));
                assert_eq!(again, (0, 0, Some(0), None), "{action}");
            }
            if transaction {
                db.run("ROLLBACK");
                assert_eq!(db.rows(live), before);
            }
        }
    }
}

#[test]
fn an_action_is_bounded_and_goes_on_at_its_cursor() {
    let db = Db::new();
    fill(&db, 2_500, 2);
    let filter = |cursor: Option<i64>, limit: i64| {
        json!({"order": "oldest", "limit": limit, "cursor": cursor}).to_string()
    };
    assert_eq!(counts(&apply(&db, &filter(None, 1_000), "cancel")), (1_000, 0, None, Some(1_000)));
    assert_eq!(counts(&apply(&db, &filter(Some(1_000), 10), "cancel")), (10, 0, None, Some(1_010)));
    assert_eq!(counts(&apply(&db, &filter(Some(1_010), 1_000), "cancel")), (1_000, 0, None, Some(2_010)));
    assert_eq!(counts(&apply(&db, &filter(Some(2_010), 1_000), "cancel")), (490, 0, Some(0), None));
    assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 0);
}

#[test]
fn what_the_file_refuses_stops_no_other() {
    let db = Db::new();
    fill(&db, 300, 2);
    db.run("CREATE TRIGGER t BEFORE DELETE ON _honker_live WHEN old.id % 10 = 0 BEGIN SELECT RAISE(ABORT, 'kept'); END");
    assert_eq!(counts(&apply(&db, r#"{"limit":1000}"#, "cancel")), (270, 30, Some(0), None));
    assert_eq!(db.int("SELECT count(*) FROM _honker_live"), 30);
    // A hundred refusals are as many as one call meets.
    fill(&db, 300, 2);
    db.run("DROP TRIGGER t; CREATE TRIGGER t BEFORE DELETE ON _honker_live BEGIN SELECT RAISE(ABORT, 'kept'); END");
    let (changed, conflicts, left, cursor) =
        counts(&apply(&db, r#"{"limit":1000,"order":"oldest"}"#, "cancel"));
    assert_eq!((changed, conflicts, left), (0, 100, None));
    let (_, conflicts, left, cursor) = counts(&apply(
        &db,
        &json!({"limit": 1000, "order": "oldest", "cursor": cursor}).to_string(),
        "cancel",
    ));
    assert_eq!((conflicts, left), (100, None));
    assert!(cursor.is_some());
}

#[test]
fn members_that_are_acted_on_are_counted_in_their_batch() {
    let db = Db::new();
    db.run(r#"SELECT honker_batch_create('{"on_finished":{"queue":"f","payload":"p"}}')"#);
    (0..3).for_each(|_| db.run(r#"SELECT honker_enqueue_with('q', 'x', '{"batch_id":1}')"#));
    db.run("SELECT honker_claim_batch('q', 'w', 1, 60), honker_fail(1, 'w', 'e'), honker_batch_seal(1)");
    assert_eq!(counts(&apply(&db, r#"{"batch_id":1}"#, "retry")), (1, 0, Some(0), None));
    let batch = || {
        let json = db.json("SELECT honker_batch_get(1)");
        ["pending", "dead", "cancelled"].map(|key| json[key].as_i64().unwrap())
    };
    assert_eq!(batch(), [3, 0, 0]);
    assert_eq!(counts(&apply(&db, r#"{"batch_id":1,"min_id":2}"#, "delete")), (2, 0, Some(0), None));
    assert_eq!((batch(), db.int("SELECT count(*) FROM _honker_live WHERE queue = 'f'")), ([1, 0, 2], 0));
    assert_eq!(counts(&apply(&db, r#"{"batch_id":1}"#, "cancel")), (1, 0, Some(0), None));
    assert_eq!((batch(), db.int("SELECT count(*) FROM _honker_live WHERE queue = 'f'")), ([0, 0, 3], 1));
}

#[test]
fn the_dead_are_counted_by_what_they_died_of() {
    let db = Db::new();
    let die = |queue: &str, error: &str| {
        let id = db.enqueue(queue);
        db.run(&format!(
            "SELECT honker_claim_batch('{queue}', 'w', 1, 60), honker_fail({id}, 'w', '{error}')"
        ));
        db.clock().advance(1);
    };
    assert_eq!(db.text("SELECT honker_dead_groups(NULL)"), "[]");
    for error in
        ["timeout after 30 s", "no row 7", "timeout after 5 s", "expired", "timeout after 7 s", "no row 12"]
    {
        die("q", error);
    }
    die("r", "no row 3");
    db.run("UPDATE _honker_dead SET last_error = NULL WHERE id = 4");
    let groups = db.json("SELECT honker_dead_groups('q')");
    let short = |groups: &Json| -> Json {
        groups
            .as_array()
            .unwrap()
            .iter()
            .map(|group| {
                json!([group["error"], group["count"], group["newest"]["id"], group["newest"]["last_error"]])
            })
            .collect()
    };
    assert_eq!(
        short(&groups),
        json!([
            ["timeout after # s", 3, 5, "timeout after 7 s"],
            ["no row #", 2, 6, "no row 12"],
            [null, 1, 4, null]
        ])
    );
    assert_eq!(groups[0]["newest"], db.json("SELECT honker_dead_list('q', -1)")[1]);
    assert_eq!(
        short(&db.json("SELECT honker_dead_groups(NULL)")),
        json!([
            ["no row #", 3, 7, "no row 3"],
            ["timeout after # s", 3, 5, "timeout after 7 s"],
            [null, 1, 4, null]
        ])
    );
    assert_eq!(db.text("SELECT honker_dead_groups('none')"), "[]");
}

/// Enqueues a job with a unique key; its id.
fn unique(db: &Db, queue: &str, key: &str, until: &str) -> i64 {
    let options = json!({"unique_key": key, "unique_until": until}).to_string();
    db.get("SELECT honker_enqueue_with(?1, 'x', ?2) ->> 'id'", [queue, options.as_str()])
}

const KEYS: &str = "SELECT queue, key, job_id FROM _honker_unique ORDER BY 1, 2";

#[test]
fn jobs_whose_unique_key_is_taken_are_conflicts() {
    let db = Db::new();
    // Dead ones, whose keys others have by now, or nobody has.
    for (id, key, until) in [(1, "a", "settled"), (2, "b", "settled"), (3, "c", "claimed")] {
        assert_eq!(unique(&db, "q", key, until), id);
    }
    db.run("SELECT honker_claim_batch('q', 'w', 3, 60)");
    db.run("SELECT honker_fail(id, 'w', 'e') FROM _honker_live");
    assert_eq!((unique(&db, "q", "a", "settled"), unique(&db, "q", "c", "claimed")), (4, 5));
    assert_eq!(found(&db, r#"{"unique_key":"a"}"#), [4, 1]);
    assert_eq!(counts(&apply(&db, "{}", "retry")), (2, 1, Some(0), None));
    assert_eq!(db.rows("SELECT id FROM _honker_live ORDER BY id"), "2\n3\n4\n5");
    assert_eq!(db.rows(KEYS), "q|a|4\nq|b|2\nq|c|5");

    // Moved to where the keys are taken by 6 and 7, and free.
    assert_eq!((unique(&db, "r", "a", "settled"), unique(&db, "r", "c", "claimed")), (6, 7));
    assert_eq!(counts(&apply(&db, r#"{"queue":"q"}"#, r#"{"move":"r"}"#)), (4, 1, Some(0), None));
    assert_eq!(db.rows("SELECT id, queue FROM _honker_live ORDER BY id"), "2|r\n3|r\n4|q\n5|r\n6|r\n7|r");
    assert_eq!(db.rows("SELECT id, queue FROM _honker_dead"), "1|r");
    assert_eq!(db.rows(KEYS), "q|a|4\nr|a|6\nr|b|2\nr|c|7");
    // And what has come to nothing says so again.
    assert_eq!(counts(&apply(&db, r#"{"queue":"q"}"#, r#"{"move":"r"}"#)), (0, 1, Some(0), None));
    db.run("SELECT honker_cancel(6)");
    assert_eq!(counts(&apply(&db, r#"{"queue":"q"}"#, r#"{"move":"r"}"#)), (1, 0, Some(0), None));
    assert_eq!(db.rows(KEYS), "r|a|4\nr|b|2\nr|c|7");
}

#[test]
fn a_moved_job_leaves_a_key_that_is_taken_by_time() {
    let db = Db::new();
    db.run(r#"SELECT honker_enqueue_with('q', 'x', '{"unique_key":"k","unique_for_s":60}')"#);
    assert_eq!(counts(&apply(&db, "{}", r#"{"move":"r"}"#)), (1, 0, Some(0), None));
    assert_eq!(
        db.rows("SELECT queue, job_id, until FROM _honker_unique ORDER BY queue"),
        format!("q|1|{}\nr|1|NULL", NOW + 59)
    );
    assert_eq!(unique(&db, "q", "k", "settled"), 1);
    // Back again, where it has the key still.
    assert_eq!(counts(&apply(&db, "{}", r#"{"move":"q"}"#)), (1, 0, Some(0), None));
    assert_eq!(unique(&db, "q", "k", "settled"), 1);
    assert_eq!(unique(&db, "r", "k", "settled"), 2);
    db.run("SELECT honker_cancel(1)");
    assert_eq!(unique(&db, "q", "k", "settled"), 1);
}

#[test]
fn metadata_that_other_sql_has_written_are_told_as_texts() {
    let db = Db::new();
    for (stored, told) in [
        (r#"{"a": "x"}"#, r#"{"a":"x"}"#),
        (r#"{"a": 1, "b": {"c": null}}"#, r#"{"a":"1","b":"{\"c\":null}"}"#),
        ("[1]", "null"),
        ("no JSON", "null"),
    ] {
        let id: i64 = db.get("SELECT honker_enqueue('q', '{}')", []);
        db.execute("INSERT INTO _honker_job_options (job_id, metadata) VALUES (?1, ?2)", (id, stored))
            .unwrap();
        let told: Json = serde_json::from_str(told).unwrap();
        let listed: String = db.get("SELECT honker_jobs_list('{}')", []);
        let listed: Json = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed["jobs"][0]["metadata"], told, "{stored}");
        let job: String = db.get("SELECT honker_get_job(?1)", [id]);
        let job: Json = serde_json::from_str(&job).unwrap();
        assert_eq!(job["metadata"], told, "{stored}");
    }
}

#[test]
fn a_condition_that_is_lost_does_not_mean_all_jobs() {
    let db = all_kinds();
    for filter in [
        r#"{"queue":null}"#,
        r#"{"unique_key":null}"#,
        r#"{"unique_key":""}"#,
        r#"{"concurrency_key":null}"#,
        r#"{"concurrency_key":""}"#,
        r#"{"error":""}"#,
        r#"{"max_id":null}"#,
        r#"{"batch_id":null}"#,
        r#"{"metadata":null}"#,
        r#"{"state":null}"#,
    ] {
        let key = filter.split('"').nth(1).unwrap();
        let error =
            db.try_get::<String>(&format!("SELECT honker_jobs_apply('{filter}', 'delete')"), []).unwrap_err();
        assert!(error.text.contains(&format!("filter: {key} must be")), "{}", error.text);
    }
    assert_eq!(found(&db, r#"{"order":null,"limit":null,"cursor":null}"#).len(), 7);
}

#[test]
fn jobs_are_found_by_the_name_of_their_worker() {
    let db = Db::new();
    let instance = "0123456789abcdef0123456789ABCDEF";
    db.run("SELECT honker_enqueue('q', '{}'), honker_enqueue('q', '{}'), honker_enqueue('q', '{}')");
    for worker in [format!("alice@{instance}"), "alice".to_owned(), "alice@home".to_owned()] {
        db.get::<String>("SELECT honker_claim_batch('q', ?1, 1, 60)", [worker]);
    }
    assert_eq!(found(&db, r#"{"worker_id":"alice","order":"oldest"}"#), [1, 2]);
    assert_eq!(found(&db, &format!(r#"{{"worker_id":"alice@{instance}"}}"#)), [1]);
    assert_eq!(found(&db, r#"{"worker_id":"alice@home"}"#), [3]);
    assert_eq!(found(&db, r#"{"worker_id":"ali"}"#), [] as [i64; 0]);
}
