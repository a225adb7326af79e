//! The state of the file, for all who look, as server-sent events.
//!
//! One thread reads it after a commit, or when the time comes that something is due, makes one frame, and leaves it for all. It asks the
//! file nothing while nobody looks. Every client takes the newest frame whenever its connection takes one: a slow one skips some,
//! and costs nothing but its connection.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use honker_core::consume::{Updates, Waiter};
use honker_core::database::Database;
use tokio::sync::watch;

use super::api::ids_as_text;
use super::current::Current;
use super::{Refusal, Shared};
use crate::failure::Result;
use crate::{moment, overview};

/// At most so many frames in a second, and a tenth of a core.
const EVERY_MIN: Duration = Duration::from_millis(100);
const SHARE: u32 = 9;

/// A file that cannot be read is read again after this.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// What keeps connections alive through proxies, and finds out those that are gone.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// All clients together get at most so many bytes a second: with thousands of queues a frame is large.
const BYTES_PER_S: f64 = 50e6;

/// See the module documentation.
pub struct Events {
    frames: watch::Sender<Option<Bytes>>,
    stopped: watch::Receiver<bool>,
    clients_max: usize,
    shared: Arc<LookedAt>,
}

/// Whether anybody looks.
#[derive(Default)]
struct LookedAt {
    state: Mutex<Audience>,
    changed: Condvar,
}

#[derive(Default)]
struct Audience {
    clients: usize,
    is_stopped: bool,
    /// What the thread waits on.
    waiter: Option<Waiter>,
}

/// A client, while it looks.
struct Client(Arc<LookedAt>);

impl Events {
    /// Starts the thread.
    pub fn start(current: Arc<Current>, clients_max: usize, stopped: watch::Receiver<bool>) -> Result<Self> {
        // What cannot be watched now is an error at once.
        let waiter = Waiter::new(&current.get())?;
        let (frames, _) = watch::channel(None);
        let shared = Arc::new(LookedAt::default());
        let events = Events { frames: frames.clone(), stopped, clients_max, shared: Arc::clone(&shared) };
        std::thread::spawn(move || produce(&current, waiter, &frames, &shared));
        Ok(events)
    }

    /// Ends it.
    pub fn stop(&self) {
        let mut state = self.shared.lock();
        state.is_stopped = true;
        if let Some(waiter) = &state.waiter {
            waiter.close();
        }
        self.shared.changed.notify_all();
    }

    fn enter(&self) -> Option<Client> {
        let mut state = self.shared.lock();
        if state.clients >= self.clients_max {
            return None;
        }
        state.clients += 1;
        self.shared.changed.notify_all();
        Some(Client(Arc::clone(&self.shared)))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.lock().clients -= 1;
    }
}

impl LookedAt {
    fn lock(&self) -> MutexGuard<'_, Audience> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until somebody looks; whether to go on at all.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        while state.clients == 0 && !state.is_stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.is_stopped
    }

    fn clients(&self) -> usize {
        self.lock().clients
    }
}

/// Produces until it is stopped, from whatever file has the name.
fn produce(
    current: &Current,
    mut waiter: Waiter,
    frames: &watch::Sender<Option<Bytes>>,
    looked_at: &LookedAt,
) {
    loop {
        looked_at.lock().waiter = Some(waiter.clone());
        produce_of(current, &waiter, frames, looked_at);
        loop {
            if looked_at.lock().is_stopped {
                return;
            }
            match current.with(|database| Ok(Waiter::new(database)?)) {
                Ok(new) => {
                    waiter = new;
                    break;
                }
                Err(_) => std::thread::sleep(AFTER_ERROR),
            }
        }
    }
}

/// Produces until it is stopped, or the file is replaced.
fn produce_of(
    current: &Current,
    waiter: &Waiter,
    frames: &watch::Sender<Option<Bytes>>,
    looked_at: &LookedAt,
) {
    // Before the first look: what is committed after it is not missed.
    let mut updates = Updates::on(waiter, 0);
    let mut last = None;
    loop {
        if looked_at.clients() == 0 {
            // Whoever comes next is not shown what was.
            frames.send_replace(None);
            last = None;
        }
        if !looked_at.wait() {
            return;
        }
        let started = Instant::now();
        let mut sending = Duration::ZERO;
        let next_at = match current.with(frame) {
            Ok((frame, next_at)) => {
                if last.as_ref() != Some(&frame.1) {
                    last = Some(frame.1);
                    let bytes = (frame.0.len() * looked_at.clients()) as f64;
                    sending = Duration::from_secs_f64(bytes / BYTES_PER_S);
                    frames.send_replace(Some(frame.0));
                }
                next_at.map(|at| Duration::from_secs(at.saturating_sub(moment::now()).max(0).cast_unsigned()))
            }
            Err(error) => {
                let said = serde_json::json!({ "error": error.to_string() });
                frames.send_replace(Some(Bytes::from(format!("event: trouble\ndata: {said}\n\n"))));
                last = None;
                Some(AFTER_ERROR)
            }
        };
        let took = started.elapsed();
        std::thread::sleep(EVERY_MIN.max(took * SHARE).max(sending).saturating_sub(took));
        // While nobody looks there is nothing to do after a commit.
        if looked_at.clients() == 0 {
            continue;
        }
        match updates.next(next_at.map(|next| next.max(EVERY_MIN))) {
            Ok(_) => {}
            Err(honker_core::Error::Closed | honker_core::Error::Watcher(_)) => return,
            Err(_) => std::thread::sleep(AFTER_ERROR),
        }
    }
}

/// A frame, what of it differs from others but for the time, and when the next one will differ without a commit.
fn frame(database: &Database) -> Result<((Bytes, String), Option<i64>)> {
    let overview = overview::read(database)?;
    let next_at = overview.next_at;
    let mut value = serde_json::to_value(&overview).unwrap_or_default();
    ids_as_text(&mut value);
    // It is one line: JSON has no line breaks in its texts.
    let frame = Bytes::from(format!("event: state\ndata: {value}\n\n"));
    value["now"] = serde_json::Value::Null;
    Ok(((frame, value.to_string()), next_at))
}

/// `GET /api/events`.
pub async fn stream(State(site): State<Shared>) -> std::result::Result<Response, Refusal> {
    let client = site.events.enter().ok_or_else(|| Refusal(503, "too many look already".to_owned()))?;
    let mut frames = site.events.frames.subscribe();
    // What is there is sent at once.
    frames.mark_changed();
    let state = (client, frames, site.events.stopped.clone());
    let events = stream::unfold(state, |(client, mut frames, mut stopped)| async move {
        loop {
            // `None`: nothing has changed for long.
            let changed = tokio::select! {
                changed = frames.changed() => Some(changed.is_ok()),
                () = tokio::time::sleep(KEEP_ALIVE) => None,
                _ = stopped.wait_for(|stopped| *stopped) => Some(false),
            };
            let bytes = match changed {
                Some(true) => frames.borrow_and_update().clone(),
                Some(false) => return None,
                None => Some(Bytes::from_static(b": here\n\n")),
            };
            if let Some(bytes) = bytes {
                return Some((Ok::<_, std::convert::Infallible>(bytes), (client, frames, stopped)));
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}
