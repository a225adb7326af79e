//! Event streams: publish, read, and the consumers' offsets.

use honker_sql_tests::*;

fn publish(db: &Db, topic: &str, key: Option<&str>, payload: &str) -> i64 {
    db.get("SELECT honker_stream_publish(?1, ?2, ?3)", (topic, key, payload))
}

fn offsets(db: &Db, topic: &str, after: i64, limit: i64) -> Vec<i64> {
    let events: String = db.get("SELECT honker_stream_read_since(?1, ?2, ?3)", (topic, after, limit));
    let events: Json = serde_json::from_str(&events).unwrap();
    events.as_array().unwrap().iter().map(|event| event["offset"].as_i64().unwrap()).collect()
}

#[test]
fn an_event_comes_back_as_it_was_published() {
    let db = Db::new();
    assert_eq!(publish(&db, "t", Some("k"), "{\"a\": [1]}"), 1);
    db.clock().advance(5);
    assert_eq!(publish(&db, "t", None, ""), 2);
    assert_eq!(publish(&db, "t", Some(""), "not JSON \u{0}\u{1F600}\"\\"), 3);
    assert_eq!(
        db.json("SELECT honker_stream_read_since('t', 0, 10)"),
        json!([
            {"offset": 1, "topic": "t", "key": "k", "payload": "{\"a\": [1]}", "created_at": NOW},
            {"offset": 2, "topic": "t", "key": null, "payload": "", "created_at": NOW + 5},
            {"offset": 3, "topic": "t", "key": "", "payload": "not JSON \u{0}\u{1F600}\"\\", "created_at": NOW + 5},
        ])
    );
    assert_eq!(db.text("SELECT honker_stream_read_since('none', 0, 10)"), "[]");
}

#[test]
fn offsets_count_across_topics_and_are_not_used_again() {
    let db = Db::new();
    for (offset, topic) in [(1, "a"), (2, "b"), (3, "a"), (4, "A"), (5, "a")] {
        assert_eq!(publish(&db, topic, None, "x"), offset);
    }
    assert_eq!(offsets(&db, "a", 0, -1), [1, 3, 5]);
    assert_eq!(offsets(&db, "b", 0, -1), [2]);
    db.run("DELETE FROM _honker_stream");
    assert_eq!(publish(&db, "a", None, "x"), 6);
}

#[test]
fn reading_starts_strictly_after_the_offset_and_stops_at_the_limit() {
    let db = Db::new();
    for _ in 0..5 {
        publish(&db, "t", None, "x");
    }
    let none: &[i64] = &[];
    for (after, limit, expected) in [
        (0, 10, &[1, 2, 3, 4, 5][..]),
        (-1, 10, &[1, 2, 3, 4, 5]),
        (i64::MIN, 10, &[1, 2, 3, 4, 5]),
        (2, 10, &[3, 4, 5]),
        (2, 2, &[3, 4]),
        (4, 1, &[5]),
        (5, 10, none),
        (i64::MAX, 10, none),
        (0, 0, none),
        (0, -1, &[1, 2, 3, 4, 5]),
        (3, i64::MIN, &[4, 5]),
        (0, i64::MAX, &[1, 2, 3, 4, 5]),
    ] {
        assert_eq!(offsets(&db, "t", after, limit), expected, "after {after}, limit {limit}");
    }
    assert_eq!(db.int("SELECT count(*) FROM _honker_stream_consumers"), 0, "reading saves nothing");
}

#[test]
fn a_saved_offset_only_moves_forward() {
    let db = Db::new();
    let mut saved = None;
    for (offset, moves) in [
        (0, true),
        (0, false),
        (-5, false),
        (10, true),
        (10, false),
        (9, false),
        (11, true),
        (i64::MAX, true),
        (i64::MIN, false),
    ] {
        let before = db.dump();
        assert_eq!(
            db.int(&format!("SELECT honker_stream_save_offset('c', 't', {offset})")),
            i64::from(moves)
        );
        saved = if moves { Some(offset) } else { saved };
        assert_eq!(Some(db.int("SELECT honker_stream_get_offset('c', 't')")), saved);
        assert_eq!(db.dump() == before, !moves);
    }
    // The first may be anything.
    assert_eq!(db.int(&format!("SELECT honker_stream_save_offset('d', 't', {})", i64::MIN)), 1);
    assert_eq!(db.int("SELECT honker_stream_get_offset('d', 't')"), i64::MIN);
    assert_eq!(db.int("SELECT honker_stream_save_offset('d', 't', -7)"), 1);
}

#[test]
fn consumers_and_topics_are_independent_and_the_consumer_comes_first() {
    let db = Db::new();
    assert_eq!(db.int("SELECT honker_stream_save_offset('consumer', 'topic', 7)"), 1);
    assert_eq!(db.rows("SELECT name, topic, offset FROM _honker_stream_consumers"), "consumer|topic|7");
    for (arguments, offset) in [
        ("'consumer', 'topic'", 7),
        ("'topic', 'consumer'", 0),
        ("'Consumer', 'topic'", 0),
        ("'consumer', 'other'", 0),
        ("'', ''", 0),
    ] {
        assert_eq!(db.int(&format!("SELECT honker_stream_get_offset({arguments})")), offset, "{arguments}");
    }
}

#[test]
fn events_and_offsets_belong_to_the_transaction() {
    let db = Db::new();
    publish(&db, "t", None, "a");
    db.run("SELECT honker_stream_save_offset('c', 't', 1); BEGIN");
    publish(&db, "t", None, "b");
    assert_eq!(db.int("SELECT honker_stream_save_offset('c', 't', 2)"), 1);
    assert_eq!(offsets(&db, "t", 0, -1), [1, 2]);
    let reader = db.another();
    assert_eq!(offsets(&reader, "t", 0, -1), [1]);
    assert_eq!(reader.int("SELECT honker_stream_get_offset('c', 't')"), 1);
    db.run("ROLLBACK");
    assert_eq!(offsets(&db, "t", 0, -1), [1]);
    assert_eq!(db.int("SELECT honker_stream_get_offset('c', 't')"), 1);
    assert!(publish(&db, "t", None, "c") > 1);
}
