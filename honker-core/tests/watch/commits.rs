//! What is followed by a wake, and what is not.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::time::Duration;

use honker_core::watch::{Backend, Subscription, Wake};

use crate::foreign::Foreign;
use crate::support::{File, until};
use crate::support::{GUARD, INSERT, WAYS, caught_up, everywhere, is_quiet, settle, wakes, way};

#[test]
fn each_commit_wakes_once_or_so() {
    const COMMITS: u64 = 25;
    everywhere(|file, foreign, settings| {
        let watcher = file.watch(settings);
        let subscription = watcher.subscribe().unwrap();
        for _ in 0..COMMITS {
            foreign.sql(INSERT);
            wakes(&subscription);
        }
        settle(&watcher, &subscription);
        let counted = watcher.statistics().wakes;
        let most = match settings.backend {
            Backend::Polling | Backend::Shm => COMMITS + 2,
            Backend::Auto | Backend::Kernel => 4 * COMMITS,
        };
        assert!((COMMITS..=most).contains(&counted), "{counted} wakes");
    });
}

#[test]
fn what_is_rolled_back_or_changes_nothing_wakes_nobody() {
    everywhere(|file, foreign, settings| {
        // Log frames of what is rolled back are written over what was checkpointed, which moves the counter.
        foreign.sql("PRAGMA wal_autocheckpoint = 0");
        foreign.sql(INSERT);
        let watcher = file.watch(settings);
        let subscription = watcher.subscribe().unwrap();
        settle(&watcher, &subscription);
        let before = watcher.statistics().wakes;
        for _ in 0..10 {
            foreign.sql(&format!("BEGIN IMMEDIATE; {INSERT}; ROLLBACK"));
            foreign.sql("BEGIN IMMEDIATE; COMMIT");
            foreign.sql("DELETE FROM row WHERE id < 0");
            foreign.sql("SELECT count(*) FROM row");
        }
        is_quiet(&watcher, &subscription);
        if foreign.sql("PRAGMA journal_mode") == "wal" {
            // Frames in the log, of a transaction larger than the cache.
            foreign.sql("PRAGMA cache_size = 5");
            foreign.sql(&format!("BEGIN; {}; ROLLBACK", [INSERT; 3_000].join(";")));
            is_quiet(&watcher, &subscription);
        }
        assert_eq!(watcher.statistics().wakes, before);
        foreign.sql(INSERT);
        wakes(&subscription);
    });
}

#[test]
fn every_kind_of_commit_wakes() {
    everywhere(|file, foreign, settings| {
        let watcher = file.watch(settings);
        let subscription = watcher.subscribe().unwrap();
        let other = file.directory.path().join("other.db");
        foreign.sql(&format!("ATTACH '{}' AS other; CREATE TABLE other.row (payload)", other.display()));
        foreign.sql("PRAGMA cache_size = 5");
        let spilled = format!("BEGIN; {}; COMMIT", [INSERT; 2_000].join(";"));
        for commit in [
            "CREATE TABLE another (x)",
            "BEGIN; INSERT INTO other.row VALUES (1); INSERT INTO another VALUES (1); COMMIT",
            "SAVEPOINT s; INSERT INTO another VALUES (2); RELEASE s",
            &spilled,
            "DELETE FROM row",
            "VACUUM main",
            "PRAGMA main.user_version = 7",
            "DROP TABLE another",
        ] {
            settle(&watcher, &subscription);
            foreign.sql(commit);
            wakes(&subscription);
        }
    });
}

/// A reader that sleeps between wakes has seen everything once it sleeps.
#[test]
fn nothing_of_a_burst_is_lost() {
    everywhere(|file, foreign, settings| {
        let subscription = file.watch(settings).subscribe().unwrap();
        let reader = rusqlite::Connection::open(&file.path).unwrap();
        reader.busy_timeout(GUARD).unwrap();
        let mut seen = 0;
        for round in 1..=8 {
            for _ in 0..25 {
                foreign.tell(INSERT);
            }
            while seen < round * 25 {
                wakes(&subscription);
                seen = reader.query_row("SELECT count(*) FROM row", [], |row| row.get(0)).unwrap();
            }
            (0..25).for_each(|_| assert_eq!(foreign.line(), "ok"));
        }
    });
}

#[test]
fn wakes_that_nobody_looks_at_are_one() {
    everywhere(|file, foreign, settings| {
        let watcher = file.watch(settings);
        let subscription = watcher.subscribe().unwrap();
        for _ in 0..10 {
            foreign.sql(INSERT);
        }
        caught_up(&watcher);
        assert_eq!(subscription.wait(Some(Duration::ZERO)), Ok(Wake::Update));
        assert_eq!(subscription.wait(Some(Duration::ZERO)), Ok(Wake::Timeout));
        is_quiet(&watcher, &subscription);
    });
}

