//! The file is replaced, goes, comes, or is called by another name.

use std::fs;
use std::time::Duration;

use honker_core::watch::{Backend, Settings, Target, Wake, Watcher, shared};

use crate::foreign::Foreign;
use crate::support::{
    File, GUARD, INSERT, WAYS, alone, create, died, everywhere, is_quiet, settle, until, waiting, wakes, way,
};

/// Ends every subscription, whatever it is doing, and every later one.
fn check_death(file: &File, settings: &Settings, replace: impl FnOnce()) {
    let watcher = file.watch(settings);
    let subscriptions: Vec<_> = (0..3).map(|_| watcher.subscribe().unwrap()).collect();
    let blocked = watcher.subscribe().unwrap();
    let blocked = waiting(move || {
        loop {
            let outcome = blocked.wait(Some(GUARD));
            if outcome != Ok(Wake::Update) {
                return outcome;
            }
        }
    });
    replace();
    died(blocked.join().unwrap());
    for subscription in subscriptions {
        // It is dead before anything that came earlier.
        died(subscription.wait(Some(GUARD)));
        died(subscription.wait(None));
    }
    died(watcher.subscribe().map(|_| ()));
    assert!(!watcher.is_alive());
    // The new file can be watched.
    let subscription = shared(&file.target(), &way(Backend::Polling)).unwrap().subscribe().unwrap();
    rusqlite::Connection::open(&file.path).unwrap().execute(INSERT, []).unwrap();
    wakes(&subscription);
}

#[test]
fn another_file_moved_over_it_is_the_end() {
    everywhere(|file, _, settings| {
        check_death(file, settings, || {
            let new = file.directory.path().join("new");
            create(&new, "DELETE");
            // What belongs to the old one must not be read as the new one's.
            for suffix in ["-wal", "-shm"] {
                let _ = fs::rename(file.beside(suffix), file.directory.path().join(format!("old{suffix}")));
            }
            fs::rename(&new, &file.path).unwrap();
        });
    });
}

#[test]
fn a_file_that_is_deleted_and_created_anew_is_the_end() {
    everywhere(|file, _, settings| {
        check_death(file, settings, || {
            for suffix in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(file.beside(suffix));
            }
            create(&file.path, "DELETE");
        });
    });
}

/// A writer at full speed on the old file does not keep the watcher from noticing.
#[test]
fn a_busy_writer_does_not_hide_it() {
    const ENDLESS: &str = r#"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA synchronous = OFF")
print("ready", flush=True)
while True:
    db.execute("UPDATE row SET payload = random() WHERE id = 1")
"#;
    // Without a log, SQLite notices before it writes.
    for settings in WAYS {
        let file = File::new("WAL");
        Foreign::on(&file.path).sql(INSERT);
        let subscription = file.watch(&settings).subscribe().unwrap();
        let writer = Foreign::run(ENDLESS, &[file.path.to_str().unwrap()]);
        assert_eq!(writer.line(), "ready");
        wakes(&subscription);
        let new = file.directory.path().join("new");
        create(&new, "DELETE");
        fs::rename(&new, &file.path).unwrap();
        until("it is dead", || subscription.wait(Some(GUARD)).is_err());
        died(subscription.wait(None));
    }
}

/// Somebody deletes the log of an open file, and others go on with a new one: our view of it is of the old one. The last
/// connection to a file writes its log back and deletes it, by name, which here would be the new one.
#[test]
fn another_log_is_the_end_and_left_alone() {
    for settings in WAYS {
        for wait_for_death in [true, false] {
            let file = File::new("WAL");
            let subscription = file.watch(&settings).subscribe().unwrap();
            for suffix in ["-wal", "-shm"] {
                fs::remove_file(file.beside(suffix)).unwrap();
            }
            let mut foreign = Foreign::on(&file.path);
            foreign.sql(INSERT);
            if wait_for_death {
                until("it is dead", || subscription.wait(Some(GUARD)).is_err());
                assert!(died(subscription.wait(None)).contains("log"));
            }
            foreign.kill();
            drop(subscription);
            let mut next = Foreign::on(&file.path);
            assert_eq!(next.sql("SELECT count(*) FROM row"), "1", "{settings:?}");
            assert_eq!(next.sql("PRAGMA integrity_check"), "ok");
        }
    }
}

