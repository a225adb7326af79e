//! How long events and notifications are kept.

use honker_core::stream::{self, Retention, Trim};
use honker_core::{Error, notify, schema};
use rusqlite::Connection;

use crate::support::*;

fn publish(file: &File, topic: &str) -> i64 {
    stream::publish(&file.store, file.now(), topic, None, "p").unwrap()
}

fn offsets(file: &File) -> String {
    file.text("SELECT ifnull(group_concat(offset), '') FROM (SELECT offset FROM _honker_stream ORDER BY 1)")
}

fn trim(file: &File, options: &str) -> i64 {
    let trim = Trim::parse("options", options).unwrap();
    stream::trim(&file.store, file.now(), "t", &trim).unwrap()
}

#[test]
fn what_is_kept_is_merged_and_what_is_wrong_is_named() {
    let file = File::new();
    let configure = |given: &str| stream::configure(&file.store, "t", given);
    configure(r#"{"keep_s":60}"#).unwrap();
    configure(r#"{"keep_n":0}"#).unwrap();
    let kept = || stream::kept(&file.store, "t").unwrap();
    assert_eq!(kept(), Retention { keep_s: Some(60), keep_n: Some(0) });
    let changes = file.connection.total_changes();
    configure(r#"{"keep_n":0}"#).unwrap();
    assert_eq!(file.connection.total_changes(), changes);
    for (given, named) in [
        ("1", "options must be a JSON object"),
        (r#"{"keep_s":0}"#, "options: keep_s must be an integer of at least 1 or null, not 0"),
        (r#"{"keep_n":-1}"#, "keep_n"),
        (r#"{"keep_n":1.5}"#, "keep_n"),
        (r#"{"past_consumers":true}"#, "unknown key 'past_consumers'"),
    ] {
        let error = configure(given).unwrap_err();
        assert!(matches!(error, Error::Invalid(_)) && error.to_string().contains(named), "{given}: {error}");
    }
    for (given, named) in
        [(r#"{"past_consumers":1}"#, "past_consumers"), (r#"{"keep":1}"#, "unknown key 'keep'")]
    {
        assert!(Trim::parse("options", given).unwrap_err().to_string().contains(named));
    }
    configure(r#"{"keep_s":null,"keep_n":null}"#).unwrap();
    assert_eq!(kept(), Retention::default());
    assert_eq!(file.int("SELECT count(*) FROM _honker_streams"), 0);
    // They concern no older program.
    assert_eq!(file.int("SELECT min_version FROM _honker_schema"), 1);
}

#[test]
fn events_are_kept_for_their_seconds() {
    let file = File::new();
    publish(&file, "t");
    publish(file.at(NOW + 1), "t");
    publish(&file, "other");
    assert_eq!(trim(file.at(NOW + 9), r#"{"keep_s":10}"#), 0);
    assert_eq!(trim(file.at(NOW + 10), r#"{"keep_s":10}"#), 1);
    assert_eq!(offsets(&file), "2,3");
    assert_eq!(trim(file.at(NOW + 11), r#"{"keep_s":10}"#), 1);
    assert_eq!(trim(file.at(NOW + 99), r#"{"keep_s":10}"#), 0);
    assert_eq!(offsets(&file), "3");
    // Nothing is said of how long.
    assert_eq!(trim(&file, "{}"), 0);
}

#[test]
fn the_newest_are_kept() {
    let file = File::new();
    for _ in 0..5 {
        publish(&file, "t");
        publish(&file, "other");
    }
    assert_eq!(trim(&file, r#"{"keep_n":5}"#), 0);
    assert_eq!(trim(&file, r#"{"keep_n":2}"#), 3);
    assert_eq!(offsets(&file), "2,4,6,7,8,9,10");
    file.run("BEGIN");
    assert_eq!(trim(&file, r#"{"keep_n":0}"#), 2);
    file.run("ROLLBACK");
    assert_eq!(trim(&file, r#"{"keep_n":1,"keep_s":1}"#), 1);
    assert_eq!(trim(file.at(NOW + 1), r#"{"keep_n":1,"keep_s":1}"#), 1);
    assert_eq!(offsets(&file), "2,4,6,8,10");
}

#[test]
fn what_a_consumer_has_not_finished_is_kept_unless_somebody_says_otherwise() {
    let file = File::new();
    for _ in 0..6 {
        publish(&file, "t");
    }
    let save = |consumer, topic, offset| stream::save_offset(&file.store, consumer, topic, offset).unwrap();
    assert!(save("fast", "t", 5) && save("slow", "t", 2) && save("slow", "other", 0));
    assert_eq!(trim(&file, r#"{"keep_n":1}"#), 2);
    assert_eq!(offsets(&file), "3,4,5,6");
    save("slow", "t", 3);
    assert_eq!(trim(&file, r#"{"keep_n":1}"#), 1);
    assert_eq!(trim(&file, r#"{"keep_n":1,"past_consumers":true}"#), 2);
    assert_eq!(offsets(&file), "6");
    save("new", "t", 0);
    assert_eq!(trim(&file, r#"{"keep_n":0}"#), 0);
    assert_eq!(trim(&file, r#"{"keep_n":0,"past_consumers":true}"#), 1);
}

#[test]
fn a_trim_stops_at_a_thousand_and_goes_on() {
    let file = File::new();
    file.run("BEGIN");
    for _ in 0..1_500 {
        publish(&file, "t");
    }
    file.run("COMMIT");
    assert_eq!([(); 3].map(|()| trim(&file, r#"{"keep_n":0}"#)), [1_000, 500, 0]);
}

#[test]
fn maintenance_keeps_what_topics_and_notifications_say() {
    let file = File::new();
    stream::configure(&file.store, "t", r#"{"keep_s":10}"#).unwrap();
    stream::configure(&file.store, "n", r#"{"keep_n":1}"#).unwrap();
    notify::configure(&file.store, r#"{"keep_s":20}"#).unwrap();
    for topic in ["t", "n", "n", "other"] {
        publish(&file, topic);
    }
    notify::notify(&file.store, NOW, "c", "p").unwrap();
    let notifications = || file.int("SELECT count(*) FROM _honker_notifications");
    file.at(NOW + 9).run_all_of_it();
    assert_eq!(offsets(&file), "1,3,4");
    file.at(NOW + 10).run_all_of_it();
    assert_eq!((offsets(&file).as_str(), notifications()), ("3,4", 1));
    file.at(NOW + 19).run_all_of_it();
    assert_eq!(notifications(), 1);
    file.at(NOW + 20).run_all_of_it();
    assert_eq!(notifications(), 0);
}

#[test]
fn notifications_are_configured_with_one_key() {
    let file = File::new();
    assert_eq!(notify::kept(&file.store).unwrap(), None);
    notify::configure(&file.store, r#"{"keep_s":5}"#).unwrap();
    notify::configure(&file.store, "{}").unwrap();
    assert_eq!(notify::kept(&file.store).unwrap(), Some(5));
    for (given, named) in
        [(r#"{"keep_s":0}"#, "keep_s"), (r#"{"keep_n":1}"#, "unknown key 'keep_n'"), ("", "JSON object")]
    {
        assert!(notify::configure(&file.store, given).unwrap_err().to_string().contains(named), "{given}");
    }
    notify::configure(&file.store, r#"{"keep_s":null}"#).unwrap();
    assert_eq!(notify::kept(&file.store).unwrap(), None);
    let old = File::over(Connection::open_in_memory().unwrap());
    schema::ensure_notifications(&old.store).unwrap();
    for error in [
        notify::configure(&old.store, r#"{"keep_s":5}"#).unwrap_err(),
        stream::configure(&old.store, "t", r#"{"keep_s":5}"#).unwrap_err(),
    ] {
        assert!(error.to_string().contains("honker_bootstrap"), "{error}");
    }
}
