//! How SQLite runs the functions' statements: by index, without sorting, and planned once.
//!
//! `_honker_statements` lists what a connection holds prepared. `honker_claim_batch` and its like run for every job, so
//! none of their statements may depend on how many other jobs there are.

use honker_sql_tests::*;

/// Steps of a plan that may walk a table, or sort: a part of the statement, the step, and why.
const PERMITTED: &[(&str, &str, &str)] = &[
    (
        "_honker_notifications WHERE 0",
        "SCAN _honker_notifications",
        "takes the write lock, and looks at no row",
    ),
    (
        "ORDER BY id DESC LIMIT +?1",
        "SCAN _honker_notifications",
        "the newest so many, along the primary key, before the lock is taken",
    ),
    (
        "sum(pending)",
        "SCAN _honker_live USING INDEX _honker_live_claim",
        "honker_stats(NULL) counts jobs, for people",
    ),
    ("sum(pending)", "SCAN _honker_live USING INDEX _honker_live_due", "honker_stats(NULL)"),
    ("sum(pending)", "SCAN _honker_live USING INDEX _honker_live_exceptions", "honker_stats(NULL)"),
    ("sum(pending)", "SCAN _honker_live USING COVERING INDEX _honker_live_inflight", "honker_stats(NULL)"),
    ("sum(pending)", "SCAN _honker_dead USING COVERING INDEX _honker_dead_age", "honker_stats(NULL)"),
    ("EXISTS (SELECT 1 FROM main._honker_blocked)", "SCAN _honker_blocked", "whether there is a row"),
    ("EXISTS (SELECT 1 FROM main._honker_slots)", "SCAN _honker_slots", "whether there is a row"),
    ("keys (key)", "SCAN keys", "the keys for which jobs wait, each found by a step in the index"),
    ("names (name)", "SCAN names", "the names of queues, each found by a step in an index"),
    ("queues (queue)", "SCAN queues", "the queues that have dead jobs, each found by a step in the index"),
    ("sum(pending)", "USE TEMP B-TREE FOR GROUP BY", "honker_stats"),
    (
        "ORDER BY id DESC LIMIT +?2",
        "SCAN _honker_dead",
        "honker_dead_list walks from the newest end, for people",
    ),
    ("SELECT id, died_at, last_error FROM", "SCAN _honker_dead", "honker_dead_groups(NULL), for people"),
    ("sum(value) FROM", "SCAN _honker_counters", "honker_metrics adds up a day of minutes, for people"),
    ("sum(value) FROM", "USE TEMP B-TREE FOR GROUP BY", "honker_metrics"),
    ("_honker_schema", "SCAN _honker_schema", "one row"),
    ("_honker_scheduler_tasks", "USE TEMP B-TREE FOR ORDER BY", "a table of a few schedules"),
    ("EXISTS (SELECT 1 FROM main._honker_job_options)", "SCAN _honker_job_options", "whether there is a row"),
    (
        "EXISTS (SELECT 1 FROM main._honker_unique)",
        "SCAN _honker_unique USING COVERING INDEX _honker_unique_job",
        "whether there is a row",
    ),
    (
        "EXISTS (SELECT 1 FROM main._honker_queues)",
        "SCAN _honker_queues USING COVERING INDEX sqlite_autoindex__honker_queues_1",
        "whether there is a row",
    ),
    ("EXISTS (SELECT 1 FROM main._honker_batches)", "SCAN _honker_batches", "whether there is a row"),
    ("EXISTS (SELECT 1 FROM main._honker_steps)", "SCAN _honker_steps", "whether there is a row"),
    (
        "EXISTS (SELECT 1 FROM main._honker_schedule_options)",
        "SCAN _honker_schedule_options USING COVERING INDEX sqlite_autoindex__honker_schedule_options_1",
        "whether there is a row",
    ),
    (
        "worker_id = worker_id WHERE 0",
        "SCAN _honker_live",
        "takes the write lock for a claim, and looks at no row",
    ),
    (
        "sqlite_master WHERE 0",
        "SCAN sqlite_master",
        "tells whether the schema has changed, and looks at no row",
    ),
    ("type = 'trigger'", "SCAN sqlite_master", "looked at when the schema has changed"),
    ("type = 'trigger'", "SCAN temp.sqlite_master", "looked at when the schema has changed"),
    ("_honker_scheduler_tasks", "SCAN _honker_scheduler_tasks", "a table of a few schedules"),
    (
        "_honker_scheduler_tasks",
        "SCAN _honker_scheduler_tasks USING INDEX sqlite_autoindex__honker_scheduler_tasks_1",
        "a table of a few schedules",
    ),
];

