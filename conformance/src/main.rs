//! `conform`: runs the conformance suite. `conformance/README.md` says how it is used.
//!
//! A case (`case`) is a story in YAML. `matrix` decides which testees tell it, `run` has them do so and judges the
//! answers, `report` writes down what came out. A `player` is a testee in an actor's place, a `testee` the process.

mod case;
#[path = "../../honker-core/src/control.rs"]
#[allow(dead_code)] // the library's side of it
mod control;
mod engine;
mod fuzz;
mod known;
mod leaks;
mod matcher;
mod matrix;
mod oracle;
mod pages;
mod player;
mod protocol;
mod races;
mod report;
mod run;
mod schema;
mod server;
mod testee;
mod testees;
mod value;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use case::Case;
use engine::{Engine, Kind};
use fuzz::Programs;
use known::Known;
use matrix::{Pairs, Stage};
use player::Player;
use races::Race;
use report::Report;
use testees::{Libraries, NotMade};

const HELP: &str = "\
Runs honker's conformance suite: every package does what the cases say, alone and in pairs on one file.

  conform run [options]     run the cases; the last line is `N passed, N failed, N skipped`
  conform build [options]   build the testees, and run none
  conform fuzz [options]    random programs, compared with the model; one that fails is shrunk and written as a case
  conform list [options]    list the cases
  conform check [options]   say what is wrong with the cases, and run none

Options:
  --case GLOB       only these, by `area/topic` or `area/topic: name`: 'queue/*', 'queue/claim: *twice*'
  --cases DIR       only the cases in there (conformance/cases, and what is no file: races, random programs)

  --engine NAME     file, or postgres: on which the cases are run (file)

Options of `run`:
  --testee NAME     only this testee; one with a slash is the directory of one that testees.toml need not list
  --pair A,B        only cases of several actors, A as the first, B as the second
  --quick           of the pairs, a random sample for each case; its seed is printed
  --seed N          the sample of this seed again
  --long            take the time that the most thorough run takes
  --jobs N          so many cases beside each other (3 for each processor: most of them wait)
  --built           the testees are built: `conform build` has done so
  --keep            keep the files of all cases, not only of those that fail
  --report DIR      where the report goes (target/conformance/report, report-postgres)
  --library PATH    libhonker, built with the feature `faults` (target/conformance/libhonker.so)
  --extension PATH  the extension, built likewise (target/conformance/libhonker_ext.so)

Options of `fuzz`, beside those of `run` that are not about cases:
  --seed N          the first program (a random one)
  --programs N      so many programs (1000)
  --length N        so many operations in each (100)

Options can be given several times where that makes sense. Run it in the root of the repository; `conformance/run`
builds everything that it needs and then runs it.
";

/// How much time a run may take. The cases take what they take; this is for what could go on for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// What `make test` can afford.
    Quick,
    /// What is done unless something else is asked for.
    Usual,
    /// As long as it takes.
    Long,
}

/// How many ordered pairs a quick run takes for each case of several actors. On Postgres it takes one, and runs a case of a single
/// actor on the first testee, the C ABI's, and on one other: what packages do beyond that does not depend on the engine.
const SAMPLE: usize = 3;

struct Options {
    command: String,
    testees: Vec<String>,
    cases: Vec<String>,
    pairs: Vec<(String, String)>,
    dir: PathBuf,
    /// These cases and nothing else: neither races nor random programs.
    cases_only: bool,
    engine: Kind,
    keep: bool,
    /// The testees are built.
    built: bool,
    jobs: usize,
    report: Option<PathBuf>,
    effort: Effort,
    libraries: Libraries,
    out: PathBuf,
    seed: Option<u64>,
    programs: Option<u64>,
    length: usize,
}

impl Options {
    /// Whether a case of this id is asked for.
    fn wants(&self, id: &str) -> bool {
        let topic = id.split(": ").next().unwrap_or(id);
        let fits = |glob: &String| glob == id || glob_matches(glob, id) || glob_matches(glob, topic);
        self.cases.is_empty() || self.cases.iter().any(fits)
    }

    /// Which pairs run the cases of several actors.
    fn chosen_pairs(&self) -> Pairs {
        match self.effort {
            _ if !self.pairs.is_empty() => Pairs::Named(self.pairs.clone()),
            Effort::Quick => {
                let seed = self.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
                match self.engine {
                    Kind::File => Pairs::Sample { seed, per_case: SAMPLE, others: None },
                    Kind::Postgres => Pairs::Sample { seed, per_case: 1, others: Some(1) },
                }
            }
            Effort::Usual | Effort::Long => Pairs::All,
        }
    }

    /// The random programs that are asked for. A run has some of its own, always the same ones.
    fn programs(&self) -> Option<Programs> {
        const SEED: u64 = 1;
        let (seed, count) = match (self.command.as_str(), self.effort) {
            ("fuzz", _) => (self.seed.unwrap_or_else(|| fastrand::u64(..1 << 32)), 1000),
            _ if self.cases_only || !self.cases.is_empty() || !self.pairs.is_empty() => return None,
            (_, Effort::Quick) => (SEED, 100),
            (_, Effort::Usual) => (SEED, 300),
            (_, Effort::Long) => (SEED, 5000),
        };
        Some(Programs { seed, count: self.programs.unwrap_or(count), length: self.length })
    }

