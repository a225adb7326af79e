//! How many jobs a whole queue may have claimed, and in which time. Each boundary one second before, at it, and after.

use honker_core::queue::{self, Enqueue};

use crate::support::*;

fn many(file: &File, count: usize) -> Vec<i64> {
    (0..count).map(|_| file.enqueue()).collect()
}

#[test]
fn no_more_claims_are_valid_than_the_queue_may_have() {
    let file = File::new();
    file.configure(r#"{"concurrency":3}"#);
    let ids = many(&file, 9);
    assert_eq!(file.claim(1), ids[..1]);
    assert_eq!(file.claim(-1), ids[1..3]);
    let before = file.dump();
    for n in [0, 1, 5, -1] {
        assert_eq!(file.claim(n), NONE);
    }
    assert!(!file.may_claim());
    assert_eq!(file.dump(), before);
    // Every way of ending one makes room for one.
    assert!(file.ack(ids[0]));
    assert!(file.may_claim());
    assert_eq!(file.claim(-1), [ids[3]]);
    assert!(queue::fail(&file.store, NOW, ids[1], "w", "e").unwrap());
    assert_eq!(file.claim(-1), [ids[4]]);
    assert!(queue::retry(&file.store, NOW, ids[2], "w", 100, "e").unwrap());
    assert_eq!(file.claim(1), [ids[5]]);
    assert!(queue::release(&file.store, NOW, ids[3], "w", 100).unwrap());
    assert_eq!(file.claim(1), [ids[6]]);
    assert!(queue::cancel(&file.store, NOW, ids[4]).unwrap());
    assert_eq!(file.claim(2), [ids[7]]);
    file.run(&format!("DELETE FROM _honker_live WHERE id = {}", ids[5]));
    assert_eq!(file.claim(2), [ids[8]]);
}

#[test]
fn a_claim_counts_for_as_long_as_it_is_valid() {
    let file = File::new();
    file.configure(r#"{"concurrency":2}"#);
    let ids = many(&file, 3);
    assert_eq!(file.claim(1), [ids[0]]);
    assert_eq!(file.at(NOW + 1).claim(1), [ids[1]]);
    // Valid through the tenth second after it was made.
    for after in [1, 9, 10] {
        assert_eq!(file.at(NOW + after).claim(1), NONE, "{after}");
        assert_eq!(file.next_claim_in(), Some(11 - after));
        assert!(!file.may_claim());
    }
    assert!(file.at(NOW + 11).may_claim());
    assert_eq!(file.claim(-1), [ids[0]]);
    assert_eq!(file.claim(-1), NONE);
    // A heartbeat makes it count for longer.
    assert!(queue::heartbeat(&file.store, NOW + 11, ids[1], "w", 100).unwrap());
    assert_eq!(file.next_claim_in(), Some(11));
    assert_eq!(file.at(NOW + 22).claim(-1), [ids[0]]);
    // That was its third attempt. At its end it dies, and makes room.
    assert_eq!(file.next_claim_in(), Some(11));
    assert_eq!(file.at(NOW + 32).claim(-1), NONE);
    assert_eq!(file.at(NOW + 33).claim(-1), [ids[2]]);
    assert_eq!(file.text("SELECT last_error FROM _honker_dead"), "max attempts exceeded");
}

#[test]
fn a_lowered_limit_ends_no_claim_and_the_next_is_after_as_many_lapses_as_it_takes() {
    let file = File::new();
    many(&file, 8);
    for second in 0..5 {
        assert_eq!(file.at(NOW + second).claim(1).len(), 1);
    }
    file.configure(r#"{"concurrency":2}"#);
    // Five are valid until seconds 10 to 14: after the fourth lapse there is one.
    assert_eq!(file.next_claim_in(), Some(14 - 4));
    assert_eq!(file.at(NOW + 13).claim(-1), NONE);
    assert_eq!(file.int("SELECT count(*) FROM _honker_live WHERE state = 'processing'"), 5);
    assert_eq!(file.at(NOW + 14).claim(-1).len(), 1);
    file.configure(r#"{"concurrency":5}"#);
    assert_eq!(file.claim(-1).len(), 3);
    file.configure(r#"{"concurrency":null}"#);
    assert_eq!(file.claim(-1).len(), 3);
}

#[test]
fn the_next_claim_is_never_before_a_job_is_due() {
    let file = File::new();
    file.configure(r#"{"concurrency":1}"#);
    let id = file.enqueue_with(&Enqueue { max_attempts: Some(1), ..Enqueue::new("q", "p") });
    assert_eq!(file.claim(1), [id]);
    // Nothing is left when it lapses.
    assert_eq!(file.next_claim_in(), None);
    let late = file.enqueue_with(&Enqueue { delay_s: Some(100), ..Enqueue::new("q", "p") });
    assert_eq!(file.next_claim_in(), Some(100));
    file.run(&format!("UPDATE _honker_live SET run_at = {} WHERE id = {late}", NOW + 5));
    assert_eq!(file.next_claim_in(), Some(11));
    file.run(&format!("UPDATE _honker_live SET run_at = {} WHERE id = {late}", NOW + 11));
    assert_eq!(file.next_claim_in(), Some(11));
    file.run(&format!("UPDATE _honker_live SET run_at = {} WHERE id = {late}", NOW + 12));
    assert_eq!(file.next_claim_in(), Some(12));
}

#[test]
fn a_saturated_queue_is_left_alone_whatever_is_in_the_way() {
    let file = File::new();
    file.configure(r#"{"concurrency":1}"#);
    let id = file.enqueue();
    assert_eq!(file.claim(1), [id]);
    file.run(&format!(
        "INSERT INTO _honker_live (queue, payload, attempts, run_at, created_at) VALUES ('q', 'exhausted', 3, 0, 0);
         INSERT INTO _honker_live (queue, payload, state, attempts, claim_expires_at) VALUES ('q', 'p', 'processing', 3, {NOW} - 1)"
    ));
    let before = file.dump();
    assert_eq!(file.claim(1), NONE);
    assert_eq!(file.claim(-1), NONE);
    assert_eq!(file.next_claim_in(), Some(11));
    assert_eq!(file.dump(), before);
    assert!(file.ack(id));
    assert_eq!(file.next_claim_in(), Some(0));
    assert_eq!(file.claim(0), NONE);
    assert_eq!(file.int("SELECT count(*) FROM _honker_dead"), 2);
}

/// Text is greater than every number: such a claim would be valid for ever.
#[test]
fn a_malformed_claim_does_not_count() {
    let file = File::new();
    file.configure(r#"{"concurrency":1}"#);
    let [held, next] = [file.enqueue(), file.enqueue()];
    assert_eq!(file.claim(1), [held]);
    file.run(&format!("UPDATE _honker_live SET claim_expires_at = 'never' WHERE id = {held}"));
    assert_eq!(file.claim(1), [next]);
    assert_eq!(file.int("SELECT count(*) FROM _honker_dead"), 1);
}

#[test]
fn a_rate_counts_the_claims_of_each_window() {
    let file = File::new();
    // NOW is 20 s into a window of 60.
    let begin = NOW - 20;
    assert_eq!(begin % 60, 0);
    file.configure(r#"{"rate":{"limit":3,"per_s":60}}"#);
    let ids = many(&file, 20);
    assert_eq!(file.claim(1), ids[..1]);
    assert_eq!(file.claim(-1), ids[1..3]);
    let before = file.dump();
    assert_eq!(file.claim(1), NONE);
    assert_eq!(file.claim(-1), NONE);
    assert!(!file.may_claim());
    assert_eq!(file.next_claim_in(), Some(40));
    assert_eq!(file.dump(), before);
    // Settling one gives nothing back, nor does releasing it.
    assert!(file.ack(ids[0]));
    assert!(queue::release(&file.store, NOW, ids[1], "w", 100).unwrap());
    assert_eq!(file.at(begin + 59).claim(1), NONE);
    assert_eq!(file.next_claim_in(), Some(1));
    assert_eq!(file.at(begin + 60).claim(2), [ids[2], ids[3]]);
    // A limit that is raised or lowered counts what is counted.
    file.configure(r#"{"rate":{"limit":4,"per_s":60}}"#);
    assert_eq!(file.claim(-1).len(), 2);
    file.configure(r#"{"rate":{"limit":2,"per_s":60}}"#);
    assert_eq!(file.claim(-1), NONE);
    assert_eq!(file.next_claim_in(), Some(60));
    // Another length is another window.
    file.configure(r#"{"rate":{"limit":2,"per_s":120}}"#);
    assert_eq!(file.claim(-1).len(), 2);
    assert_eq!(file.claim(-1), NONE);
    file.configure(r#"{"rate":null}"#);
    assert_eq!(file.claim(3).len(), 3);
    file.configure(r#"{"rate":{"limit":1,"per_s":120}}"#);
    assert_eq!(file.claim(-1).len(), 1);
}

#[test]
fn a_full_window_is_no_reason_to_look_before_a_job_is_due() {
    let file = File::new();
    file.configure(r#"{"rate":{"limit":1,"per_s":60}}"#);
    let id = file.enqueue();
    assert_eq!(file.claim(1), [id]);
    assert!(file.ack(id));
    assert_eq!(file.next_claim_in(), None);
    let late = file.enqueue_with(&Enqueue { delay_s: Some(50), ..Enqueue::new("q", "p") });
    assert_eq!(file.next_claim_in(), Some(50));
    file.run(&format!("UPDATE _honker_live SET run_at = {} WHERE id = {late}", NOW + 30));
    assert_eq!(file.next_claim_in(), Some(40));
}

#[test]
fn the_later_of_two_limits_holds() {
    let file = File::new();
    file.configure(r#"{"rate":{"limit":3,"per_s":60},"concurrency":2}"#);
    let ids = many(&file, 5);
    assert_eq!(file.claim(-1), ids[..2]);
    assert_eq!(file.next_claim_in(), Some(11));
    assert!(file.ack(ids[0]));
    assert_eq!(file.claim(-1), [ids[2]]);
    assert_eq!(file.next_claim_in(), Some(40));
    assert!(file.ack(ids[1]));
    assert_eq!(file.claim(-1), NONE);
    file.at(NOW + 40);
    assert_eq!(file.claim(-1).len(), 2);
}

/// What is claimed and what is counted are one: a caller that rolls back has used nothing.
#[test]
fn a_rollback_takes_the_count_back() {
    let file = File::new();
    file.configure(r#"{"rate":{"limit":1,"per_s":60}}"#);
    let id = file.enqueue();
    for n in [1, 2] {
        file.run("BEGIN");
        assert_eq!(file.claim(n), [id]);
        assert_eq!(file.claim(n), NONE);
        file.run("ROLLBACK");
    }
    file.run(
        "CREATE TRIGGER no BEFORE UPDATE OF window_count ON _honker_queues BEGIN SELECT RAISE(IGNORE); END",
    );
    for n in [1, 2] {
        file.try_claim(n).unwrap_err();
        assert_eq!(file.int("SELECT count(*) FROM _honker_live WHERE state = 'processing'"), 0);
    }
    file.run("DROP TRIGGER no");
    assert_eq!(file.claim(1), [id]);
}

/// The limits of one queue say nothing of another.
#[test]
fn a_queue_without_settings_has_no_limit() {
    let file = File::new();
    file.configure(r#"{"concurrency":1,"rate":{"limit":1,"per_s":60}}"#);
    for _ in 0..4 {
        file.enqueue_with(&Enqueue::new("r", "p"));
        file.enqueue();
    }
    assert_eq!(file.claim(-1).len(), 1);
    assert_eq!(queue::claim(&file.store, NOW, "r", "w", 1, 10).unwrap().len(), 1);
    assert_eq!(queue::claim(&file.store, NOW, "r", "w", -1, 10).unwrap().len(), 3);
}
