//! What shows something: tables, JSON, and both again after each commit.

use honker_core::queue::Enqueue;
use serde_json::json;

use crate::support::{Site, dead};

#[test]
fn stats_count_the_jobs_of_each_queue() {
    let site = Site::new();
    site.enqueue("emails", "{}");
    site.enqueue("emails", "{}");
    let later = Enqueue { delay_s: Some(3600), ..Enqueue::new("emails", "{}") };
    site.database.enqueue(&later).expect("enqueued");
    dead(&site, "reports", "no paper");

    let stats = site.json(&["stats", "--json"]);
    assert_eq!(stats[0]["queue"], "emails");
    assert_eq!(stats[0]["depth"]["due"], 2);
    assert_eq!(stats[0]["depth"]["delayed"], 1);
    assert_eq!(stats[1]["queue"], "reports");
    assert_eq!(stats[1]["depth"]["dead"], 1);

    let table = site.run(&["stats"]).ok().stdout;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["QUEUE", "DUE", "OLDEST"]);
    assert_eq!(lines[1][..2], ["emails", "2"]);
    assert!(!table.contains('\x1b'), "no colours where there is no terminal");

    let one = site.json(&["stats", "--queue", "reports", "--json"]);
    assert_eq!(one.as_array().expect("a list").len(), 1);
}

