//! Which cases are run on which testees, and running them all: beside each other, each worker with processes of its
//! own.
//!
//! Invariant: cases on the machine's clock, and those that stop the server, run when nothing else does.
//!
//! Threads: the workers take from one list of jobs, and tell one report.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::case::Case;
use crate::engine::Kind;
use crate::player::Player;
use crate::report::{Record, Report};
use crate::run::{Verdict, copy_dir, lacking, run};
use crate::testees::Made;

/// How many processes a worker keeps at most: those of some languages are large.
const PROCESSES_MAX: usize = 8;

/// One case on certain testees.
pub struct Job {
    case: Arc<Case>,
    journal: Option<&'static str>,
    /// For each actor, which testee it is.
    cast: Vec<usize>,
    /// The testees' names, one of them for a case of one actor, two for others.
    testees: Vec<String>,
}

/// Which ordered pairs of testees run the cases of several actors.
pub enum Pairs {
    /// Every testee with every other and with itself, in both orders.
    All,
    /// These, and no case of a single actor.
    Named(Vec<(String, String)>),
    /// So many for each case, chosen at random by a seed: the same seed chooses the same ones. `others`: a case of a single actor
    /// is run by the first testee and so many others, not by all.
    Sample { seed: u64, per_case: usize, others: Option<usize> },
}

impl Pairs {
    /// Whether the case of this number, one of a single actor, is run by this testee.
    fn take_alone(&self, case: usize, testee: usize, made: &[Arc<Made>]) -> bool {
        match self {
            Pairs::All | Pairs::Sample { others: None, .. } => true,
            Pairs::Named(_) => false,
            Pairs::Sample { seed, others: Some(others), .. } => {
                testee == 0 || rng(*seed, case).choose_multiple(1..made.len(), *others).contains(&testee)
            }
        }
    }

    /// Whether the case of this number is run with this pair.
    pub fn take(&self, case: usize, first: usize, second: usize, made: &[Arc<Made>]) -> bool {
        match self {
            Pairs::All => true,
            Pairs::Named(pairs) => {
                pairs.iter().any(|(a, b)| *a == made[first].name && *b == made[second].name)
            }
            Pairs::Sample { seed, per_case, .. } => {
                sample(*seed, case, made.len(), *per_case).contains(&(first, second))
            }
        }
    }
}

/// So many ordered pairs of `testees`, or all if there are fewer.
fn sample(seed: u64, case: usize, testees: usize, pairs: usize) -> Vec<(usize, usize)> {
    let all = (0..testees).flat_map(|first| (0..testees).map(move |second| (first, second)));
    rng(seed, case).choose_multiple(all, pairs)
}

/// What is random about a case.
fn rng(seed: u64, case: usize) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed ^ (case as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// All jobs, those of one testee or pair after each other.
pub fn jobs(cases: &[Arc<Case>], made: &[Arc<Made>], pairs: &Pairs) -> Vec<Job> {
    let mut jobs = Vec::new();
    let alone = |case: &Case| case.actors.len() == 1;
    for testee in 0..made.len() {
        let cases = cases.iter().filter(|case| alone(case)).enumerate();
        for (_, case) in cases.filter(|(number, _)| pairs.take_alone(*number, testee, made)) {
            add(&mut jobs, case, made, testee, testee);
        }
    }
    for first in 0..made.len() {
        for second in 0..made.len() {
            let several = cases.iter().filter(|case| !alone(case)).enumerate();
            for (_, case) in several.filter(|(number, _)| pairs.take(*number, first, second, made)) {
                add(&mut jobs, case, made, first, second);
            }
        }
    }
    jobs
}

fn add(jobs: &mut Vec<Job>, case: &Arc<Case>, made: &[Arc<Made>], first: usize, second: usize) {
    let cast: Vec<usize> =
        case.actors.iter().map(|actor| if actor % 2 == 0 { first } else { second }).collect();
    let mut testees = vec![made[first].name.clone()];
    if case.actors.len() > 1 {
        testees.push(made[second].name.clone());
    }
    let journals: &[Option<&str>] = if case.each_journal { &[None, Some("DELETE")] } else { &[None] };
    for journal in journals {
        let (cast, testees) = (cast.clone(), testees.clone());
        jobs.push(Job { case: Arc::clone(case), journal: *journal, cast, testees });
    }
}

impl Job {
    fn id(&self) -> String {
        match self.journal {
            Some(journal) => format!("{} [{journal}]", self.case.id),
            None => self.case.id.clone(),
        }
    }

    /// What the engine or a testee lacks for it.
    fn lacks(&self, made: &[Arc<Made>]) -> Option<String> {
        if let Some(why) = &self.case.unfit {
            return Some(why.clone());
        }
        self.case.actors.iter().zip(&self.cast).find_map(|(actor, testee)| {
            let made = &made[*testee];
            if let Some(why) = made.no_faults.as_ref().filter(|_| self.case.plants_fault_in(*actor)) {
                return Some(format!("no fault can be planted in {}: {why}", made.name));
            }
            let needs = self.case.needs.get(actor).into_iter().flatten().map(String::as_str);
            let mut needs = needs.chain(self.journal.map(|_| "journal"));
            needs.find_map(|feature| Some(lacking(&made.name, feature, made.lacks.get(feature)?)))
        })
    }
}

/// Everything the workers share.
pub struct Stage<'a> {
    pub engine: Kind,
    pub made: &'a [Arc<Made>],
    pub report: &'a Report,
    /// Where directories of cases and processes are made.
    pub dir: &'a Path,
    /// Keep the directories of all cases, not only those that fail.
    pub keep: bool,
}

