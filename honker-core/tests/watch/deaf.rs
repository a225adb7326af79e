//! Where events of the file system do not come.

use std::time::Duration;

use honker_core::watch::{Backend, Method, Settings};

use crate::foreign::Foreign;
use crate::support::{DEAF, File, INSERT, MODES, alone, until, wakes, way};

#[test]
fn it_goes_over_to_polling_and_says_so_once() {
    let printed = alone("deaf::it_goes_over_to_polling_and_says_so_once", || {
        let file = File::new("WAL");
        let mut foreign = Foreign::on(&file.path);
        let watcher = file.watch(&DEAF);
        let subscription = watcher.subscribe().unwrap();
        assert!(!watcher.statistics().demoted);
        for _ in 0..20 {
            foreign.sql(INSERT);
            wakes(&subscription);
        }
        let statistics = watcher.statistics();
        assert!(statistics.demoted);
        assert_eq!(statistics.unannounced, 3);
        let status = watcher.status();
        assert_eq!((status.backend, status.method, status.demoted), ("auto", Method::Polling, true));
        let [warning] = &status.warnings[..] else { panic!("{status:?}") };
        assert!(warning.text.contains("polling") && warning.count == 1 && warning.last_at > 0, "{warning:?}");
        assert_eq!(watcher.take_warning().as_ref(), Some(&warning.text));
        assert_eq!(watcher.take_warning(), None);
        assert_eq!(watcher.status(), status);
    });
    assert_eq!(printed, "");
}

/// Asked for by its name it stays what it is, and notices with its safety checks.
#[test]
fn kernel_is_not_replaced() {
    for mode in MODES {
        let file = File::new(mode);
        let mut foreign = Foreign::on(&file.path);
        let watcher = file.watch(&Settings { deaf: true, ..way(Backend::Kernel) });
        let subscription = watcher.subscribe().unwrap();
        for _ in 0..8 {
            foreign.sql(INSERT);
            wakes(&subscription);
        }
        let statistics = watcher.statistics();
        assert_eq!((statistics.demoted, statistics.unannounced), (false, 8));
    }
}

/// Events that do come are relied on: also after slow commits, checkpoints, and under a flat-out writer.
#[test]
fn one_that_hears_is_not_demoted() {
    for mode in MODES {
        let file = File::new(mode);
        let mut foreign = Foreign::on(&file.path);
        let watcher = file.watch(&Settings::default());
        let subscription = watcher.subscribe().unwrap();
        foreign.sql("PRAGMA cache_size = 5");
        for round in 0..8 {
            // The event comes with the spill; the commit long after it, without another one worth mentioning.
            foreign.sql(&format!("BEGIN; {}", [INSERT; 500].join(";")));
            std::thread::sleep(Duration::from_millis(if round % 2 == 0 { 250 } else { 10 }));
            foreign.sql("COMMIT");
            wakes(&subscription);
            foreign.sql("PRAGMA wal_checkpoint(TRUNCATE)");
        }
        (0..300).for_each(|_| foreign.tell(INSERT));
        (0..300).for_each(|_| assert_eq!(foreign.line(), "ok"));
        until("it is quiet", || {
            subscription.wait(Some(Duration::from_millis(250))) == Ok(honker_core::watch::Wake::Timeout)
        });
        let statistics = watcher.statistics();
        assert!(!statistics.demoted && statistics.unannounced <= 2, "{mode}: {statistics:?}");
    }
}
