//! Several connections at once: no job is had twice or lost, no limit is exceeded, no event is passed over. Each ends when its work is
//! done, or fails when that takes far too long.

mod common;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Database, Session};

/// Longer than any of these takes on a slow machine.
const FAR_TOO_LONG: Duration = Duration::from_secs(120);

/// Where a race that hangs ends.
fn watch(begun: Instant, what: &str) {
    assert!(begun.elapsed() < FAR_TOO_LONG, "{what} takes too long");
}

/// Again, if the server has ended one of two that waited for each other.
fn insist(session: &mut Session, sql: &str) -> String {
    loop {
        let answer = session.ask(sql);
        if !answer.starts_with("40P01") && !answer.starts_with("40001") {
            return answer;
        }
    }
}

fn claim(session: &mut Session, queue: &str, worker: &str, n: i64) -> Vec<i64> {
    let ids = insist(
        session,
        &format!(
            "SELECT id FROM json_to_recordset(honker_claim_batch('{queue}', '{worker}', {n}, 300)::json) AS j (id bigint)"
        ),
    );
    ids.lines().map(|id| id.parse().unwrap_or_else(|_| panic!("{ids}"))).collect()
}

#[test]
fn two_never_claim_the_same_job() {
    let Some(database) = Database::for_races() else { return };
    const JOBS: i64 = 600;
    let begun = Instant::now();
    database.connect().check(&[
        (
            &format!(
                "INSERT INTO _honker_live (queue, payload, priority, run_at) SELECT 'q', 'p', n % 3, CASE n % 4 WHEN 0 THEN 5 ELSE honker._now() END FROM generate_series(1, {JOBS}) n"
            ),
            "",
        ),
        ("UPDATE _honker_live SET created_at = 1 WHERE run_at = 5", ""),
        // A quarter of them are retries and the like, and some have options.
        ("INSERT INTO _honker_job_options (job_id, metadata) SELECT id, '{}' FROM _honker_live WHERE id % 7 = 0", ""),
    ]);
    let had = Mutex::new(Vec::new());
    let acked = AtomicI64::new(0);
    thread::scope(|scope| {
        for worker in 0..6 {
            let (had, acked, database) = (&had, &acked, &database);
            scope.spawn(move || {
                let mut session = database.connect();
                let name = format!("w{worker}");
                while acked.load(Ordering::Relaxed) < JOBS {
                    if begun.elapsed() > FAR_TOO_LONG {
                        // What is left says whether it was slow, or cannot be claimed.
                        let left = "SELECT state, run_at > created_at, count(*), min(run_at), max(run_at), honker._now() FROM _honker_live GROUP BY 1, 2";
                        panic!("claiming takes too long: {}", session.ask(left));
                    }
                    let ids = claim(&mut session, "q", &name, 1 + worker % 4);
                    for id in &ids {
                        let done = insist(&mut session, &format!("SELECT honker_ack({id}, '{name}')"));
                        assert_eq!(done, "1");
                    }
                    acked.fetch_add(ids.len() as i64, Ordering::Relaxed);
                    had.lock().expect("no panic").extend(ids);
                }
            });
        }
    });
    let had = had.into_inner().expect("no panic");
    assert_eq!(had.len() as i64, JOBS);
    assert_eq!(had.into_iter().collect::<BTreeSet<_>>().len() as i64, JOBS);
    database.connect().check(&[(
        "SELECT (SELECT count(*) FROM _honker_live), (SELECT count(*) FROM _honker_job_options)",
        "0|0",
    )]);
}

