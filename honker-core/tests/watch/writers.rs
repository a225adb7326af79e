//! Writers that stop, die, or keep everybody else out.

use std::time::Duration;

use honker_core::Error;
use honker_core::watch::{Backend, Settings, Wake};

use crate::foreign::Foreign;
use crate::support::{File, GUARD, INSERT, WAYS, everywhere, overwrite, settle, until, wakes};

const BUSY_WRITER: &str = r#"
import random, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
db.execute("PRAGMA synchronous = OFF")
db.execute("PRAGMA cache_size = 5")
print("ready", flush=True)
while True:
    db.execute("BEGIN IMMEDIATE")
    for _ in range(random.choice([1, 1, 300])):
        db.execute("INSERT INTO row (payload) VALUES (hex(randomblob(100)))")
    db.execute(random.choice(["COMMIT", "COMMIT", "ROLLBACK"]))
"#;

/// Stopped at any moment, also in the middle of a commit, and continued: what it then commits is noticed.
#[test]
fn a_stopped_writer() {
    everywhere(|file, _, settings| {
        let watcher = file.watch(settings);
        let subscription = watcher.subscribe().unwrap();
        let writer = Foreign::run(BUSY_WRITER, &[file.path.to_str().unwrap()]);
        assert_eq!(writer.line(), "ready");
        for _ in 0..6 {
            wakes(&subscription);
            writer.signal(libc::SIGSTOP);
            let _ = subscription.wait(Some(Duration::from_millis(150)));
            let before = watcher.statistics().wakes;
            writer.signal(libc::SIGCONT);
            until("it is noticed again", || {
                watcher.look();
                watcher.statistics().wakes > before
            });
        }
    });
}

/// Killed at any moment: whoever comes next is noticed, also if there is something to be recovered first.
#[test]
fn a_killed_writer() {
    everywhere(|file, _, settings| {
        let watcher = file.watch(settings);
        let subscription = watcher.subscribe().unwrap();
        for _ in 0..4 {
            let mut writer = Foreign::run(BUSY_WRITER, &[file.path.to_str().unwrap()]);
            assert_eq!(writer.line(), "ready");
            wakes(&subscription);
            writer.kill();
            settle(&watcher, &subscription);
            let mut next = Foreign::on(&file.path);
            next.sql(INSERT);
            wakes(&subscription);
            assert_eq!(next.sql("PRAGMA integrity_check"), "ok");
        }
        assert!(watcher.is_alive());
    });
}

#[test]
fn a_lock_is_no_error() {
    everywhere(|file, foreign, settings| {
        let watcher = file.watch(settings);
        let subscription = watcher.subscribe().unwrap();
        for _ in 0..2 {
            settle(&watcher, &subscription);
            foreign.sql(&format!("BEGIN EXCLUSIVE; {INSERT}"));
            assert_eq!(subscription.wait(Some(Duration::from_millis(250))), Ok(Wake::Timeout));
            foreign.sql("COMMIT");
            wakes(&subscription);
        }
        if foreign.sql("PRAGMA journal_mode") == "wal" {
            // Somebody who watches keeps others from locking everybody out.
            return;
        }
        foreign.sql("PRAGMA locking_mode = EXCLUSIVE");
        settle(&watcher, &subscription);
        foreign.sql(INSERT);
        foreign.sql("PRAGMA locking_mode = NORMAL");
        foreign.sql(INSERT);
        wakes(&subscription);
        assert!(watcher.is_alive());
    });
}

/// The first look waits for a lock, and for a lock that stays not for ever.
#[test]
fn a_lock_at_the_start() {
    for settings in WAYS {
        if settings.backend == Backend::Shm {
            continue;
        }
        let file = File::new("DELETE");
        let mut foreign = Foreign::on(&file.path);
        foreign.sql(&format!("BEGIN EXCLUSIVE; {INSERT}"));
        let (target, watch) = (file.target(), settings);
        let starting = std::thread::spawn(move || honker_core::watch::Watcher::start(&target, &watch));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!starting.is_finished());
        foreign.sql("COMMIT");
        let subscription = starting.join().unwrap().unwrap().subscribe().unwrap();
        foreign.sql(INSERT);
        wakes(&subscription);
    }
    let file = File::new("DELETE");
    Foreign::on(&file.path).sql("SELECT 1");
    let mut foreign = Foreign::on(&file.path);
    foreign.sql("BEGIN EXCLUSIVE");
    let error = honker_core::watch::Watcher::start(&file.target(), &Settings::default()).err().unwrap();
    assert!(matches!(error, Error::Busy(_)), "{error:?}");
}

/// A file that cannot be read for a while: woken when that begins, and when it is over.
#[test]
fn a_file_that_cannot_be_read() {
    for settings in [Settings::default(), crate::support::way(Backend::Polling)] {
        let file = File::new("DELETE");
        let mut foreign = Foreign::on(&file.path);
        foreign.sql(INSERT);
        let watcher = file.watch(&settings);
        let subscription = watcher.subscribe().unwrap();
        settle(&watcher, &subscription);
        let good = std::fs::read(&file.path).unwrap();
        let mut bad = good.clone();
        bad[..100].fill(b'x');
        overwrite(&file, &bad);
        wakes(&subscription);
        settle(&watcher, &subscription);
        overwrite(&file, &good);
        wakes(&subscription);
        settle(&watcher, &subscription);
        foreign.sql(INSERT);
        assert_eq!(subscription.wait(Some(GUARD)), Ok(Wake::Update));
        assert!(watcher.is_alive());
    }
}
