//! Limits for each concurrency key: never more than the limit, never an idle worker while an allowed job is due.

use honker_core::queue::{self, Enqueue};

use crate::support::*;

fn states(file: &File) -> String {
    file.text(
        "SELECT ifnull(group_concat(id || ' ' || state), '') FROM (SELECT * FROM _honker_live ORDER BY id)",
    )
}

/// Ends the claim of a job.
type End = fn(&File, i64);

fn blocked(file: &File) -> i64 {
    file.int("SELECT count(*) FROM _honker_live WHERE state = 'blocked'")
}

/// Rows that say what is not so: none may be left after calls of our own.
fn assert_consistent(file: &File) {
    for (what, sql) in [
        (
            "blocked jobs and their rows",
            "SELECT count(*) FROM _honker_live live FULL JOIN _honker_blocked blocked ON blocked.job_id = live.id
             WHERE (live.state = 'blocked') IS NOT TRUE <> (blocked.job_id IS NULL)",
        ),
        (
            "slots of jobs that are not claimed",
            "SELECT count(*) FROM _honker_slots WHERE job_id NOT IN (SELECT id FROM _honker_live WHERE state = 'processing')",
        ),
    ] {
        assert_eq!(file.int(sql), 0, "{what}: {}", file.dump());
    }
}

#[test]
fn a_saturated_key_is_set_aside_and_never_blocks_the_others() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let [a1, a2, a3, b1, plain] = [
        file.enqueue_key("a"),
        file.enqueue_key("a"),
        file.enqueue_key("a"),
        file.enqueue_key("b"),
        file.enqueue(),
    ];
    assert_eq!(file.claim(1), [a1]);
    // The next ones met are of the same key.
    assert_eq!(file.next_claim_in(), Some(0));
    assert_eq!(file.claim(1), [b1]);
    assert_eq!(states(&file), "1 processing,2 blocked,3 blocked,4 processing,5 pending");
    assert_eq!(file.claim(-1), [plain]);
    assert_eq!(file.claim(-1), NONE);
    assert!(!file.may_claim());
    assert_eq!(file.next_claim_in(), Some(11));
    assert_consistent(&file);
    // The first of the key comes back, and no other.
    assert!(file.ack(a1));
    assert_eq!(states(&file), "2 pending,3 blocked,4 processing,5 processing");
    assert_eq!(file.claim(-1), [a2]);
    assert!(file.ack(b1));
    assert_eq!(file.claim(-1), NONE);
    assert!(file.ack(a2));
    assert_eq!(file.claim(-1), [a3]);
    assert!(file.ack(a3) && file.ack(plain));
    assert_consistent(&file);
    assert_eq!(file.int("SELECT count(*) FROM _honker_slots"), 0);
}

#[test]
fn every_way_out_of_a_claim_frees_the_slot() {
    let ways: [(&str, End); 7] = [
        ("ack", |file, id| assert!(file.ack(id))),
        ("ack_batch", |file, id| {
            assert_eq!(queue::ack_batch(&file.store, file.now(), &[id, 99], "w").unwrap(), 1);
        }),
        ("fail", |file, id| assert!(queue::fail(&file.store, file.now(), id, "w", "e").unwrap())),
        ("retry", |file, id| assert!(queue::retry(&file.store, file.now(), id, "w", 100, "e").unwrap())),
        ("release", |file, id| assert!(queue::release(&file.store, file.now(), id, "w", 100).unwrap())),
        ("cancel", |file, id| assert!(queue::cancel(&file.store, file.now(), id).unwrap())),
        ("raw SQL", |file, id| file.run(&format!("DELETE FROM _honker_live WHERE id = {id}"))),
    ];
    for limit in [1, 2] {
        for (name, end) in ways {
            let file = File::new();
            file.configure(&format!(r#"{{"concurrency_per_key":{limit}}}"#));
            let ids: Vec<i64> = (0..limit + 2).map(|_| file.enqueue_key("k")).collect();
            let limit = limit as usize;
            assert_eq!(file.claim(-1), ids[..limit], "{name}");
            assert_eq!((file.claim(-1), file.may_claim()), (vec![], false), "{name}");
            end(&file, ids[0]);
            assert!(file.may_claim(), "{name}");
            assert_eq!(file.claim(-1), [ids[limit]], "{name}");
            assert_eq!((file.claim(-1), file.may_claim()), (vec![], false), "{name}");
            if name != "raw SQL" {
                assert_consistent(&file);
            }
        }
    }
}

#[test]
fn a_rollback_keeps_slots_and_blocked_jobs_as_they_were() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let [a, _] = [file.enqueue_key("k"), file.enqueue_key("k")];
    let before = file.dump();
    file.run("BEGIN");
    assert_eq!(file.claim(-1), [a]);
    file.run("ROLLBACK");
    assert_eq!(file.dump(), before);
    assert_eq!(file.claim(-1), [a]);
    let before = file.dump();
    file.run("BEGIN");
    assert!(file.ack(a));
    file.run("ROLLBACK");
    assert_eq!(file.dump(), before);
    assert_eq!(file.claim(-1), NONE);
}

/// Whether the job is claimed again, released with many others, or dead by its end.
#[test]
fn a_claim_that_lapses_frees_its_slot_by_time_alone() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let first = file.enqueue_with(&Enqueue {
        concurrency_key: Some("k"),
        max_attempts: Some(1),
        ..Enqueue::new("q", "p")
    });
    let second = file.enqueue_key("k");
    assert_eq!(file.claim(-1), [first]);
    assert_eq!(file.next_claim_in(), Some(11));
    assert_eq!(file.at(NOW + 10).claim(-1), NONE);
    assert!(!file.may_claim());
    assert_eq!(file.next_claim_in(), Some(1));
    assert!(file.at(NOW + 11).may_claim());
    assert_eq!(file.claim(1), [second]);
    assert_consistent(&file);
    // With attempts left it is the same job again, and its new claim counts.
    let third = file.enqueue_key("k");
    assert_eq!(file.at(NOW + 22).claim(-1), [second]);
    assert_eq!(file.claim(-1), NONE);
    assert_eq!(file.at(NOW + 32).claim(-1), NONE);
    assert_eq!(file.at(NOW + 33).claim(-1), [second]);
    assert_eq!(file.at(NOW + 44).claim(-1), [third]);
    assert_consistent(&file);
}

