//! The big one: a foreign SQLite that commits in every way there is, and a reader that looks only when it is woken.
//!
//! Every few dozen commits the writer waits until the last one has been seen, so that a wake that does not come is not
//! made up for by the next. `HONKER_TEST_COMMITS` is how many there are.

use std::time::{Duration, Instant};

use honker_core::watch::{Backend, Settings, Subscription, Wake};

use crate::foreign::Foreign;
use crate::support::{File, THREADED, way};

/// Longer than a wake may take on the slowest of machines, so long as it comes.
const LOST: Duration = Duration::from_secs(20);

/// The thread that waits watches the file itself.
#[test]
fn every_commit_of_a_storm_is_seen() {
    storm(Settings::default(), commits());
}

/// The watcher's thread does, and wakes the one that waits.
#[test]
fn every_commit_of_a_storm_is_seen_by_a_thread() {
    storm(THREADED, commits());
}

fn commits() -> u32 {
    std::env::var("HONKER_TEST_COMMITS").map_or(20_000, |commits| commits.parse().unwrap())
}

#[test]
fn in_every_other_way_as_well() {
    for backend in [Backend::Kernel, Backend::Polling] {
        storm(way(backend), 2_000);
    }
}

/// Looks into the file when it is woken, and never else.
struct Reader {
    connection: rusqlite::Connection,
    subscription: Subscription,
    seen: i64,
}

impl Reader {
    fn new(file: &File, subscription: Subscription) -> Self {
        let connection = rusqlite::Connection::open(&file.path).unwrap();
        connection.busy_timeout(Duration::from_secs(120)).unwrap();
        let mut reader = Reader { connection, subscription, seen: 0 };
        // What was there before the subscription.
        reader.look();
        reader
    }

    fn look(&mut self) {
        let highest = "SELECT coalesce(max(id), 0) FROM row";
        self.seen = self.connection.query_row(highest, [], |row| row.get(0)).unwrap();
    }

    /// Whether there was a wake.
    fn follow(&mut self, time: Duration) -> bool {
        let woken = self.subscription.wait(Some(time)).unwrap() == Wake::Update;
        if woken {
            self.look();
        }
        woken
    }
}

fn storm(settings: Settings, commits: u32) {
    let seed = std::env::var("HONKER_TEST_SEED").unwrap_or_else(|_| std::process::id().to_string());
    println!("{settings:?}: seed {seed}");
    let file = File::new("DELETE");
    let arguments = [file.path.to_str().unwrap(), &commits.to_string(), &seed];
    let mut writer = Foreign::run(include_str!("storm.py"), &arguments);
    let (mut wakes, mut unannounced, mut asked, mut longest) = (0, 0, 0, Duration::ZERO);
    while writer.line() == "phase" {
        let watcher = file.watch(&settings);
        let mut reader = Reader::new(&file, watcher.subscribe().unwrap());
        writer.tell("go");
        loop {
            let Some(line) = writer.line_within(Duration::ZERO) else {
                reader.follow(Duration::from_millis(2));
                continue;
            };
            if line == "end of phase" {
                break;
            }
            // It waits until we have seen this.
            let last: i64 = line.parse().expect("the writer failed");
            let began = Instant::now();
            while reader.seen < last {
                let woken = reader.follow(LOST);
                assert!(woken, "{last} has been committed, {} seen, and no wake came", reader.seen);
            }
            assert_eq!(reader.seen, last);
            asked += 1;
            longest = longest.max(began.elapsed());
            writer.tell("go");
        }
        let statistics = watcher.statistics();
        wakes += statistics.wakes;
        unannounced += statistics.unannounced;
        assert!(!statistics.demoted, "{statistics:?}");
        drop((reader, watcher));
        writer.tell("go");
    }
    println!(
        "{commits} commits: {wakes} wakes; {unannounced} found by the safety check; asked {asked} times whether all was \
         seen, {longest:?} at most until it was"
    );
}
