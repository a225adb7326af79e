//! `honker serve`: the API against its description, the stream, who may do what, and hostile input.

use std::io::{Read, Write};

use honker_core::queue::Enqueue;
use honker_core::schedule::{Overlap, Registration};
use serde_json::{Value, json};

use crate::http::{Answer, Server, serve, serve_by, token};
use crate::schema::check;
use crate::support::{Site, dead, until};

fn claim(site: &Site, queue: &str, worker_id: &str) -> i64 {
    let claim = honker_core::queue::Claim { queue, worker_id, n: 1, timeout_s: 300 };
    site.database.claim(&claim).expect("claimed")[0].id
}

/// A file that has some of everything.
fn full() -> Site {
    let site = Site::new();
    let job = Enqueue {
        metadata: Some(r#"{"id": "7"}"#),
        concurrency_key: Some("7"),
        ..Enqueue::new("emails", "{\"to\": 1}")
    };
    site.database.enqueue(&job).expect("enqueued");
    let later = Enqueue { delay_s: Some(3600), expires_s: Some(7200), ..Enqueue::new("emails", "{}") };
    site.database.enqueue(&later).expect("enqueued");
    dead(&site, "reports", "timeout after 30 s");
    let settings = r#"{"keep_done_s": 3600, "rate": {"limit": 5, "per_s": 60}, "retry": {"base_s": 3}}"#;
    site.database.queue_configure("done", settings).expect("set");
    let done = site.enqueue("done", "{}");
    let claimed = claim(&site, "done", "w");
    assert_eq!(claimed, done);
    site.database.ack(done, "w").expect("acked");
    site.enqueue("busy", "{}");
    claim(&site, "busy", "w@1");
    let schedule = Registration {
        name: "nightly",
        expression: "CRON_TZ=Europe/Berlin 0 3 * * *",
        job: Enqueue { metadata: Some(r#"{"by": "cron"}"#), ..Enqueue::new("reports", "{}") },
        overlap: Overlap::Skip,
    };
    site.database.scheduler_register(&schedule).expect("registered");
    let due = site.database.scheduler_soonest().expect("read").expect("a boundary");
    site.database.scheduler_tick(Some(due)).expect("fired");
    site.database.stream_publish("orders", Some("k"), "1").expect("published");
    site.database.stream_save_offset("billing", "orders", 0).expect("saved");
    site.database.stream_publish("orders", None, "2").expect("published");
    site.database.stream_save_offset("billing", "orders", 1).expect("saved");
    site.database.lock_acquire("lock", "me", 300).expect("taken");
    site.database.rate_limit_try("api", 5, 60).expect("counted");
    site.database.notify("channel", "hello").expect("sent");
    site
}

/// The schema of an answer, and that the answer is as it says.
fn conforms(document: &Value, method: &str, path: &str, answer: &Answer) {
    let operation = &document["paths"][path][method];
    let described = &operation["responses"][answer.status.to_string()];
    assert!(described.is_object(), "{method} {path}: {} is not described", answer.status);
    let kind = answer.header("content-type").expect("a type").split(';').next().expect("a type").to_owned();
    let schema = &described["content"][&kind]["schema"];
    assert!(schema.is_object(), "{method} {path}: {kind} is not described");
    let value = if kind == "application/json" { answer.json() } else { Value::String(answer.body.clone()) };
    let wrong = check(document, schema, &value, path);
    assert!(wrong.is_empty(), "{method} {path}: {wrong:#?}");
}

#[test]
fn every_answer_is_as_the_openapi_document_says() {
    let site = full();
    let dead_id = site.json(&["dead", "--json"])[0]["id"].to_string();
    let server = serve(&site, &["--write"]);
    let document = server.get("/api/openapi.json").is(200).json();
    let mut left: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        left.extend(
            methods.as_object().expect("methods").keys().map(|method| (method.clone(), path.clone())),
        );
    }
    let mut ask = |method: &str, path: &str, query: &str, body: Option<Value>, status: u16| {
        let real = format!("{}{query}", path.replace("{id}", &dead_id));
        let answer = match &body {
            Some(body) => server.post(&real, body),
            None => server.get(&real),
        };
        let answer = answer.is(status);
        if let (Some(body), 200) = (&body, status) {
            let schema =
                &document["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"];
            let wrong = check(&document, schema, body, "body");
            assert!(wrong.is_empty(), "{wrong:?}");
        }
        conforms(&document, method, path, &answer);
        left.retain(|(known, of)| (known.as_str(), of.as_str()) != (method, path));
        answer.json_or_null()
    };
    ask("get", "/api/openapi.json", "", None, 200);
    let overview = ask("get", "/api/overview", "", None, 200);
    assert_eq!(overview["workers"][0]["worker_id"], "w@1");
    assert_eq!(overview["notifications"][0]["payload"], "hello");
    ask("get", "/api/history", "?minutes=1440&queue=emails", None, 200);
    let jobs = ask("get", "/api/jobs", "", None, 200);
    let states: Vec<&str> =
        jobs["jobs"].as_array().expect("jobs").iter().filter_map(|job| job["state"].as_str()).collect();
    for state in ["due", "delayed", "processing", "dead", "done"] {
        assert!(states.contains(&state), "{state} in {states:?}");
    }
    ask("get", "/api/jobs", "?limit=1&queue=emails&state=due,delayed&order=oldest", None, 200);
    ask("get", "/api/jobs", "?nonsense=1", None, 400);
    ask("get", "/api/jobs", "?cursor=abc", None, 400);
    let job = ask("get", "/api/jobs/{id}", "", None, 200);
    assert_eq!(job["id"].as_str(), Some(dead_id.as_str()));
    assert!(
        job["timeline"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|event| event["what"] == "died, after 1 of 3 attempts")
    );
    let groups = ask("get", "/api/dead", "?queue=reports", None, 200);
    assert_eq!(groups["groups"][0]["error"], "timeout after # s");
    let schedules = ask("get", "/api/schedules", "", None, 200);
    assert_eq!(schedules["schedules"][0]["words"], "at 03:00 every day (Europe/Berlin)");
    assert_eq!(schedules["schedules"][0]["next"].as_array().expect("a list").len(), 5);
    assert!(schedules["schedules"][0]["last_fire_at"].is_i64());
    ask("get", "/api/values", "?of=nonsense", None, 400);
    for (of, expected) in [
        ("metadata", json!([r#"{"by":"cron"}"#, r#"{"id":"7"}"#])),
        ("error", json!(["timeout after 30 s"])),
        ("worker_id", json!(["w@1"])),
    ] {
        let values = ask("get", "/api/values", &format!("?of={of}"), None, 200);
        assert_eq!(values["values"], expected);
    }
    ask("get", "/api/values", "?of=unique_key", None, 200);
    ask("get", "/api/streams", "", None, 200);
    ask("get", "/api/locks", "", None, 200);
    ask("get", "/healthz", "", None, 200);
    ask("get", "/metrics", "", None, 200);

    let enqueued = ask(
        "post",
        "/api/jobs",
        "",
        Some(json!({ "queue": "new", "payload": "{}", "options": { "priority": 3 } })),
        200,
    );
    assert_eq!(enqueued["status"], "enqueued");
    ask("post", "/api/jobs", "", Some(json!({ "queue": "new" })), 400);
    ask(
        "post",
        "/api/jobs",
        "",
        Some(json!({ "queue": "new", "payload": "", "options": { "nonsense": 3 } })),
        400,
    );
    let min_id = &enqueued["id"];
    let dry = json!({ "filter": { "min_id": min_id }, "action": "cancel", "dry_run": true });
    assert_eq!(ask("post", "/api/jobs/apply", "", Some(dry), 200)["found"], 1);
    let cancel = json!({ "filter": { "min_id": min_id }, "action": { "move": "other" } });
    assert_eq!(ask("post", "/api/jobs/apply", "", Some(cancel), 200)["changed"], 1);
    ask("post", "/api/jobs/apply", "", Some(json!({ "filter": {}, "action": "explode" })), 400);
    let group = json!({ "queue": "reports", "error": "timeout after # s" });
    assert_eq!(ask("post", "/api/dead/retry", "", Some(group), 200)["changed"], 1);
    let pause = json!({ "queue": "emails", "settings": { "paused": true } });
    assert_eq!(ask("post", "/api/queues/settings", "", Some(pause), 200)["paused"], true);
    ask("post", "/api/queues/settings", "", Some(json!({ "queue": "q", "settings": { "x": 1 } })), 400);
    let run = ask(
        "post",
        "/api/schedules/action",
        "",
        Some(json!({ "name": "nightly", "action": "run_now" })),
        200,
    );
    assert!(run["job_id"].is_string());
    ask("post", "/api/schedules/action", "", Some(json!({ "name": "nightly", "action": "pause" })), 200);
    ask("post", "/api/schedules/action", "", Some(json!({ "name": "none", "action": "pause" })), 404);

    let state = server.events().next().expect("a state");
    let wrong = check(&document, &json!({ "$ref": "#/components/schemas/Overview" }), &state, "event");
    assert!(wrong.is_empty(), "{wrong:?}");
    left.retain(|(_, path)| path != "/api/events");
    assert!(left.is_empty(), "not asked: {left:?}");
    server.get("/api/jobs/99999").is(404);
    server.get("/api/jobs/x").is(404);
    server.get("/api/nothing").is(404);
}

#[test]
fn what_another_process_commits_arrives_and_what_is_due_by_itself_too() {
    let site = Site::new();
    let server = serve(&site, &[]);
    let mut events = server.events();
    assert_eq!(events.next().expect("a state")["queues"], json!([]));
    let depth = |state: &Value, key: &str| state["queues"][0]["depth"][key].as_i64();
    site.run(&["enqueue", "q", "{}", "--delay-s", "3600"]).ok();
    events.until(|state| depth(state, "delayed") == Some(1));
    sql(&site, "UPDATE _honker_live SET run_at = unixepoch() + 2");
    // Nobody commits anything: the time has come.
    events.until(|state| depth(state, "due") == Some(1));
    // A second one, later, sees it at once.
    let mut late = server.events();
    assert_eq!(depth(&late.next().expect("a state"), "due"), Some(1));
    site.run(&["jobs", "cancel", "--all", "-y"]).ok();
    late.until(|state| depth(state, "due") != Some(1));
}

#[test]
fn sigterm_ends_the_streams() {
    let site = Site::new();
    let mut server = serve(&site, &[]);
    let mut events: Vec<_> = (0..20).map(|_| server.events()).collect();
    events.iter_mut().for_each(|events| drop(events.next()));
    server.running.signal("TERM");
    assert_eq!(server.running.end(), Some(0));
    events.iter_mut().for_each(|events| while events.next().is_some() {});
}

#[test]
fn it_only_reads_unless_told_otherwise() {
    let site = Site::new();
    let id = site.enqueue("q", "{}");
    let server = serve(&site, &[]);
    let answer = server.post("/api/jobs/apply", &json!({ "filter": {}, "action": "delete" })).is(403);
    assert!(answer.body.contains("--write"));
    assert!(site.database.get_job(id).expect("read").is_some());
    assert_eq!(server.get("/api/overview").json()["write"], false);
}

#[test]
fn a_write_comes_from_the_page_or_with_the_token() {
    let site = Site::new();
    let (path, token) = token(&site);
    let open = serve(&site, &["--write"]);
    let closed = serve(&site, &["--write", "--token-file", path.to_str().expect("text")]);
    let body = json!({ "queue": "q", "payload": "{}" }).to_string();
    let own = |server: &Server| format!("http://{}", server.address);
    let (own_open, own_closed) = (own(&open), own(&closed));
    let bearer = format!("Bearer {token}");
    let post =
        |server: &Server, headers: &[(&str, &str)]| server.send("POST", "/api/jobs", headers, &body).status;
    for (headers, status) in [
        (&[("Sec-Fetch-Site", "same-origin")][..], 200),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Sec-Fetch-Site", "none")], 403),
        (&[("Sec-Fetch-Site", "same-site"), ("Origin", &own_open)], 403),
        (&[("Origin", &own_open)], 200),
        (&[("Origin", "http://evil.example")], 403),
        (&[("Origin", "null")], 403),
        (&[], 403),
        (&[("Authorization", &bearer)], 403),
    ] {
        assert_eq!(post(&open, headers), status, "{headers:?}");
    }
    for (headers, status) in [
        (&[("Authorization", bearer.as_str())][..], 200),
        (&[("Authorization", &bearer), ("Origin", "http://evil.example")], 403),
        (&[("Authorization", &bearer), ("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Authorization", "Bearer wrong-token-of-a-length")], 401),
        (&[("Authorization", "Bearer ")], 401),
        (&[("Sec-Fetch-Site", "same-origin")], 401),
        (&[("Origin", &own_closed)], 401),
    ] {
        assert_eq!(post(&closed, headers), status, "{headers:?}");
    }
}

#[test]
fn with_a_token_nothing_is_told_without_it() {
    let site = Site::new();
    let (path, token) = token(&site);
    let server = serve(&site, &["--token-file", path.to_str().expect("text")]);
    for path in ["/api/overview", "/api/events", "/api/jobs", "/metrics", "/api/openapi.json", "/api/nothing"]
    {
        server.get(path).is(401);
        let bearer = format!("Bearer {token}");
        if path != "/api/events" && path != "/api/nothing" {
            server.send("GET", path, &[("Authorization", &bearer)], "").is(200);
        }
        // It is in no URL.
        server.get(&format!("{path}?token={token}")).is(401);
    }
    server.get("/healthz").is(200);
    assert_eq!(server.get("/").is(303).header("location"), Some("/login"));
    server.get("/login").is(200);

    let form = [
        ("Origin", &*format!("http://{}", server.address)),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let wrong = server.send("POST", "/login", &form, "token=wrong").is(303);
    assert_eq!((wrong.header("location"), wrong.header("set-cookie")), (Some("/login?wrong"), None));
    let foreign = [("Origin", "http://evil.example"), form[1]];
    server.send("POST", "/login", &foreign, &format!("token={token}")).is(403);
    let right = server.send("POST", "/login", &form, &format!("token={token}")).is(303);
    let cookie = right.header("set-cookie").expect("a cookie").to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(token),
        "{cookie}"
    );
    let cookie = cookie.split(';').next().expect("a pair");
    server.send("GET", "/api/overview", &[("Cookie", cookie)], "").is(200);
    server.send("POST", "/logout", &[("Cookie", cookie), form[0]], "").is(303);
    server.send("GET", "/api/overview", &[("Cookie", cookie)], "").is(401);
}

#[test]
fn it_listens_to_others_only_with_a_token() {
    let site = Site::new();
    assert!(site.run(&["serve", "--listen", "0.0.0.0:0"]).fails(2).stderr.contains("--token-file"));
    std::fs::write(site.path("short"), "secret\n").expect("written");
    site.run(&["serve", "--token-file", "short"]).fails(2);
    site.run(&["serve", "--token-file", "none"]).fails(1);
    site.run(&["serve", "--prefix", "no/slash"]).fails(2);
}

#[test]
fn it_answers_to_its_own_names_only() {
    let site = Site::new();
    let server = serve(&site, &["--host", "queue.example.com"]);
    let port = server.address.rsplit(':').next().expect("a port").to_owned();
    for (host, status) in [
        ("localhost", 200),
        (&*format!("localhost:{port}"), 200),
        (&*format!("[::1]:{port}"), 200),
        ("queue.example.com", 200),
        ("QUEUE.example.com:443", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
    ] {
        assert_eq!(server.send("GET", "/api/overview", &[("Host", host)], "").status, status, "{host}");
    }
}

#[test]
fn every_answer_forbids_what_a_page_could_be_made_to_do() {
    let site = Site::new();
    site.enqueue("<script>alert(1)</script>", "<img src=x onerror=alert(1)>");
    let server = serve(&site, &[]);
    for path in [
        "/",
        "/app.js",
        "/app.css",
        "/login",
        "/api/jobs",
        "/metrics",
        "/healthz",
        "/nothing",
        "/../../etc/passwd",
        "/%2e%2e/app.db",
    ] {
        let answer = server.get(path);
        let policy = answer.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let is_page = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        assert!(!is_page || !answer.body.contains("alert(1)"));
    }
    server.get("/../../etc/passwd").is(404);
}

#[test]
fn sizes_are_bounded() {
    let site = Site::new();
    for _ in 0..300 {
        site.enqueue("q", &"ä".repeat(1_000));
    }
    let server = serve(&site, &["--write"]);
    let page = server.get("/api/jobs?limit=100000").is(200).json();
    let jobs = page["jobs"].as_array().expect("jobs");
    assert_eq!(jobs.len(), 200);
    assert_eq!(
        (jobs[0]["payload"].as_str().map(str::len), &jobs[0]["payload_cut"]),
        (Some(1_000), &json!(true))
    );
    let whole = server.get(&format!("/api/jobs/{}", jobs[0]["id"].as_str().expect("an id"))).is(200).json();
    assert_eq!(whole["payload"].as_str().map(str::len), Some(2_000));
    let next = server
        .get(&format!("/api/jobs?cursor={}", page["cursor"].as_str().expect("a cursor")))
        .is(200)
        .json();
    assert_eq!(next["jobs"].as_array().map(Vec::len), Some(50));
    let huge = json!({ "queue": "q", "payload": "x".repeat(2_000_000) });
    server.post("/api/jobs", &huge).is(413);
    let size: usize = ["/", "/app.js", "/app.css", "/icon.svg"]
        .iter()
        .map(|path| server.get(path).is(200).body.len())
        .sum();
    assert!(size <= 100_000, "{size} bytes");
}

#[test]
fn health_and_metrics() {
    let site = full();
    let server = serve(&site, &["--late-s", "60"]);
    server.get("/healthz").is(200);
    let text = server.get("/metrics").is(200).body;
    for line in [
        "honker_jobs{queue=\"emails\",state=\"due\"} 1",
        "honker_jobs{queue=\"reports\",state=\"dead\"} 1",
        "honker_job_run_seconds_bucket{queue=\"emails\",le=\"+Inf\"} 0",
        "honker_leader 0",
        "honker_watcher_up 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    let mut transaction = site.database.begin().expect("begun");
    transaction
        .execute("UPDATE _honker_live SET run_at = unixepoch() - 1000 WHERE queue = 'emails'", &[])
        .expect("run");
    transaction.commit().expect("committed");
    let answer = server.get("/healthz").is(503);
    assert!(answer.body.contains("late") && !answer.body.contains("emails"));
    site.run(&["pause", "emails", "-y"]).ok();
    server.get("/healthz").is(200);
}

#[test]
fn two_hundred_clients_and_one_that_never_reads_see_what_a_writer_at_full_speed_does() {
    let site = Site::new();
    let server = serve(&site, &[]);
    let mut clients: Vec<_> = (0..200).map(|_| server.events()).collect();
    clients.iter_mut().for_each(|events| drop(events.next()));
    let mut asleep = server.connect();
    let request = format!("GET /api/events HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    asleep.write_all(request.as_bytes()).expect("sent");
    for n in 0..2_000 {
        site.enqueue("q", &n.to_string());
    }
    let last = site.enqueue("q", "last").to_string();
    for events in &mut clients {
        events.until(|state| state["last_job_id"] == last.as_str());
    }
    // What slept skips what it has missed, and sees the last as well.
    let mut bytes = [0; 65_536];
    let mut seen = String::new();
    until("it has seen it", || {
        let n = asleep.read(&mut bytes).expect("read");
        seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
        seen.contains(&format!("\"last_job_id\":\"{last}\""))
    });
}

#[test]
fn a_prefix_is_where_everything_is() {
    let site = Site::new();
    let server = serve(&site, &["--prefix", "/p/q/"]);
    server.get("/").is(404);
    assert_eq!(server.get("/p/q").is(303).header("location"), Some("/p/q/"));
    server.get("/p/q/").is(200);
    server.get("/p/q/api/overview").is(200);
    server.get("/p/q/healthz").is(200);
}

/// Rows by SQL, for what would take long one by one.
fn sql(site: &Site, sql: &str) {
    let mut transaction = site.database.begin().expect("begun");
    transaction.execute(sql, &[]).expect("run");
    transaction.commit().expect("committed");
}

fn many_dead(site: &Site, n: u32) {
    sql(
        site,
        &format!(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {n})
             INSERT INTO _honker_dead (id, queue, payload, last_error)
             SELECT 1000 + n, 'dead', '{{}}', 'error ' || n FROM n"
        ),
    );
}

/// What is left to read before the connection ends.
fn rest(mut stream: std::net::TcpStream) -> String {
    let mut text = Vec::new();
    // It may be cut off.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn clients_that_take_their_time_lose_their_connection() {
    let site = Site::new();
    let server = serve(&site, &["--write"]);
    let start = |text: &str| {
        let mut stream = server.connect();
        stream.write_all(text.as_bytes()).expect("sent");
        stream
    };
    let host = format!("Host: {}\r\n", server.address);
    let in_head = start("GET /healthz HTTP/1.1\r\nHo");
    let silent = start("");
    let stays = start(&format!("GET /healthz HTTP/1.1\r\n{host}\r\n"));
    let in_body = start(&format!(
        "POST /api/jobs HTTP/1.1\r\n{host}Sec-Fetch-Site: same-origin\r\nContent-Length: 1000\r\n\r\n{{"
    ));
    assert_eq!((rest(in_head), rest(silent)), (String::new(), String::new()));
    assert!(rest(stays).starts_with("HTTP/1.1 200"));
    assert!(rest(in_body).starts_with("HTTP/1.1 408"));
}

#[test]
fn connections_are_bounded_and_whoever_waits_has_a_turn() {
    let site = Site::new();
    let program = env!("CARGO_BIN_EXE_honker");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 100 && exec \"$0\" serve --listen 127.0.0.1:0", program]);
    command.env("HONKER_DB", site.path("app.db"));
    let server = serve_by(command);
    let idle: Vec<_> = (0..150).map(|_| server.connect()).collect();
    server.get("/healthz").is(200);
    assert!(server.get("/api/overview").is(200).json()["queues"].is_array());
    drop(idle);
}

#[test]
fn a_bulk_action_goes_on_where_a_request_has_ended() {
    let site = Site::new();
    many_dead(&site, 5);
    let server = serve(&site, &["--write"]);
    let group = json!({ "error": "error #", "cursor": "1002" });
    let done = server.post("/api/dead/retry", &group).is(200).json();
    assert_eq!((&done["changed"], &done["cursor"]), (&json!(3), &Value::Null));
    let rest =
        json!({ "filter": { "queue": "dead", "order": "oldest", "cursor": "1001" }, "action": "retry" });
    assert_eq!(server.post("/api/jobs/apply", &rest).is(200).json()["changed"], 1);
    assert_eq!(site.json(&["dead", "--json"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_large_group_is_retried_by_as_many_requests_as_it_takes() {
    let site = Site::new();
    many_dead(&site, 10_000);
    let server = serve(&site, &["--write"]);
    let (mut changed, mut cursor) = (0, Value::Null);
    loop {
        let done =
            server.post("/api/dead/retry", &json!({ "error": "error #", "cursor": cursor })).is(200).json();
        changed += done["changed"].as_i64().expect("a number");
        cursor = done["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(changed, 10_000);
}

#[test]
fn few_jobs_among_many_are_found() {
    let site = Site::new();
    let id = site.enqueue("rare", "{}").to_string();
    many_dead(&site, 25_000);
    let server = serve(&site, &[]);
    let mut page = server.get("/api/jobs?queue=rare").is(200).json();
    // A request looks for a second, which may not be enough where a hundred other things are done.
    while page["jobs"] == json!([]) {
        let cursor = page["cursor"].as_str().expect("it goes on");
        page = server.get(&format!("/api/jobs?queue=rare&cursor={cursor}")).is(200).json();
    }
    assert_eq!((&page["jobs"][0]["id"], &page["cursor"]), (&json!(id), &Value::Null));
}

#[test]
fn thousands_of_queues_and_a_huge_payload_do_not_make_huge_answers() {
    let site = Site::new();
    sql(
        &site,
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 600)
         INSERT INTO _honker_live (queue, payload, state, priority, run_at, attempts, max_attempts)
         SELECT 'q' || n, '{}', 'pending', 0, unixepoch() + 1000, 0, 3 FROM n",
    );
    let id = site.enqueue("z", &"ä".repeat(300_000));
    let server = serve(&site, &[]);
    let state = server.events().next().expect("a state");
    assert_eq!(state["queues"].as_array().map(Vec::len), Some(500));
    assert_eq!((&state["queues_left"], &state["queues"][499]["queue"]), (&json!(101), &json!("z")));
    let job = server.get(&format!("/api/jobs/{id}")).is(200).json();
    assert_eq!((job["payload"].as_str().map(str::len), &job["payload_cut"]), (Some(500_000), &json!(true)));
}

#[test]
fn a_file_that_is_replaced_is_opened_anew() {
    let site = Site::new();
    site.enqueue("old", "{}");
    let server = serve(&site, &[]);
    let mut events = server.events();
    events.until(|state| state["queues"][0]["queue"] == "old");
    let new = site.path("new.db");
    site.run(&["enqueue", "new", "{}", "--create", "--db", new.to_str().expect("text")]).ok();
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(site.path(&format!("app.db{end}")));
    }
    std::fs::rename(new, site.path("app.db")).expect("renamed");
    // Between them is what went wrong.
    events.until(|state| state["queues"][0]["queue"] == "new");
    server.get("/healthz").is(200);
    site.run(&["enqueue", "newer", "{}"]).ok();
    events.until(|state| state["queues"][1]["queue"] == "newer");
}