/// The plan of every prepared statement: pairs of its text and a step.
fn steps(db: &Db) -> Vec<(String, String)> {
    let mut statement = db.prepare("SELECT sql FROM _honker_statements").unwrap();
    let texts: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut steps = Vec::new();
    for text in texts {
        let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        // The parameters stay NULL, which the plan does not depend on.
        let mut rows = explain.raw_query();
        while let Some(row) = rows.next().unwrap() {
            steps.push((text.clone(), row.get::<_, String>("detail").unwrap().replace("main.", "")));
        }
    }
    steps
}

/// Asserts that every step that walks or sorts is a permitted one. (Steps over a subquery are over what other steps
/// have found.)
#[track_caller]
fn assert_permitted(steps: &[(String, String)]) {
    assert!(steps.len() > 60, "{}", steps.len());
    for (text, step) in steps {
        let walks =
            step.starts_with("SCAN") && step != "SCAN CONSTANT ROW" && !step.starts_with("SCAN (subquery");
        let permitted = PERMITTED.iter().any(|(part, which, _)| text.contains(part) && step == which);
        assert!(permitted || !walks && !step.contains("TEMP B-TREE"), "{step} in: {text}");
    }
}

#[test]
fn no_statement_walks_a_table_or_sorts() {
    let db = Db::new();
    db.run_every_function(1);
    let steps = steps(&db);
    assert_permitted(&steps);
    for (part, which, why) in PERMITTED {
        let needed = steps.iter().any(|(text, step)| text.contains(part) && step == which);
        assert!(needed, "not needed any more: {which} for {why}");
    }
}

#[test]
fn statistics_do_not_mislead_the_planner() {
    // Tables of shapes that make the indexes look useless: everything alike, everything different, nothing at all.
    for (jobs, queue) in [(3000, "'one'"), (3000, "'queue ' || x"), (0, "''")] {
        let db = Db::new();
        db.run("BEGIN");
        db.run(&format!(
            "WITH RECURSIVE c(x) AS (SELECT 1 WHERE {jobs} > 0 UNION ALL SELECT x + 1 FROM c WHERE x < {jobs})
             SELECT honker_enqueue({queue}, 'x', NULL, NULL, 0, 3, 1000), notify({queue}, 'x'),
                    honker_result_save(x, 'x', 60), honker_stream_publish({queue}, NULL, 'x') FROM c"
        ));
        db.run("SELECT honker_claim_batch('one', 'w', 1000, 60); COMMIT; ANALYZE");
        // A new connection, as an old one would not look at the statistics.
        let db = db.another();
        db.run_every_function(1);
        let mut steps = steps(&db);
        // Counting everything may well mean to read everything.
        steps.retain(|(text, _)| !text.contains("sum(pending)"));
        assert_permitted(&steps);
    }
}

#[test]
fn nothing_is_planned_again_whatever_the_arguments() {
    for statistics in ["", "SELECT honker_enqueue('a', 'x') FROM (VALUES (1), (2), (3)); ANALYZE"] {
        let db = Db::new();
        db.run(statistics);
        let db = db.another();
        let planned = "SELECT sql, reprepares FROM _honker_statements ORDER BY sql";
        db.run_every_function(0);
        db.run_every_function(1);
        let before = db.rows(planned);
        assert!(before.lines().count() > 60);
        for n in 2..200 {
            db.run_every_function(n);
        }
        assert_eq!(db.rows(planned), before);
    }
}

#[test]
fn the_list_is_that_of_this_connection() {
    let db = Db::new();
    let another = db.another();
    assert_eq!(db.int("SELECT honker_cancel(1)"), 0);
    let cancel = "SELECT count(*), max(reprepares) FROM _honker_statements WHERE sql GLOB 'DELETE*_honker_live WHERE id = ?1'";
    assert_eq!(db.rows(cancel), "1|0");
    assert_eq!(another.rows(cancel), "0|NULL");
    // A look at the list changes nothing, also from within the list.
    let pairs = "SELECT count(*) FROM _honker_statements AS a, _honker_statements AS b";
    let count = db.int("SELECT count(*) FROM _honker_statements");
    assert_eq!(db.int(pairs), count * count);
    assert!(db.try_run("DELETE FROM _honker_statements").is_err());
    assert!(db.try_run("CREATE VIRTUAL TABLE mine USING _honker_statements").is_err());
}
