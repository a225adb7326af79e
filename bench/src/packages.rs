//! What do the language packages cost beside the C ABI that they call?
//!
//! Each package has a small program for this in `bindings/<language>/bench`, and the C ABI in `honker-ffi/bench`, whose
//! source says what it is asked and answers. The programs run side by side, each with a file of its own, and take turns;
//! what counts is the ratio. A package whose language is not installed is skipped, and says so.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::report::{Report, Target, median};

const TURNS: usize = 7;

struct Measurement {
    name: &'static str,
    request: &'static str,
    count: usize,
    answer: &'static str,
    target: Option<Target>,
}

const MEASUREMENTS: [Measurement; 4] = [
    Measurement {
        name: "enqueue, a transaction each",
        request: "enqueue",
        count: 1_000,
        answer: "seconds",
        target: Some(Target::AtLeast(0.5)),
    },
    Measurement {
        name: "claim and ack, a transaction each",
        request: "claim_ack",
        count: 1_000,
        answer: "seconds",
        target: Some(Target::AtLeast(0.5)),
    },
    Measurement {
        name: "claim and ack, batches of 100",
        request: "batch",
        count: 10_000,
        answer: "seconds",
        target: Some(Target::AtLeast(0.75)),
    },
    Measurement {
        name: "wake, p50 from before the enqueue to the job",
        request: "wake",
        count: 100,
        answer: "p50_us",
        target: None,
    },
];

pub fn run(report: &mut Report, directory: &Path, divisor: usize) -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let library = std::env::current_exe()?.with_file_name("libhonker.so");
    if !library.exists() {
        println!("SKIPPED packages: {} is not built", library.display());
        return Ok(());
    }
    let mut c = Program::start(&root.join("honker-ffi/bench"), &library, directory, "c")?
        .ok_or("no C compiler for the reference point")?;
    for (language, program) in programs(&root.join("bindings"))? {
        let Some(mut package) = Program::start(&program, &library, directory, &language)? else {
            continue;
        };
        report.table(
            &format!("The package for {language} beside the C ABI"),
            ["one thread", &language, "C", "ratio to C"],
        );
        for measurement in &MEASUREMENTS {
            measure(report, measurement, &mut package, &mut c, divisor)?;
        }
    }
    Ok(())
}

fn programs(bindings: &Path) -> std::io::Result<Vec<(String, PathBuf)>> {
    let mut programs = Vec::new();
    for binding in fs::read_dir(bindings)? {
        let binding = binding?;
        let program = binding.path().join("bench");
        let name = binding.file_name().to_string_lossy().into_owned();
        // What a package does in another way is in a directory below.
        for way in fs::read_dir(&program).into_iter().flatten() {
            let way = way?;
            if way.path().join("command").exists() {
                programs.push((format!("{name}-{}", way.file_name().to_string_lossy()), way.path()));
            }
        }
        if program.join("command").exists() {
            programs.push((name, program));
        }
    }
    programs.sort();
    Ok(programs)
}

fn measure(
    report: &mut Report,
    measurement: &Measurement,
    package: &mut Program,
    c: &mut Program,
    divisor: usize,
) -> Result<(), Box<dyn Error>> {
    let count = (measurement.count / divisor).max(10);
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    for _ in 0..TURNS.min(TURNS / divisor + 1) {
        ours.push(package.ask(measurement, count)?);
        reference.push(c.ask(measurement, count)?);
    }
    let (ours, reference) = (median(&mut ours), median(&mut reference));
    let is_rate = measurement.answer == "seconds";
    let figures = [ours, reference].map(|figure| match is_rate {
        true => format!("{:.0} /s", count as f64 / figure),
        false => format!("{figure:.0} µs"),
    });
    let ratio = if is_rate { reference / ours } else { ours / reference };
    report.row(measurement.name, figures, ratio, measurement.target);
    Ok(())
}

/// A running program.
struct Program {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Program {
    /// Builds and starts it; `None` if its language cannot be had.
    fn start(
        program: &Path,
        library: &Path,
        directory: &Path,
        name: &str,
    ) -> Result<Option<Program>, Box<dyn Error>> {
        const SKIPPED: i32 = 77;
        let build = program.join("build");
        if build.exists() {
            let status = Command::new(build).env("HONKER_LIBRARY", library).status()?;
            if status.code() == Some(SKIPPED) {
                return Ok(None);
            }
            if !status.success() {
                return Err(format!("{}/build: {status}", program.display()).into());
            }
        }
        let directory = directory.join(format!("package-{name}"));
        fs::create_dir(&directory)?;
        let mut child = Command::new(program.join("command"))
            .arg(&directory)
            .env("HONKER_LIBRARY", library)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take().ok_or("piped")?;
        let answers = BufReader::new(child.stdout.take().ok_or("piped")?);
        Ok(Some(Program { child, requests, answers }))
    }

    fn ask(&mut self, measurement: &Measurement, count: usize) -> Result<f64, Box<dyn Error>> {
        writeln!(self.requests, "{} {count}", measurement.request)?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: '{line}'"))?;
        Ok(answer[measurement.answer].as_f64().ok_or_else(|| format!("no {}: {line}", measurement.answer))?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
