//! One case, on the testees that are its actors: step after step, then the checks that every case ends with.
//!
//! Invariant: a case that has passed leaves nothing behind, neither in its directory nor in the testees; one that has
//! not leaves its directory as it was, and no process.

mod aftermath;
mod judge;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::case::{Actor, Case, Expected, Operation, Step, letter};
use crate::engine::Database;
use crate::matcher;
use crate::player::Player;
use crate::protocol::{Answer, protocol};
use crate::testee::{TIMEOUT, Testee, Ticket, Trouble};
use crate::value::{FILE, Scope};

/// Within this time, what waits has not been answered.
const STILL: Duration = Duration::from_millis(50);

/// How a case came out.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Passed,
    Failed(String),
    /// For the reason given: a feature that a testee does not have.
    Skipped(String),
}

/// Why a case does not go on.
enum End {
    Failed(String),
    Skipped(String),
}

impl From<String> for End {
    fn from(error: String) -> End {
        End::Failed(error)
    }
}

/// The answer to a step that was started.
enum Owed {
    Ticket(Ticket),
    /// Its process has been replaced.
    Known(Result<Answer, Trouble>),
}

struct Started {
    actor: Actor,
    step: usize,
    op: String,
    within: Duration,
    answer: Owed,
}

struct Run<'a> {
    case: &'a Case,
    journal: Option<&'a str>,
    database: Database,
    players: BTreeMap<Actor, &'a mut Player>,
    scope: Scope,
    clocks: BTreeMap<Actor, i64>,
    started: BTreeMap<String, Started>,
    dead: BTreeSet<Actor>,
    stopped: BTreeSet<Actor>,
    /// For each actor that a fault was planted in, how many had fired before.
    faults: BTreeMap<Actor, u64>,
    /// Those whose fault fired in a process that has been replaced.
    fired: BTreeSet<Actor>,
    /// Files that the case itself has changed: they need not be in order.
    touched: BTreeSet<String>,
    server_is_down: bool,
}

/// Runs `case` in the directory `dir`, which is made. `players` are its actors, in order. `keep`: where to copy the
/// directory to.
pub fn run(
    case: &Case,
    journal: Option<&str>,
    players: Vec<&mut Player>,
    dir: &Path,
    keep: Option<&Path>,
) -> Verdict {
    let now = case.clock.unwrap_or_else(machine_clock);
    let database = match players[0].made().engine.database(dir.join(FILE)) {
        Ok(database) => database,
        Err(error) => return Verdict::Failed(error),
    };
    let address = database.address();
    let mut run = Run {
        case,
        journal,
        database,
        players: case.actors.iter().copied().zip(players).collect(),
        scope: Scope { saved: BTreeMap::new(), now, turn: None, dir: dir.to_owned(), address },
        clocks: case.actors.iter().map(|actor| (*actor, now)).collect(),
        started: BTreeMap::new(),
        dead: BTreeSet::new(),
        stopped: BTreeSet::new(),
        faults: BTreeMap::new(),
        fired: BTreeSet::new(),
        touched: BTreeSet::new(),
        server_is_down: false,
    };
    let told = run.story();
    if run.server_is_down
        && let Err(error) = run.database.start_server()
    {
        return Verdict::Failed(error);
    }
    match told.and_then(|()| Ok(run.aftermath(keep)?)) {
        Ok(()) => Verdict::Passed,
        Err(End::Failed(error)) => {
            for player in run.players.values() {
                player.running().iter().for_each(|testee| testee.kill());
            }
            run.database.keep(dir);
            Verdict::Failed(error)
        }
        Err(End::Skipped(reason)) => {
            run.players.values_mut().for_each(|player| player.discard());
            let _ = std::fs::remove_dir_all(dir);
            Verdict::Skipped(reason)
        }
    }
}

fn machine_clock() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