impl Stage<'_> {
    /// Runs all jobs on so many workers.
    pub fn run(&self, jobs: Vec<Job>, workers: usize) {
        let (alone, together): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.case.is_alone());
        for (jobs, workers) in [(together, workers), (alone, 1)] {
            let workers = workers.min(jobs.len());
            let jobs = Mutex::new(VecDeque::from(jobs));
            std::thread::scope(|scope| {
                for _ in 0..workers {
                    scope.spawn(|| Worker::new(self).work(&jobs));
                }
            });
        }
    }
}

struct Worker<'a> {
    stage: &'a Stage<'a>,
    /// The players there are, by testee and how many of it came before in the cast; the last used at the end.
    players: Vec<((usize, usize), Player)>,
}

impl<'a> Worker<'a> {
    fn new(stage: &'a Stage<'a>) -> Worker<'a> {
        Worker { stage, players: Vec::new() }
    }

    fn work(mut self, jobs: &Mutex<VecDeque<Job>>) {
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        while let Some(job) = next() {
            self.job(&job);
        }
        for (_, player) in std::mem::take(&mut self.players) {
            self.dismiss(player);
        }
    }

    fn job(&mut self, job: &Job) {
        let id = job.id();
        let number = self.stage.report.begin(&id, &job.testees);
        let began = Instant::now();
        let record = |verdict: Verdict, artifacts: Option<PathBuf>| Record {
            number,
            id: id.clone(),
            area: job.case.area.clone(),
            testees: job.testees.clone(),
            verdict,
            seconds: began.elapsed().as_secs_f64(),
            artifacts,
        };
        if let Some(reason) = job.lacks(self.stage.made) {
            return self.stage.report.end(record(Verdict::Skipped(reason), None));
        }
        let mut players = self.cast(&job.cast);
        let dir = self.stage.dir.join(format!("case-{number}"));
        let artifacts = self.stage.report.artifacts(number, &id);
        let keep = self.stage.keep.then_some(artifacts.as_path());
        let verdict =
            run(&job.case, job.journal, players.iter_mut().map(|(_, player)| player).collect(), &dir, keep);
        let failed = matches!(verdict, Verdict::Failed(_));
        if failed || self.stage.keep {
            // What cannot be kept is no reason to hide why the case failed.
            let kept = keep_traces(job, &players, &dir, &artifacts);
            kept.unwrap_or_else(|error| eprintln!("{id}: {error}"));
        }
        if failed {
            players.iter_mut().for_each(|(_, player)| player.discard());
        }
        let _ = std::fs::remove_dir_all(&dir);
        self.stage.report.end(record(verdict, (failed || self.stage.keep).then_some(artifacts)));
        self.players.append(&mut players);
        while self.players.len() > PROCESSES_MAX {
            let (_, player) = self.players.remove(0);
            self.dismiss(player);
        }
    }

    /// Takes the players for this cast out of those there are, or makes them.
    fn cast(&mut self, cast: &[usize]) -> Vec<((usize, usize), Player)> {
        let mut players = Vec::new();
        for (index, testee) in cast.iter().enumerate() {
            let key = (*testee, cast[..index].iter().filter(|other| *other == testee).count());
            let found = self.players.iter().position(|(other, _)| *other == key);
            players.push(match found {
                Some(found) => self.players.remove(found),
                None => {
                    let made = &self.stage.made[*testee];
                    (key, Player::new(made, self.stage.report.process_dir(self.stage.dir, &made.name)))
                }
            });
        }
        players
    }

    fn dismiss(&self, player: Player) {
        let name = player.made().name.clone();
        if let Err(error) = player.finish() {
            self.stage.report.odd("ends when it is told to", &name, error);
        }
    }
}

/// Keeps the files of a case, what was said to and by each testee, and what they wrote to standard error.
fn keep_traces(job: &Job, players: &[((usize, usize), Player)], dir: &Path, to: &Path) -> Result<(), String> {
    let say = |error: std::io::Error| format!("{}: {error}", to.display());
    std::fs::create_dir_all(to).map_err(say)?;
    if dir.exists() {
        copy_dir(dir, to)?;
    }
    for (actor, (_, player)) in job.case.actors.iter().zip(players) {
        let Some(testee) = player.running() else { continue };
        let name = format!("{}-{}", crate::case::letter(*actor), testee.made.name);
        let transcript = testee.take_transcript().join("\n") + "\n";
        std::fs::write(to.join(format!("{name}.transcript")), transcript).map_err(say)?;
        std::fs::copy(&testee.log, to.join(format!("{name}.stderr"))).map_err(say)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::sample;

    #[test]
    fn a_sample_is_repeated_by_its_seed_and_reaches_every_pair() {
        let mut reached = BTreeSet::new();
        for case in 0..400 {
            let pairs = sample(7, case, 7, 3);
            assert_eq!(pairs, sample(7, case, 7, 3));
            assert_eq!(pairs.iter().collect::<BTreeSet<_>>().len(), 3);
            reached.extend(pairs);
        }
        assert_eq!(reached.len(), 49);
        assert_ne!(
            (0..9).map(|case| sample(7, case, 7, 3)).collect::<Vec<_>>(),
            (0..9).map(|case| sample(8, case, 7, 3)).collect::<Vec<_>>()
        );
        assert_eq!(sample(7, 0, 1, 3), [(0, 0)]);
    }
}
