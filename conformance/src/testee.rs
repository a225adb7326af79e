//! A running testee: requests go in, answers come out, in any order between lanes.
//!
//! Invariants: every line it writes is an answer to a request that has none yet, and keeps to the protocol; after the
//! first that does not, nothing it says counts any more. The process does not outlive its `Testee`.
//!
//! Threads: one writes, so that a process which does not read holds nobody up; one reads. The owner waits for answers.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::control::Control;
use crate::protocol::{Answer, UNTYPED, protocol};
use crate::testees::Made;

/// How long the suite waits for what should not take any time.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// A runtime may need long to start, beside others that do.
const START: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, Clone)]
pub enum Trouble {
    Died(String),
    /// It broke the protocol.
    Broken(String),
    Late(Duration),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Died(how) => write!(f, "the testee died: {how}"),
            Trouble::Broken(how) => write!(f, "the testee broke the protocol: {how}"),
            Trouble::Late(waited) => write!(f, "no answer within {} ms", waited.as_millis()),
        }
    }
}

/// An answer that is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

pub struct Testee {
    pub made: Arc<Made>,
    pub control: Control,
    /// What it writes to standard error.
    pub log: PathBuf,
    pub tz: String,
    pub pid: u32,
    child: Mutex<Child>,
    requests: Option<Sender<String>>,
    shared: Arc<Shared>,
    /// The number of the last request.
    last: AtomicU64,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Operations that have not been answered.
    owed: HashMap<u64, String>,
    answers: HashMap<u64, Answer>,
    broken: Option<String>,
    /// Its standard output is closed.
    ended: bool,
    transcript: Vec<String>,
    began: Instant,
}

