//! Processes that play a role in a test.
//!
//! A role is a function of this binary, run by a process of its own. It gets arguments, and the two talk in lines: the
//! role writes with [`say`] and reads with [`hear`].

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything takes. A test that gets here has found a deadlock.
pub const TIMEOUT: Duration = Duration::from_secs(240);

const ROLE: &str = "HONKER_TEST_VFS_ROLE";
const ARGUMENTS: &str = "HONKER_TEST_VFS_ARGUMENTS";
const SEPARATOR: char = '\u{1f}';
/// Before each line of a role, for the test harness writes to the same place.
const MARK: &str = "role says: ";

/// A name and what a process of that name does.
pub type Role = (&'static str, fn());

/// The role of this process, if it was started for one.
pub fn role() -> Option<String> {
    let role = std::env::var(ROLE).ok()?;
    // Also when whoever started it is killed.
    // SAFETY: this only sets a property of the process.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    Some(role)
}

/// An argument of this process's role.
pub fn argument(index: usize) -> String {
    std::env::var(ARGUMENTS).unwrap().split(SEPARATOR).nth(index).unwrap().to_owned()
}

/// Tells whoever started this process.
pub fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{MARK}{line}").unwrap();
    out.flush().unwrap();
}

/// Waits for a line from whoever started this process.
pub fn hear() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// A process playing a role. Killed when dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    pub fn start(role: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "role", "--nocapture"])
            .env(ROLE, role)
            .env(ARGUMENTS, arguments.join(&SEPARATOR.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix(MARK)
                    && send.send(line.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Process { child, lines }
    }

    pub fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next line the role says.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.line_within(TIMEOUT).expect("the role has ended or says nothing")
    }

    pub fn line_within(&mut self, timeout: Duration) -> Option<String> {
        self.lines.recv_timeout(timeout).ok()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal.
    #[allow(dead_code, reason = "for the tests of the consumers")]
    pub fn signal(&mut self, signal: i32) {
        // SAFETY: the process is our child, and has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), signal) }, 0);
    }

    /// How it ended. `None` if it does not within `timeout`; then it is killed.
    pub fn end_within(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        None
    }

    /// Panics unless it ends well.
    #[track_caller]
    pub fn ends_well(&mut self) {
        let status = self.end_within(TIMEOUT).expect("the role does not end");
        assert!(status.success(), "the role ended with {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a scenario in a process of its own and panics unless it ends well.
#[track_caller]
pub fn run(role: &str, arguments: &[&str]) {
    Process::start(role, arguments).ends_well();
}

/// How many descriptors this process has open.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
