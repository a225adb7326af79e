//! Reads cases, and finds what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::{Actor, Case, Expected, Failure, NOON, Operation, Step, letter};
use crate::control::Action;
use crate::engine::Kind;
use crate::protocol::protocol;
use crate::schema::Schema;
use crate::value;

fn schema() -> &'static Schema {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
        let text = include_str!("../../schema/case.schema.json");
        let document: Value = serde_json::from_str(text).expect("the schema of cases is JSON");
        let steps = document["$defs"]["steps"].as_object().expect("steps have schemas");
        let places: Vec<String> = steps.keys().map(|verb| format!("/$defs/steps/{verb}")).collect();
        let others = ["", "/$defs/case", "/$defs/operation_step"].map(str::to_owned);
        Schema::new(&document, places.into_iter().chain(others))
    });
    &SCHEMA
}

/// The cases in `file`, which is `area/topic.yaml` in `root`, as they are on one engine; or everything that is wrong with it.
pub fn load(root: &Path, file: &Path, engine: Kind) -> Result<Vec<Case>, Vec<String>> {
    let topic = file.strip_prefix(root).unwrap_or(file).with_extension("");
    let topic = topic.to_string_lossy().into_owned();
    let say = |wrong: String| vec![format!("{}: {wrong}", file.display())];
    let text = std::fs::read_to_string(file).map_err(|error| say(error.to_string()))?;
    // By way of YAML's own kind of value, which does not let a key occur twice.
    let value: serde_norway::Value = serde_norway::from_str(&text).map_err(|error| say(error.to_string()))?;
    let value = serde_json::to_value(value).map_err(|error| say(error.to_string()))?;
    schema().check("", &value, |_| false).or_else(|error| {
        // Objections to a case are better said with its name, below.
        if value["version"] == 1 && value["cases"].is_array() { Ok(()) } else { Err(say(error)) }
    })?;
    let mut cases = Vec::new();
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for (index, text) in value["cases"].as_array().into_iter().flatten().enumerate() {
        let name = text["name"].as_str().map_or_else(|| format!("case {}", index + 1), str::to_owned);
        let mut reader = Reader {
            text,
            beside: file.parent().unwrap_or(root),
            engine,
            unfit: unfit(&value["only"], engine).or_else(|| unfit(&text["only"], engine)),
            wrong: Vec::new(),
            saved: BTreeSet::new(),
            started: BTreeSet::new(),
        };
        if !names.insert(name.clone()) {
            reader.wrong.push("another case of this file has the same name".to_owned());
        }
        let case = reader.case(root, &topic, &name);
        wrong.extend(reader.wrong.iter().map(|wrong| format!("{}: {name}: {wrong}", file.display())));
        cases.extend(case);
    }
    if value
        .as_object()
        .is_some_and(|fields| fields.keys().any(|key| !["version", "only", "cases"].contains(&key.as_str())))
    {
        wrong.push(format!("{}: there are more keys than version, only and cases", file.display()));
    }
    if wrong.is_empty() { Ok(cases) } else { Err(wrong) }
}

/// Reads one case.
pub(super) struct Reader<'a> {
    text: &'a Value,
    /// The directory of its file.
    beside: &'a Path,
    engine: Kind,
    /// Why the case is not run on this engine: the first reason that was found.
    unfit: Option<String>,
    wrong: Vec<String>,
    pub(super) saved: BTreeSet<String>,
    /// Operations that were started, and are to be awaited.
    started: BTreeSet<String>,
}