#[test]
fn many_claims_that_lapse_together_free_their_slots() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    for key in 0..50 {
        file.enqueue_key(&key.to_string());
        file.enqueue_key(&key.to_string());
    }
    let first = file.claim(-1);
    assert_eq!(first.len(), 50);
    assert_eq!(blocked(&file), 50);
    assert_eq!(file.at(NOW + 10).claim(-1), NONE);
    let mut again = file.at(NOW + 11).claim(-1);
    again.extend(file.claim(-1));
    assert_eq!(again.len(), 50);
    assert_consistent(&file);
}

/// A lapsed claim whose key somebody else has taken meanwhile waits as the others do.
#[test]
fn a_lapsed_claim_of_a_saturated_key_is_set_aside() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let low = file.enqueue_key("k");
    assert_eq!(file.claim(1), [low]);
    let high =
        file.enqueue_with(&Enqueue { concurrency_key: Some("k"), priority: 5, ..Enqueue::new("q", "p") });
    assert_eq!(file.at(NOW + 11).claim(1), [high]);
    assert_eq!(file.next_claim_in(), Some(0));
    assert_eq!(file.claim(1), NONE);
    assert_eq!(states(&file), "1 blocked,2 processing");
    assert_consistent(&file);
    assert!(file.ack(high));
    assert_eq!(file.claim(1), [low]);
}

#[test]
fn blocked_jobs_come_back_in_claim_order_past_those_that_have_expired() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let running = file.enqueue_key("k");
    assert_eq!(file.claim(1), [running]);
    let job = |priority, run_at, expires_s| {
        let key = Some("k");
        let run_at = Some(run_at);
        file.enqueue_with(&Enqueue {
            concurrency_key: key,
            priority,
            run_at,
            expires_s,
            ..Enqueue::new("q", "p")
        })
    };
    let low = job(0, NOW, None);
    let late = job(1, NOW, None);
    let early = job(1, NOW - 5, None);
    let expiring = job(9, NOW, Some(5));
    assert_eq!(file.claim(-1), NONE);
    assert_eq!(blocked(&file), 4);
    file.at(NOW + 5);
    assert!(file.ack(running));
    // At once, and not when somebody claims in vain.
    let state = |id| file.text(&format!("SELECT state FROM _honker_live WHERE id = {id}"));
    assert_eq!([early, expiring, late, low].map(state), ["pending", "pending", "blocked", "blocked"]);
    assert_eq!(file.claim(-1), [early]);
    assert!(file.ack(early));
    assert_eq!(file.claim(-1), [late]);
    assert!(file.ack(late));
    assert_eq!(file.claim(-1), [low]);
    assert_eq!(queue::sweep_expired(&file.store, NOW + 5, "q").unwrap(), 1);
    assert_eq!(file.int("SELECT id FROM _honker_dead"), expiring);
}

