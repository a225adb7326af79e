//! Which testees there are, and how they are built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

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
    /// The package cannot tell errors apart.
    pub untyped: bool,
    /// The language's runtime has threads that come and go as it likes.
    pub own_threads: bool,
    /// Features it does not have, and why.
    pub lacks: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    testees: Vec<PathBuf>,
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
/// has a slash in it, by directory; all, if none is named.
pub fn describe(root: &Path, list: &Path, wanted: &[String]) -> Result<Vec<Described>, String> {
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
    let dirs: List = toml::from_str(&text).map_err(|error| format!("{}: {error}", list.display()))?;
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

/// Builds it into `out`.
pub fn make(testee: Described, out: &Path, libraries: &Libraries) -> Result<Made, NotMade> {
    let Described { dir, text } = testee;
    let fail = |error: String| NotMade::Failed(format!("{}: {error}", text.name));
    std::fs::create_dir_all(out).map_err(|error| fail(format!("{}: {error}", out.display())))?;
    let out = std::path::absolute(out).map_err(|error| fail(error.to_string()))?;
    if let Some(build) = &text.build {
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
            return Err(NotMade::Skipped(line));
        }
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr);
            return Err(fail(format!("its build failed ({}):\n{said}{log}", output.status)));
        }
    }
    let (out, here) = (out.display().to_string(), dir.display().to_string());
    let run = text.run.iter().map(|word| word.replace("{out}", &out).replace("{dir}", &here)).collect();
    Ok(Made {
        name: text.name,
        dir,
        run,
        libraries: libraries.clone(),
        untyped: text.errors == Errors::Untyped,
        own_threads: text.threads == Threads::Own,
        lacks: text.lacks,
    })
}
