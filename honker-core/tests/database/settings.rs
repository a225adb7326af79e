//! The settings of SQLite, on the connection that writes and on those that read.

use honker_core::database::{Database, Durability, JournalMode, Options, Value};

use crate::support::{File, enqueue, journal, single};

fn of_writer(database: &Database, name: &str) -> Value {
    let mut transaction = database.begin().unwrap();
    single(transaction.query(&format!("PRAGMA {name}"), &[]).unwrap())
}

fn of_reader(database: &Database, name: &str) -> Value {
    single(database.query(&format!("PRAGMA {name}"), &[]).unwrap())
}

/// The settings that both kinds of connection have to have.
const SHARED: &[(&str, i64)] = &[("foreign_keys", 1), ("cache_size", -32_000), ("temp_store", 2)];

#[test]
fn the_writer_has_the_settings() {
    let file = File::new();
    let database = file.database(&Options::default());
    for (name, value) in SHARED.iter().chain(&[("wal_autocheckpoint", 10_000), ("synchronous", 1)]) {
        assert_eq!(of_writer(&database, name), Value::Integer(*value), "{name}");
    }
    assert_eq!(of_writer(&database, "journal_mode"), "wal".into());
    assert_eq!(of_writer(&database, "mmap_size"), Value::Integer(0));
}

#[test]
fn the_readers_have_the_settings() {
    let file = File::new();
    let database = file.database(&Options::default());
    for (name, value) in SHARED {
        assert_eq!(of_reader(&database, name), Value::Integer(*value), "{name}");
    }
    assert_eq!(of_reader(&database, "journal_mode"), "wal".into());
    assert_eq!(of_reader(&database, "mmap_size"), Value::Integer(0));
}

/// "On every connection": a reader that recovers a log, or closes last and checkpoints it, syncs as well.
#[test]
fn the_readers_sync_as_the_writer_does() {
    for (durability, synchronous) in [(Durability::Normal, 1), (Durability::Full, 2)] {
        let file = File::new();
        let database = file.database(&Options { durability, ..Options::default() });
        assert_eq!(of_reader(&database, "synchronous"), Value::Integer(synchronous));
        assert_eq!(of_reader(&database, "wal_autocheckpoint"), Value::Integer(10_000));
    }
}

#[test]
fn durability_full_is_synchronous_full() {
    let file = File::new();
    let database = file.database(&Options { durability: Durability::Full, ..Options::default() });
    assert_eq!(of_writer(&database, "synchronous"), Value::Integer(2));
}

#[test]
fn the_checkpoint_interval_can_be_chosen() {
    let file = File::new();
    let database = file.database(&Options { wal_autocheckpoint: 77, ..Options::default() });
    assert_eq!(of_writer(&database, "wal_autocheckpoint"), Value::Integer(77));
}

#[test]
fn every_journal_mode_works() {
    let modes = [
        (JournalMode::Wal, "wal"),
        (JournalMode::Delete, "delete"),
        (JournalMode::Truncate, "truncate"),
        (JournalMode::Persist, "persist"),
    ];
    let file = File::new();
    // One after the other on one file: the mode of a file can be changed by opening it.
    for (count, (mode, name)) in (1..).zip(modes) {
        let database = file.database(&journal(mode));
        assert_eq!(of_writer(&database, "journal_mode"), name.into());
        enqueue(&database, "p").unwrap();
        let read = database.query("SELECT count(*) FROM _honker_live", &[]).unwrap();
        assert_eq!(single(read), Value::Integer(count), "{name}");
        assert_eq!(file.count("SELECT count(*) FROM _honker_live"), count, "{name}");
        database.close().unwrap();
        assert!(file.is_intact(), "{name}");
    }
}

#[test]
fn foreign_keys_hold() {
    let file = File::new();
    let database = file.database(&Options::default());
    file.plain()
        .execute_batch("CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p(id))")
        .unwrap();
    let mut transaction = database.begin().unwrap();
    let error = transaction.execute("INSERT INTO c VALUES (1)", &[]).unwrap_err();
    assert_eq!(error.sqlite_code(), Some(rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY));
}
