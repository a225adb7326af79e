//! What changes jobs, queues and schedules.

use honker_core::queue::Enqueue;
use serde_json::json;

use crate::support::{Site, dead};

#[test]
fn dead_jobs_are_retried_by_id_by_filter_or_all() {
    let site = Site::new();
    let first = dead(&site, "emails", "refused").to_string();
    dead(&site, "emails", "refused");
    dead(&site, "emails", "no such address");
    dead(&site, "reports", "refused");
    site.run(&["jobs", "retry", "--yes"]).fails(2);
    assert!(
        site.run(&["jobs", "retry", "--all", "--dry-run"]).ok().stdout.contains("4 jobs would be retried")
    );

    let counted = site.json(&["jobs", "retry", "--all", "--dry-run", "--json"]);
    assert_eq!(counted, json!({ "found": 4, "at_least": false }));

    let run = site.run(&["jobs", "retry", "--queue", "emails"]).fails(4);
    assert!(run.stderr.contains("Retry 3 jobs?"), "{}", run.stderr);
    assert_eq!(site.json(&["jobs", "--state", "dead", "--json"]).as_array().expect("a list").len(), 4);

    assert_eq!(site.run(&["jobs", "retry", &first, "-y"]).ok().stdout, "1 job retried\n");
    site.run(&["jobs", "retry", &first, "-y"]).fails(3);
    let done = site.json(&["jobs", "retry", "--queue", "emails", "--error", "refused", "-y", "--json"]);
    assert_eq!(done, json!({ "changed": 1, "conflicts": 0 }));
    // A state that the action has nothing to do with.
    assert_eq!(site.run(&["jobs", "retry", "--state", "due", "-y"]).ok().stdout, "0 jobs retried\n");
    assert_eq!(site.run(&["jobs", "retry", "--all", "-y"]).ok().stdout, "2 jobs retried\n");
}

#[test]
fn a_retry_whose_key_is_taken_is_passed_over_and_said() {
    let site = Site::new();
    site.json(&["enqueue", "q", "{}", "--unique-key", "k", "--json"]);
    crate::support::fail_next(&site, "q", "broken");
    site.json(&["enqueue", "q", "{}", "--unique-key", "k", "--json"]);
    let run = site.run(&["jobs", "retry", "--all", "-y"]).ok();
    assert!(run.stdout.starts_with("0 jobs retried\n1 job passed over"), "{}", run.stdout);
}

#[test]
fn thousands_are_cancelled_moved_and_deleted_in_pages() {
    let site = Site::new();
    for _ in 0..2_500 {
        site.enqueue("many", "{}");
    }
    let kept = site.enqueue("other", "{}");
    let moved = site.json(&["jobs", "move", "--queue", "many", "--to", "slow", "-y", "--json"]);
    assert_eq!(moved["changed"], 2_500);
    let cancelled = site.json(&["jobs", "cancel", "--queue", "slow", "-y", "--json"]);
    assert_eq!(cancelled["changed"], 2_500);
    dead(&site, "slow", "x");
    assert_eq!(site.run(&["jobs", "delete", "--state", "dead", "-y"]).ok().stdout, "1 job deleted\n");
    let left = site.json(&["jobs", "--json"]);
    assert_eq!((left.as_array().expect("a list").len(), left[0]["id"].as_i64()), (1, Some(kept)));
}

#[test]
fn nothing_of_a_progress_bar_reaches_a_pipe() {
    let site = Site::new();
    site.enqueue("q", "{}");
    let run = site.run(&["jobs", "cancel", "--all", "-y"]).ok();
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("1 job cancelled\n", ""));
}

#[test]
fn delayed_jobs_run_now() {
    let site = Site::new();
    let later = Enqueue { delay_s: Some(3600), ..Enqueue::new("q", "{}") };
    let id = site.database.enqueue(&later).expect("enqueued").id.to_string();
    site.run(&["jobs", "run-now", &id, "-y"]).ok();
    assert_eq!(site.json(&["job", &id, "--json"])["state"], "due");
}

#[test]
fn queues_are_paused_resumed_and_limited() {
    let site = Site::new();
    site.enqueue("emails", "{}");
    assert!(site.run(&["pause", "emails"]).fails(4).stderr.contains("'emails' (1 job due)"));
    assert!(!site.database.queue_settings("emails").expect("read").paused);
    site.run(&["pause", "emails", "reports", "-y"]).ok();
    assert!(site.database.queue_settings("reports").expect("read").paused);
    site.run(&["resume", "emails", "-y"]).ok();
    let settings = site.database.queue_settings("emails").expect("read");
    assert!(!settings.paused);

    let set = ["limit", "emails", "--concurrency", "4", "--rate", "100/60", "--keep-done-s", "60", "-y"];
    let printed = site.json(&set);
    assert_eq!(printed["rate"], json!({ "limit": 100, "per_s": 60 }));
    let printed = site.json(&["limit", "emails", "--rate", "none", "-y"]);
    assert_eq!((&printed["rate"], &printed["concurrency"]), (&json!(null), &json!(4)));
    for wrong in [&["--concurrency", "0"][..], &["--rate", "5"], &["--rate", "0/60"], &[]] {
        site.run(&[&["limit", "emails", "-y"], wrong].concat()).fails(2);
    }
}

#[test]
fn a_schedule_is_added_paused_run_and_removed() {
    let site = Site::new();
    let add = [
        "schedule",
        "add",
        "nightly",
        "reports",
        "0 3 * * *",
        "{\"n\": 1}",
        "--priority",
        "4",
        "--metadata",
        "by=cron",
        "--delay-s",
        "60",
        "--skip-overlap",
        "-y",
    ];
    assert!(site.run(&add).ok().stdout.contains("'nightly' fires next at "));
    assert!(
        site.run(&["schedule", "add", "nightly", "q", "@every 1m", "{}"]).fails(4).stderr.contains("Replace")
    );
    site.run(&["schedule", "add", "x", "q", "61 * * * *", "{}", "-y"]).fails(2);
    site.run(&["schedule", "add", "x", "q", "@daily", "{}", "--run-at", "5", "-y"]).fails(2);
    // Nobody is asked about what cannot be done, and what was tried is not there.
    assert!(!site.run(&["schedule", "add", "x", "q", "61 * * * *", "{}"]).fails(2).stderr.contains("Add"));
    assert!(site.run(&["schedule", "add", "x", "q", "@daily", "{}"]).fails(4).stderr.contains("Add"));
    assert_eq!(site.json(&["schedules", "--json"]).as_array().map(Vec::len), Some(1));

    let id = site.run(&["schedule", "run-now", "nightly", "-y"]).ok().stdout;
    let job = site.json(&["job", id.trim(), "--json"]);
    assert_eq!(
        (&job["queue"], &job["priority"], &job["state"]),
        (&json!("reports"), &json!(4), &json!("due"))
    );
    assert_eq!(job["metadata"], json!({ "by": "cron" }));

    site.run(&["schedule", "pause", "nightly", "-y"]).ok();
    assert_eq!(site.json(&["schedules", "--json"])[0]["enabled"], false);
    site.run(&["schedule", "resume", "nightly", "-y"]).ok();
    assert_eq!(site.json(&["schedules", "--json"])[0]["enabled"], true);
    site.run(&["schedule", "rm", "nightly", "-y"]).ok();
    for action in ["pause", "resume", "run-now", "rm"] {
        site.run(&["schedule", action, "nightly"]).fails(3);
    }
}