impl Reader<'_> {
    fn case(&mut self, root: &Path, topic: &str, name: &str) -> Option<Case> {
        let text = self.text;
        if let Err(error) = schema().check("/$defs/case", text, |_| false) {
            self.wrong.push(error);
            return None;
        }
        let actors = match text.get("actors") {
            Some(actors) => actors.as_array()?.iter().filter_map(actor).collect(),
            None => vec![0],
        };
        let area = topic.split('/').next().unwrap_or(topic).to_owned();
        let clock = match text.get("clock") {
            Some(Value::String(_)) => None,
            Some(second) => second.as_i64(),
            None => Some(NOON),
        };
        if clock.is_none() && !["races", "crash"].contains(&area.as_str()) {
            self.wrong.push("the real clock is for the areas races and crash".to_owned());
        }
        let open = match text.get("open") {
            Some(Value::Object(options)) => Some(options.clone()),
            Some(_) => None,
            None => Some(Map::new()),
        };
        let fixture = text["fixture"].as_str().map(|name| root.with_file_name("fixtures").join(name));
        let fixture = fixture.map(|file| self.fixture(file));
        if let Some(file) = fixture.as_ref().filter(|file| !file.exists()) {
            self.wrong.push(format!("there is no fixture {}", file.display()));
        }
        let each_journal = self.engine == Kind::File && text.get("journal").is_some();
        let mut needs: BTreeMap<Actor, BTreeSet<String>> =
            actors.iter().map(|actor| (*actor, BTreeSet::new())).collect();
        for feature in text["needs"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !protocol().features.contains(feature) {
                self.wrong.push(format!("needs: there is no feature {feature}"));
            }
            for needs in needs.values_mut() {
                needs.insert(feature.to_owned());
            }
        }
        if let Some(options) = &open {
            let mut request = options.clone();
            for key in ["as", "path"] {
                if request.insert(key.to_owned(), Value::from("x")).is_some() {
                    self.wrong.push(format!("open: {key} is not for the case to say"));
                }
            }
            if let Err(error) = protocol().check_arguments("open", &request, value::is_pending) {
                self.wrong.push(error);
            }
            let more = protocol().needs("open", &request);
            needs.values_mut().for_each(|needs| needs.extend(more.iter().cloned()));
        }
        let mut steps = Vec::new();
        for (index, step) in text["steps"].as_array().into_iter().flatten().enumerate() {
            let step = self.on_engine(step.as_object()?);
            match step.and_then(|step| self.step(&step, &actors, &mut needs)) {
                Ok(these) => steps.extend(these.into_iter().map(|step| (index + 1, step))),
                Err(error) => self.wrong.push(format!("step {}: {error}", index + 1)),
            }
        }
        let tz = text["tz"].as_str().unwrap_or("UTC").to_owned();
        let id = format!("{topic}: {name}");
        let lacking = needs.values().flatten().find_map(|feature| protocol().of_files(feature));
        self.about_files(lacking);
        let unfit = self.unfit.take();
        Some(Case { id, area, actors, clock, open, each_journal, fixture, tz, steps, needs, unfit })
    }

    /// The step as it is on this engine: what stands under `postgres` takes the place of the same keys there. Other SQL needs no
    /// reason, everything else does.
    fn on_engine(&self, text: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        let mut text = text.clone();
        let Some(other) = text.remove("postgres") else { return Ok(text) };
        let mut other = other.as_object().cloned().ok_or("postgres: keys of the step are due here")?;
        let why = other.remove("why");
        if why.as_ref().is_none_or(|why| !why.is_string())
            && let Some(key) = other.keys().find(|key| !["sql", "exec", "params"].contains(&key.as_str()))
        {
            return Err(format!("postgres: why is {key} another one?"));
        }
        if self.engine == Kind::Postgres {
            for (key, value) in other {
                if value.is_null() {
                    text.remove(&key)
                } else {
                    text.insert(key, value)
                };
            }
        }
        Ok(text)
    }

    /// A script for this engine. Without one the case is about what was found in a file.
    fn fixture(&mut self, file: PathBuf) -> PathBuf {
        if self.engine == Kind::File {
            return file;
        }
        let other = file.with_extension("postgres.sql");
        if !other.exists() {
            self.about_files(Some("it begins with a file that somebody has made before"));
            return file;
        }
        other
    }

    /// The case is about files alone.
    fn about_files(&mut self, why: Option<&str>) {
        if let Some(why) = why.filter(|_| self.engine == Kind::Postgres) {
            self.unfit.get_or_insert_with(|| format!("on a file alone: {why}"));
        }
    }

    fn step(
        &mut self,
        text: &Map<String, Value>,
        actors: &[Actor],
        needs: &mut BTreeMap<Actor, BTreeSet<String>>,
    ) -> Result<Vec<Step>, String> {
        let doers: Vec<&str> =
            ["a", "b", "c", "d", "all"].into_iter().filter(|name| text.contains_key(*name)).collect();
        match doers.as_slice() {
            [] => Ok(vec![self.other_step(text, actors, needs)?]),
            [doer] => {
                let actors = match actor(&Value::from(*doer)) {
                    Some(actor) => vec![self.known(actor, actors)?],
                    None => actors.to_vec(),
                };
                let op = text[*doer].as_str().ok_or_else(|| format!("{doer}: an operation is due here"))?;
                let mut text = text.clone();
                text.remove(*doer);
                match text.remove("vectors") {
                    Some(file) => self.vectors(&actors, op, &text, &file, needs),
                    None => Ok(vec![self.operation(actors, op.to_owned(), text, needs)?]),
                }
            }
            _ => Err(format!("{} cannot do one step together", doers.join(" and "))),
        }
    }

    /// A step for each line of a file beside the case: `schedule TAB from TAB at`, or in place of `at`
    /// `!words TAB !more words`, which an error must contain.
    fn vectors(
        &mut self,
        actors: &[Actor],
        op: &str,
        text: &Map<String, Value>,
        file: &Value,
        needs: &mut BTreeMap<Actor, BTreeSet<String>>,
    ) -> Result<Vec<Step>, String> {
        let name = file.as_str().filter(|_| op == "cron.next_after");
        let name = name.ok_or("vectors: that is for cron.next_after, and takes the name of a file")?;
        let lines =
            std::fs::read_to_string(self.beside.join(name)).map_err(|error| format!("{name}: {error}"))?;
        let mut steps = Vec::new();
        let lines = lines.lines().enumerate().filter(|(_, line)| !line.starts_with(';'));
        for (index, line) in lines {
            let place = format!("{name}:{}", index + 1);
            let fields: Vec<&str> = line.split('\t').collect();
            let [schedule, from, results @ ..] = fields.as_slice() else {
                return Err(format!("{place}: fields are missing"));
            };
            let number =
                |text: &str| text.parse::<i64>().map_err(|error| format!("{place}: {text}: {error}"));
            let mut text = text.clone();
            text.insert("schedule".to_owned(), Value::from(*schedule));
            text.insert("from".to_owned(), Value::from(number(from)?));
            let words: Vec<String> =
                results.iter().filter_map(|word| word.strip_prefix('!')).map(str::to_owned).collect();
            let expected = match results {
                [at] if words.is_empty() => {
                    Expected { gives: Some(serde_json::json!({"at": number(at)?})), ..Expected::default() }
                }
                _ if !words.is_empty() && words.len() == results.len() => {
                    let fails = Some(Failure { names: vec!["INVALID".to_owned()], words });
                    Expected { fails, ..Expected::default() }
                }
                _ => return Err(format!("{place}: a boundary is due here, or !words")),
            };
            let Step::Operation(mut step) = self.operation(actors.to_vec(), op.to_owned(), text, needs)?
            else {
                continue;
            };
            step.expected = expected;
            step.place = Some(place);
            steps.push(Step::Operation(step));
        }
        Ok(steps)
    }

    fn operation(
        &mut self,
        actors: Vec<Actor>,
        op: String,
        mut text: Map<String, Value>,
        needs: &mut BTreeMap<Actor, BTreeSet<String>>,
    ) -> Result<Step, String> {
        let known = protocol().operation(&op).ok_or_else(|| format!("there is no operation {op}"))?;
        // Everything that is no argument of the operation is the step's own.
        let own = ["gives", "fails", "dies", "save", "lane", "start", "times", "within_ms"];
        let own: Map<String, Value> = own
            .into_iter()
            .filter(|key| !known.arguments.contains_key(*key))
            .filter_map(|key| Some((key.to_owned(), text.remove(key)?)))
            .collect();
        if op == "open" {
            text.entry("as").or_insert_with(|| Value::from("db"));
        }
        schema().check("/$defs/operation_step", &Value::Object(own.clone()), |_| false)?;
        let times = own.get("times").and_then(Value::as_u64);
        self.uses(&Value::Object(text.clone()), &["$repeat", "$text", "$bytes", "$hex"], times.is_some())?;
        protocol().check_arguments(&op, &text, value::is_pending)?;
        for actor in &actors {
            needs.entry(*actor).or_default().append(&mut protocol().needs(&op, &text));
        }
        let expected = self.expected(&own, times.is_some())?;
        if let Some(outcome) = expected.gives.as_ref().and_then(Value::as_str)
            && !outcome.starts_with('$')
            && !known.outcomes.iter().any(|known| known == outcome)
        {
            return Err(format!("{op} does not have the outcome {outcome}"));
        }
        let start = text_of(&own, "start");
        if let Some(name) = &start {
            if actors.len() > 1 {
                return Err("what all do cannot be started under one name".to_owned());
            }
            self.started.insert(name.clone());
        }
        let lane = text_of(&own, "lane");
        let operation = Operation { actors, op, arguments: text, lane, start, times, expected, place: None };
        Ok(Step::Operation(Box::new(operation)))
    }

    fn known(&self, actor: Actor, actors: &[Actor]) -> Result<Actor, String> {
        if actors.contains(&actor) {
            return Ok(actor);
        }
        Err(format!("the case has no actor {}", letter(actor)))
    }

    fn other_step(
        &mut self,
        text: &Map<String, Value>,
        actors: &[Actor],
        needs: &mut BTreeMap<Actor, BTreeSet<String>>,
    ) -> Result<Step, String> {
        const VERBS: [&str; 18] = [
            "sql", "exec", "advance", "clock", "fault", "fired", "kill", "stop", "continue", "restart",
            "await", "waits", "server", "chmod", "delete", "write", "copy", "truncate",
        ];
        let Some(verb) = VERBS.into_iter().find(|verb| text.contains_key(*verb)) else {
            let keys: Vec<&str> = text.keys().map(String::as_str).collect();
            return Err(format!("this is no step: {}", keys.join(", ")));
        };
        schema().check(&format!("/$defs/steps/{verb}"), &Value::Object(text.clone()), |_| false)?;
        if ["chmod", "delete", "write", "copy", "truncate"].contains(&verb) {
            self.about_files(Some("something is done to the file"));
        }
        let subject = &text[verb];
        let words = || text_of(text, verb).unwrap_or_default();
        let of = text.get("of").and_then(actor).map(|of| self.known(of, actors)).transpose()?;
        let who = || -> Result<Actor, String> {
            self.known(actor(subject).ok_or_else(|| format!("{subject} is no actor"))?, actors)
        };
        Ok(match verb {
            "sql" => {
                let params: Vec<Value> =
                    text.get("params").and_then(Value::as_array).cloned().unwrap_or_default();
                self.uses(&Value::from(params.clone()), &["$repeat", "$hex"], false)?;
                self.uses(subject, &[], false)?;
                let gives = text.get("gives").cloned();
                gives.iter().try_for_each(|gives| self.pattern(gives, false))?;
                Step::Sql { sql: words(), params, gives, save: self.saves(text)? }
            }
            "exec" => Step::Exec(words()),
            "advance" | "clock" => {
                self.uses(subject, &[], false)?;
                self.about_files(
                    of.map(|_| "each process has a clock of its own; the server has one for all"),
                );
                let value = subject.clone();
                if verb == "advance" {
                    Step::Advance { by: value, of }
                } else {
                    Step::Clock { to: value, of }
                }
            }
            "fault" => {
                let (point, of) = (words(), of.ok_or("of whom?")?);
                let Some(more) = protocol().point(&point) else {
                    return Err(format!("there is no point {point}"));
                };
                needs.entry(of).or_default().extend(more.iter().cloned());
                self.about_files(protocol().point_of_files(&point));
                let action = text.get("do").map(|action| self::action(&point, action)).transpose()?;
                Step::Fault { point, of, action, nth: text.get("nth").and_then(Value::as_u64).unwrap_or(1) }
            }
            "fired" => Step::Fired(who()?),
            "kill" => Step::Kill(who()?),
            "stop" => Step::Stop(who()?),
            "continue" => Step::Continue(who()?),
            "restart" => Step::Restart(who()?),
            "server" => {
                if self.engine == Kind::File && self.unfit.is_none() {
                    return Err("a file has no server: the case is `only` for postgres".to_owned());
                }
                Step::Server { up: subject == "start" }
            }
            "await" | "waits" => {
                let name = words();
                if !self.started.contains(&name) {
                    return Err(format!("nothing has been started as {name} by then"));
                }
                if verb == "waits" {
                    return Ok(Step::Waits(name));
                }
                Step::Await { name, expected: self.expected(text, false)? }
            }
            "chmod" => {
                // `444` is a number to YAML, `0444` a text; both are meant as digits to the base of eight.
                let digits = subject.as_str().map_or_else(|| subject.to_string(), str::to_owned);
                let mode = u32::from_str_radix(&digits, 8).map_err(|_| format!("{digits} is no mode"))?;
                Step::Chmod { file: text_of(text, "path").unwrap_or_default(), mode }
            }
            "delete" => Step::Delete(words()),
            "write" => {
                self.uses(&text["text"], &["$repeat"], false)?;
                Step::Write { file: words(), text: text["text"].clone() }
            }
            "copy" => Step::Copy { file: words(), to: text_of(text, "to").unwrap_or_default() },
            _ => Step::Truncate { file: words(), to: text.get("to").and_then(Value::as_u64).unwrap_or(0) },
        })
    }
}

