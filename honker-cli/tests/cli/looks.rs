//! Looking changes nothing: not the journal mode, not the schema, not a file that has nothing of honker's.

use honker_core::database::{Database, JournalMode, Options};

use crate::http::serve;
use crate::support::{Site, until};
use crate::terminal::Terminal;

/// All commands that only look; the job of id 1 is there.
const LOOKS: [&[&str]; 14] = [
    &["stats"],
    &["queues"],
    &["jobs"],
    &["job", "1"],
    &["dead"],
    &["dead", "--groups"],
    &["schedules"],
    &["streams"],
    &["locks"],
    &["result", "1"],
    &["jobs", "retry", "--all", "--dry-run"],
    &["jobs", "cancel", "--all", "--dry-run"],
    &["doctor"],
    &["serve", "--listen", "127.0.0.1:0"],
];

/// A file beside that of the site, in this journal mode, with a job that has a result.
fn file(site: &Site, name: &str, journal_mode: JournalMode, statements: &[&str]) -> String {
    let path = site.path(name);
    let database = Database::open(&path, &Options { journal_mode, ..Options::default() }).expect("a file");
    let id = database.enqueue(&honker_core::queue::Enqueue::new("q", "{}")).expect("enqueued").id;
    database.result_save(id, "3", 3600).expect("saved");
    for sql in statements {
        let mut transaction = database.begin().expect("begun");
        transaction.execute(sql, &[]).expect("run");
        transaction.commit().expect("committed");
    }
    database.close().expect("closed");
    path.to_str().expect("text").to_owned()
}

#[test]
fn a_file_stays_as_it_is_in_whatever_journal_mode() {
    let site = Site::new();
    for (name, mode) in [("wal.db", JournalMode::Wal), ("rollback.db", JournalMode::Delete)] {
        let path = file(&site, name, mode, &[]);
        let before = std::fs::read(&path).expect("read");
        for args in LOOKS {
            match args[0] {
                "serve" => {
                    let mut server = serve(&site, &["--db", &path]);
                    assert_eq!(server.get("/api/jobs").is(200).json()["jobs"][0]["id"], "1");
                    server.get("/metrics").is(200);
                    server.running.signal("TERM");
                    assert_eq!(server.running.end(), Some(0));
                }
                // It warns of the rollback journal.
                "doctor" => drop(site.run(&[args, &["--db", &path]].concat())),
                _ => drop(site.run(&[args, &["--db", &path]].concat()).ok()),
            }
            assert!(std::fs::read(&path).expect("read") == before, "{args:?} has changed {name}");
        }
    }
}

#[test]
fn a_file_of_an_older_version_or_of_somebody_else_is_not_made_ours() {
    let site = Site::new();
    let older = file(&site, "older.db", JournalMode::Wal, &["DROP TABLE _honker_schema"]);
    let empty = site.path("empty.db").to_str().expect("text").to_owned();
    std::fs::write(&empty, "").expect("written");
    for path in [&older, &empty] {
        let before = std::fs::read(path).expect("read");
        for args in LOOKS {
            let run = site.run(&[args, &["--db", path]].concat()).fails(1);
            let said = run.stdout + &run.stderr;
            assert!(said.contains("an older") && said.contains("honker prune"), "{args:?}: {said}");
            assert!(std::fs::read(path).expect("read") == before, "{args:?} has changed {path}");
        }
        let mut top = Terminal::start(site.command(&["top", path]));
        top.shows("those of an older version");
        assert_eq!(top.end(), Some(1));
        assert!(std::fs::read(path).expect("read") == before);
        // As it says.
        site.run(&["prune", path]).ok();
        site.run(&["stats", path]).ok();
    }
    assert_eq!(site.json(&["job", "1", "--json", "--db", &older])["queue"], "q");
}

#[test]
fn what_is_seen_is_what_others_commit_meanwhile() {
    let site = Site::new();
    let path = file(&site, "other.db", JournalMode::Wal, &[]);
    // Nobody else has the file open when it begins to look.
    let watching = site.start(&["stats", "--json", "--watch", "--db", &path]);
    assert!(watching.line().contains("\"due\":1"));
    site.run(&["enqueue", "q", "{}", "--db", &path]).ok();
    until("it is seen", || watching.line().contains("\"due\":2"));
}