/// The file is not in the same journal mode for ever. (Somebody who watches keeps others from leaving WAL mode.)
#[test]
fn a_change_of_the_journal_mode_is_followed() {
    for settings in WAYS {
        if settings.backend == Backend::Shm {
            continue;
        }
        let file = File::new("DELETE");
        let mut foreign = Foreign::on(&file.path);
        let watcher = file.watch(&settings);
        let subscription = watcher.subscribe().unwrap();
        for mode in ["TRUNCATE", "PERSIST", "DELETE", "WAL"] {
            foreign.sql(&format!("PRAGMA journal_mode = {mode}"));
            settle(&watcher, &subscription);
            for _ in 0..5 {
                foreign.sql(INSERT);
                wakes(&subscription);
            }
        }
        // Events are those of the file that is written to now.
        assert!(settings.deaf || watcher.statistics().unannounced <= 1, "{:?}", watcher.statistics());
        assert!(Foreign::impatient(&file.path).ask("PRAGMA journal_mode = DELETE").contains("locked"));
        drop((subscription, watcher));
        assert_eq!(foreign.sql("PRAGMA journal_mode = DELETE"), "delete");
        let subscription = file.watch(&settings).subscribe().unwrap();
        foreign.sql(INSERT);
        wakes(&subscription);
    }
}

#[test]
fn checkpoints_do_not_hide_commits() {
    for settings in WAYS {
        let file = File::new("WAL");
        let mut foreign = Foreign::on(&file.path);
        let watcher = file.watch(&settings);
        let subscription = watcher.subscribe().unwrap();
        for mode in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
            for _ in 0..3 {
                foreign.sql(&format!("{INSERT}; PRAGMA wal_checkpoint({mode})"));
                settle(&watcher, &subscription);
                foreign.sql(INSERT);
                wakes(&subscription);
            }
        }
        assert_eq!(watcher.statistics().demoted, settings.deaf);
    }
}

/// In SQLite of this process, by a connection that knows nothing of the watcher, and with an announcement.
#[test]
fn commits_of_this_process_wake_too() {
    everywhere(|file, _, settings| {
        let watcher = file.watch(settings);
        let subscription = watcher.subscribe().unwrap();
        let connection = rusqlite::Connection::open(&file.path).unwrap();
        for _ in 0..10 {
            connection.execute(INSERT, []).unwrap();
            wakes(&subscription);
        }
        settle(&watcher, &subscription);
        let before = watcher.statistics().wakes;
        for _ in 0..10 {
            connection.execute(INSERT, []).unwrap();
            watcher.announce();
            wakes(&subscription);
        }
        settle(&watcher, &subscription);
        let counted = watcher.statistics().wakes - before;
        assert!((10..=21).contains(&counted), "{counted}");
    });
}

/// Threads of this process that announce what they commit, and a foreign process that does not: neither hides the other.
#[test]
fn announcements_hide_nobody_else() {
    for settings in WAYS {
        let file = File::new("WAL");
        let mut foreign = Foreign::on(&file.path);
        let watcher = file.watch(&settings);
        let stop = AtomicBool::new(false);
        let committed = AtomicI64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let connection = rusqlite::Connection::open(&file.path).unwrap();
                    connection.busy_timeout(GUARD).unwrap();
                    connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
                    while !stop.load(Relaxed) {
                        connection.execute("INSERT INTO row (payload) VALUES ('ours')", []).unwrap();
                        watcher.announce();
                    }
                });
            }
            let subscription = watcher.subscribe().unwrap();
            let reader = rusqlite::Connection::open(&file.path).unwrap();
            for _ in 0..20 {
                foreign.sql("INSERT INTO row (payload) VALUES ('theirs')");
                committed.fetch_add(1, Relaxed);
                see(&subscription, &reader, "theirs", committed.load(Relaxed));
            }
            stop.store(true, Relaxed);
        });
        let subscription = watcher.subscribe().unwrap();
        foreign.sql(INSERT);
        wakes(&subscription);
    }
}

/// Waits until it has seen so many rows, looking after wakes only.
fn see(subscription: &Subscription, reader: &rusqlite::Connection, payload: &str, count: i64) {
    until("the rows are seen", || {
        wakes(subscription);
        let sql = "SELECT count(*) FROM row WHERE payload = ?1";
        reader.query_row(sql, [payload], |row| row.get::<_, i64>(0)).unwrap() >= count
    });
}

/// What is committed right after `subscribe` is seen, and so is what is committed right after `start`.
#[test]
fn the_baseline_is_there_when_it_returns() {
    everywhere(|file, foreign, settings| {
        for _ in 0..10 {
            let watcher = file.watch(settings);
            foreign.tell(INSERT);
            let subscription = watcher.subscribe().unwrap();
            assert_eq!(foreign.line(), "ok");
            // Whether this commit came before the subscription nobody can tell, the next did not.
            foreign.sql(INSERT);
            wakes(&subscription);
        }
    });
}

/// What was there before is no news.
#[test]
fn starting_wakes_nobody() {
    everywhere(|file, foreign, settings| {
        foreign.sql(INSERT);
        let watcher = file.watch(settings);
        let subscription = watcher.subscribe().unwrap();
        is_quiet(&watcher, &subscription);
        assert_eq!(watcher.statistics().wakes, 0);
    });
}

#[test]
fn a_slow_poll_interval_is_kept() {
    let file = File::new("WAL");
    let mut foreign = Foreign::on(&file.path);
    let settings =
        honker_core::watch::Settings { poll_interval: Duration::from_millis(400), ..way(Backend::Polling) };
    let watcher = file.watch(&settings);
    let subscription = watcher.subscribe().unwrap();
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(1_200) {
        foreign.sql(INSERT);
        std::thread::sleep(Duration::from_millis(20));
    }
    let turns = began.elapsed().as_millis() / 400 + 1;
    let wakes = watcher.statistics().wakes;
    assert!(u128::from(wakes) <= turns, "{wakes} wakes in {turns} turns");
    assert_eq!(subscription.wait(Some(GUARD)), Ok(Wake::Update));
}
