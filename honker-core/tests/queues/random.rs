//! Limits against what they mean, over random histories: after any history no limit is exceeded, no allowed job is left, and
//! what is said about the next claim is neither late nor, if it is now, in vain.

use honker_core::queue::{self, Enqueue};

use crate::support::*;

fn valid(file: &File) -> i64 {
    let now = file.now();
    file.int(&format!(
        "SELECT count(*) FROM _honker_live WHERE state = 'processing' AND claim_expires_at >= {now}"
    ))
}

/// Valid claims of the key of a job that has one.
fn valid_of_key(file: &File, id: i64) -> i64 {
    file.int(&format!(
        "SELECT count(*) FROM _honker_live live JOIN _honker_job_options options ON options.job_id = live.id
         WHERE live.state = 'processing' AND live.claim_expires_at >= {} AND concurrency_key
             = (SELECT concurrency_key FROM _honker_job_options WHERE job_id = {id})",
        file.now()
    ))
}

/// Jobs that a claim may take now: due, not expired, with attempts left, and of a key that has a slot free.
fn allowed(file: &File, per_key: Option<i64>) -> i64 {
    let now = file.now();
    file.int(&format!(
        "SELECT count(*) FROM _honker_live live LEFT JOIN _honker_job_options options ON options.job_id = live.id
         WHERE (live.state IN ('pending', 'blocked') AND live.run_at <= {now}
                OR live.state = 'processing' AND live.claim_expires_at < {now})
           AND live.attempts < live.max_attempts AND (live.expires_at IS NULL OR live.expires_at > {now})
           AND (options.concurrency_key IS NULL OR
                (SELECT count(*) FROM _honker_live other JOIN _honker_job_options of ON of.job_id = other.id
                 WHERE other.state = 'processing' AND other.claim_expires_at >= {now}
                   AND of.concurrency_key = options.concurrency_key) < {})",
        per_key.unwrap_or(i64::MAX)
    ))
}

#[test]
fn limits_hold_and_nothing_that_is_allowed_is_left_whatever_has_happened() {
    for seed in 1..=SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        history(seed, &mut random);
    }
}

/// How many histories; each takes a second where nothing is optimised.
const SEEDS: u64 = 6;

