//! `honker run`: programs as handlers, with all the ways in which they and the worker end.

use std::path::Path;
use std::process::Stdio;

use honker_core::queue::{Enqueue, Job};
use serde_json::json;

use crate::support::{Running, Site, until};

fn job(site: &Site, id: i64) -> Option<Job> {
    site.database.get_job(id).expect("read")
}

/// Runs a shell script for each job until none is due.
fn work(site: &Site, script: &str) -> crate::support::Run {
    site.run(&["run", "--queue", "q", "--until-empty", "--", "sh", "-c", script])
}

/// A worker that goes on, with its messages in a file.
fn worker(site: &Site, options: &[&str], script: &str) -> Running {
    let args = [&["run", "--queue", "q"], options, &["--", "sh", "-c", script]].concat();
    let mut command = site.command(&args);
    let log = std::fs::File::create(site.path("log")).expect("a file");
    command.stdin(Stdio::null()).stderr(log);
    Running::of(command)
}

fn log(site: &Site) -> String {
    std::fs::read_to_string(site.path("log")).expect("the log")
}

fn wait_for(path: &Path) {
    until(&format!("{} is there", path.display()), || path.exists());
}

fn is_alive(pid: &str) -> bool {
    // A zombie is not.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

#[test]
fn the_payload_is_on_stdin_and_the_rest_in_the_environment() {
    let site = Site::new();
    let job = Enqueue { metadata: Some(r#"{"tenant":"acme"}"#), ..Enqueue::new("q", "{\"n\": 1}\n") };
    let id = site.database.enqueue(&job).expect("enqueued").id;
    work(&site, "cat > payload; env | grep ^HONKER_ > environment").ok();
    assert_eq!(std::fs::read_to_string(site.path("payload")).expect("read"), "{\"n\": 1}\n");
    let environment = std::fs::read_to_string(site.path("environment")).expect("read");
    for line in [
        format!("HONKER_JOB_ID={id}"),
        "HONKER_QUEUE=q".to_owned(),
        "HONKER_ATTEMPT=1".to_owned(),
        "HONKER_MAX_ATTEMPTS=3".to_owned(),
        "HONKER_METADATA={\"tenant\":\"acme\"}".to_owned(),
        format!("HONKER_DB={}", site.path("app.db").display()),
    ] {
        assert!(environment.lines().any(|found| found == line), "{line} in {environment}");
    }
}

#[test]
fn zero_is_done() {
    let site = Site::new();
    let id = site.enqueue("q", "{}");
    let run = work(&site, "exit 0").ok();
    assert!(job(&site, id).is_none());
    assert!(run.stderr.contains("stopped: 1 done, 0 failed"), "{}", run.stderr);
}

#[test]
fn seventy_five_is_not_now_and_gives_the_attempt_back() {
    let site = Site::new();
    let id = site.enqueue("q", "{}");
    work(&site, "exit 75").ok();
    let snoozed = job(&site, id).expect("a job");
    assert_eq!((snoozed.state.as_str(), snoozed.attempts), ("pending", 0));
    let delay_s = snoozed.run_at - snoozed.created_at;
    assert!((15..3600).contains(&delay_s), "{delay_s}");
    let id = site.enqueue("other", "{}");
    site.run(&[
        "run",
        "--queue",
        "other",
        "--until-empty",
        "--snooze-s",
        "4000",
        "--",
        "sh",
        "-c",
        "exit 75",
    ])
    .ok();
    let snoozed = job(&site, id).expect("a job");
    assert!(snoozed.run_at - snoozed.created_at >= 4000);
}

#[test]
fn sixty_five_is_dead_with_the_end_of_stderr() {
    let site = Site::new();
    let id = site.enqueue("q", "{}").to_string();
    let run = work(&site, "echo first >&2; seq 1 2000 >&2; echo 'no such address' >&2; exit 65").ok();
    let dead = site.json(&["job", &id, "--json"]);
    assert_eq!((&dead["state"], &dead["attempts"]), (&json!("dead"), &json!(1)));
    let error = dead["last_error"].as_str().expect("an error");
    assert!(error.ends_with("2000\nno such address") && !error.contains("first"), "{error}");
    assert!(error.len() <= 2_000);
    // It is seen by whoever looks at the worker, too.
    assert!(run.stderr.contains("first\n"));
}

/// The worker's own standard error is full, and takes nothing until long after the program has ended.
#[test]
fn what_a_program_has_said_last_is_kept_however_slowly_it_is_passed_on() {
    let site = Site::new();
    let id = site.enqueue("q", "{}").to_string();
    // More than a pipe takes, and less than two and what is read at once.
    let script = "yes long | head -c 120000 >&2; echo 'no such address' >&2; touch ended; exit 65";
    let args = ["run", "--queue", "q", "--until-empty", "--", "sh", "-c", script];
    let mut command = site.command(&args);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("honker runs");
    wait_for(&site.path("ended"));
    std::thread::sleep(std::time::Duration::from_millis(400));
    let output = child.wait_with_output().expect("it ends");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no such address"));
    let error = site.json(&["job", &id, "--json"])["last_error"].as_str().expect("an error").to_owned();
    assert!(error.ends_with("long\nno such address"), "{error}");
}

/// Nobody ever reads the worker's standard error.
#[test]
fn a_job_is_done_though_what_its_program_said_cannot_be_passed_on() {
    let site = Site::new();
    let id = site.enqueue("q", "{}");
    let args = ["run", "--queue", "q", "--until-empty", "--", "sh", "-c", "yes long | head -c 120000 >&2"];
    let mut command = site.command(&args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("honker runs");
    until("it is acked", || job(&site, id).is_none());
    drop(child.stderr.take());
    child.wait().expect("it ends");
}

#[test]
fn anything_else_is_tried_again_and_dead_by_budget() {
    let site = Site::new();
    site.database.queue_configure("q", r#"{"retry": {"base_s": 0, "jitter": 0}}"#).expect("set");
    let id = site.enqueue("q", "{}").to_string();
    work(&site, "echo x >> attempts; exit 3").ok();
    let dead = site.json(&["job", &id, "--json"]);
    assert_eq!((&dead["state"], &dead["attempts"]), (&json!("dead"), &json!(3)));
    assert_eq!(dead["last_error"], "exit code 3");
    assert_eq!(std::fs::read_to_string(site.path("attempts")).expect("read").lines().count(), 3);
}

#[test]
fn a_program_that_a_signal_ends_has_failed() {
    let site = Site::new();
    let job = Enqueue { max_attempts: Some(1), ..Enqueue::new("q", "{}") };
    let id = site.database.enqueue(&job).expect("enqueued").id.to_string();
    work(&site, "kill -9 $$").ok();
    assert_eq!(site.json(&["job", &id, "--json"])["last_error"], "killed by signal 9");
}

#[test]
fn a_program_need_not_read_and_may_leave_others_behind() {
    let site = Site::new();
    let id = site.enqueue("q", &"x".repeat(1_000_000));
    // What stays behind holds standard error, and is ended here.
    work(&site, "sleep 600 >/dev/null & echo $! > left; exit 0").ok();
    assert!(job(&site, id).is_none());
    let left = std::fs::read_to_string(site.path("left")).expect("read");
    let _ = std::process::Command::new("kill").arg(left.trim()).status();
}

#[test]
fn a_worker_outlives_whoever_reads_what_it_says() {
    let site = Site::new();
    let id = site.enqueue("q", "{}").to_string();
    let args = ["run", "--queue", "q", "--until-empty", "--", "sh", "-c", "echo broken >&2; exit 65"];
    let mut child = site.command(&args).stderr(Stdio::piped()).spawn().expect("honker runs");
    drop(child.stderr.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(site.json(&["job", &id, "--json"])["state"], "dead");
}

#[test]
fn as_many_run_at_once_as_are_allowed() {
    let site = Site::new();
    for n in 0..4 {
        site.enqueue("q", &n.to_string());
    }
    // None ends before three run: it would hang with fewer. The fourth comes after.
    let script = "echo x > started-$HONKER_JOB_ID
        while [ $(ls started-* | wc -l) -lt 3 ]; do sleep 0.01; done";
    let args = ["run", "--queue", "q", "--until-empty", "-c", "3", "--", "sh", "-c", script];
    assert!(site.run(&args).ok().stderr.contains("4 done"));
}

#[test]
fn a_worker_without_its_program_takes_no_job() {
    let site = Site::new();
    let id = site.enqueue("q", "{}");
    let run = site.run(&["run", "--queue", "q", "--", "no-such-program"]).fails(1);
    assert!(run.stderr.contains("no-such-program"));
    std::fs::write(site.path("text"), "not to be run").expect("written");
    site.run(&["run", "--queue", "q", "--", "./text"]).fails(1);
    assert_eq!(job(&site, id).expect("a job").attempts, 0);
    site.run(&["run", "--queue", "q"]).fails(2);
    site.run(&["run", "--queue", "q", "-c", "0", "--", "true"]).fails(2);
    site.run(&["run", "--queue", "q", "--queue", "q", "--", "true"]).fails(2);
}

#[test]
fn sigterm_drains() {
    let site = Site::new();
    let first = site.enqueue("q", "{}");
    let second = site.enqueue("q", "{}");
    let mut worker =
        worker(&site, &["--stop-timeout-s", "600"], "touch started; while [ ! -e go ]; do sleep 0.01; done");
    wait_for(&site.path("started"));
    worker.signal("TERM");
    until("it has heard", || log(&site).contains("stopping; 1 job running"));
    assert!(job(&site, first).is_some());
    std::fs::write(site.path("go"), "").expect("written");
    assert_eq!(worker.end(), Some(0));
    assert!(job(&site, first).is_none());
    assert_eq!(job(&site, second).expect("a job").attempts, 0);
}

#[test]
fn who_runs_for_too_long_after_sigterm_is_ended_and_the_job_given_back() {
    let site = Site::new();
    let id = site.enqueue("q", "{}");
    let script = "trap 'touch asked; exit 9' TERM; touch started; while :; do sleep 0.01; done";
    let mut worker = worker(&site, &["--stop-timeout-s", "0"], script);
    wait_for(&site.path("started"));
    worker.signal("TERM");
    assert_eq!(worker.end(), Some(0));
    assert!(site.path("asked").exists());
    let back = job(&site, id).expect("a job");
    assert_eq!((back.state.as_str(), back.attempts, back.worker_id), ("pending", 0, None));
    assert!(log(&site).contains("1 given back"), "{}", log(&site));
}

#[test]
fn a_second_signal_ends_at_once_who_does_not_want_to() {
    let site = Site::new();
    let id = site.enqueue("q", "{}");
    let script = "trap '' TERM INT; echo $$ > pid; touch started; while :; do sleep 0.01; done";
    let mut worker = worker(&site, &["--stop-timeout-s", "600"], script);
    wait_for(&site.path("started"));
    worker.signal("INT");
    until("it has heard", || log(&site).contains("stopping"));
    worker.signal("INT");
    assert_eq!(worker.end(), Some(0));
    assert_eq!(job(&site, id).expect("a job").attempts, 0);
    let pid = std::fs::read_to_string(site.path("pid")).expect("read");
    assert!(!is_alive(pid.trim()));
}

#[test]
fn a_job_that_is_cancelled_ends_its_program_by_sigterm() {
    let site = Site::new();
    let id = site.enqueue("q", "{}").to_string();
    let script = "trap 'touch asked; exit 0' TERM; touch started; while :; do sleep 0.01; done";
    let mut worker = worker(&site, &["--kill-after-s", "600"], script);
    wait_for(&site.path("started"));
    site.run(&["jobs", "cancel", &id, "-y"]).ok();
    wait_for(&site.path("asked"));
    until("it is said", || log(&site).contains("it was cancelled"));
    worker.signal("TERM");
    assert_eq!(worker.end(), Some(0));
    assert!(log(&site).contains("0 done") && log(&site).contains("1 lost"), "{}", log(&site));
}

#[test]
fn and_by_sigkill_with_all_that_it_has_started_if_it_does_not_listen() {
    let site = Site::new();
    let id = site.enqueue("q", "{}").to_string();
    let script =
        "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > child; touch started; while :; do sleep 0.01; done'";
    let worker = worker(&site, &["--kill-after-s", "0"], script);
    wait_for(&site.path("started"));
    let child = std::fs::read_to_string(site.path("child")).expect("read");
    assert!(is_alive(child.trim()));
    site.run(&["jobs", "cancel", &id, "-y"]).ok();
    until("all are gone", || !is_alive(child.trim()));
    // Its slot is free again.
    std::fs::remove_file(site.path("started")).expect("removed");
    site.enqueue("q", "{}");
    wait_for(&site.path("started"));
    drop(worker);
    // What it has started outlives a worker that is killed.
    let child = std::fs::read_to_string(site.path("child")).expect("read");
    let _ = std::process::Command::new("kill").args(["-9", child.trim()]).status();
}

#[test]
fn a_job_that_runs_for_too_long_is_ended_and_tried_again() {
    let site = Site::new();
    let job = Enqueue { max_attempts: Some(1), ..Enqueue::new("q", "{}") };
    let id = site.database.enqueue(&job).expect("enqueued").id.to_string();
    let args =
        ["run", "--queue", "q", "--until-empty", "--max-run-s", "1", "--", "sh", "-c", "exec sleep 600"];
    assert!(site.run(&args).ok().stderr.contains("it ran for too long"));
    let dead = site.json(&["job", &id, "--json"]);
    assert_eq!((&dead["state"], &dead["last_error"]), (&json!("dead"), &json!("timeout after 1 s")));
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_worker_takes_its_programs_with_it_and_others_have_the_job_at_once() {
    let site = Site::new();
    let id = site.enqueue("q", "{}");
    let script = "echo $$ > pid-$HONKER_ATTEMPT; touch started-$HONKER_ATTEMPT
        [ $HONKER_ATTEMPT = 2 ] || exec sleep 600";
    let first = worker(&site, &[], script);
    wait_for(&site.path("started-1"));
    let second = worker(&site, &[], script);
    until("it waits", || job(&site, id).is_some_and(|job| job.attempts == 1));
    first.signal("KILL");
    // Long before the visibility timeout of 300 s.
    wait_for(&site.path("started-2"));
    until("it is done", || job(&site, id).is_none());
    let pid = std::fs::read_to_string(site.path("pid-1")).expect("read");
    until("its program is gone", || !is_alive(pid.trim()));
    drop(second);
}

#[test]
fn a_file_that_is_kept_busy_is_waited_for() {
    let site = Site::new();
    let id = site.enqueue("q", "{}");
    let worker = worker(&site, &[], "touch started; while [ ! -e go ]; do sleep 0.01; done");
    wait_for(&site.path("started"));
    let transaction = site.database.begin().expect("begun");
    std::fs::write(site.path("go"), "").expect("written");
    until("it is said", || log(&site).contains("waiting for this to pass"));
    transaction.rollback().expect("rolled back");
    until("it is done", || job(&site, id).is_none());
    until("it is said", || log(&site).contains("works again"));
    drop(worker);
}

#[test]
fn a_file_that_is_replaced_is_opened_anew() {
    let site = Site::new();
    site.enqueue("q", "{}");
    let worker = worker(&site, &[], "touch started-$(cat)");
    wait_for(&site.path("started-{}"));
    site.run(&["enqueue", "q", "new", "--db", "other.db", "--create"]).ok();
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(site.path(&format!("app.db{end}")));
    }
    std::fs::rename(site.path("other.db"), site.path("app.db")).expect("renamed");
    wait_for(&site.path("started-new"));
    assert!(log(&site).contains("the file was replaced"));
    drop(worker);
}

#[test]
fn a_leader_fires_and_gives_up_on_sigterm() {
    let site = Site::new();
    site.run(&["schedule", "add", "tick", "q", "@every 1s", "{}", "-y"]).ok();
    assert_eq!(site.json(&["schedules", "--json"])[0]["last_fire_at"], json!(null));
    let mut leader = site.start(&["schedule-leader", "--json"]);
    let fire: serde_json::Value = serde_json::from_str(&leader.line()).expect("JSON");
    assert_eq!((&fire["name"], &fire["queue"]), (&json!("tick"), &json!("q")));
    assert!(job(&site, fire["job_id"].as_i64().expect("an id")).is_some());
    assert!(site.run(&["schedules"]).ok().stdout.contains("The leader is honker-"));
    let last = site.json(&["schedules", "--json"])[0]["last_fire_at"].as_i64().expect("it has fired");
    assert!(last >= fire["fire_at"].as_i64().expect("a time"), "{last}, {fire}");
    leader.signal("TERM");
    assert_eq!(leader.end(), Some(0));
    assert!(site.run(&["schedules"]).ok().stdout.contains("Nobody leads"));
}

#[test]
fn a_leader_waits_out_a_busy_file_and_opens_a_replaced_one_anew() {
    let site = Site::new();
    let add = |name: &str, file: &str| {
        let file = site.path(file);
        let file = file.to_str().expect("text");
        let args = ["schedule", "add", name, "q", "@every 1s", "{}", "-y", "--create", "--db", file];
        site.run(&args).ok();
    };
    add("tick", "app.db");
    let mut command = site.command(&["schedule-leader", "--json"]);
    command.stderr(std::fs::File::create(site.path("log")).expect("a file"));
    let mut leader = Running::of(command);
    assert!(leader.line().contains("tick"));
    let transaction = site.database.begin().expect("begun");
    until("it is said", || log(&site).contains("waiting for this to pass"));
    transaction.rollback().expect("rolled back");
    until("it is said", || log(&site).contains("works again"));
    assert!(leader.line().contains("tick"));

    add("tock", "other.db");
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(site.path(&format!("app.db{end}")));
    }
    std::fs::rename(site.path("other.db"), site.path("app.db")).expect("renamed");
    until("it fires what is in the new one", || leader.line().contains("tock"));
    leader.signal("TERM");
    assert_eq!(leader.end(), Some(0));
}

#[test]
fn prune_removes_what_is_not_kept() {
    let site = Site::new();
    crate::support::dead(&site, "q", "x");
    let expired = Enqueue { expires_s: Some(0), ..Enqueue::new("q", "{}") };
    let id = site.database.enqueue(&expired).expect("enqueued").id;
    for n in 0..3 {
        site.database.notify("c", &n.to_string()).expect("sent");
    }
    let pruned = site.json(&["prune", "--notifications-keep", "1", "--json"]);
    assert_eq!((&pruned["expired_jobs"], &pruned["notifications"]), (&json!(1), &json!(2)));
    assert_eq!(site.json(&["job", &id.to_string(), "--json"])["state"], "dead");
    // Negative: what died in this second, too.
    site.run(&["prune", "--dead-older-than-s=-1"]).fails(2);
    until("they are older than a second", || {
        site.json(&["prune", "--dead-older-than-s", "0", "--json"])["dead_jobs"].as_i64() != Some(0)
    });
    until("none is left", || {
        site.run(&["prune", "--dead-older-than-s", "0"]).ok();
        site.json(&["dead", "--json"]) == json!([])
    });
}
