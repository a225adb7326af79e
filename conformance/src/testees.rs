//! Which testees there are, and how they are built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde::Deserialize;

use crate::engine::{Engine, Kind};
use crate::protocol::protocol;

/// What all testees are given by the suite.
#[derive(Clone)]
pub struct Libraries {
    pub library: PathBuf,
    pub extension: PathBuf,
}

/// A testee that is built, or needs no building.
pub struct Made {
    pub name: String,
    pub dir: PathBuf,
    pub run: Vec<String>,
    pub libraries: Libraries,
    /// Where its databases are.
    pub engine: Arc<Engine>,
    /// The package cannot tell errors apart.
    pub untyped: bool,
    /// The language's runtime has threads that come and go as it likes.
    pub own_threads: bool,
    /// Why no fault can be planted in it, if none can.
    pub no_faults: Option<String>,
    /// Features it does not have, and why.
    pub lacks: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    testees: Vec<PathBuf>,
    /// Those of one engine alone.
    #[serde(default)]
    file: Vec<PathBuf>,
    #[serde(default)]
    postgres: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    name: String,
    build: Option<String>,
    run: Vec<String>,
    #[serde(default)]
    errors: Errors,
    #[serde(default)]
    threads: Threads,
    no_faults: Option<String>,
    #[serde(default)]
    lacks: BTreeMap<String, String>,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Errors {
    #[default]
    Typed,
    Untyped,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Threads {
    #[default]
    Counted,
    Own,
}

/// A testee as its `testee.toml` describes it.
pub struct Described {
    dir: PathBuf,
    text: Text,
}

impl Described {
    pub fn name(&self) -> &str {
        &self.text.name
    }
}

/// The testees of `list` (conformance/testees.toml of the repository `root`) that are `wanted`, by name or, if that
/// has a slash in it, by directory; all that there are for this engine, if none is named.
pub fn describe(root: &Path, list: &Path, engine: Kind, wanted: &[String]) -> Result<Vec<Described>, String> {
    let mut found = Vec::new();
    for dir in wanted.iter().filter(|name| name.contains('/')) {
        found.push(read(Path::new(dir))?);
    }
    let names: BTreeSet<&str> =
        wanted.iter().filter(|name| !name.contains('/')).map(String::as_str).collect();
    if names.is_empty() && !wanted.is_empty() {
        return Ok(found);
    }
    let text = std::fs::read_to_string(list).map_err(|error| format!("{}: {error}", list.display()))?;
    let mut dirs: List = toml::from_str(&text).map_err(|error| format!("{}: {error}", list.display()))?;
    dirs.testees.append(match engine {
        Kind::File => &mut dirs.file,
        Kind::Postgres => &mut dirs.postgres,
    });
    let mut errors = Vec::new();
    for dir in dirs.testees {
        match read(&root.join(dir)) {
            Ok(testee) if names.is_empty() || names.contains(testee.name()) => found.push(testee),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
    let missing: Vec<&str> =
        names.iter().copied().filter(|name| found.iter().all(|testee| testee.name() != *name)).collect();
    if !missing.is_empty() {
        errors.insert(0, format!("there is no testee {}", missing.join(", ")));
    } else if !names.is_empty() {
        errors.clear();
    }
    if errors.is_empty() { Ok(found) } else { Err(errors.join("\n")) }
}

fn read(dir: &Path) -> Result<Described, String> {
    let file = dir.join("testee.toml");
    let say = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(&file).map_err(|error| say(&error))?;
    let text: Text = toml::from_str(&text).map_err(|error| say(&error))?;
    if let Some(unknown) = text.lacks.keys().find(|feature| !protocol().features.contains(*feature)) {
        return Err(say(&format!("[lacks]: there is no feature {unknown}")));
    }
    if text.run.is_empty() {
        return Err(say(&"run: the program is missing"));
    }
    let dir = std::path::absolute(dir).map_err(|error| say(&error))?;
    Ok(Described { dir, text })
}

/// Why there is no testee.
pub enum NotMade {
    /// The language's tools are missing: the line that says so.
    Skipped(String),
    Failed(String),
}

/// In the folder of a testee: why it was not built.
const SKIPPED: &str = "skipped";
const FAILED: &str = "failed";

/// Builds it into `out`, unless that has been done.
pub fn make(
    testee: Described,
    out: &Path,
    is_built: bool,
    libraries: &Libraries,
    engine: &Arc<Engine>,
) -> Result<Made, NotMade> {
    let Described { dir, text } = testee;
    let fail = |error: String| NotMade::Failed(format!("{}: {error}", text.name));
    std::fs::create_dir_all(out).map_err(|error| fail(format!("{}: {error}", out.display())))?;
    let out = std::path::absolute(out).map_err(|error| fail(error.to_string()))?;
    let (skipped, failed) = (out.join(SKIPPED), out.join(FAILED));
    if is_built {
        if let Ok(line) = std::fs::read_to_string(&skipped) {
            return Err(NotMade::Skipped(line));
        }
        if let Ok(error) = std::fs::read_to_string(&failed) {
            return Err(NotMade::Failed(error));
        }
    } else if let Some(build) = &text.build {
        for old in [&skipped, &failed] {
            let _ = std::fs::remove_file(old);
        }
        let program = dir.join(build);
        let output = Command::new(&program)
            .current_dir(&dir)
            .env("HONKER_LIBRARY", &libraries.library)
            .env("HONKER_EXTENSION", &libraries.extension)
            .env("OUT", &out)
            .output()
            .map_err(|error| fail(format!("{}: {error}", program.display())))?;
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.code() == Some(77) {
            let line = said.lines().find(|line| line.starts_with("SKIPPED"));
            let line =
                line.map_or_else(|| format!("SKIPPED {}: build exited with 77", text.name), str::to_owned);
            std::fs::write(&skipped, &line).map_err(|error| fail(error.to_string()))?;
            return Err(NotMade::Skipped(line));
        }
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr);
            let error = format!("{}: its build failed ({}):\n{said}{log}", text.name, output.status);
            std::fs::write(&failed, &error).map_err(|error| fail(error.to_string()))?;
            return Err(NotMade::Failed(error));
        }
    }
    let (out, here) = (out.display().to_string(), dir.display().to_string());
    let run = text.run.iter().map(|word| word.replace("{out}", &out).replace("{dir}", &here)).collect();
    Ok(Made {
        name: text.name,
        dir,
        run,
        libraries: libraries.clone(),
        engine: Arc::clone(engine),
        untyped: text.errors == Errors::Untyped,
        own_threads: text.threads == Threads::Own,
        no_faults: text.no_faults,
        lacks: text.lacks,
    })
}
