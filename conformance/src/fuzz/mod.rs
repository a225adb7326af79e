//! Random programs, each on some testees that share a file, compared with the model answer by answer and in the end row by
//! row. One that fails is made as small as it goes and written down as a case.
//!
//! Threads: none of its own; one program after the other.

mod answers;
mod requests;
mod translate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use honker_model::Program;
use serde_json::{Value, json};

use crate::case;
use crate::matrix::Stage;
use crate::player::Player;
use crate::report::Record;
use crate::run::{Verdict, run};

/// How long a failing program is shrunk, at most.
const SHRINK_MAX: Duration = Duration::from_secs(120);

/// Which programs.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    /// The first; the others are those of the seeds that follow.
    pub seed: u64,
    pub count: u64,
    /// How many operations each has.
    pub length: usize,
}

/// Runs them. What fails is written to `<report>/fuzz`.
pub fn run_all(programs: Programs, stage: &Stage<'_>) {
    if stage.made.is_empty() {
        return;
    }
    let mut players = BTreeMap::new();
    for seed in programs.seed..programs.seed.saturating_add(programs.count) {
        Fuzz::new(seed, stage).run(programs.length, &mut players);
    }
    for player in players.into_values() {
        let name = player.made().name.clone();
        if let Err(error) = player.finish() {
            stage.report.odd("ends when it is told to", &name, error);
        }
    }
}

/// Players by testee, and how many of it came before in the cast.
type Players = BTreeMap<(usize, usize), Player>;

/// One seed: its program, and who plays it.
struct Fuzz<'a> {
    seed: u64,
    stage: &'a Stage<'a>,
    /// For each actor, which testee it is.
    cast: Vec<usize>,
    actors: Vec<&'static str>,
    lacks: Vec<BTreeSet<String>>,
}

impl<'a> Fuzz<'a> {
    fn new(seed: u64, stage: &'a Stage<'a>) -> Self {
        const ACTORS: [&str; 3] = ["a", "b", "c"];
        let mut rng = fastrand::Rng::with_seed(seed);
        // Alone, too: then there is nobody to blame but the testee.
        let cast: Vec<usize> =
            (0..rng.usize(1..=ACTORS.len())).map(|_| rng.usize(..stage.made.len())).collect();
        let lacks = cast.iter().map(|testee| stage.made[*testee].lacks.keys().cloned().collect()).collect();
        Fuzz { seed, stage, actors: ACTORS[..cast.len()].to_vec(), cast, lacks }
    }

    fn run(&self, length: usize, players: &mut Players) {
        let id = format!("fuzz: seed {}", self.seed);
        let testees: Vec<String> =
            self.cast.iter().map(|testee| self.stage.made[*testee].name.clone()).collect();
        let number = self.stage.report.begin(&id, &testees);
        let began = Instant::now();
        let program = translate::portable(&Program::random(self.seed, length), self.stage.engine);
        let (mut verdict, mut artifacts) = (self.play(&program, players), None);
        if let Verdict::Failed(first) = &verdict {
            let kept = self.stage.report.artifacts(number, &id);
            let (smallest, message) = self.shrink(&program, first.clone(), players);
            let file = kept.join("case.yaml");
            let written = std::fs::create_dir_all(&kept)
                .map_err(|error| error.to_string())
                .and_then(|()| self.write(&smallest, &file));
            let where_to = match written {
                Ok(()) => format!(
                    "shrunk to {} operations, as a case: {}",
                    smallest.operations.len(),
                    file.display()
                ),
                Err(error) => format!("it could not be written down: {error}"),
            };
            verdict = Verdict::Failed(format!("{message}\n{where_to}\nanswers of the model:\n{smallest:?}"));
            artifacts = Some(kept);
        }
        let seconds = began.elapsed().as_secs_f64();
        self.stage.report.end(Record {
            number,
            id,
            area: "fuzz".to_owned(),
            testees,
            verdict,
            seconds,
            artifacts,
        });
    }

    /// The smallest program found that still fails, and what it fails with.
    fn shrink(&self, program: &Program, first: String, players: &mut Players) -> (Program, String) {
        let began = Instant::now();
        let state = std::cell::RefCell::new((players, first));
        let smallest = program.shrink(|candidate| {
            let (players, message) = &mut *state.borrow_mut();
            let verdict =
                if began.elapsed() < SHRINK_MAX { self.play(candidate, players) } else { Verdict::Passed };
            match verdict {
                Verdict::Failed(latest) => {
                    *message = latest;
                    true
                }
                _ => false,
            }
        });
        (smallest, state.into_inner().1)
    }

    fn play(&self, program: &Program, players: &mut Players) -> Verdict {
        self.try_to_play(program, players).unwrap_or_else(Verdict::Failed)
    }

    fn try_to_play(&self, program: &Program, players: &mut Players) -> Result<Verdict, String> {
        let dir = self.stage.dir.join(format!("fuzz-{}", self.seed));
        std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let file = dir.join("case.yaml");
        self.write(program, &file)?;
        let cases = case::load(&dir, &file, self.stage.engine).map_err(|errors| errors.join("\n"))?;
        let case = cases.first().ok_or("no case")?;
        let mut cast = Vec::new();
        for (index, testee) in self.cast.iter().enumerate() {
            let key = (*testee, self.cast[..index].iter().filter(|other| *other == testee).count());
            let player = players.remove(&key).unwrap_or_else(|| {
                let made = &self.stage.made[*testee];
                Player::new(made, self.stage.report.process_dir(self.stage.dir, &made.name))
            });
            cast.push((key, player));
        }
        let place = dir.join("files");
        let verdict = run(case, None, cast.iter_mut().map(|(_, player)| player).collect(), &place, None);
        players.extend(cast);
        let _ = std::fs::remove_dir_all(&dir);
        Ok(verdict)
    }

    fn write(&self, program: &Program, file: &Path) -> Result<(), String> {
        let name = format!("the random program {}", self.seed);
        let case = translate::case(program, &name, self.seed, &self.actors, &self.lacks);
        let text = yaml(&json!({ "version": 1, "cases": [case] }));
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
    }
}

/// A file of cases as people write it: a step on a line. (JSON is YAML.)
fn yaml(file: &Value) -> String {
    let case = &file["cases"][0];
    let steps = case["steps"].as_array().into_iter().flatten();
    let steps: Vec<String> = steps.map(|step| format!("  - {step}\n")).collect();
    let head = ["name", "actors", "clock"].map(|key| format!("{key}: {}", case[key]));
    format!("version: {}\ncases:\n- {}\n  steps:\n{}", file["version"], head.join("\n  "), steps.concat())
}
