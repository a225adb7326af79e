//! One run of the program: how it is started, ended, and what has become of it.
//!
//! Each run is a process group of its own: a signal to it reaches what it has started as well, and Ctrl-C on a terminal is for
//! the worker, not for its programs. Threads: the main one starts them, because Linux ties what happens to a child at its
//! parent's death to the thread that made it; one for each run waits for its end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use honker_core::consume::Claimed;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::failure::{Failure, Result};

/// So much of standard error is kept.
const ERROR_BYTES_MAX: usize = 2_000;

/// What a program has written itself is read to its end. After that its output is read for so long: what it has started may still
/// have the pipe.
const OUTPUT_GRACE: Duration = Duration::from_millis(200);

/// Whoever reads our own standard error may have stopped. The end of a program waits for him no longer than this.
const STALLED: Duration = Duration::from_secs(10);

/// The program and where its file is.
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    db: PathBuf,
}

/// A run that was started.
pub struct Handler {
    group: Pid,
}

/// What has become of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub status: ExitStatus,
    /// The end of its standard error.
    pub error: String,
}

impl Program {
    /// Looks for it as a shell does. A worker without its program must not use up the attempts of its jobs.
    pub fn new(command: &[OsString], db: &Path) -> Result<Self> {
        let (name, args) =
            command.split_first().ok_or_else(|| Failure::Usage("which program?".to_owned()))?;
        let path = find(Path::new(name)).ok_or_else(|| {
            Failure::Failed(format!("{}: there is no such program", name.to_string_lossy()))
        })?;
        Ok(Program { path, args: args.to_vec(), db: db.to_owned() })
    }

    /// Starts it for a job. `ended` is called in another thread once it is over.
    pub fn start(
        &self,
        job: &Claimed,
        ended: impl FnOnce(Ended) + Send + 'static,
    ) -> std::io::Result<Handler> {
        let mut command = Command::new(&self.path);
        command
            .args(&self.args)
            .env("HONKER_DB", &self.db)
            .env("HONKER_JOB_ID", job.id.to_string())
            .env("HONKER_QUEUE", &*job.queue)
            .env("HONKER_ATTEMPT", job.attempts.to_string())
            .env("HONKER_MAX_ATTEMPTS", job.max_attempts.to_string())
            .env("HONKER_WORKER_ID", &*job.worker_id)
            .env_remove("HONKER_METADATA")
            .env_remove(crate::conceal::VARIABLE)
            .envs(job.metadata.as_deref().map(|metadata| ("HONKER_METADATA", metadata)))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        end_with_us(&mut command);
        let mut child = command.spawn()?;
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = group.ok_or_else(|| std::io::Error::other("a process without an id"))?;
        feed(&mut child, job.payload.clone());
        std::thread::spawn(move || ended(follow(child)));
        Ok(Handler { group })
    }
}

impl Handler {
    /// Asks it, and what it has started, to end.
    pub fn terminate(&self) {
        // It may have ended meanwhile.
        let _ = kill_process_group(self.group, Signal::TERM);
    }

    /// Ends it, and what it has started.
    pub fn kill(&self) {
        let _ = kill_process_group(self.group, Signal::KILL);
    }
}

impl Ended {
    /// Why it was no success: what it said, or else how it ended.
    pub fn reason(&self) -> String {
        let said = self.error.trim();
        if said.is_empty() { self.how() } else { said.to_owned() }
    }

    /// "exit code 3".
    pub fn how(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "it ended without an exit code".to_owned(),
        }
    }
}

/// The payload, in a thread of its own: the program may never read it.
fn feed(child: &mut Child, payload: String) {
    if let Some(mut stdin) = child.stdin.take() {
        std::thread::spawn(move || {
            // It need not read it all.
            let _ = stdin.write_all(payload.as_bytes());
        });
    }
}

