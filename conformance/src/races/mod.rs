//! Races: many lanes of two testees at once on one file, judged by what must hold whoever wins.
//!
//! Cases say what happens next; here nobody can. Each race is a function that lets lanes loose and then looks at the books:
//! every job acknowledged once, no wake lost, one holder of a lock, no boundary fired twice. What it may say at the end is a
//! figure worth keeping (how long the longest wake took), which nothing depends on.
//!
//! Threads: one of ours drives each lane, so that a lane's next request depends on its last answer and on nobody else's.

mod arena;
mod exclusion;
mod killed;
mod queue;
mod streams;
mod waiting;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use self::arena::Arena;
use crate::Effort;
use crate::engine::Engine;
use crate::matrix::{Pairs, Stage};
use crate::protocol::protocol;
use crate::report::Record;
use crate::run::{Verdict, copy_dir, lacking};
use crate::testees::Made;

impl Effort {
    /// A number of turns.
    fn turns(self, quick: usize) -> usize {
        match self {
            Effort::Quick => quick,
            Effort::Usual => quick * 2,
            Effort::Long => quick * 20,
        }
    }
}

type Outcome = Result<String, String>;

/// A race, and the features that both testees must have for it.
pub struct Race {
    pub name: &'static str,
    pub needs: &'static [&'static str],
    run: fn(&Arena, Effort) -> Outcome,
}

pub const RACES: [Race; 14] = [
    Race { name: "every job is acknowledged by one claimer", needs: &[], run: queue::claimers },
    Race { name: "workers that wait share the jobs", needs: &["wait"], run: queue::workers },
    Race { name: "a lapsed claim has one new holder", needs: &[], run: queue::lapsed },
    Race {
        name: "transactions of both are all there or not at all",
        needs: &["tx"],
        run: queue::transactions,
    },
    Race { name: "no wake is lost", needs: &["wait"], run: waiting::wakes },
    Race { name: "a wait ends when what it waits on is closed", needs: &["wait"], run: waiting::closing },
    Race {
        name: "every listener hears its channel, in order",
        needs: &["wait", "notify"],
        run: waiting::storm,
    },
    Race { name: "listeners come and go", needs: &["wait", "notify"], run: waiting::churn },
    Race {
        name: "a subscription has no gaps and no duplicates",
        needs: &["wait", "stream"],
        run: streams::publishers,
    },
    Race { name: "a lock has one holder", needs: &["lock"], run: exclusion::locks },
    Race { name: "a rate limit is never exceeded", needs: &["rate"], run: exclusion::limits },
    Race { name: "a boundary fires once, however many tick", needs: &["sched"], run: exclusion::ticks },
    Race {
        name: "K2 K10 what a killed process was told is there",
        needs: &["stream"],
        run: killed::at_random,
    },
    Race {
        name: "K19 another SQLite in the process, and a kill",
        needs: &["foreign"],
        run: killed::beside_another_sqlite,
    },
];

impl Race {
    pub fn id(&self) -> String {
        format!("races: {}", self.name)
    }

    fn between(&self, pair: [&Arc<Made>; 2], dir: &Path, effort: Effort) -> Outcome {
        let arena = Arena::open(pair, dir)?;
        let said = (self.run)(&arena, effort)?;
        arena.close()?;
        Ok(said)
    }

    /// What the engine or one of the pair lacks for it.
    fn lacks(&self, pair: [&Arc<Made>; 2]) -> Option<String> {
        let why = self.needs.iter().find_map(|feature| protocol().of_files(feature));
        if let (Engine::Postgres(_), Some(why)) = (&*pair[0].engine, why) {
            return Some(format!("on a file alone: {why}"));
        }
        pair.into_iter().find_map(|made| {
            let lack = self.needs.iter().find_map(|feature| made.lacks.get_key_value(*feature));
            lack.map(|(feature, reason)| lacking(&made.name, feature, reason))
        })
    }
}

/// Runs the races, one after the other, with every pair that is chosen.
pub fn run_all(races: &[&Race], pairs: &Pairs, stage: &Stage<'_>, effort: Effort) {
    let made = stage.made;
    for first in 0..made.len() {
        for second in 0..made.len() {
            for (_, race) in
                races.iter().enumerate().filter(|(number, _)| pairs.take(*number, first, second, made))
            {
                run_one(race, [&made[first], &made[second]], stage, effort);
            }
        }
    }
}

fn run_one(race: &Race, pair: [&Arc<Made>; 2], stage: &Stage<'_>, effort: Effort) {
    let (id, testees) = (race.id(), pair.map(|made| made.name.clone()).to_vec());
    let number = stage.report.begin(&id, &testees);
    let began = Instant::now();
    let dir = stage.dir.join(format!("race-{number}"));
    let mut artifacts = None;
    let verdict = match race.lacks(pair) {
        Some(reason) => Verdict::Skipped(reason),
        None => match race.between(pair, &dir, effort) {
            Ok(said) => {
                stage.report.note(number, &said);
                Verdict::Passed
            }
            Err(error) => {
                let kept = stage.report.artifacts(number, &id);
                // What cannot be kept is no reason to hide why the race failed.
                copy_dir(&dir, &kept).unwrap_or_else(|error| eprintln!("{id}: {error}"));
                artifacts = Some(kept);
                Verdict::Failed(error)
            }
        },
    };
    let _ = std::fs::remove_dir_all(&dir);
    let seconds = began.elapsed().as_secs_f64();
    stage.report.end(Record { number, id, area: "races".to_owned(), testees, verdict, seconds, artifacts });
}

/// Every item once.
fn once<T: Ord + std::fmt::Debug>(
    what: &str,
    items: impl IntoIterator<Item = T>,
) -> Result<BTreeSet<T>, String> {
    let mut seen = BTreeSet::new();
    for item in items {
        let text = format!("{item:?}");
        if !seen.insert(item) {
            return Err(format!("{what} {text} is there twice"));
        }
    }
    Ok(seen)
}