fn history(seed: u64, random: &mut fastrand::Rng) {
    let file = File::new();
    let (mut per_key, mut concurrency, mut rate) = (Some(1), None, None::<(i64, i64)>);
    file.configure(r#"{"concurrency_per_key":1}"#);
    let mut claims_in_window = (0, 0);
    for step in 0..150 {
        let context = format!("seed {seed}, step {step}");
        match random.i64(0..16) {
            0..=4 => {
                let key = random.choice(["a", "b", "c", ""]).unwrap();
                let job = Enqueue {
                    concurrency_key: Some(key).filter(|key| !key.is_empty()),
                    priority: random.i64(0..3),
                    delay_s: Some((random.i64(0..12) - 6).max(0)),
                    expires_s: Some(random.i64(0..40)).filter(|expires_s| *expires_s < 12),
                    max_attempts: Some(1 + random.i64(0..3)),
                    ..Enqueue::new("q", "p")
                };
                file.enqueue_with(&job);
            }
            5..=9 => {
                let held = "SELECT ifnull(max(id), 0) FROM (SELECT id FROM _honker_live WHERE state = 'processing' ORDER BY id LIMIT 3)";
                let id = file.int(held);
                match random.i64(0..6) {
                    0..=1 => queue::ack(&file.store, file.now(), id, "w").unwrap(),
                    2 => queue::retry(&file.store, file.now(), id, "w", random.i64(0..5), "e").unwrap(),
                    3 => queue::release(&file.store, file.now(), id, "w", 0).unwrap(),
                    4 => queue::heartbeat(&file.store, file.now(), id, "w", 15).unwrap(),
                    _ => queue::fail(&file.store, file.now(), id, "w", "e").unwrap(),
                };
            }
            10 => {
                let any = file.int("SELECT ifnull(min(id), 0) FROM _honker_live");
                let _ = queue::cancel(&file.store, file.now(), any).unwrap();
            }
            // Somebody's SQL removes a job, or takes it from its holder.
            11 => file.run("DELETE FROM _honker_live WHERE id = (SELECT max(id) FROM _honker_live WHERE state = 'processing')"),
            12 => file.run(
                "UPDATE _honker_live SET state = 'pending', worker_id = NULL, claim_expires_at = NULL
                 WHERE id = (SELECT min(id) FROM _honker_live WHERE state = 'processing')",
            ),
            13 => {
                per_key = [None, Some(1), Some(2), Some(3)][random.usize(0..4)];
                concurrency = [None, None, Some(2), Some(4)][random.usize(0..4)];
                let limit = [None, None, Some((3, 10)), Some((5, 10))][random.usize(0..4)];
                if limit.map(|(_, per_s)| per_s) != rate.map(|(_, per_s)| per_s) {
                    claims_in_window = (0, 0);
                }
                rate = limit;
                let text = |n: Option<i64>| n.map_or("null".to_owned(), |n| n.to_string());
                let rate_text = rate.map_or("null".to_owned(), |(limit, per_s)| format!(r#"{{"limit":{limit},"per_s":{per_s}}}"#));
                file.configure(&format!(
                    r#"{{"concurrency_per_key":{},"concurrency":{},"rate":{rate_text}}}"#,
                    text(per_key),
                    text(concurrency)
                ));
            }
            14 => {
                queue::sweep_expired(&file.store, file.now(), "q").unwrap();
                if random.i64(0..2) == 0 {
                    file.run_all_of_it();
                }
            }
            _ => {
                file.at(file.now() + 1 + random.i64(0..6));
            }
        }
        // What is said of now and later, against what comes of it.
        let now = file.now();
        let (may, next) = (file.may_claim(), file.next_claim_in());
        let peek = || {
            file.run("BEGIN");
            let before = file.dump();
            let some = file.claim(1).len();
            let changed = file.dump() != before;
            file.run("ROLLBACK");
            (some > 0, changed)
        };
        let (some, changed) = peek();
        assert_eq!(may, changed, "{context}: {}", file.dump());
        if next == Some(0) {
            assert!(changed, "{context}");
        }
        if !some {
            for later in 1..=next.unwrap_or(25).min(25) {
                file.at(now + later);
                let is_next = next == Some(later);
                assert!(is_next || !peek().0, "{context}: {next:?} is later than {later}");
            }
            file.at(now);
        }
        if random.i64(0..3) == 0 {
            continue;
        }
        let mut claims = 0;
        loop {
            let claimed = file.try_claim(1 + random.i64(0..4)).unwrap();
            claims += claimed.jobs.len() as i64;
            // Those that were claimed before a limit was lowered are no fault of this claim.
            for job in &claimed.jobs {
                let held = valid_of_key(&file, job.id);
                assert!(per_key.is_none_or(|most| held <= most), "{context}: {held} of {per_key:?}");
            }
            if claimed.jobs.is_empty() && !claimed.more {
                break;
            }
        }
        if let Some((limit, per_s)) = rate {
            let window = file.now().div_euclid(per_s);
            if claims_in_window.0 != window {
                claims_in_window = (window, 0);
            }
            claims_in_window.1 += claims;
            assert!(claims == 0 || claims_in_window.1 <= limit, "{context}: {claims_in_window:?}");
        }
        let is_full = rate.is_some_and(|(limit, _)| claims_in_window.1 >= limit);
        let all = valid(&file);
        assert!(
            claims == 0 || concurrency.is_none_or(|most| all <= most),
            "{context}: {all} of {concurrency:?}"
        );
        if !is_full && concurrency.is_none_or(|most| all < most) {
            assert_eq!(allowed(&file, per_key), 0, "{context}: {}", file.dump());
        }
    }
}
