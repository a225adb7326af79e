//! Notifications: adding them, and pruning.

use honker_sql_tests::*;

#[test]
fn notify_adds_a_row_and_answers_its_id() {
    let db = Db::new();
    assert_eq!(db.int("SELECT notify('c', '{\"a\": 1}')"), 1);
    db.clock().advance(3);
    assert_eq!(db.int("SELECT notify('', '')"), 2);
    assert_eq!(
        db.rows("SELECT * FROM _honker_notifications"),
        format!("1|c|{{\"a\": 1}}|{NOW}\n2|||{}", NOW + 3)
    );
}

#[test]
fn ids_only_grow_also_after_a_prune() {
    let db = Db::new();
    db.run("SELECT notify('c', 'x'); SELECT notify('c', 'x')");
    assert_eq!(db.int("SELECT honker_prune_notifications(NULL, 0)"), 2);
    assert_eq!(db.int("SELECT notify('c', 'x')"), 3);
}

#[test]
fn a_notification_is_visible_with_the_commit_and_never_without() {
    let db = Db::new();
    let reader = db.another();
    let count = "SELECT count(*) FROM _honker_notifications";
    for (end, seen) in [("ROLLBACK", 0), ("COMMIT", 1)] {
        db.run("BEGIN; SELECT notify('c', 'x')");
        assert_eq!((db.int(count), reader.int(count)), (1, 0));
        db.run(end);
        assert_eq!((db.int(count), reader.int(count)), (seen, seen));
    }
}

/// Notifications `1`, `3`, `4`, `9`, `10`, created at NOW, NOW + 10 and so on to NOW + 40, which is the time.
fn with_gaps() -> Db {
    let db = Db::new();
    for (id, age) in [(1, 40), (3, 30), (4, 20), (9, 10), (10, 0)] {
        db.run(&format!("INSERT INTO _honker_notifications VALUES ({id}, 'c{id}', 'x', {})", NOW + 40 - age));
    }
    db.clock().advance(40);
    db
}

#[test]
fn prune_by_age_by_rank_and_by_either() {
    for (arguments, left) in [
        ("NULL, NULL", "1 3 4 9 10"),
        // By age: created before now - age.
        ("40, NULL", "1 3 4 9 10"),
        ("39, NULL", "3 4 9 10"),
        ("30, NULL", "3 4 9 10"),
        ("20, NULL", "4 9 10"),
        ("0, NULL", "10"),
        ("-1, NULL", ""),
        ("9223372036854775807, NULL", "1 3 4 9 10"),
        ("-9223372036854775808, NULL", ""),
        // By rank: gaps in the ids do not matter.
        ("NULL, 0", ""),
        ("NULL, 1", "10"),
        ("NULL, 2", "9 10"),
        ("NULL, 4", "3 4 9 10"),
        ("NULL, 5", "1 3 4 9 10"),
        ("NULL, 6", "1 3 4 9 10"),
        ("NULL, 9223372036854775807", "1 3 4 9 10"),
        // By either.
        ("20, 4", "4 9 10"),
        ("20, 1", "10"),
        ("100, 3", "4 9 10"),
        ("0, 100", "10"),
    ] {
        let db = with_gaps();
        let deleted = db.int(&format!("SELECT honker_prune_notifications({arguments})"));
        let ids = db.rows("SELECT id FROM _honker_notifications ORDER BY id").replace('\n', " ");
        assert_eq!(ids, left, "{arguments}");
        assert_eq!(deleted, 5 - left.split_whitespace().count() as i64, "{arguments}");
    }
}

#[test]
fn a_negative_number_to_keep_is_an_error() {
    let db = with_gaps();
    let before = db.dump();
    for arguments in ["NULL, -1", "0, -1", "NULL, -9223372036854775808"] {
        db.error(&format!("SELECT honker_prune_notifications({arguments})"))
            .says(&["max_keep must not be negative"]);
    }
    db.assert_still(&before);
}

#[test]
fn prune_in_an_empty_table_and_in_a_transaction() {
    let db = Db::new();
    for arguments in ["NULL, NULL", "0, NULL", "NULL, 0", "0, 0"] {
        assert_eq!(db.int(&format!("SELECT honker_prune_notifications({arguments})")), 0);
    }
    let db = with_gaps();
    db.run("BEGIN; SELECT notify('c', 'newest')");
    assert_eq!(db.int("SELECT honker_prune_notifications(NULL, 1)"), 5);
    db.run("ROLLBACK");
    assert_eq!(db.int("SELECT count(*) FROM _honker_notifications"), 5);
}

#[test]
fn nothing_but_notify_adds_notifications() {
    let db = Db::new();
    db.run("BEGIN");
    for n in 0..50 {
        db.enqueue("q");
        db.run(&format!("SELECT honker_stream_publish('t', NULL, 'x'), honker_result_save({n}, 'x', 0)"));
        db.run(&format!("SELECT honker_scheduler_register('s{n}', 'q', '@every 1h', 'p', 0, NULL)"));
        db.run(&format!("SELECT honker_scheduler_update('s{n}', NULL, 'p2', NULL, NULL, 0)"));
        db.run(&format!("SELECT honker_scheduler_pause('s{n}'), honker_scheduler_resume('s{n}')"));
    }
    for id in db.claim("q", -1, 60) {
        db.run(&format!("SELECT honker_retry({id}, 'w', 0, 'e')"));
    }
    db.clock().advance(3600);
    db.run("SELECT honker_scheduler_tick(unixepoch())");
    for id in db.claim("q", -1, 60) {
        db.run(&format!(
            "SELECT CASE {id} % 2 WHEN 0 THEN honker_ack({id}, 'w') ELSE honker_fail({id}, 'w', '') END"
        ));
    }
    for n in 0..50 {
        db.run(&format!("SELECT honker_scheduler_unregister('s{n}')"));
    }
    db.run("COMMIT");
    assert_eq!(db.int("SELECT count(*) FROM _honker_dead"), 50);
    assert_eq!(db.int("SELECT count(*) FROM _honker_notifications"), 0);
}

#[test]
fn every_kind_of_text_comes_back_as_it_was() {
    let db = Db::new();
    for payload in
        ["null", "true", "1.5e3", "\"é\"", "[]", "{\"a\": {\"b\": [null]}}", "", "not JSON", "\u{1F600}"]
    {
        let id: i64 = db.get("SELECT notify('c', ?1)", [payload]);
        let stored = format!("SELECT payload FROM _honker_notifications WHERE id = {id}");
        assert_eq!(db.text(&stored), payload);
    }
}