#[test]
fn of_a_storm_of_unique_jobs_one_is_enqueued() {
    let Some(database) = Database::for_races() else { return };
    let begun = Instant::now();
    let enqueued = AtomicI64::new(0);
    const ROUNDS: i64 = 30;
    thread::scope(|scope| {
        for storm in 0..6 {
            let (enqueued, database) = (&enqueued, &database);
            scope.spawn(move || {
                let mut session = database.connect();
                for round in 0..ROUNDS {
                    watch(begun, "the storm");
                    // Some in a transaction that is open for a while, and some of those are rolled back.
                    let mode = (storm + round) % 3;
                    if mode > 0 {
                        session.ask("BEGIN");
                    }
                    let answer = session.ask(&format!(
                        r#"SELECT honker_enqueue_with('q', 'p', '{{"unique_key": "{round}"}}')"#
                    ));
                    let is_new = answer.contains("enqueued");
                    assert!(is_new || answer.contains("exists"), "{answer}");
                    if mode == 1 {
                        session.ask("COMMIT");
                    } else if mode == 2 {
                        session.ask("ROLLBACK");
                    }
                    if is_new && mode != 2 {
                        enqueued.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(enqueued.into_inner(), ROUNDS);
    database.connect().check(&[(
        "SELECT count(*), (SELECT count(*) FROM _honker_unique) FROM _honker_live",
        &format!("{ROUNDS}|{ROUNDS}"),
    )]);
}

#[test]
fn a_key_is_passed_on_while_jobs_are_settled_and_replaced() {
    let Some(database) = Database::for_races() else { return };
    let begun = Instant::now();
    let is_over = AtomicBool::new(false);
    let done = AtomicI64::new(0);
    thread::scope(|scope| {
        let enqueuers = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut session = database.connect();
                for n in 0..60 {
                    watch(begun, "enqueueing");
                    let conflict = if n % 2 == 0 { "keep" } else { "replace" };
                    let answer = insist(
                        &mut session,
                        &format!(r#"SELECT honker_enqueue_with('q', 'p', '{{"unique_key": "k{}", "on_conflict": "{conflict}"}}')"#, n % 3),
                    );
                    assert!(answer.starts_with('{'), "{answer}");
                    let live = session.number("SELECT max(n) FROM (SELECT count(*) AS n FROM _honker_live JOIN _honker_job_options ON job_id = id GROUP BY unique_key UNION ALL SELECT 0) c");
                    assert!(live <= 1, "{live} jobs with the same key");
                }
            })
        });
        for worker in 0..2 {
            let (is_over, done, database) = (&is_over, &done, &database);
            scope.spawn(move || {
                let mut session = database.connect();
                let name = format!("w{worker}");
                while !is_over.load(Ordering::Relaxed) {
                    watch(begun, "working");
                    for id in claim(&mut session, "q", &name, 1) {
                        let how = if done.fetch_add(1, Ordering::Relaxed) % 3 == 0 {
                            "honker_retry(%, 0, 'x')"
                        } else {
                            "honker_ack(%)"
                        };
                        let call = how.replace('%', &format!("{id}, '{name}'"));
                        assert_eq!(insist(&mut session, &format!("SELECT {call}")), "1");
                    }
                }
            });
        }
        // The workers work for as long as anybody enqueues.
        let ended = enqueuers.map(|enqueuer| enqueuer.join());
        is_over.store(true, Ordering::Relaxed);
        for one in ended {
            one.expect("no panic");
        }
    });
    // Whatever is left has its key, and no key is stuck.
    database.connect().check(&[("SELECT count(*) FROM _honker_unique u WHERE NOT EXISTS (SELECT FROM _honker_live l WHERE l.id = u.job_id)", "0")]);
}

#[test]
fn limits_are_never_exceeded_and_nobody_idles_for_good() {
    let Some(database) = Database::for_races() else { return };
    const JOBS: i64 = 150;
    let begun = Instant::now();
    let mut session = database.connect();
    session.check(&[
        (r#"SELECT honker_queue_configure('all', '{"concurrency": 3}'), honker_queue_configure('key', '{"concurrency_per_key": 2}')"#, "1|1"),
        (&format!("SELECT count(honker_enqueue('all', 'p')) FROM generate_series(1, {JOBS})"), &JOBS.to_string()),
        (
            &format!(
                r#"SELECT count(honker_enqueue_with('key', (n % 3)::text, '{{"concurrency_key": "' || n % 3 || '"}}')) FROM generate_series(1, {JOBS}) n"#
            ),
            &JOBS.to_string(),
        ),
    ]);
    let acked = AtomicI64::new(0);
    thread::scope(|scope| {
        for worker in 0..6 {
            let (acked, database) = (&acked, &database);
            scope.spawn(move || {
                let mut session = database.connect();
                let name = format!("w{worker}");
                let queue = ["all", "key"][worker % 2];
                while acked.load(Ordering::Relaxed) < 2 * JOBS {
                    watch(begun, "working at the limit");
                    let other = ["key", "all"][worker % 2];
                    let mut ids = claim(&mut session, queue, &name, 1 + worker as i64 % 3);
                    if ids.is_empty() {
                        ids = claim(&mut session, other, &name, 1);
                    }
                    for id in ids {
                        let how = if id % 11 == 0 && begun.elapsed().as_secs() < 10 {
                            format!("honker_release({id}, '{name}', 0)")
                        } else {
                            format!("honker_ack({id}, '{name}')")
                        };
                        assert_eq!(insist(&mut session, &format!("SELECT {how}")), "1");
                        acked.fetch_add(i64::from(how.contains("ack")), Ordering::Relaxed);
                    }
                }
            });
        }
        let mut looks = 0;
        while acked.load(Ordering::Relaxed) < 2 * JOBS {
            watch(begun, "looking");
            let all = session
                .number("SELECT count(*) FROM _honker_live WHERE queue = 'all' AND state = 'processing'");
            let key = session.number("SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM _honker_live WHERE queue = 'key' AND state = 'processing' GROUP BY payload) c");
            assert!(all <= 3 && key <= 2, "{all} of 3, {key} of 2");
            looks += 1;
        }
        assert!(looks > 0);
    });
    session.check(&[("SELECT (SELECT count(*) FROM _honker_live), (SELECT count(*) FROM _honker_slots), (SELECT count(*) FROM _honker_blocked)", "0|0|0")]);
}

#[test]
fn a_rate_is_never_exceeded() {
    let Some(database) = Database::for_races() else { return };
    let mut session = database.connect();
    session.check(&[
        ("INSERT INTO _test_clock VALUES (1000)", ""),
        (r#"SELECT honker_queue_configure('q', '{"rate": {"limit": 7, "per_s": 10}}')"#, "1"),
        ("SELECT count(honker_enqueue('q', 'p')) FROM generate_series(1, 40)", "40"),
    ]);
    let had = AtomicI64::new(0);
    let passed = AtomicI64::new(0);
    thread::scope(|scope| {
        for worker in 0..5 {
            let (had, passed, database) = (&had, &passed, &database);
            scope.spawn(move || {
                let mut session = database.connect();
                for _ in 0..5 {
                    had.fetch_add(
                        claim(&mut session, "q", &format!("w{worker}"), 2).len() as i64,
                        Ordering::Relaxed,
                    );
                    passed.fetch_add(
                        session.number("SELECT honker_rate_limit_try('r', 9, 10)"),
                        Ordering::Relaxed,
                    );
                }
            });
        }
    });
    assert_eq!((had.into_inner(), passed.into_inner()), (7, 9));
}

#[test]
fn a_reader_never_passes_over_a_late_event() {
    let Some(database) = Database::for_races() else { return };
    const EACH: i64 = 60;
    const PUBLISHERS: i64 = 5;
    let begun = Instant::now();
    let published = Mutex::new(BTreeSet::new());
    let running = AtomicI64::new(PUBLISHERS);
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (published, running, database) = (&published, &running, &database);
            scope.spawn(move || {
                let mut session = database.connect();
                for n in 0..EACH {
                    watch(begun, "publishing");
                    let event = format!("{publisher}-{n}");
                    let publish = match (publisher + n) % 3 {
                        0 => format!("INSERT INTO _honker_stream (topic, payload) VALUES ('t', '{event}')"),
                        _ => format!("SELECT honker_stream_publish('t', NULL, '{event}')"),
                    };
                    session.ask("BEGIN");
                    session.ask(&publish);
                    if n % 4 == 0 {
                        thread::sleep(Duration::from_millis(3));
                    }
                    let is_kept = n % 5 != 0;
                    session.ask(if is_kept { "COMMIT" } else { "ROLLBACK" });
                    if is_kept {
                        published.lock().expect("no panic").insert(event);
                    }
                }
                running.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = database.connect();
                    let (mut offset, mut seen) = (0, Vec::new());
                    loop {
                        watch(begun, "reading");
                        let was_running = running.load(Ordering::Relaxed) > 0;
                        let rows = session
                            .ask(&format!("SELECT \"offset\", payload FROM _stream_read('t', {offset}, 7)"));
                        for row in rows.lines() {
                            let (at, payload) = row.split_once('|').unwrap_or_else(|| panic!("{rows}"));
                            let at: i64 = at.parse().expect("an offset");
                            assert!(at > offset);
                            offset = at;
                            seen.push(payload.to_owned());
                        }
                        if rows.is_empty() && !was_running {
                            return seen;
                        }
                    }
                })
            })
            .collect();
        for reader in readers {
            let seen = reader.join().expect("no panic");
            let set: BTreeSet<String> = seen.iter().cloned().collect();
            assert_eq!(seen.len(), set.len());
            assert_eq!(set, *published.lock().expect("no panic"));
        }
    });
}

#[test]
fn the_callback_of_a_batch_is_enqueued_once() {
    let Some(database) = Database::for_races() else { return };
    const BATCHES: i64 = 15;
    const MEMBERS: i64 = 6;
    let begun = Instant::now();
    let mut session = database.connect();
    session.check(&[
        (&format!(r#"SELECT count(honker_batch_create('{{"on_finished": {{"queue": "cb", "payload": "p"}}}}')) FROM generate_series(1, {BATCHES})"#), &BATCHES.to_string()),
        (
            &format!(
                r#"SELECT count(honker_enqueue_with('q', 'p', '{{"batch_id": ' || b || ', "max_attempts": 1}}')) FROM generate_series(1, {BATCHES}) b, generate_series(1, {MEMBERS}) m"#
            ),
            &(BATCHES * MEMBERS).to_string(),
        ),
    ]);
    let settled = AtomicI64::new(0);
    thread::scope(|scope| {
        for worker in 0..5 {
            let (settled, database) = (&settled, &database);
            scope.spawn(move || {
                let mut session = database.connect();
                let name = format!("w{worker}");
                for batch in 1..=BATCHES {
                    if batch % 5 == worker {
                        insist(&mut session, &format!("SELECT honker_batch_seal({batch})"));
                    }
                }
                while settled.load(Ordering::Relaxed) < BATCHES * MEMBERS {
                    watch(begun, "settling");
                    let ids = claim(&mut session, "q", &name, 4);
                    let list = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
                    let settle = match worker {
                        0 => format!("SELECT count(*) FROM unnest('{{{list}}}'::bigint[]) i WHERE honker_fail(i, '{name}', 'x') = 1"),
                        1 => format!("SELECT count(*) FROM unnest('{{{list}}}'::bigint[]) i WHERE honker_cancel(i) = 1"),
                        _ => format!("SELECT honker_ack_batch('[{list}]', '{name}')"),
                    };
                    let count: i64 = insist(&mut session, &settle).parse().expect("a number");
                    assert_eq!(count, ids.len() as i64);
                    settled.fetch_add(count, Ordering::Relaxed);
                }
            });
        }
    });
    session.check(&[
        ("SELECT count(*), count(DISTINCT metadata) FROM _honker_live JOIN _honker_job_options ON job_id = id WHERE queue = 'cb'", &format!("{BATCHES}|{BATCHES}")),
        ("SELECT count(*) FROM _honker_batches WHERE finished_at IS NULL OR pending <> 0 OR done + dead + cancelled <> total", "0"),
    ]);
}

#[test]
fn a_boundary_is_fired_once_and_a_lock_has_one_owner() {
    let Some(database) = Database::for_races() else { return };
    let mut session = database.connect();
    session.check(&[
        ("INSERT INTO _test_clock VALUES (1000)", ""),
        ("SELECT _schedule_put('s', 'q', '@every 1s', 'p', 0, NULL, NULL, 'allow', NULL, 1)", ""),
    ]);
    let (fired, locked) = (AtomicI64::new(0), AtomicI64::new(0));
    thread::scope(|scope| {
        for worker in 0..6 {
            let (fired, locked, database) = (&fired, &locked, &database);
            scope.spawn(move || {
                let mut session = database.connect();
                for boundary in 1..=20 {
                    let rows = session.ask(&format!("SELECT * FROM _schedule_fire('s', '@every 1s', {boundary}, '{{{boundary}}}', {boundary} + 1)"));
                    assert!(!rows.starts_with(char::is_uppercase), "{rows}");
                    fired.fetch_add(i64::from(!rows.is_empty()), Ordering::Relaxed);
                    locked.fetch_add(session.number(&format!("SELECT honker_lock_acquire('l{boundary}', 'w{worker}', 60)")), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((fired.into_inner(), locked.into_inner()), (20, 20));
    session.check(&[("SELECT count(*) FROM _honker_live", "20")]);
}

const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";

fn until_claimed(conflict: &str, payload: &str) -> String {
    format!(
        r#"SELECT honker_enqueue_with('q', '{payload}', '{{"unique_key": "k", "unique_until": "claimed", "on_conflict": "{conflict}"}}')"#
    )
}

#[test]
fn a_job_that_stands_for_an_open_transaction_is_not_claimed_before_its_end() {
    let Some(database) = Database::new() else { return };
    let (mut first, mut second) = (database.connect(), database.connect());
    first.check(&[
        (&until_claimed("keep", "p"), r#"{"id":1,"status":"enqueued"}"#),
        ("BEGIN", ""),
        (&until_claimed("keep", "p"), r#"{"id":1,"status":"exists"}"#),
    ]);
    second.check(&[("SELECT honker_claim_batch('q', 'w', 1, 60)", "[]")]);
    first.check(&[("COMMIT", "")]);
    assert_eq!(claim(&mut second, "q", "w", 1), [1]);
}

#[test]
fn an_enqueue_waits_for_an_open_claim_of_what_it_would_stand_behind() {
    for (conflict, end, status) in [
        ("keep", "COMMIT", "enqueued"),
        ("replace", "COMMIT", "enqueued"),
        ("keep", "ROLLBACK", "exists"),
        ("replace", "ROLLBACK", "replaced"),
    ] {
        let Some(database) = Database::new() else { return };
        let mut first = database.connect();
        first.check(&[(&until_claimed("keep", "old"), r#"{"id":1,"status":"enqueued"}"#), ("BEGIN", "")]);
        assert_eq!(claim(&mut first, "q", "w", 1), [1]);
        let answer = thread::scope(|scope| {
            let waits = scope.spawn(|| database.connect().ask(&until_claimed(conflict, "new")));
            database.connect().until(WAITING, "1");
            first.check(&[(end, "")]);
            waits.join().expect("no panic")
        });
        assert!(answer.contains(status), "{conflict} {end}: {answer}");
        let new = first.ask("SELECT count(*) FROM _honker_live WHERE payload = 'new'");
        assert_eq!(new, i64::from(status != "exists").to_string());
    }
}

#[test]
fn a_claim_waits_for_no_key() {
    let Some(database) = Database::new() else { return };
    let (mut first, mut second) = (database.connect(), database.connect());
    first.at(1000).check(&[
        (&until_claimed("keep", "p"), r#"{"id":1,"status":"enqueued"}"#),
        ("SELECT count(honker_enqueue('q', 'p')) FROM generate_series(1, 40)", "40"),
        ("SELECT json_array_length(honker_claim_batch('q', 'w', 50, 60)::json)", "41"),
        (&until_claimed("keep", "p"), r#"{"id":42,"status":"enqueued"}"#),
        ("BEGIN", ""),
        (&until_claimed("keep", "p"), r#"{"id":42,"status":"exists"}"#),
    ]);
    // So many have lapsed that all go back; one of them would like to have its key again.
    second.at(2000).check(&[
        ("SET lock_timeout = '10s'", ""),
        ("SELECT json_array_length(honker_claim_batch('q', 'w', 50, 60)::json)", "40"),
    ]);
    first.check(&[("COMMIT", "")]);
    second.check(&[("SELECT json_array_length(honker_claim_batch('q', 'w', 50, 60)::json)", "2")]);
}

#[test]
fn a_claim_that_had_to_wait_goes_by_the_time_after_that() {
    let Some(database) = Database::new() else { return };
    let mut first = database.connect();
    first.check(&[
        ("INSERT INTO _test_clock VALUES (1000)", ""),
        (r#"SELECT honker_queue_configure('q', '{"concurrency": 3}')"#, "1"),
        ("SELECT count(honker_enqueue('q', 'p')) FROM generate_series(1, 2)", "2"),
        ("BEGIN", ""),
    ]);
    assert_eq!(claim(&mut first, "q", "w", 1), [1]);
    let answer = thread::scope(|scope| {
        let waits = scope.spawn(|| {
            database.connect().ask(
                "SELECT id, claim_expires_at FROM json_to_recordset(honker_claim_batch('q', 'w', 1, 10)::json) AS j (id bigint, claim_expires_at bigint)",
            )
        });
        let mut other = database.connect();
        other.until(WAITING, "1");
        other.check(&[("UPDATE _test_clock SET at = 1020", "")]);
        first.check(&[("COMMIT", "")]);
        waits.join().expect("no panic")
    });
    assert_eq!(answer, "2|1030");
}

#[test]
fn what_a_trigger_publishes_within_a_call_is_not_passed_over() {
    let Some(database) = Database::new() else { return };
    let (mut first, mut second) = (database.connect(), database.connect());
    first.at(1000).check(&[
        ("CREATE FUNCTION public.publish() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN INSERT INTO honker._honker_stream (topic, payload) VALUES ('t', 'first'); RETURN NULL; END $$", ""),
        ("CREATE TRIGGER publish AFTER INSERT ON _honker_live FOR EACH ROW EXECUTE FUNCTION public.publish()", ""),
        ("BEGIN", ""),
        ("SELECT honker_enqueue('q', 'p')", "1"),
    ]);
    second.at(1000).check(&[
        ("SELECT honker_stream_publish('t', NULL, 'second')", "2"),
        ("SELECT honker_stream_read_since('t', 0, 10)", "[]"),
    ]);
    first.check(&[("COMMIT", "")]);
    second.check(&[("SELECT json_array_length(honker_stream_read_since('t', 0, 10)::json)", "2")]);
}

#[test]
fn a_lock_that_is_released_meanwhile_is_no_refusal() {
    let Some(database) = Database::for_races() else { return };
    let begun = Instant::now();
    thread::scope(|scope| {
        for owner in 0..4 {
            let database = &database;
            scope.spawn(move || {
                let mut session = database.connect();
                for _ in 0..200 {
                    watch(begun, "locking");
                    let answer = session.ask(&format!("SELECT honker_lock_acquire('l', '{owner}', 60)"));
                    assert!(answer == "0" || answer == "1", "{answer}");
                    session.check(&[(&format!("SELECT honker_lock_release('l', '{owner}')"), &answer)]);
                }
            });
        }
    });
}