impl State {
    fn note(&mut self, mark: char, line: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.transcript.push(format!("{seconds:10.6} {mark} {line}"));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Testee {
    /// Starts a testee whose control file and log are made in `dir`, and hears what it says about itself.
    pub fn start(made: &Arc<Made>, dir: &Path, tz: &str) -> Result<Testee, String> {
        let say = |error: String| format!("{}: {error}", made.name);
        std::fs::create_dir_all(dir).map_err(|error| say(error.to_string()))?;
        let control_file = dir.join("control");
        let control = Control::create(&control_file).map_err(|error| say(error.to_string()))?;
        let log = dir.join("stderr");
        let log_file = File::create(&log).map_err(|error| say(error.to_string()))?;
        let mut command = Command::new(&made.run[0]);
        command
            .args(&made.run[1..])
            .current_dir(&made.dir)
            .env("HONKER_CONTROL", &control_file)
            .env("HONKER_LIBRARY", &made.libraries.library)
            .env("HONKER_EXTENSION", &made.libraries.extension)
            .env("TZ", tz)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file);
        // SAFETY: only system calls between fork and exec.
        unsafe { command.pre_exec(give_up_privileges) };
        let mut child = command.spawn().map_err(|error| say(format!("{}: {error}", made.run[0])))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let state = State {
            owed: HashMap::new(),
            answers: HashMap::new(),
            broken: None,
            ended: false,
            transcript: Vec::new(),
            began: Instant::now(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        if let Some(stdout) = stdout {
            let (shared, made) = (Arc::clone(&shared), Arc::clone(made));
            std::thread::spawn(move || read(stdout, &shared, &made));
        }
        let testee = Testee {
            made: Arc::clone(made),
            control,
            log,
            tz: tz.to_owned(),
            pid: child.id(),
            child: Mutex::new(child),
            requests: stdin.map(write),
            shared,
            last: AtomicU64::new(0),
        };
        testee.greet().map_err(|error| {
            let log = std::fs::read_to_string(&testee.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            say(format!("{error}\n{}", tail.join("\n")).trim_end().to_owned())
        })?;
        Ok(testee)
    }

    /// It has to have exactly the features that it does not lack.
    fn greet(&self) -> Result<(), String> {
        let ticket = self.send("hello", Map::new(), None);
        let hello = match self.answer(ticket, START).map_err(|trouble| trouble.to_string())? {
            Answer::Ok(hello) => hello,
            other => return Err(format!("hello: {other}")),
        };
        let pid = hello["pid"].as_u64();
        if pid != Some(u64::from(self.pid)) {
            return Err(format!("hello: pid is {}, but the process is {}", hello["pid"], self.pid));
        }
        let has =
            |feature: &String| hello["features"].as_array().is_some_and(|all| all.contains(&json!(feature)));
        for feature in &protocol().features {
            match (has(feature), self.made.lacks.contains_key(feature)) {
                (true, true) => {
                    return Err(format!("hello has the feature {feature}, which testee.toml says it lacks"));
                }
                (false, false) => {
                    return Err(format!(
                        "hello does not have the feature {feature}, and testee.toml does not say why"
                    ));
                }
                _ => {}
            }
        }
        let unknown = hello["features"].as_array().into_iter().flatten().filter_map(Value::as_str);
        match unknown.into_iter().find(|feature| !protocol().features.contains(*feature)) {
            Some(unknown) => Err(format!("hello has a feature that does not exist: {unknown}")),
            None => Ok(()),
        }
    }

    /// Asks for something; the answer is to be had for the ticket.
    pub fn send(&self, op: &str, arguments: Map<String, Value>, lane: Option<&str>) -> Ticket {
        let seq = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let mut request = Map::new();
        request.insert("seq".to_owned(), json!(seq));
        request.insert("op".to_owned(), json!(op));
        if let Some(lane) = lane {
            request.insert("lane".to_owned(), json!(lane));
        }
        request.extend(arguments);
        let line = Value::Object(request).to_string();
        {
            let mut state = self.shared.lock();
            state.note('>', &line);
            state.owed.insert(seq, op.to_owned());
        }
        // If it is gone, whoever waits for the answer will hear of it.
        let _ = self.requests.as_ref().map(|requests| requests.send(line));
        Ticket(seq)
    }

    /// Waits for an answer for so long.
    pub fn answer(&self, ticket: Ticket, within: Duration) -> Result<Answer, Trouble> {
        let deadline = Instant::now() + within;
        let mut gone: Option<Instant> = None;
        let mut state = self.shared.lock();
        loop {
            if let Some(answer) = state.answers.remove(&ticket.0) {
                return Ok(answer);
            }
            if let Some(how) = &state.broken {
                return Err(Trouble::Broken(how.clone()));
            }
            // A child that it has left behind may keep its standard output open.
            if state.ended || gone.is_some_and(|since| since.elapsed() > Duration::from_millis(200)) {
                drop(state);
                return Err(Trouble::Died(self.wait_for_end()));
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(Trouble::Late(within));
            }
            let slice = Duration::from_millis(20).min(deadline - now);
            state = self.shared.changed.wait_timeout(state, slice).unwrap_or_else(PoisonError::into_inner).0;
            if gone.is_none() && !self.is_alive() {
                gone = Some(Instant::now());
            }
        }
    }

    /// Asks on the main lane and waits for the answer.
    pub fn call(&self, op: &str, arguments: Map<String, Value>, within: Duration) -> Result<Answer, Trouble> {
        let ticket = self.send(op, arguments, None);
        self.answer(ticket, within)
    }

    /// Something it must be able to do, and says so with `ok`.
    pub fn must(&self, op: &str, arguments: Value) -> Result<Value, String> {
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        match self.call(op, arguments, TIMEOUT) {
            Ok(Answer::Ok(value)) => Ok(value),
            Ok(other) => Err(format!("{op}: {other}")),
            Err(trouble) => Err(format!("{op}: {trouble}")),
        }
    }

    pub fn is_alive(&self) -> bool {
        matches!(self.child().try_wait(), Ok(None))
    }

    /// What is wrong with it apart from the answers that were waited for.
    pub fn broken(&self) -> Option<String> {
        self.shared.lock().broken.clone()
    }

    /// What went in and out since the last time.
    pub fn take_transcript(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().transcript)
    }

    /// What went in and out of the process that was in its place before.
    pub fn put_before_transcript(&self, mut earlier: Vec<String>) {
        let transcript = &mut self.shared.lock().transcript;
        earlier.append(transcript);
        *transcript = earlier;
    }

    pub fn signal(&self, signal: i32) {
        if let Ok(pid) = libc::pid_t::try_from(self.pid) {
            // A process that has ended stays a zombie until `child` is waited for, so the number is nobody else's.
            let mut child = self.child();
            if matches!(child.try_wait(), Ok(None)) {
                // SAFETY: a signal to a child that has not been waited for.
                unsafe { libc::kill(pid, signal) };
            }
        }
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Says goodbye: it has to end by itself, with 0.
    pub fn finish(self) -> Result<(), String> {
        self.must("bye", json!({}))?;
        let deadline = Instant::now() + TIMEOUT;
        while self.is_alive() {
            if Instant::now() > deadline {
                return Err("bye: it has answered, but it does not exit".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        match self.child().wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("bye: {}", describe(status))),
            Err(error) => Err(format!("bye: {error}")),
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its standard output is closed, so it is about to end; if not, it is ended.
    fn wait_for_end(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            match self.child().try_wait() {
                Ok(Some(status)) => return describe(status),
                Ok(None) if Instant::now() < deadline => {}
                Ok(None) => break,
                Err(error) => return error.to_string(),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.kill();
        "it closed its standard output and went on".to_owned()
    }
}

impl Drop for Testee {
    fn drop(&mut self) {
        self.kill();
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(libc::SIGKILL), _) => "SIGKILL".to_owned(),
        (Some(signal), _) => format!("signal {signal}"),
        (None, code) => format!("exit code {}", code.unwrap_or(-1)),
    }
}

fn write(mut stdin: ChildStdin) -> Sender<String> {
    let (sender, requests) = channel::<String>();
    std::thread::spawn(move || {
        for mut line in requests {
            line.push('\n');
            if stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                return;
            }
        }
    });
    sender
}

fn read(stdout: ChildStdout, shared: &Shared, made: &Made) {
    for line in BufReader::new(stdout).split(b'\n') {
        let Ok(line) = line else { break };
        let text = String::from_utf8_lossy(&line).into_owned();
        let mut state = shared.lock();
        state.note('<', &text);
        if state.broken.is_none()
            && let Err(how) = take(&line, &mut state, made)
        {
            state.broken = Some(how);
        }
        drop(state);
        shared.changed.notify_all();
    }
    shared.lock().ended = true;
    shared.changed.notify_all();
}

/// Takes an answer in.
fn take(line: &[u8], state: &mut State, made: &Made) -> Result<(), String> {
    let shown = || {
        let text = String::from_utf8_lossy(line);
        let short: String = text.chars().take(200).collect();
        short
    };
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("{error}: {}", shown()))?;
    let id = value["seq"].as_u64().ok_or_else(|| format!("an answer without a seq: {}", shown()))?;
    let op =
        state.owed.remove(&id).ok_or_else(|| format!("nothing is owed to the request {id}: {}", shown()))?;
    let answer = protocol().answer(&op, &value)?;
    match &answer {
        Answer::Error { name, .. } if (name == UNTYPED) != made.untyped => {
            return Err(format!(
                "{op}: the error has the name {name}, but `errors` in testee.toml says otherwise"
            ));
        }
        Answer::Unsupported(feature) if !made.lacks.contains_key(feature) => {
            return Err(format!(
                "{op}: unsupported: {feature}, but testee.toml does not say that it lacks that"
            ));
        }
        _ => {}
    }
    state.answers.insert(id, answer);
    Ok(())
}

/// To a process of root, files have no permissions. A testee is to see them as users do.
fn give_up_privileges() -> std::io::Result<()> {
    const DAC_OVERRIDE: libc::c_ulong = 1;
    const DAC_READ_SEARCH: libc::c_ulong = 2;
    // SAFETY: no arguments, cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    for capability in [DAC_OVERRIDE, DAC_READ_SEARCH] {
        // SAFETY: takes numbers only. What is not in the bounding set is lost at exec.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}