/// Waits for its end, and passes on what it writes to standard error.
fn follow(mut child: Child) -> Ended {
    let output = child.stderr.take().and_then(Output::follow);
    // Over, but not yet reaped: until then no other process gets its number, to which signals are sent.
    let over = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(Pid::from_child(&child)), over) {}
    let tail = output.map_or_else(Vec::new, |output| output.end());
    let status = child.wait().unwrap_or_else(|_| ExitStatus::from_raw(1 << 8));
    // It may begin in the middle of a character.
    let error = String::from_utf8_lossy(&tail).trim_start_matches('\u{fffd}').replace('\0', "\u{fffd}");
    Ended { status, error }
}

/// A program's standard error, which a thread reads and passes on.
struct Output {
    shared: Arc<(Mutex<Progress>, Condvar)>,
    pipe: OwnedFd,
}

#[derive(Default)]
struct Progress {
    /// The end of what was read.
    tail: VecDeque<u8>,
    /// How many bytes were read, and how many of them passed on.
    read: u64,
    passed_on: u64,
    /// Nobody has the pipe any more.
    closed: bool,
}

impl Output {
    fn follow(stderr: ChildStderr) -> Option<Self> {
        let pipe = stderr.as_fd().try_clone_to_owned().ok()?;
        let shared = Arc::new((Mutex::new(Progress::default()), Condvar::new()));
        let progress = Arc::clone(&shared);
        std::thread::spawn(move || {
            pass_on(stderr, &progress);
            lock(&progress.0).closed = true;
            progress.1.notify_all();
        });
        Some(Output { shared, pipe })
    }

    /// The end of it, once the program is over: all that it has written is in the pipe by then, however late the thread is that
    /// reads it. What others may write who still have it is waited for a moment.
    fn end(&self) -> Vec<u8> {
        let (progress, moved) = &*self.shared;
        let mut state = lock(progress);
        let own = state.read + rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0);
        while !state.closed && state.passed_on < own {
            let before = state.passed_on;
            let waited =
                moved.wait_timeout_while(state, STALLED, |state| !state.closed && state.passed_on == before);
            let (now, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = now;
            if waited.timed_out() {
                break;
            }
        }
        let waited = moved.wait_timeout_while(state, OUTPUT_GRACE, |state| !state.closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.tail.iter().copied().collect()
    }
}

fn pass_on(mut stderr: ChildStderr, (progress, moved): &(Mutex<Progress>, Condvar)) {
    let mut bytes = [0; 8192];
    loop {
        // It is read under the lock, so that who asks how much is left in the pipe knows how much was read; and so not before
        // there is something.
        until_readable(stderr.as_fd());
        let mut state = lock(progress);
        let Ok(n @ 1..) = stderr.read(&mut bytes) else { return };
        state.read += n as u64;
        state.tail.extend(&bytes[..n]);
        let excess = state.tail.len().saturating_sub(ERROR_BYTES_MAX);
        state.tail.drain(..excess);
        drop(state);
        let _ = std::io::stderr().write_all(&bytes[..n]);
        lock(progress).passed_on += n as u64;
        moved.notify_all();
    }
}

fn until_readable(pipe: BorrowedFd<'_>) {
    let mut polled = [PollFd::from_borrowed_fd(pipe, PollFlags::IN)];
    while let Err(rustix::io::Errno::INTR) = poll(&mut polled, None) {}
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// On Linux the program is killed when this process dies: its job is somebody else's from then on.
#[allow(unused_variables, reason = "only Linux has that")]
fn end_with_us(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        let parent = rustix::process::getpid();
        // SAFETY: between fork and exec it makes two system calls and touches no memory of ours.
        unsafe {
            command.pre_exec(move || {
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                // It may have died before that.
                if rustix::process::getppid() != Some(parent) {
                    return Err(std::io::ErrorKind::Other.into());
                }
                Ok(())
            });
        }
    }
}

/// The path of a program: its name as it is if it has a slash, else what PATH has first.
fn find(name: &Path) -> Option<PathBuf> {
    let may_run =
        |path: &Path| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    if name.components().count() > 1 {
        // It is started from here, wherever that is.
        return may_run(name).then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| may_run(path))
}