impl Run<'_> {
    fn story(&mut self) -> Result<(), End> {
        self.prepare()?;
        let case = self.case;
        self.database.set_clock(case.clock)?;
        for actor in case.actors.clone() {
            self.player(actor).ready(&case.tz)?;
            self.tell_time(actor);
        }
        for actor in case.actors.clone() {
            self.open(actor).map_err(|error| format!("open by {}: {error}", letter(actor)))?;
        }
        for (number, step) in &case.steps {
            if case.clock.is_none() {
                self.scope.now = machine_clock();
            }
            self.step(*number, step).map_err(|end| match end {
                End::Failed(error) => End::Failed(format!("step {number}: {error}")),
                skipped @ End::Skipped(_) => skipped,
            })?;
        }
        Ok(())
    }

    fn prepare(&self) -> Result<(), String> {
        let dir = &self.scope.dir;
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let Some(fixture) = &self.case.fixture else { return Ok(()) };
        let say = |error: std::io::Error| format!("{}: {error}", fixture.display());
        if fixture.extension().is_some_and(|extension| extension == "sql") {
            let script = std::fs::read_to_string(fixture).map_err(say)?;
            return self.database.execute(&script);
        }
        std::fs::copy(fixture, dir.join(FILE)).map(drop).map_err(say)
    }

    fn player(&mut self, actor: Actor) -> &mut Player {
        self.players.get_mut(&actor).expect("a case uses the actors it has")
    }

    fn testee(&mut self, actor: Actor) -> &mut Testee {
        self.player(actor).testee()
    }

    fn tell_time(&mut self, actor: Actor) {
        let clock = self.case.clock.is_some().then(|| self.clocks[&actor]);
        self.testee(actor).control.set_clock(clock);
    }

    /// The actor opens `db`.
    fn open(&mut self, actor: Actor) -> Result<(), String> {
        let Some(options) = &self.case.open else { return Ok(()) };
        let mut options = self.scope.resolve_fields(options)?;
        options.insert("as".to_owned(), json!("db"));
        options.insert("path".to_owned(), json!(self.scope.address));
        if let Some(journal) = self.journal {
            options.insert("journal".to_owned(), json!(journal));
        }
        self.testee(actor).must("open", Value::Object(options)).map(drop)
    }

    fn step(&mut self, number: usize, step: &Step) -> Result<(), End> {
        match step {
            Step::Operation(operation) => return self.operation(number, operation),
            Step::Sql { sql, params, gives, save } => {
                let sql = self.text(sql)?;
                let params =
                    params.iter().map(|value| self.scope.resolve(value)).collect::<Result<Vec<_>, _>>()?;
                let rows = self.database.query(&sql, &params)?;
                if let Some(gives) = gives {
                    matcher::matches(gives, Some(&rows), &mut self.scope)
                        .map_err(|error| format!("{sql}: {error}"))?;
                }
                self.save(save, &rows)?;
            }
            Step::Exec(sql) => {
                let sql = self.text(sql)?;
                self.database.execute(&sql)?;
            }
            Step::Advance { by, of } => {
                let by = self.scope.number(by)?;
                self.scope.now += if of.is_none() { by } else { 0 };
                self.set_clocks(*of, |clock| clock + by)?;
            }
            Step::Clock { to, of } => {
                let to = self.scope.number(to)?;
                self.scope.now = if of.is_none() { to } else { self.scope.now };
                self.set_clocks(*of, |_| to)?;
            }
            Step::Fault { point, of, action, nth } => {
                let control = self.testee(*of).control;
                match action {
                    Some(action) => {
                        self.fired.remove(of);
                        self.faults.insert(*of, control.fired());
                        control.arm(point, *nth, *action);
                    }
                    None => control.disarm(),
                }
            }
            Step::Fired(actor) => {
                // What is to reach the point may have been started and not be there yet.
                let deadline = Instant::now() + TIMEOUT;
                while self.faults.contains_key(actor) && !self.has_fired(*actor) && Instant::now() < deadline
                {
                    std::thread::sleep(Duration::from_millis(2));
                }
                if !self.has_fired(*actor) {
                    let armed = self.faults.contains_key(actor);
                    let why = if armed { "has not fired" } else { "was never planted" };
                    return Err(End::Failed(format!("the fault in {} {why}", letter(*actor))));
                }
            }
            Step::Kill(actor) => {
                self.alive(*actor)?;
                self.testee(*actor).kill();
                self.dead.insert(*actor);
            }
            Step::Stop(actor) => {
                self.alive(*actor)?;
                self.testee(*actor).signal(libc::SIGSTOP);
                self.stopped.insert(*actor);
            }
            Step::Continue(actor) => {
                self.testee(*actor).signal(libc::SIGCONT);
                self.stopped.remove(actor);
            }
            Step::Restart(actor) => self.restart(*actor)?,
            Step::Server { up } => {
                if *up {
                    self.database.start_server()?
                } else {
                    self.database.stop_server()?
                }
                self.server_is_down = !up;
            }
            Step::Await { name, expected } => return self.await_answer(name, expected),
            Step::Waits(name) => self.waits(name)?,
            Step::Chmod { .. }
            | Step::Delete(_)
            | Step::Write { .. }
            | Step::Copy { .. }
            | Step::Truncate { .. } => {
                self.file_step(step)?;
            }
        }
        Ok(())
    }

    fn text(&self, text: &str) -> Result<String, String> {
        let value = self.scope.resolve_text(text)?;
        Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    fn save(&mut self, saves: &[(String, String)], answer: &Value) -> Result<(), String> {
        for (name, path) in saves {
            let pointer = format!("/{}", path.replace('.', "/"));
            let value = answer.pointer(&pointer).ok_or_else(|| format!("save: the answer has no {path}"))?;
            self.scope.saved.insert(name.clone(), value.clone());
        }
        Ok(())
    }

    fn set_clocks(&mut self, of: Option<Actor>, change: impl Fn(i64) -> i64) -> Result<(), String> {
        if of.is_none() {
            // Before the processes: one that waits for a second looks as soon as it is over by its own clock.
            self.database.set_clock(Some(self.scope.now))?;
        }
        for actor in self.case.actors.clone() {
            if of.is_none_or(|of| of == actor) {
                self.clocks.entry(actor).and_modify(|clock| *clock = change(*clock));
                self.tell_time(actor);
            }
        }
        Ok(())
    }

    fn has_fired(&mut self, actor: Actor) -> bool {
        let before = self.faults.get(&actor).copied();
        self.fired.contains(&actor)
            || before.is_some_and(|before| self.testee(actor).control.fired() > before)
    }

    fn alive(&self, actor: Actor) -> Result<(), String> {
        if self.dead.contains(&actor) {
            return Err(format!("{} is dead", letter(actor)));
        }
        Ok(())
    }

    fn restart(&mut self, actor: Actor) -> Result<(), String> {
        if self.has_fired(actor) {
            self.fired.insert(actor);
        }
        self.faults.remove(&actor);
        self.testee(actor).kill();
        let owed: Vec<String> = self
            .started
            .iter()
            .filter(|(_, started)| started.actor == actor)
            .map(|(name, _)| name.clone())
            .collect();
        for name in owed {
            if let Some(Started { answer: Owed::Ticket(ticket), .. }) = self.started.get(&name) {
                let known = Owed::Known(
                    self.players[&actor].running().expect("killed, not gone").answer(*ticket, TIMEOUT),
                );
                self.started.entry(name).and_modify(|started| started.answer = known);
            }
        }
        let mut transcript = self.testee(actor).take_transcript();
        let tz = self.case.tz.clone();
        self.player(actor).start(&tz)?;
        transcript.push("--- restarted".to_owned());
        self.testee(actor).put_before_transcript(transcript);
        self.dead.remove(&actor);
        self.stopped.remove(&actor);
        self.tell_time(actor);
        self.open(actor)
    }

    fn operation(&mut self, number: usize, operation: &Operation) -> Result<(), End> {
        for turn in 1..=operation.times.unwrap_or(1) {
            self.scope.turn = operation.times.map(|_| turn);
            for actor in &operation.actors {
                self.one_operation(number, operation, *actor).map_err(|end| match end {
                    End::Failed(error) if operation.times.is_some() => {
                        End::Failed(format!("turn {turn}: {error}"))
                    }
                    other => other,
                })?;
            }
        }
        self.scope.turn = None;
        Ok(())
    }

    fn one_operation(&mut self, number: usize, operation: &Operation, actor: Actor) -> Result<(), End> {
        self.alive(actor)?;
        let arguments = self.scope.resolve_fields(&operation.arguments)?;
        protocol().check_arguments(&operation.op, &arguments, |_| false)?;
        let within = operation.expected.within.unwrap_or_else(|| default_within(&arguments));
        let ticket = self.testee(actor).send(&operation.op, arguments, operation.lane.as_deref());
        if let Some(name) = &operation.start {
            let op = operation.op.clone();
            let started = Started { actor, step: number, op, within, answer: Owed::Ticket(ticket) };
            self.started.insert(name.clone(), started);
            return Ok(());
        }
        let answer = self.testee(actor).answer(ticket, within);
        self.judge(actor, &operation.op, &operation.expected, answer)
    }

    fn await_answer(&mut self, name: &str, expected: &Expected) -> Result<(), End> {
        let started = self.started.remove(name).ok_or_else(|| format!("{name} has been awaited before"))?;
        let answer = match started.answer {
            Owed::Known(answer) => answer,
            Owed::Ticket(ticket) => {
                let within = expected.within.unwrap_or(started.within);
                self.testee(started.actor).answer(ticket, within)
            }
        };
        self.judge(started.actor, &started.op, expected, answer)
    }

    fn waits(&mut self, name: &str) -> Result<(), String> {
        let started = self.started.get(name).ok_or_else(|| format!("{name} has been awaited before"))?;
        let Owed::Ticket(ticket) = started.answer else {
            return Err(format!("{name} does not wait: its process is gone"));
        };
        let actor = started.actor;
        match self.testee(actor).answer(ticket, STILL) {
            Err(Trouble::Late(_)) => Ok(()),
            Err(other) => Err(other.to_string()),
            Ok(answer) => Err(format!("{name} does not wait, the answer is {answer}")),
        }
    }

    fn file_step(&mut self, step: &Step) -> Result<(), String> {
        let dir = self.scope.dir.clone();
        let say = |file: &str, error: std::io::Error| format!("{file}: {error}");
        let (file, done) = match step {
            Step::Chmod { file, mode } => {
                let permissions = std::fs::Permissions::from_mode(*mode);
                let done = std::fs::set_permissions(dir.join(file), permissions);
                return done.map_err(|error| say(file, error));
            }
            Step::Delete(file) => (file, std::fs::remove_file(dir.join(file))),
            Step::Write { file, text } => {
                let text = self.scope.resolve(text)?;
                let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
                (file, std::fs::write(dir.join(file), text))
            }
            Step::Copy { file, to } => (to, std::fs::copy(dir.join(file), dir.join(to)).map(drop)),
            Step::Truncate { file, to } => {
                let opened = std::fs::OpenOptions::new().write(true).open(dir.join(file));
                (file, opened.and_then(|opened| opened.set_len(*to)))
            }
            _ => return Ok(()),
        };
        self.touched.insert(file.clone());
        done.map_err(|error| say(file, error))
    }
}

/// What is said of a case that needs what a testee does not have.
pub fn lacking(testee: &str, feature: &str, why: &str) -> String {
    format!("{testee} lacks {feature}: {why}")
}

fn default_within(arguments: &Map<String, Value>) -> Duration {
    let waits = arguments.get("timeout_ms").and_then(Value::as_u64).unwrap_or(0);
    TIMEOUT + Duration::from_millis(waits)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Copies the files of a directory.
pub fn copy_dir(from: &Path, to: &Path) -> Result<(), String> {
    let copy = || -> std::io::Result<()> {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let path = entry?.path();
            if path.is_file() {
                std::fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
            }
        }
        Ok(())
    };
    copy().map_err(|error| format!("{}: {error}", to.display()))
}
