//! What the shell sends and receives.

use crate::support::Site;

#[test]
fn a_payload_is_an_argument_a_file_or_standard_input() {
    let site = Site::new();
    std::fs::write(site.path("p.json"), "{\"from\": \"file\"}\n").expect("written");
    let ids = [
        site.run(&["enqueue", "q", "{\"a\": 1}"]).ok(),
        site.run(&["enqueue", "q", "@p.json"]).ok(),
        site.run_with(&["enqueue", "q"], "from stdin").ok(),
        site.run_with(&["enqueue", "q", "-"], "").ok(),
    ]
    .map(|run| run.stdout.trim().parse::<i64>().expect("an id"));
    let payloads = ids.map(|id| site.database.get_job(id).expect("read").expect("a job").payload);
    assert_eq!(payloads, ["{\"a\": 1}", "{\"from\": \"file\"}\n", "from stdin", ""]);
    site.run(&["enqueue", "q", "@no.json"]).fails(1);
    std::fs::write(site.path("bytes"), [0xff, 0xfe]).expect("written");
    assert!(site.run(&["enqueue", "q", "@bytes"]).fails(2).stderr.contains("UTF-8"));
}

#[test]
fn options_of_a_job_reach_it() {
    let site = Site::new();
    let options = [
        "enqueue",
        "q",
        "{}",
        "--priority",
        "-3",
        "--max-attempts",
        "7",
        "--expires-s",
        "60",
        "--delay-s",
        "30",
        "--metadata",
        "a=1",
        "--metadata",
        "b=x=y",
        "--unique-key",
        "k",
        "--json",
    ];
    let first = site.json(&options);
    assert_eq!(first["status"], "enqueued");
    let second = site.json(&options);
    assert_eq!((second["status"].as_str(), &second["id"]), (Some("exists"), &first["id"]));
    let job = site.database.get_job(first["id"].as_i64().expect("an id")).expect("read").expect("a job");
    assert_eq!((job.priority, job.max_attempts, job.run_at - job.created_at), (-3, 7, 30));
    assert_eq!(job.metadata.as_deref(), Some(r#"{"a":"1","b":"x=y"}"#));
    site.run(&["enqueue", "q", "{}", "--delay-s", "1", "--run-at", "5"]).fails(2);
    site.run(&["enqueue", "q", "{}", "--on-conflict", "keep"]).fails(2);
    site.run(&["enqueue", "q", "{}", "--metadata", "a=1", "--metadata", "a=2"]).fails(2);
    site.run(&["enqueue", "q", "{}", "--max-attempts", "0"]).fails(2);
    site.run(&["enqueue", "q", "{}", "--delay-s", "9223372036854775807"]).fails(2);
}

#[test]
fn notifications_go_from_one_process_to_the_other() {
    let site = Site::new();
    let mut listening = site.start(&["listen", "deploys", "--count", "2", "--json"]);
    // It listens from some moment on: send until it has heard.
    let (mut heard, mut sent) = (Vec::new(), 0);
    while heard.len() < 2 {
        sent += 1;
        site.run(&["notify", "deploys", &format!("version {sent}")]).ok();
        if let Some(line) = listening.line_within(std::time::Duration::from_millis(200)) {
            heard.push(line);
        }
    }
    assert_eq!(listening.end(), Some(0));
    let first: serde_json::Value = serde_json::from_str(&heard[0]).expect("JSON");
    assert!(first["payload"].as_str().expect("a text").starts_with("version "));
    assert_eq!(first["channel"], "deploys");
    site.run(&["listen", "nothing", "--timeout-s", "0"]).fails(3);
}

#[test]
fn tail_shows_the_last_events_and_those_that_come() {
    let site = Site::new();
    for n in 1..=12 {
        site.run(&["publish", "orders", &n.to_string(), "--key", "k"]).ok();
    }
    let last = site.run(&["tail", "orders", "-n", "2", "--no-follow"]).ok().stdout;
    assert_eq!(last, "11\n12\n");
    let all = site.run(&["tail", "orders", "--from", "0", "--no-follow", "--json"]).ok().stdout;
    assert_eq!(all.lines().count(), 12);
    let tailing = site.start(&["tail", "orders", "-n", "1"]);
    assert_eq!(tailing.line(), "12");
    site.run(&["publish", "orders", "13"]).ok();
    assert_eq!(tailing.line(), "13");
}

#[test]
fn a_consumer_goes_on_where_it_was() {
    let site = Site::new();
    for n in 1..=3 {
        site.database.stream_publish("orders", None, &n.to_string()).expect("published");
    }
    let args = ["tail", "orders", "--consumer", "billing", "--no-follow"];
    assert_eq!(site.run(&args).ok().stdout, "1\n2\n3\n");
    assert_eq!(site.run(&args).ok().stdout, "");
    site.database.stream_publish("orders", None, "4").expect("published");
    assert_eq!(site.run(&args).ok().stdout, "4\n");
    site.run(&["tail", "orders", "--consumer", "billing", "--from", "0"]).fails(2);
}

#[test]
fn a_result_is_printed_awaited_or_missed() {
    let site = Site::new();
    let id = site.enqueue("sums", "[1, 2]").to_string();
    site.run(&["result", &id]).fails(3);
    site.run(&["result", &id, "--wait", "--timeout-s", "0"]).fails(3);
    let mut waiting = site.start(&["result", &id, "--wait"]);
    site.database.result_save(id.parse().expect("a number"), "3", 60).expect("saved");
    assert_eq!(waiting.line(), "3");
    assert_eq!(waiting.end(), Some(0));
    assert_eq!(site.run(&["result", &id]).ok().stdout, "3\n");
}
