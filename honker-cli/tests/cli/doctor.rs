//! `honker doctor`: each thing that it knows is made wrong.

use honker_core::database::{Database, JournalMode, Options};
use honker_core::queue::Enqueue;
use serde_json::Value;

use crate::support::{Site, until};

/// What it says of one thing; the worst if there are several.
fn found(site: &Site, check: &str, options: &[&str]) -> (String, String) {
    let run = site.run(&[&["doctor", "--json"], options].concat());
    let findings: Vec<Value> = serde_json::from_str(&run.stdout).expect("JSON");
    let rank = |level: &str| ["ok", "note", "warning", "bad"].iter().position(|known| *known == level);
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let of_check = findings.iter().filter(|finding| finding["check"] == check);
    let worst = of_check.max_by_key(|finding| rank(&text(finding, "level"))).expect("a finding");
    let is_bad = findings.iter().any(|finding| rank(&text(finding, "level")) > Some(1));
    assert_eq!(run.code, Some(i32::from(is_bad)), "{findings:?}");
    (text(worst, "level"), text(worst, "found"))
}

fn sql(site: &Site, sql: &str) {
    let mut transaction = site.database.begin().expect("begun");
    transaction.execute(sql, &[]).expect("run");
    transaction.commit().expect("committed");
}

#[test]
fn a_sound_file_is_sound() {
    let site = Site::new();
    site.enqueue("q", "{}");
    let run = site.run(&["doctor"]).ok();
    for check in [
        "access",
        "file system",
        "journal",
        "log",
        "integrity",
        "schema",
        "clock",
        "rows",
        "locks",
        "leader",
        "work",
        "watcher",
    ] {
        assert!(run.stdout.contains(&format!("ok      {check} ")), "{check} in {}", run.stdout);
    }
    site.run(&["doctor", "--quick"]).ok();
    site.run(&["doctor", "nothing.db"]).fails(3);
}

#[test]
fn a_file_that_is_none_is_said_to_be() {
    let site = Site::new();
    std::fs::write(site.path("text.db"), "this is no database. ".repeat(100)).expect("written");
    let path = site.path("text.db");
    assert_eq!(found(&site, "journal", &[path.to_str().expect("text")]).0, "bad");
    assert_eq!(found(&site, "opening", &[path.to_str().expect("text")]).0, "bad");
}

#[test]
fn damage_is_found() {
    let site = Site::new();
    for n in 0..2_000 {
        site.enqueue("q", &format!("a payload of some length, number {n}"));
    }
    site.database.close().expect("closed");
    let mut bytes = std::fs::read(site.path("app.db")).expect("read");
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    std::fs::write(site.path("app.db"), bytes).expect("written");
    assert_eq!(found(&site, "integrity", &[]).0, "bad");
}

#[test]
fn a_rollback_journal_is_noticed_and_nothing_is_changed() {
    let site = Site::new();
    let options = Options { journal_mode: JournalMode::Delete, ..Options::default() };
    let path = site.path("old.db");
    Database::open(&path, &options).expect("a file").close().expect("closed");
    let before = std::fs::read(&path).expect("read");
    let path = path.to_str().expect("text");
    assert_eq!(found(&site, "journal", &[path]).0, "warning");
    assert_eq!(found(&site, "work", &[path]).0, "ok");
    assert_eq!(std::fs::read(path).expect("read"), before);
}

#[test]
fn a_file_of_an_older_version_stays_as_it_is() {
    let site = Site::new();
    let path = site.path("older.db");
    let older = Database::open(&path, &Options::default()).expect("a file");
    let mut transaction = older.begin().expect("begun");
    transaction.execute("DROP TABLE _honker_schema", &[]).expect("run");
    transaction.commit().expect("committed");
    older.close().expect("closed");
    let before = std::fs::read(&path).expect("read");
    let path = path.to_str().expect("text");
    assert_eq!(found(&site, "schema", &[path]).0, "warning");
    assert_eq!(std::fs::read(path).expect("read"), before);
    site.run(&["prune", path]).ok();
    assert_eq!(found(&site, "schema", &[path]).0, "ok");
}

#[test]
fn odd_times_and_rows_are_noticed() {
    let site = Site::new();
    site.enqueue("q", "{}");
    let ms = Enqueue { run_at: Some(1_800_000_000_000), ..Enqueue::new("q", "{}") };
    site.database.enqueue(&ms).expect("enqueued");
    assert!(found(&site, "clock", &[]).1.contains("twenty years"));
    sql(&site, "UPDATE _honker_live SET run_at = unixepoch()");
    assert_eq!(found(&site, "clock", &[]).0, "ok");
    sql(&site, "UPDATE _honker_live SET created_at = unixepoch() + 4000");
    assert_eq!(found(&site, "clock", &[]).0, "warning");
    sql(&site, "UPDATE _honker_live SET created_at = unixepoch(), payload = x'00ff'");
    assert_eq!(
        found(&site, "rows", &[]),
        ("warning".to_owned(), "2 jobs with a column of a wrong type".to_owned())
    );
}

#[test]
fn work_that_nobody_does_is_noticed() {
    let site = Site::new();
    site.enqueue("emails", "{}");
    assert_eq!(found(&site, "work", &[]).0, "ok");
    sql(&site, "UPDATE _honker_live SET run_at = unixepoch() - 1000, created_at = unixepoch() - 1000");
    let (level, said) = found(&site, "work", &[]);
    assert_eq!(level, "warning");
    assert!(said.contains("nobody works at queue 'emails'"), "{said}");
    assert_eq!(found(&site, "work", &["--late-s", "100000"]).0, "ok");
    site.run(&["pause", "emails", "-y"]).ok();
    assert_eq!(found(&site, "work", &[]).0, "note");
    site.run(&["resume", "emails", "-y"]).ok();
    sql(
        &site,
        "UPDATE _honker_live SET state = 'processing', worker_id = 'w', claim_expires_at = unixepoch() - 1000",
    );
    assert!(found(&site, "work", &[]).1.contains("claim has lapsed"));
}

#[test]
fn stale_locks_and_dead_leaders_are_noticed() {
    let site = Site::new();
    site.database.lock_acquire("report", "host-1", 300).expect("taken");
    assert_eq!(found(&site, "locks", &[]).0, "ok");
    sql(&site, "UPDATE _honker_locks SET expires_at = unixepoch() - 5");
    assert_eq!(found(&site, "locks", &[]), ("note".to_owned(), "stale: report".to_owned()));

    site.run(&["schedule", "add", "nightly", "q", "0 3 * * *", "{}", "-y"]).ok();
    assert!(found(&site, "leader", &[]).1.contains("nobody leads"));
    let mut leader = site.start(&["schedule-leader"]);
    until("it leads", || found(&site, "leader", &[]).0 == "ok");
    leader.signal("KILL");
    leader.end();
    sql(&site, "UPDATE _honker_locks SET expires_at = unixepoch() - 5");
    let (level, said) = found(&site, "leader", &[]);
    assert_eq!(level, "warning");
    assert!(said.contains("is dead"), "{said}");
}
