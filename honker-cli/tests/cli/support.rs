//! A file to work on, and the program run on it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use honker_core::consume::{Next, Settlement, Verdict, Worker, WorkerOptions};
use honker_core::database::{Database, Options};
use serde_json::Value;

/// Long enough for a machine that does a hundred other things.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A folder with a database.
pub struct Site {
    folder: tempfile::TempDir,
    pub database: Database,
}

impl Site {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::open(folder.path().join("app.db"), &Options::default()).expect("a file");
        Site { folder, database }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with these arguments, HONKER_DB naming the file.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_honker"));
        command
            .args(args)
            .env("HONKER_DB", self.path("app.db"))
            .env("TZ", "UTC")
            .current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Run {
        Run::of(self.command(args).output().expect("honker runs"), args)
    }

    /// Runs it to its end with something on standard input.
    pub fn run_with(&self, args: &[&str], stdin: &str) -> Run {
        let mut command = self.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("honker runs");
        // It may end without having read it.
        let _ = child.stdin.take().expect("its input").write_all(stdin.as_bytes());
        Run::of(child.wait_with_output().expect("honker ends"), args)
    }

    /// What it printed, which must be JSON, and it must have ended well.
    pub fn json(&self, args: &[&str]) -> Value {
        let run = self.run(args).ok();
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", run.stdout))
    }

    /// Starts it, to read its lines as they come.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::of(self.command(args))
    }

    pub fn enqueue(&self, queue: &str, payload: &str) -> i64 {
        self.database.enqueue(&honker_core::queue::Enqueue::new(queue, payload)).expect("enqueued").id
    }
}

/// What a run has come to.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    args: String,
}

impl Run {
    fn of(output: Output, args: &[&str]) -> Self {
        Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            args: args.join(" "),
        }
    }

    /// It must have ended well.
    pub fn ok(self) -> Self {
        self.fails(0)
    }

    /// It must have ended with this code.
    pub fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "honker {}: {}{}", self.args, self.stdout, self.stderr);
        self
    }
}

/// A run that goes on. It is killed when it is dropped.
pub struct Running {
    pub child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("honker runs");
        let lines = lines_of(child.stdout.take().expect("its output"));
        Running { child, lines }
    }

    /// Its next line.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("a line in time")
    }

    /// Its next line, if there is one in time.
    pub fn line_within(&self, time: Duration) -> Option<String> {
        self.lines.recv_timeout(time).ok()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs").success());
    }

    /// Its exit code, once it has ended.
    pub fn end(&mut self) -> Option<i32> {
        let mut status = None;
        until("it ends", || {
            status = self.child.try_wait().expect("its status");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Waits for something to become true.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A job that died of an error.
pub fn dead(site: &Site, queue: &str, error: &str) -> i64 {
    let id = site.enqueue(queue, "{}");
    assert_eq!(fail_next(site, queue, error), id);
    id
}

/// The next job of a queue dies of an error.
pub fn fail_next(site: &Site, queue: &str, error: &str) -> i64 {
    let mut worker = Worker::new(&site.database, queue, "w", WorkerOptions::default()).expect("a worker");
    let Ok(Next::Item(batch)) = worker.next(1, Some(DEADLINE)) else { panic!("no job") };
    let verdict = Verdict::Fail { error: error.to_owned() };
    let settlement = Settlement { id: batch.jobs[0].id, serial: batch.jobs[0].serial, verdict };
    assert_eq!(worker.settle(&[settlement]).expect("settled"), [Ok(true)]);
    batch.jobs[0].id
}
