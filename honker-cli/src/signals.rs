//! SIGTERM and SIGINT, or what Windows has in their place, counted: the first one asks a command to end in good order, the second one to end at once.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use honker_core::consume::Waiter;

use crate::failure::{Failure, Result};
use crate::system::EndSignals;

/// The waiter of the moment, for the thread of the signals.
#[derive(Clone, Default)]
pub struct CurrentWaiter(Arc<Mutex<Option<Waiter>>>);

impl CurrentWaiter {
    /// Ends its wait.
    pub fn wake(&self) {
        if let Some(waiter) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            waiter.wake();
        }
    }

    /// This is the one from now on.
    pub fn set(&self, waiter: &Waiter) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(waiter.clone());
    }
}

/// How many signals have come.
#[derive(Clone, Default)]
pub struct Signals(Arc<AtomicU32>);

impl Signals {
    /// Counts from now on, in a thread that lives as long as the process; `wake` is called after each.
    pub fn watch(wake: impl Fn() + Send + 'static) -> Result<Signals> {
        let signals = Signals::default();
        let counted = signals.clone();
        let failed = |error: std::io::Error| Failure::Failed(format!("signals cannot be watched: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let guard = runtime.enter();
        let mut received = EndSignals::new().map_err(failed)?;
        drop(guard);
        std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    received.next().await;
                    counted.0.fetch_add(1, SeqCst);
                    wake();
                }
            });
        });
        Ok(signals)
    }

    /// How many have come so far.
    pub fn count(&self) -> u32 {
        self.0.load(SeqCst)
    }
}
