//! The programs that run at the moment, each for one claim.
//!
//! Invariants: a run has a slot until its program has ended, whatever became of its job; a job that was lost is not settled.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use honker_core::consume::{Claimed, LostJob, Reason, Settlement, Verdict};

use super::handler::{Ended, Handler};
use crate::failure::say;

/// Exit codes of sysexits.h: EX_TEMPFAIL and EX_DATAERR.
const NOT_NOW: i32 = 75;
const NEVER: i32 = 65;

/// A claim, by the id of its job and its serial.
pub type Key = (i64, i64);

/// See the module documentation.
pub struct Crew {
    running: HashMap<Key, Member>,
    kill_after: Duration,
    snooze_s: i64,
    quiet: bool,
    /// What has become of all so far.
    pub tally: Tally,
}

struct Member {
    job: Claimed,
    handler: Handler,
    /// It was asked to end.
    asked: Option<Asked>,
}

#[derive(Clone, Copy)]
struct Asked {
    why: Why,
    /// When it is killed; `None` once it was.
    kill_at: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// The job is not ours any more.
    Lost(Reason),
    /// We end.
    Stop,
}

/// How many jobs have come to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub done: u64,
    pub failed: u64,
    pub dead: u64,
    pub snoozed: u64,
    pub released: u64,
    pub lost: u64,
}

impl Crew {
    /// Nobody yet.
    pub fn new(kill_after: Duration, snooze_s: i64, quiet: bool) -> Self {
        Crew { running: HashMap::new(), kill_after, snooze_s, quiet, tally: Tally::default() }
    }

    /// How many programs run.
    pub fn len(&self) -> usize {
        self.running.len()
    }

    /// A program was started for a job.
    pub fn add(&mut self, job: Claimed, handler: Handler) {
        self.running.insert((job.id, job.serial), Member { job, handler, asked: None });
    }

    /// A job was lost: its program is asked to end.
    pub fn lose(&mut self, lost: &LostJob) {
        let kill_at = Instant::now().checked_add(self.kill_after);
        if let Some(member) = self.running.get_mut(&(lost.id, lost.serial)) {
            let is_new = !matches!(member.asked, Some(Asked { why: Why::Lost(_), .. }));
            if is_new {
                let was_asked = member.asked;
                let kill_at = was_asked.map_or(kill_at, |asked| asked.kill_at);
                member.asked = Some(Asked { why: Why::Lost(lost.reason), kill_at });
                if was_asked.is_none() {
                    member.handler.terminate();
                }
            }
        }
    }

    /// All are asked to end, because we do.
    pub fn stop(&mut self) {
        let kill_at = Instant::now().checked_add(self.kill_after);
        for member in self.running.values_mut().filter(|member| member.asked.is_none()) {
            member.handler.terminate();
            member.asked = Some(Asked { why: Why::Stop, kill_at });
        }
    }

    /// Whoever runs is killed: because we end, if it was not asked to before.
    pub fn kill_all(&mut self) {
        for member in self.running.values_mut() {
            member.handler.kill();
            let why = member.asked.map_or(Why::Stop, |asked| asked.why);
            member.asked = Some(Asked { why, kill_at: None });
        }
    }

    /// Kills those whose time is over; when the next one's is.
    pub fn kill_due(&mut self) -> Option<Instant> {
        let now = Instant::now();
        for member in self.running.values_mut() {
            if let Some(asked) = &mut member.asked
                && asked.kill_at.is_some_and(|at| at <= now)
            {
                member.handler.kill();
                asked.kill_at = None;
            }
        }
        self.running.values().filter_map(|member| member.asked?.kill_at).min()
    }

    /// A program has ended: what becomes of its job, unless that is not ours to say any more.
    pub fn end(&mut self, key: Key, ended: &Ended) -> Option<Settlement> {
        let Member { job, asked, .. } = self.running.remove(&key)?;
        if let Some(Asked { why: Why::Lost(reason), .. }) = asked {
            self.tally.lost += 1;
            let why = match reason {
                Reason::Gone => "it was cancelled",
                Reason::Lapsed => "its claim has lapsed",
                Reason::Taken => "another worker has it",
                Reason::Timeout => "it ran for too long, and is tried again",
            };
            self.say(&job, &format!("ended, because {why} ({})", ended.how()));
            return None;
        }
        let is_stopped = asked.is_some();
        let verdict = self.verdict(&job, ended, is_stopped);
        Some(Settlement { id: job.id, serial: job.serial, verdict })
    }

    fn verdict(&mut self, job: &Claimed, ended: &Ended, is_stopped: bool) -> Verdict {
        match ended.status.code() {
            Some(0) => {
                self.tally.done += 1;
                Verdict::Ack
            }
            Some(NOT_NOW) => {
                self.tally.snoozed += 1;
                self.say(job, &format!("not now; again in {} s", self.snooze_s));
                Verdict::Snooze { delay_s: self.snooze_s }
            }
            Some(NEVER) => {
                self.tally.dead += 1;
                self.say(job, &format!("dead: {}", ended.reason()));
                Verdict::Fail { error: ended.reason() }
            }
            // It did not fail by itself.
            _ if is_stopped => {
                self.tally.released += 1;
                self.say(job, &format!("given back ({})", ended.how()));
                Verdict::Release
            }
            _ => {
                self.tally.failed += 1;
                let last = if job.attempts >= job.max_attempts { "; that was the last attempt" } else { "" };
                self.say(job, &format!("failed ({}){last}", ended.how()));
                Verdict::Retry { delay_s: None, error: ended.reason() }
            }
        }
    }

    /// A program could not be started: its job is given back.
    pub fn not_started(&mut self, job: &Claimed, error: &std::io::Error) -> Settlement {
        self.tally.released += 1;
        self.say(job, &format!("given back: the program cannot be started: {error}"));
        Settlement { id: job.id, serial: job.serial, verdict: Verdict::Snooze { delay_s: 1 } }
    }

    fn say(&self, job: &Claimed, what: &str) {
        if !self.quiet {
            let (id, queue, n, of) = (job.id, &job.queue, job.attempts, job.max_attempts);
            let what = crate::text::one_line(what);
            say(format_args!("job {id} ({}, attempt {n} of {of}): {what}", crate::text::one_line(queue)));
        }
    }
}

impl Tally {
    /// In one line.
    pub fn line(&self) -> String {
        let Tally { done, failed, dead, snoozed, released, lost } = self;
        format!(
            "{done} done, {failed} failed, {dead} dead, {snoozed} snoozed, {released} given back, {lost} lost"
        )
    }
}
