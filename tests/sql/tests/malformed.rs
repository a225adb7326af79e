//! Rows that only SQL of somebody's own can have stored: numbers that are not whole, texts and blobs in number columns,
//! payloads that are no text.

use honker_sql_tests::*;

/// How many jobs a claim asks for; one and several take different ways.
const NUMBERS: [i64; 3] = [1, 5, -1];

fn insert(db: &Db, columns: &str, values: &str) -> i64 {
    let sql =
        format!("INSERT INTO _honker_live (queue, payload{columns}) VALUES ('q', 'p'{values}) RETURNING id");
    db.int(&sql)
}

fn next_claim_at(db: &Db) -> i64 {
    db.int("SELECT honker_queue_next_claim_at('q')")
}

#[test]
fn a_real_number_is_made_a_whole_one_when_it_is_met() {
    for (column, stored, becomes) in [
        ("priority", "2.5".to_owned(), "2".to_owned()),
        ("priority", "-2.5".to_owned(), "-2".to_owned()),
        ("priority", "1e300".to_owned(), i64::MAX.to_string()),
        ("priority", "-1e300".to_owned(), i64::MIN.to_string()),
        ("attempts", "1.9".to_owned(), "1".to_owned()),
        ("max_attempts", "2.9".to_owned(), "2".to_owned()),
        ("run_at", format!("{NOW} - 0.5"), NOW.to_string()),
        ("run_at", "-1.5".to_owned(), "-1".to_owned()),
        ("created_at", format!("{NOW} - 0.5"), NOW.to_string()),
        ("expires_at", format!("{NOW} + 0.5"), (NOW + 1).to_string()),
        ("expires_at", "1e300".to_owned(), i64::MAX.to_string()),
    ] {
        for n in NUMBERS {
            let db = Db::new();
            let id = insert(&db, &format!(", {column}"), &format!(", {stored}"));
            assert_eq!(next_claim_at(&db), NOW, "{column} {stored}");
            assert_eq!(db.claim("q", n, 60), [id], "{column} {stored}, n {n}");
            // The claim counts as well.
            let expected = if column == "attempts" { "2" } else { becomes.as_str() };
            assert_eq!(
                db.rows(&format!("SELECT {column}, typeof({column}) FROM _honker_live")),
                format!("{expected}|integer"),
                "{column} {stored}, n {n}"
            );
            assert_eq!(next_claim_at(&db), NOW + 61);
        }
    }
}

#[test]
fn a_run_time_between_two_seconds_is_the_later_one() {
    for n in NUMBERS {
        let db = Db::new();
        let id = insert(&db, ", run_at", &format!(", {NOW} + 0.5"));
        for second in [-1, 0, 1] {
            db.clock().set(NOW + second);
            assert_eq!(db.claim("q", n, 60), if second == 1 { vec![id] } else { vec![] }, "{second}, n {n}");
            if second < 1 {
                assert_eq!(next_claim_at(&db), NOW + 1);
            }
        }
    }
}

#[test]
fn an_expiry_between_two_seconds_is_the_later_one() {
    for (second, claimable) in [(0, true), (1, false)] {
        let db = Db::new();
        let id = insert(&db, ", expires_at", &format!(", {NOW} + 0.5"));
        db.clock().set(NOW + second);
        assert_eq!(db.claim("q", 5, 60), if claimable { vec![id] } else { vec![] });
    }
}

#[test]
fn priorities_that_are_no_whole_numbers_keep_their_place() {
    let db = Db::new();
    let ids: Vec<i64> = ["1", "2.5", "2", "3"]
        .iter()
        .map(|priority| insert(&db, ", priority", &format!(", {priority}")))
        .collect();
    assert_eq!(db.claim("q", 5, 300), [ids[3], ids[1], ids[2], ids[0]]);
}

