//! The threads in which blocking handlers run: as many as there have been jobs at once.
//!
//! Invariants: a task that was given is run, by an idle thread or by a new one; if the system gives no more threads, by the
//! next one that is free. Threads end when the pool is dropped and they have nothing to do; one whose handler never returns
//! stays until the process ends.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

type Task = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(super) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.tasks.pop_front() {
                drop(state);
                task();
                state = self.lock();
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

impl Pool {
    /// Runs the task in a thread. If there is none and none can be had, the task is dropped.
    pub(super) fn run(&self, task: Task) -> std::io::Result<()> {
        let mut state = self.shared.lock();
        state.tasks.push_back(task);
        if state.idle >= state.tasks.len() {
            self.shared.changed.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        match thread::Builder::new().name("honker-job".to_owned()).spawn(move || shared.work()) {
            Ok(_) => state.threads += 1,
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                let task = state.tasks.pop_back();
                drop(state);
                drop(task);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}