    /// Where the report goes.
    fn report_dir(&self) -> PathBuf {
        self.report.clone().unwrap_or_else(|| {
            let name = match self.engine {
                Kind::File => "report",
                Kind::Postgres => "report-postgres",
            };
            self.out.with_file_name(name)
        })
    }

    /// The races that are asked for.
    fn races(&self) -> Vec<&'static Race> {
        if self.command == "fuzz" || self.cases_only {
            return Vec::new();
        }
        races::RACES.iter().filter(|race| self.wants(&race.id())).collect()
    }
}

fn main() -> ExitCode {
    let outcome = options().and_then(|options| match options {
        None => {
            print!("{HELP}");
            Ok(true)
        }
        Some(options) => act(&options),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// What the command line says; `None`: it asks for help.
fn options() -> Result<Option<Options>, String> {
    use lexopt::prelude::*;
    let target = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let built = target.join("conformance");
    let mut options = Options {
        command: String::new(),
        testees: Vec::new(),
        cases: Vec::new(),
        pairs: Vec::new(),
        dir: PathBuf::from("conformance/cases"),
        cases_only: false,
        engine: Kind::File,
        keep: false,
        built: false,
        // Most of a case is waiting: for the end of a process, for another's turn, for a wake-up.
        jobs: 3 * std::thread::available_parallelism().map_or(1, usize::from),
        report: None,
        effort: Effort::Usual,
        libraries: Libraries {
            library: built.join("libhonker.so"),
            extension: built.join("libhonker_ext.so"),
        },
        out: built.join("testees"),
        seed: None,
        programs: None,
        length: 100,
    };
    let mut parser = lexopt::Parser::from_env();
    let mut parse = || -> Result<bool, lexopt::Error> {
        while let Some(argument) = parser.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(true),
                Long("testee") => options.testees.push(parser.value()?.string()?),
                Long("case") => options.cases.push(parser.value()?.string()?),
                Long("cases") => {
                    options.dir = parser.value()?.into();
                    options.cases_only = true;
                }
                Long("pair") => {
                    let pair = parser.value()?.string()?;
                    let pair = pair.split_once(',').ok_or("--pair takes two testees: --pair a,b")?;
                    options.pairs.push((pair.0.to_owned(), pair.1.to_owned()));
                }
                Long("keep") => options.keep = true,
                Long("built") => options.built = true,
                Long("jobs") => options.jobs = parser.value()?.parse()?,
                Long("report") => options.report = Some(parser.value()?.into()),
                Long("engine") => {
                    options.engine = Kind::of(&parser.value()?.string()?)?;
                }
                Long("quick") => options.effort = Effort::Quick,
                Long("long") => options.effort = Effort::Long,
                Long("seed") => options.seed = Some(parser.value()?.parse()?),
                Long("programs") => options.programs = Some(parser.value()?.parse()?),
                Long("length") => options.length = parser.value()?.parse()?,
                Long("library") => options.libraries.library = parser.value()?.into(),
                Long("extension") => options.libraries.extension = parser.value()?.into(),
                Value(command) if options.command.is_empty() => options.command = command.string()?,
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(false)
    };
    let help = parse().map_err(|error| format!("{error}; see conform --help"))?;
    if help || options.command.is_empty() {
        return Ok(None);
    }
    Ok(Some(options))
}

/// Does it; whether all is well.
fn act(options: &Options) -> Result<bool, String> {
    match options.command.as_str() {
        "run" => {}
        "fuzz" => return run(options, &[]),
        "build" => return build(options),
        "list" => {
            cases(options)?.iter().for_each(|case| println!("{}", case.id));
            options.races().iter().for_each(|race| println!("{}", race.id()));
            return Ok(true);
        }
        "check" => {
            println!("{} cases are in order", cases(options)?.len());
            return Ok(true);
        }
        other => return Err(format!("there is no command {other}; see conform --help")),
    }
    let cases = cases(options)?;
    if cases.is_empty() && options.races().is_empty() {
        return Err("there is no such case".to_owned());
    }
    run(options, &cases)
}

/// The libraries, where they are.
fn libraries(options: &Options) -> Result<Libraries, String> {
    let mut libraries = options.libraries.clone();
    for path in [&mut libraries.library, &mut libraries.extension] {
        *path = std::fs::canonicalize(&*path)
            .map_err(|error| format!("{}: {error}; conformance/run builds it", path.display()))?;
    }
    Ok(libraries)
}

/// Builds the testees, those of both engines. One that cannot be built is a failure of the runs that want it.
fn build(options: &Options) -> Result<bool, String> {
    let libraries = libraries(options)?;
    let engine = Arc::new(Engine::File);
    let list = Path::new("conformance/testees.toml");
    let mut described = testees::describe(Path::new(""), list, Kind::File, &options.testees)?;
    described.extend(testees::describe(Path::new(""), list, Kind::Postgres, &options.testees)?);
    described.sort_by(|a, b| a.name().cmp(b.name()));
    described.dedup_by(|a, b| a.name() == b.name());
    for testee in described {
        let out = options.out.join(testee.name());
        match testees::make(testee, &out, false, &libraries, &engine) {
            Ok(_) => {}
            Err(NotMade::Skipped(said) | NotMade::Failed(said)) => println!("{said}"),
        }
    }
    Ok(true)
}

fn run(options: &Options, cases: &[Arc<Case>]) -> Result<bool, String> {
    let libraries = libraries(options)?;
    let wanted: Vec<String> = match options.testees.as_slice() {
        [] => options.pairs.iter().flat_map(|(a, b)| [a.clone(), b.clone()]).collect(),
        testees => testees.to_vec(),
    };
    let described =
        testees::describe(Path::new(""), Path::new("conformance/testees.toml"), options.engine, &wanted)?;
    let names: Vec<String> = described.iter().map(|testee| testee.name().to_owned()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (a, b) in &options.pairs {
        if let Some(unknown) = [a, b].into_iter().find(|name| !names.contains(&name.as_str())) {
            return Err(format!("--pair: {unknown} is not among the testees: {}", names.join(", ")));
        }
    }
    let known = Known::read(&options.dir.with_file_name("known"), &names)?;
    let report = Report::create(&options.report_dir(), options.engine, &names, known)?;
    let engine = Arc::new(Engine::start(options.engine)?);
    let dir =
        tempfile::Builder::new().prefix("honker-conform-").tempdir().map_err(|error| error.to_string())?;
    let mut made = Vec::new();
    for testee in described {
        let name = testee.name().to_owned();
        let out = options.out.join(&name);
        match testees::make(testee, &out, options.built, &libraries, &engine) {
            Ok(testee) => made.extend(started(Arc::new(testee), dir.path(), &report)),
            Err(NotMade::Skipped(line)) => println!("{line}"),
            Err(NotMade::Failed(error)) => report.odd("is built", &name, error),
        }
    }
    let pairs = options.chosen_pairs();
    if let Pairs::Sample { seed, .. } = pairs {
        println!("a sample of the pairs: --seed {seed} is the same one");
    }
    let jobs = matrix::jobs(cases, &made, &pairs);
    let names: Vec<&str> = made.iter().map(|made| made.name.as_str()).collect();
    println!("{} cases, {} runs, on {}", cases.len(), jobs.len(), names.join(", "));
    let stage =
        Stage { engine: options.engine, made: &made, report: &report, dir: dir.path(), keep: options.keep };
    stage.run(jobs, options.jobs.max(1));
    races::run_all(&options.races(), &pairs, &stage, options.effort);
    if let Some(programs) = options.programs() {
        println!(
            "random programs of the model, {} of them: --seed {} is the first",
            programs.count, programs.seed
        );
        fuzz::run_all(programs, &stage);
    }
    let counts = report.finish()?;
    Ok(counts.failed == 0)
}

/// The testee, if it can be started at all: otherwise every one of its cases would fail for the same reason.
fn started(made: Arc<testees::Made>, dir: &Path, report: &Report) -> Option<Arc<testees::Made>> {
    let mut player = Player::new(&made, report.process_dir(dir, &made.name));
    match player.ready("UTC").and_then(|()| player.finish()) {
        Ok(()) => Some(made),
        Err(error) => {
            report.odd("starts and ends", &made.name, error);
            None
        }
    }
}

/// The cases that are asked for, in the order of their files; or everything that is wrong with any.
fn cases(options: &Options) -> Result<Vec<Arc<Case>>, String> {
    let mut files = Vec::new();
    find(&options.dir, &mut files).map_err(|error| format!("{}: {error}", options.dir.display()))?;
    files.sort();
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        match case::load(&options.dir, &file, options.engine) {
            Ok(cases) => found.extend(cases),
            Err(mut errors) => wrong.append(&mut errors),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    Ok(found.into_iter().filter(|case| options.wants(&case.id)).map(Arc::new).collect())
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

/// `*` is any text, `?` any character.
fn glob_matches(glob: &str, text: &str) -> bool {
    let mut rest = text.chars();
    let Some(first) = glob.chars().next() else {
        return text.is_empty();
    };
    let glob = &glob[first.len_utf8()..];
    match first {
        '*' => text.char_indices().any(|(at, _)| glob_matches(glob, &text[at..])) || glob_matches(glob, ""),
        '?' => rest.next().is_some() && glob_matches(glob, rest.as_str()),
        _ => rest.next() == Some(first) && glob_matches(glob, rest.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::glob_matches;

    #[test]
    fn globs() {
        assert!(glob_matches("queue/*", "queue/claim"));
        assert!(glob_matches("*twice*", "queue/claim: claims twice"));
        assert!(glob_matches("queue/claim", "queue/claim"));
        assert!(glob_matches("a*", "a"));
        assert!(glob_matches("?b", "äb"));
        assert!(!glob_matches("queue/*", "stream/read"));
        assert!(!glob_matches("queue", "queue/claim"));
    }
}