/// The same for a new file of the same name.
#[test]
fn the_log_of_a_new_file_is_left_alone() {
    for settings in WAYS {
        let file = File::new("WAL");
        let subscription = file.watch(&settings).subscribe().unwrap();
        for suffix in ["", "-wal", "-shm"] {
            fs::remove_file(file.beside(suffix)).unwrap();
        }
        let mut foreign = Foreign::on(&file.path);
        foreign.sql("PRAGMA journal_mode = WAL");
        foreign.sql("CREATE TABLE row (id INTEGER PRIMARY KEY, payload)");
        foreign.sql(INSERT);
        foreign.kill();
        drop(subscription);
        assert_eq!(Foreign::on(&file.path).sql("SELECT count(*) FROM row"), "1", "{settings:?}");
    }
}

/// Nobody can tell what it means: better too many wakes than too few.
#[test]
fn a_file_that_is_away_for_a_while_is_not_the_end() {
    everywhere(|file, foreign, settings| {
        let watcher = file.watch(settings);
        let subscription = watcher.subscribe().unwrap();
        settle(&watcher, &subscription);
        let aside = file.directory.path().join("aside");
        fs::rename(&file.path, &aside).unwrap();
        (0..3).for_each(|_| wakes(&subscription));
        fs::rename(&aside, &file.path).unwrap();
        settle(&watcher, &subscription);
        foreign.sql(INSERT);
        wakes(&subscription);
        assert!(watcher.is_alive());
    });
}

#[test]
fn a_file_may_appear_later() {
    for settings in [way(Backend::Auto), way(Backend::Kernel), way(Backend::Polling)] {
        for moved in [false, true] {
            let file = File::none();
            let watcher = file.watch(&settings);
            let subscription = watcher.subscribe().unwrap();
            assert_eq!(subscription.wait(Some(Duration::from_millis(250))), Ok(Wake::Timeout));
            if moved {
                let new = file.directory.path().join("new");
                create(&new, "WAL");
                fs::rename(&new, &file.path).unwrap();
            } else {
                create(&file.path, "WAL");
            }
            wakes(&subscription);
            let mut foreign = Foreign::on(&file.path);
            for _ in 0..5 {
                settle(&watcher, &subscription);
                foreign.sql(INSERT);
                wakes(&subscription);
            }
            assert!(watcher.is_alive());
        }
    }
    // Shm has nothing to look at, and says so.
    let error = Watcher::start(&File::none().target(), &way(Backend::Shm)).err().unwrap().to_string();
    assert!(error.starts_with("watcher_backend probe failed: -shm unavailable"), "{error}");
}

#[test]
fn a_file_is_followed_by_any_of_its_names() {
    let file = File::new("WAL");
    let link = file.directory.path().join("link.db");
    std::os::unix::fs::symlink("app.db", &link).unwrap();
    let through_link = Target::new(link.to_str().unwrap());
    let uri = Target::new(format!("file:{}?cache=private", file.path.display()));
    let mut foreign = Foreign::on(&file.path);
    for target in [&through_link, &uri] {
        for settings in WAYS {
            let watcher = Watcher::start(target, &settings).unwrap();
            let subscription = watcher.subscribe().unwrap();
            for _ in 0..3 {
                foreign.sql(INSERT);
                wakes(&subscription);
            }
            assert_eq!(watcher.statistics().unannounced, if settings.deaf { 3 } else { 0 });
        }
    }
    // A link that is changed is another file.
    let subscription = Watcher::start(&through_link, &Settings::default()).unwrap().subscribe().unwrap();
    let other = File::new("WAL");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&other.path, &link).unwrap();
    until("it is dead", || subscription.wait(Some(GUARD)).is_err());
}

#[test]
fn a_relative_name_stays_the_same_file() {
    alone("replaced::a_relative_name_stays_the_same_file", || {
        for uri in ["", "file:"] {
            let file = File::new("WAL");
            std::env::set_current_dir(file.directory.path()).unwrap();
            let target = Target::new(format!("{uri}app.db"));
            let watcher = Watcher::start(&target, &Settings::default()).unwrap();
            let subscription = watcher.subscribe().unwrap();
            std::env::set_current_dir("/").unwrap();
            settle(&watcher, &subscription);
            is_quiet(&watcher, &subscription);
            Foreign::on(&file.path).sql(INSERT);
            wakes(&subscription);
            assert!(watcher.is_alive());
        }
    });
}