#[test]
fn the_file_is_the_argument_the_option_or_the_variable() {
    let site = Site::new();
    site.enqueue("here", "{}");
    let path = site.path("app.db");
    let path = path.to_str().expect("a text");
    for args in [&["stats", path][..], &["stats", "--db", path], &["--db", path, "stats"]] {
        let mut command = site.command(args);
        let output = command.env_remove("HONKER_DB").output().expect("honker runs");
        assert!(String::from_utf8_lossy(&output.stdout).contains("here"), "{args:?}");
    }
    site.run(&["stats", path, "--db", path]).fails(2);
    let output = site.command(&["stats"]).env_remove("HONKER_DB").output().expect("honker runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("HONKER_DB"));
}

#[test]
fn a_mistyped_name_makes_no_file() {
    let site = Site::new();
    for args in [&["stats", "ap.db"][..], &["enqueue", "q", "{}", "--db", "ap.db"]] {
        let run = site.run(args).fails(3);
        assert!(run.stderr.contains("there is no file ap.db"), "{}", run.stderr);
        assert!(!site.path("ap.db").exists());
    }
    site.run(&["enqueue", "q", "{}", "--db", "ap.db", "--create"]).ok();
    assert!(site.path("ap.db").exists());
    std::fs::write(site.path("text.db"), "this is no database, but a text that is long enough".repeat(100))
        .expect("written");
    assert!(site.run(&["stats", "text.db"]).fails(1).stderr.contains("not a database"));
    assert!(site.run(&["stats", "postgres://me@127.0.0.1:1/x"]).fails(75).stderr.contains("cannot connect"));
}

#[test]
fn jobs_are_listed_by_filter_and_order_from_as_many_pages_as_it_takes() {
    let site = Site::new();
    let ids: Vec<i64> = (0..1_205).map(|_| site.enqueue("many", "{}")).collect();
    site.enqueue("other", "{}");
    let jobs = site.json(&["jobs", "--queue", "many", "--order", "oldest", "--limit", "2000", "--json"]);
    let listed: Vec<i64> =
        jobs.as_array().expect("a list").iter().map(|job| job["id"].as_i64().expect("an id")).collect();
    assert_eq!(listed, ids);
    let jobs = site.json(&["jobs", "--limit", "1", "--json"]);
    assert_eq!(jobs[0]["queue"], "other");
    let min = ids[1_200].to_string();
    let jobs = site.json(&["jobs", "--queue", "many", "--min-id", &min, "--state", "due,dead", "--json"]);
    assert_eq!(jobs.as_array().expect("a list").len(), 5);
    assert!(site.run(&["jobs", "--state", "dead"]).ok().stdout.contains("No job is like that"));
    site.run(&["jobs", "--state", "running"]).fails(2);
    site.run(&["jobs", "--limit", "0"]).fails(2);
    site.run(&["jobs", "--created-from", "yesterday"]).fails(2);
    let jobs = site.json(&["jobs", "--created-from", "2100-01-01", "--json"]);
    assert_eq!(jobs, json!([]));
}

#[test]
fn a_job_shows_everything_and_a_missing_one_ends_with_3() {
    let site = Site::new();
    let job = Enqueue {
        metadata: Some(r#"{"tenant": "acme"}"#),
        concurrency_key: Some("acme"),
        ..Enqueue::new("emails", r#"{"to": "ada"}"#)
    };
    let id = site.database.enqueue(&job).expect("enqueued").id.to_string();
    let shown = site.json(&["job", &id, "--json"]);
    assert_eq!(shown["payload"], r#"{"to": "ada"}"#);
    assert_eq!(shown["metadata"]["tenant"], "acme");
    assert_eq!(shown["steps"], json!([]));
    let text = site.run(&["job", &id]).ok().stdout;
    for part in ["queue           emails", "state           due", "concurrency key acme", "  \"to\": \"ada\""]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let run = site.run(&["job", "99"]).fails(3);
    assert!(run.stdout.is_empty() && run.stderr.contains("no job 99"));
}

#[test]
fn the_dead_are_listed_and_grouped() {
    let site = Site::new();
    dead(&site, "emails", "timeout after 31 s");
    let newest = dead(&site, "emails", "timeout after 7 s");
    dead(&site, "emails", "no such address");
    let listed = site.json(&["dead", "--json"]);
    assert_eq!(listed.as_array().expect("a list").len(), 3);
    let groups = site.json(&["dead", "--groups", "--json"]);
    assert_eq!(groups[0]["count"], 2);
    assert_eq!(groups[0]["newest"]["id"], newest);
    assert!(site.run(&["dead", "--groups"]).ok().stdout.contains("timeout after # s"));
    assert_eq!(site.json(&["dead", "--queue", "none", "--json"]), json!([]));
}

#[test]
fn streams_show_how_far_behind_their_consumers_are() {
    let site = Site::new();
    for n in 0..5 {
        site.database.stream_publish("orders", None, &n.to_string()).expect("published");
    }
    site.database.stream_save_offset("billing", "orders", 2).expect("saved");
    let streams = site.json(&["streams", "--json"]);
    let consumers = json!([{ "name": "billing", "offset": 2, "lag": 3 }]);
    assert_eq!(streams[0]["topic"], "orders");
    assert_eq!(streams[0]["events"], 5);
    assert_eq!(streams[0]["consumers"], consumers);
    assert!(site.run(&["streams"]).ok().stdout.contains("billing"));
}

#[test]
fn locks_and_rate_limits_are_shown() {
    let site = Site::new();
    site.database.lock_acquire("report", "host-1", 300).expect("taken");
    site.database.rate_limit_try("api", 5, 60).expect("counted");
    let all = site.json(&["locks", "--json"]);
    assert_eq!(all["locks"][0]["owner"], "host-1");
    assert_eq!(all["locks"][0]["stale"], false);
    assert_eq!(all["rate_limits"][0]["count"], 1);
    let text = site.run(&["locks"]).ok().stdout;
    assert!(text.contains("report") && text.contains("api"), "{text}");
}

#[test]
fn queues_show_their_settings_and_schedules_who_leads() {
    let site = Site::new();
    let settings = r#"{"paused": true, "rate": {"limit": 5, "per_s": 60}, "keep_done_s": 3600}"#;
    site.database.queue_configure("emails", settings).expect("set");
    let queues = site.json(&["queues", "--json"]);
    assert_eq!(queues[0]["paused"], true);
    let text = site.run(&["queues"]).ok().stdout;
    assert!(text.contains("paused") && text.contains("5 in 60 s"), "{text}");

    let registration = honker_core::schedule::Registration {
        name: "nightly",
        expression: "0 3 * * *",
        job: Enqueue::new("emails", "{}"),
        overlap: honker_core::schedule::Overlap::Allow,
    };
    site.database.scheduler_register(&registration).expect("registered");
    let schedules = site.json(&["schedules", "--json"]);
    assert_eq!(schedules[0]["cron_expr"], "0 3 * * *");
    assert!(site.run(&["schedules"]).ok().stdout.contains("Nobody leads"));
}

#[test]
fn watching_draws_again_after_a_commit_of_another_process() {
    let site = Site::new();
    site.enqueue("q", "1");
    let watching = site.start(&["stats", "--json", "--watch"]);
    let due = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON on a line");
        value[0]["depth"]["due"].as_i64()
    };
    assert_eq!(due(&watching.line()), Some(1));
    site.run(&["enqueue", "q", "2"]).ok();
    while due(&watching.line()) != Some(2) {}
}

#[test]
fn what_is_in_a_payload_cannot_move_the_cursor() {
    let site = Site::new();
    let id = site.enqueue("q\x1b[2J", "a\x1b]0;title\x07b\n\u{202e}c\r");
    for args in [&["jobs"][..], &["job", &id.to_string()], &["stats"]] {
        let text = site.run(args).ok().stdout;
        assert!(
            !text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'),
            "{args:?}: {text:?}"
        );
    }
}

#[test]
fn whoever_stops_reading_is_no_error() {
    let site = Site::new();
    for _ in 0..2_000 {
        site.enqueue("q", &"x".repeat(200));
    }
    let honker = env!("CARGO_BIN_EXE_honker");
    let script = format!("set -o pipefail; '{honker}' jobs --limit 2000 --json | head -n 1");
    let output = site
        .command(&[])
        .get_envs()
        .fold(std::process::Command::new("bash"), |mut bash, (name, value)| {
            if let Some(value) = value {
                bash.env(name, value);
            }
            bash
        })
        .args(["-c", &script])
        .output()
        .expect("bash runs");
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