#[test]
fn sweep_cancel_stats_and_get_job_take_a_blocked_job_for_a_pending_one() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let job = Enqueue { concurrency_key: Some("k"), ..Enqueue::new("q", "p") };
    let ids =
        [None, None, Some(5), Some(6)].map(|expires_s| file.enqueue_with(&Enqueue { expires_s, ..job }));
    assert_eq!(file.claim(-1), ids[..1]);
    assert_eq!(blocked(&file), 3);
    let stats = |file: &File| {
        let stats = queue::stats(&file.store, file.now(), "q").unwrap();
        assert_eq!(queue::stats_all(&file.store, file.now()).unwrap(), std::slice::from_ref(&stats));
        (stats.pending, stats.delayed, stats.claimed, stats.expired, stats.dead)
    };
    assert_eq!(stats(&file), (3, 0, 1, 0, 0));
    let seen = queue::get_job(&file.store, ids[1]).unwrap().unwrap();
    assert_eq!((&*seen.state, seen.worker_id, seen.claim_expires_at), ("pending", None, None));
    assert!(queue::cancel(&file.store, NOW, ids[1]).unwrap());
    assert!(!queue::cancel(&file.store, NOW, ids[1]).unwrap());
    assert_consistent(&file);
    let sweep = |at| queue::sweep_expired(&file.store, at, "q").unwrap();
    assert_eq!(sweep(NOW + 4), 0);
    assert_eq!(stats(file.at(NOW + 5)), (1, 0, 1, 1, 0));
    assert_eq!(sweep(NOW + 5), 1);
    assert_eq!(file.text("SELECT last_error FROM _honker_dead"), "expired");
    assert_eq!(stats(&file), (1, 0, 1, 0, 1));
    assert_eq!(sweep(NOW + 5), 0);
    assert_eq!(sweep(NOW + 6), 1);
    assert_consistent(&file);
    assert_eq!(file.int("SELECT count(*) FROM _honker_blocked"), 0);
}

#[test]
fn a_limit_that_is_raised_or_removed_brings_jobs_back() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let ids: Vec<i64> = (0..10).map(|_| file.enqueue_key("k")).collect();
    assert_eq!(file.claim(-1), ids[..1]);
    assert_eq!(blocked(&file), 9);
    file.configure(r#"{"concurrency_per_key":3}"#);
    assert!(file.may_claim());
    assert_eq!(file.next_claim_in(), Some(0));
    assert_eq!(file.claim(-1), ids[1..3]);
    assert_eq!((file.claim(-1), file.may_claim()), (vec![], false));
    file.configure(r#"{"concurrency_per_key":null}"#);
    assert!(file.may_claim());
    assert_eq!(file.claim(1), [ids[3]]);
    assert_eq!(blocked(&file), 0);
    assert_eq!(file.claim(-1), ids[4..]);
    assert_consistent(&file);
    // They had slots all the while: a limit that is set now counts them.
    let next = file.enqueue_key("k");
    file.configure(r#"{"concurrency_per_key":10}"#);
    assert_eq!(file.claim(-1), NONE);
    assert!(file.ack(ids[0]));
    assert_eq!(file.claim(-1), [next]);
}

/// A thousand in one transaction, as a claim that goes on says.
#[test]
fn no_claim_moves_more_than_a_thousand_rows() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let first = file.enqueue_key("k");
    assert_eq!(file.claim(1), [first]);
    for _ in 0..2_500 {
        file.enqueue_key("k");
    }
    let other = file.enqueue_key("other");
    for (more, left) in [(true, 1_000), (true, 2_000)] {
        let claimed = file.try_claim(1).unwrap();
        assert_eq!((claimed.jobs.len(), claimed.more, blocked(&file)), (0, more, left));
        assert_eq!(file.next_claim_in(), Some(0));
    }
    assert_eq!(file.claim(1), [other]);
    assert_eq!(blocked(&file), 2_500);
    file.configure(r#"{"concurrency_per_key":null}"#);
    for left in [1_500, 500, 0] {
        assert_eq!(file.next_claim_in(), Some(0));
        let claimed = file.try_claim(0).unwrap();
        assert_eq!((claimed.more, blocked(&file)), (left > 0, left));
    }
    assert_consistent(&file);
}

/// The settings of a queue are gone by somebody's SQL: nobody knows of a limit, and nothing stays blocked.
#[test]
fn jobs_come_back_although_the_settings_are_gone() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let [a, b] = [file.enqueue_key("k"), file.enqueue_key("k")];
    assert_eq!(file.claim(-1), [a]);
    file.run("DELETE FROM _honker_queues");
    assert!(file.may_claim());
    assert_eq!(file.claim(1), [b]);
}

/// A job that was moved by hand is not where its row says.
#[test]
fn rows_of_blocked_jobs_that_are_not_so_any_more_do_no_harm() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let ids: Vec<i64> = (0..5).map(|_| file.enqueue_key("k")).collect();
    assert_eq!(file.claim(-1), ids[..1]);
    file.run(&format!(
        "DELETE FROM _honker_live WHERE id = {}; UPDATE _honker_live SET state = 'pending' WHERE id = {};
         UPDATE _honker_live SET queue = 'r' WHERE id = {}",
        ids[1], ids[2], ids[3]
    ));
    assert!(file.ack(ids[0]));
    assert_eq!(file.claim(-1), [ids[2]]);
    assert_eq!(queue::claim(&file.store, NOW, "r", "w", -1, 10).unwrap().len(), 1);
    assert!(file.ack(ids[2]));
    assert_eq!(file.claim(-1), [ids[4]]);
}

