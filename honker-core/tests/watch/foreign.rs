//! Processes that know nothing of us.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use crate::support::GUARD;

/// A Python that runs a program, and talks with us in lines.
pub struct Foreign {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
}

impl Foreign {
    /// One that runs SQL on a file.
    pub fn on(path: &Path) -> Self {
        Foreign::run(include_str!("foreign.py"), &[path.to_str().unwrap(), "60"])
    }

    /// The same, but it does not wait for locks.
    pub fn impatient(path: &Path) -> Self {
        Foreign::run(include_str!("foreign.py"), &[path.to_str().unwrap(), "0"])
    }

    pub fn run(program: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", program])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("these tests need python3");
        let orders = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (send, answers) = channel();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).take_while(|line| send.send(line.clone()).is_ok()).for_each(drop);
        });
        Foreign { child, orders, answers }
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.orders, "{line}").unwrap();
    }

    #[track_caller]
    pub fn line(&self) -> String {
        self.answers.recv_timeout(GUARD).expect("the other process has ended, or says nothing")
    }

    /// What it says within `time`.
    pub fn line_within(&self, time: std::time::Duration) -> Option<String> {
        self.answers.recv_timeout(time).ok()
    }

    /// Runs statements; the first value of the last one's first row, or an error.
    #[track_caller]
    pub fn ask(&mut self, sql: &str) -> String {
        self.tell(sql);
        self.line()
    }

    /// Runs statements that have to succeed.
    #[track_caller]
    pub fn sql(&mut self, sql: &str) -> String {
        let answer = self.ask(sql);
        assert!(!answer.starts_with("error"), "{sql}: {answer}");
        answer
    }

    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: it is our child, and has not been waited for, so the number is still its own.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.kill();
    }
}