/// Why a case is not run on this engine, as it or its file says under `only`.
fn unfit(only: &Value, engine: Kind) -> Option<String> {
    let other = match engine {
        Kind::File => Kind::Postgres,
        Kind::Postgres => Kind::File,
    };
    let why = only[other.name()].as_str()?;
    Some(match other {
        Kind::File => format!("on a file alone: {why}"),
        Kind::Postgres => format!("on Postgres alone: {why}"),
    })
}

fn text_of(text: &Map<String, Value>, key: &str) -> Option<String> {
    text.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn actor(name: &Value) -> Option<Actor> {
    ["a", "b", "c", "d"].iter().position(|actor| name == actor)
}

fn action(point: &str, text: &Value) -> Result<Action, String> {
    let action = match text {
        Value::String(name) if name == "kill" => Action::Kill,
        Value::String(name) if name == "stop" => Action::Stop,
        Value::String(_) => Action::Panic,
        other => match other["delay"].as_u64() {
            Some(ms) => Action::Delay(ms),
            None => Action::Error(errno(other["error"].as_str().unwrap_or_default())?),
        },
    };
    let is_write = point.starts_with("write.");
    match action {
        Action::Panic if !point.starts_with("call") => {
            Err(format!("nothing panics at {point}, only at call"))
        }
        Action::Error(_) if !is_write => Err(format!("{point} is no system call that could fail")),
        action => Ok(action),
    }
}

fn errno(name: &str) -> Result<i32, String> {
    Ok(match name {
        "EACCES" => libc::EACCES,
        "EAGAIN" => libc::EAGAIN,
        "EDQUOT" => libc::EDQUOT,
        "EINTR" => libc::EINTR,
        "EIO" => libc::EIO,
        "EMFILE" => libc::EMFILE,
        "ENOENT" => libc::ENOENT,
        "ENOSPC" => libc::ENOSPC,
        "EPERM" => libc::EPERM,
        "EROFS" => libc::EROFS,
        _ => return Err(format!("{name} is not in the list of errors")),
    })
}