#[test]
fn all_limits_hold_together() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":2,"concurrency":3,"rate":{"limit":5,"per_s":60}}"#);
    let ids: Vec<i64> = (0..12).map(|at| file.enqueue_key(["a", "a", "a", "b"][at % 4])).collect();
    assert_eq!(file.claim(-1), [ids[0], ids[1], ids[3]]);
    assert_eq!(file.claim(-1), NONE);
    assert!(file.ack(ids[3]));
    assert_eq!(file.claim(-1), [ids[7]]);
    assert!(file.ack(ids[0]));
    assert_eq!(file.claim(-1), [ids[2]]);
    assert!(file.ack(ids[1]));
    // Five were claimed in this minute.
    assert_eq!(file.claim(-1), NONE);
    assert_eq!(file.next_claim_in(), Some(40));
    assert_consistent(&file);
}

/// A trigger that refuses to let jobs be set aside, or taken, keeps nobody from the others.
#[test]
fn what_a_trigger_refuses_is_passed_over() {
    for refusal in ["RAISE(ABORT, 'no')", "RAISE(IGNORE)", "RAISE(FAIL, 'no')", "RAISE(ROLLBACK, 'no')"] {
        let file = File::new();
        file.configure(r#"{"concurrency_per_key":1}"#);
        let [a, _, b, c] =
            [file.enqueue_key("k"), file.enqueue_key("k"), file.enqueue_key("b"), file.enqueue_key("c")];
        assert_eq!(file.claim(1), [a]);
        file.run(&format!(
            "CREATE TRIGGER aside BEFORE UPDATE ON _honker_live WHEN new.state = 'blocked' BEGIN SELECT {refusal}; END;
             CREATE TRIGGER take BEFORE UPDATE ON _honker_live WHEN new.id = {b} BEGIN SELECT {refusal}; END"
        ));
        assert_eq!(file.claim(-1), [c], "{refusal}");
        assert_consistent(&file);
        file.run("DROP TRIGGER aside; DROP TRIGGER take");
        assert_eq!(file.claim(-1), [b], "{refusal}");
        assert_eq!(blocked(&file), 1);
    }
}

/// With a limit that was raised each claim of a key brings back the next, although there is always another job to be had.
#[test]
fn a_raised_limit_is_used_though_no_claim_is_in_vain() {
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    let keyed: Vec<i64> = (0..6).map(|_| file.enqueue_key("k")).collect();
    assert_eq!(file.claim(-1), keyed[..1]);
    file.configure(r#"{"concurrency_per_key":3}"#);
    for _ in 0..20 {
        file.enqueue();
    }
    assert!(file.ack(keyed[0]));
    let claimed: Vec<i64> = (0..6).flat_map(|_| file.claim(1)).collect();
    assert_eq!(claimed[..3], keyed[1..4], "{claimed:?}");
}

/// A look takes a thousand keys at most, and the next one goes on behind them: what is free behind a thousand keys that are
/// saturated is found as well.
#[test]
fn more_keys_than_one_look_takes_are_looked_at_in_turns() {
    const KEYS: usize = 2_100;
    const LOOKS: usize = 4;
    let file = File::new();
    file.configure(r#"{"concurrency_per_key":1}"#);
    file.run("BEGIN");
    for job in 0..2 * KEYS {
        file.enqueue_key(&format!("key {:04}", job % KEYS));
    }
    file.run("COMMIT");
    let claim_all = || {
        let (mut claimed, mut in_vain) = (0, 0);
        while in_vain < LOOKS {
            let some = file.try_claim(-1).unwrap();
            claimed += some.jobs.len();
            in_vain = if some.jobs.is_empty() && !some.more { in_vain + 1 } else { 0 };
        }
        claimed
    };
    assert_eq!(claim_all(), KEYS);
    assert_eq!(blocked(&file), KEYS as i64);
    // One job of the last key is gone by somebody's SQL, and one of the first.
    for key in ["key 2099", "key 0000"] {
        file.run(&format!(
            "DELETE FROM _honker_live WHERE id = (SELECT job_id FROM _honker_slots WHERE key = '{key}')"
        ));
        assert!((0..LOOKS).any(|_| file.may_claim()), "{key}");
        assert_eq!(claim_all(), 1, "{key}");
    }
    file.configure(r#"{"concurrency_per_key":2}"#);
    assert_eq!(claim_all(), KEYS - 2);
    assert_eq!(blocked(&file), 0);
}
