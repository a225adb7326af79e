//! Other processes that do the same, and are killed in the middle of it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::actor::{Actor, Stage};
use crate::consumers::Loop;
use crate::ledger::Ledger;

/// The number of the first actor in a peer.
pub const FIRST: i64 = 1000;

/// Actors in each peer, beside one thread that waits.
const THREADS: i64 = 2;

/// What a peer runs until it is killed.
pub fn run(directory: &Path, first: i64, seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    let database = crate::open(directory)?;
    let stage = Arc::new(Stage::new(database));
    thread::scope(|scope| {
        for number in first..first + THREADS {
            let ledger = Ledger::create(directory, &format!("a{number}"), true);
            let actor = Actor::new(Arc::clone(&stage), number, seed, ledger);
            scope.spawn(|| actor.run());
        }
        let number = first + THREADS;
        let ledger = Ledger::create(directory, &format!("a{number}"), true);
        let waiting = Loop::new(Arc::clone(&stage), number, seed, ledger);
        scope.spawn(|| waiting.run());
    });
    Ok(())
}

/// The peers of a run.
pub struct Peers {
    directory: PathBuf,
    seed: u64,
    next: i64,
    random: fastrand::Rng,
    running: Vec<(Child, Instant)>,
    pub kills: usize,
    /// Those that ended before they were killed.
    pub deserters: usize,
}

impl Peers {
    pub fn start(directory: &Path, seed: u64, count: usize) -> std::io::Result<Self> {
        let random = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let mut peers = Peers {
            directory: directory.into(),
            seed,
            next: FIRST,
            random,
            running: Vec::new(),
            kills: 0,
            deserters: 0,
        };
        for _ in 0..count {
            let peer = peers.another()?;
            peers.running.push(peer);
        }
        Ok(peers)
    }

    /// A peer, and when it has to die.
    fn another(&mut self) -> std::io::Result<(Child, Instant)> {
        let number = self.next;
        self.next += THREADS + 1;
        let child = Command::new(std::env::current_exe()?)
            .arg("peer")
            .arg(&self.directory)
            .args([number.to_string(), self.seed.to_string()])
            .spawn()?;
        // Some die while they open the file.
        let life = if self.random.u32(..6) == 0 { 0..30 } else { 30..4000 };
        Ok((child, Instant::now() + Duration::from_millis(self.random.u64(life))))
    }

    /// Kills those whose time has come, and starts others.
    pub fn kill_due(&mut self) -> std::io::Result<()> {
        for index in 0..self.running.len() {
            if self.running[index].1 <= Instant::now() {
                let another = self.another()?;
                let (child, _) = std::mem::replace(&mut self.running[index], another);
                self.kill(child)?;
            }
        }
        Ok(())
    }

    /// Kills them all.
    pub fn end(&mut self) -> std::io::Result<()> {
        while let Some((child, _)) = self.running.pop() {
            self.kill(child)?;
        }
        Ok(())
    }

    fn kill(&mut self, mut child: Child) -> std::io::Result<()> {
        if child.try_wait()?.is_some() {
            self.deserters += 1;
        }
        child.kill()?;
        child.wait()?;
        self.kills += 1;
        Ok(())
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        let _ = self.end();
    }
}