#[test]
fn what_cannot_be_read_is_dead() {
    let columns = ["priority", "run_at", "attempts", "max_attempts", "created_at", "expires_at", "payload"];
    for column in columns {
        for value in ["'soon'", "x'31'", "''", "'12 '", "'1x'"] {
            if column == "payload" && !value.starts_with('x') {
                continue;
            }
            for n in NUMBERS {
                let db = Db::new();
                let bad = insert(&db, "", "");
                db.run(&format!("UPDATE _honker_live SET {column} = {value}"));
                if db.text(&format!("SELECT typeof({column}) FROM _honker_live")) == "integer" {
                    continue;
                }
                let good = db.enqueue("q");
                assert_eq!(next_claim_at(&db), NOW, "{column} {value}");
                assert_eq!(db.claim("q", n, 60), [good], "{column} {value}, n {n}");
                assert_eq!(db.dead(), format!("{bad}|malformed row"), "{column} {value}, n {n}");
                // Kept as it was, for whoever wants to know.
                if column != "expires_at" {
                    let kept = format!("SELECT {column} = {value} FROM _honker_dead");
                    assert_eq!(db.int(&kept), 1, "{column} {value}");
                }
                assert_eq!(next_claim_at(&db), NOW + 61);
            }
        }
    }
}

#[test]
fn a_claim_that_would_never_end_is_dead_and_others_are_their_holders() {
    for value in ["'never'", "x'00'"] {
        for attempts in [1, 3] {
            let db = Db::new();
            let id = db.enqueue("q");
            assert_eq!(db.claim("q", 1, 60), [id]);
            db.run(&format!("UPDATE _honker_live SET claim_expires_at = {value}, attempts = {attempts}"));
            assert_eq!(db.claim("q", 1, 60), NONE);
            assert_eq!(db.dead(), format!("{id}|malformed row"));
        }
    }
    // A payload that became a blob while its job is held: the holder may still settle it, through the last second.
    for (second, dead) in [(60, false), (61, true)] {
        for n in NUMBERS {
            let db = Db::new();
            let id = db.enqueue("q");
            assert_eq!(db.claim("q", 1, 60), [id]);
            db.run("UPDATE _honker_live SET payload = x'00'");
            db.clock().advance(second);
            assert_eq!(db.claim("q", n, 60), NONE);
            assert_eq!(db.dead(), if dead { format!("{id}|malformed row") } else { String::new() });
            assert_eq!(db.int(&format!("SELECT honker_ack({id}, 'w')")), i64::from(!dead));
        }
    }
    // A priority that is no whole number, in a claim that lapses.
    for n in NUMBERS {
        let db = Db::new();
        let id = db.enqueue("q");
        assert_eq!(db.claim("q", 1, 0), [id]);
        db.run("UPDATE _honker_live SET priority = 2.5, attempts = 1.5");
        db.clock().advance(1);
        assert_eq!(db.claim("q", n, 60), [id]);
        assert_eq!(db.rows("SELECT priority, attempts FROM _honker_live"), "2|2");
    }
}

#[test]
fn an_unknown_state_is_left_alone() {
    let db = Db::new();
    insert(&db, ", state, priority, expires_at, max_attempts", ", 'paused', 'x', 1, 0");
    let good = db.enqueue("q");
    for n in NUMBERS {
        db.run("SAVEPOINT s");
        assert_eq!(db.claim("q", n, 60), [good]);
        db.run("ROLLBACK TO s; RELEASE s");
    }
    db.run(&format!("SELECT honker_cancel({good})"));
    let before = db.dump();
    assert_eq!(db.claim("q", 5, 60), NONE);
    assert_eq!(db.int("SELECT honker_sweep_expired('q')"), 0);
    assert_eq!(next_claim_at(&db), 0);
    db.assert_still(&before);
}

/// No connection could answer with it: six bytes for each of its characters are more than the gigabyte that SQLite takes.
#[test]
fn a_row_that_no_answer_can_hold_is_moved_out_of_the_way() {
    let db = Db::new();
    // Its megabytes need not outlast the test, nor be written more often than necessary.
    db.run("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; PRAGMA cache_size = -1000000");
    db.run(
        "INSERT INTO _honker_live (queue, payload, priority)
         VALUES ('q', replace(hex(zeroblob(83400000)), '0', char(1)), 9)",
    );
    let next = db.enqueue("q");
    assert_eq!(db.claim("q", 1, 60), [next]);
    let dead = "SELECT attempts, length(payload), last_error FROM _honker_dead";
    assert_eq!(db.rows(dead), "0|166800000|malformed row");
}
