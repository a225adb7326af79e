//! Hearing of what others commit, and telling them of what is committed here: one thread and one connection for each process and
//! server, whatever number of databases is open.
//!
//! NOTIFY takes a lock of the whole database when its transaction commits, so what is committed here is told afterwards: the
//! thread sends one statement for all that was changed since its last one. The first goes at once; the next not before a rest, so
//! that a process that writes without pause is not slowed by telling of each commit. Nothing is notified if no other process listens, and the
//! rest is longer then: who begins to listen looks at everything that was committed before. Consumers of this process are told
//! at once, without that way.
//!
//! Behind it all stands a look once a second, while anybody here waits: whether anything was changed at all, by the server's
//! statistics. It finds what a process has committed that died before it told. While the connection is lost consumers look once a
//! second by themselves; when it is back, all look at everything.
//!
//! The connection also says that this process is alive: it holds a session lock under the id of the process (its *instance*),
//! which the server frees when it dies. The thread looks every five seconds whose lock is gone, and gives their jobs back.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use honker_core::database::Signals;
use honker_core::fork::PerProcess;
use honker_core::news::Change;
use honker_core::watch::{Subscription, Watcher};
use honker_core::{Error, Result};
use tokio::sync::Notify;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::alive::Alive;
use crate::failure;
use crate::on::{Parameter, gathered, get, int, text};
use crate::pool::Pool;
use crate::session::{Session, pause};
use crate::stop::{Call, Stop};
use crate::url::Endpoint;

/// How often it is looked whether anything was changed that nobody has told of.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Every so many looks it is looked who is dead.
const RESCUE_EVERY: u32 = 5;

/// How long it goes on listening when nobody waits any more.
const LINGER: Duration = Duration::from_secs(5);

/// The least time between two statements that tell, and that while nobody else listens.
const TELL_EVERY: Duration = Duration::from_millis(1);
const TELL_NOBODY_EVERY: Duration = Duration::from_millis(10);

/// How often an attempt to connect is made again.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A statement that takes longer than this is not answered any more.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What can be said in one notice.
const PAYLOAD_MAX: usize = 7_900;

/// So many items are kept while nobody can be told; more of them are everything.
const PENDING_MAX: usize = 500;

/// All that is written to the tables of which somebody may wait for a change.
const SQL_MARK: &str = "SELECT CASE WHEN current_setting('track_counts')::bool THEN
           sum(pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid)
             + pg_stat_get_tuples_deleted(c.oid))::int8 END, (date_part('epoch', clock_timestamp()) * 1000000)::int8
     FROM pg_catalog.pg_class c
     WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'honker') AND c.relkind = 'r'
       AND c.relname NOT IN ('_honker_instances', '_honker_listeners', '_honker_counters', '_honker_stream_consumers')";

// What it does itself it is told, and tells. And should this machine vanish, the server is to know it within seconds.
const SQL_SETTINGS: &str =
    "SET honker.wake = 'collect'; SET search_path = pg_catalog; SET lock_timeout = '5s'; SET tcp_keepalives_idle = 5;
     SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3";

/// The server's process behind the connection, and when it began, in microseconds.
const SQL_BACKEND: &str = "SELECT pid, (date_part('epoch', backend_start) * 1000000)::int8,
         (date_part('epoch', clock_timestamp()) * 1000000)::int8
     FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()";

const SQL_TERMINATE: &str = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
     WHERE pid = $1 AND (date_part('epoch', backend_start) * 1000000)::int8 = $2 AND pid <> pg_catalog.pg_backend_pid()";

const SQL_SEND: &str = "SELECT honker._send($1, $2)";

/// The row that names this process.
pub(crate) const SQL_REGISTER: &str = "SELECT honker._instance_register($1, $2, $3)";

type Registry = Mutex<Vec<(Endpoint, Weak<Listening>)>>;
static LISTENING: PerProcess<Registry> = PerProcess::new();

/// See the module documentation.
pub(crate) struct Listening {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    endpoint: Endpoint,
    name: String,
    watcher: Arc<Watcher>,
    /// 32 hexadecimal digits.
    instance: String,
    is_registered: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
    woken: Notify,
    signals: Arc<Signals>,
    stop: Arc<Stop>,
    alive: Arc<Alive>,
}

#[derive(Default)]
struct State {
    pending: BTreeSet<String>,
    phase: Phase,
    /// Somebody has asked to hear.
    wanted: bool,
    /// And waits for that at the moment.
    asked: bool,
    /// The server's process behind the last connection, and when it began.
    backend: Option<(i32, i64)>,
    /// A moment, and what the server's clock said then, in microseconds.
    clock: Option<(Instant, i64)>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Beginning,
    /// Connected, to tell.
    Telling,
    /// Connected, to hear as well.
    Hearing,
    /// Not connected.
    Down,
}

impl Listening {
    /// That of this process and server, which is there as long as somebody has it. The connections of `pool` lead to the same.
    pub(crate) fn of(endpoint: &Endpoint, pool: &Arc<Pool>) -> Result<Arc<Listening>> {
        let mut all = LISTENING.get().lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, listening)| listening.strong_count() > 0);
        let found = all.iter().find(|(other, _)| other == endpoint);
        if let Some(listening) = found.and_then(|(_, listening)| listening.upgrade()) {
            listening.inner.alive.add(pool);
            return Ok(listening);
        }
        let instance: String = (0..16).map(|_| format!("{:02x}", fastrand::u8(..))).collect();
        let inner = Arc::new(Inner {
            endpoint: endpoint.clone(),
            name: endpoint.name(),
            watcher: Watcher::announced_only()?,
            instance,
            is_registered: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
            woken: Notify::new(),
            signals: Arc::default(),
            stop: Arc::default(),
            alive: Arc::default(),
        });
        inner.alive.add(pool);
        let listening = Arc::new(Listening { inner, thread: Mutex::default() });
        all.push((endpoint.clone(), Arc::downgrade(&listening)));
        Ok(listening)
    }

    /// The id of this process at this server.
    pub(crate) fn instance(&self) -> &str {
        &self.inner.instance
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.inner.is_registered.load(Ordering::Acquire)
    }

    pub(crate) fn set_registered(&self) {
        self.inner.is_registered.store(true, Ordering::Release);
        self.inner.see_to_being_seen();
        self.inner.woken.notify_one();
    }

    /// When this second of the server's clock begins, if that is known.
    pub(crate) fn instant_of(&self, second: i64) -> Option<Instant> {
        let (then, micros) = self.inner.lock().clock?;
        let left = second.checked_mul(1_000_000)?.checked_sub(micros)?;
        match u64::try_from(left) {
            // A little later: what is asked at its first microsecond may be answered by the second before.
            Ok(left) => then.checked_add(Duration::from_micros(left) + Duration::from_micros(500)),
            Err(_) => then.checked_sub(Duration::from_micros(left.unsigned_abs())).or(Some(then)),
        }
    }

    /// How commits are noticed; none before somebody wants to hear.
    pub(crate) fn status(&self) -> Option<honker_core::watch::Status> {
        self.inner.lock().wanted.then(|| self.inner.watcher.status())
    }

    /// A subscription. What is committed after this returned wakes it. `check` ends the wait for the connection.
    pub(crate) fn subscribe(
        &self,
        at_most: Duration,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<(Subscription, Option<String>)> {
        // That somebody waits makes the thread listen; having begun, it announces whatever was committed before. Who subscribes now
        // is not to be woken by that.
        let waits = self.inner.watcher.subscribe()?;
        self.hear(at_most, check)?;
        let subscription = self.inner.watcher.subscribe()?;
        drop(waits);
        Ok((subscription, self.inner.watcher.take_warning()))
    }

    /// Sees to it that the connection is there, or has been tried: without it consumers look by themselves.
    pub(crate) fn hear(&self, at_most: Duration, check: &dyn Fn() -> Result<()>) -> Result<()> {
        let until = Instant::now() + at_most;
        {
            let mut state = self.inner.lock();
            (state.wanted, state.asked) = (true, true);
        }
        self.start()?;
        self.inner.woken.notify_one();
        let mut state = self.inner.lock();
        while !matches!(state.phase, Phase::Hearing | Phase::Down) && Instant::now() < until {
            check()?;
            let slice = Duration::from_millis(50);
            state = self.inner.changed.wait_timeout(state, slice).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// This was committed here.
    pub(crate) fn tell(&self, items: Vec<String>) {
        if items.is_empty() {
            return;
        }
        self.inner.watcher.announce_changes(items.iter().map(|item| change(item)).collect());
        let mut state = self.inner.lock();
        // Otherwise the thread knows that there is something, and waits for its time.
        let is_first = state.pending.is_empty();
        if state.pending.len() + items.len() > PENDING_MAX {
            state.pending.clear();
            state.pending.insert("*".to_owned());
        } else {
            state.pending.extend(items);
        }
        drop(state);
        // Should there be no thread, the others look once a second.
        let _ = self.start();
        if is_first {
            self.inner.woken.notify_one();
        }
    }

    fn start(&self) -> Result<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_some() {
            return Ok(());
        }
        let inner = Arc::clone(&self.inner);
        let spawned = std::thread::Builder::new().name("honker-listen".to_owned()).spawn(move || {
            honker_core::watch::block_signals();
            inner.run();
        });
        *thread =
            Some(spawned.map_err(|error| Error::System(format!("a thread cannot be had: {error}").into()))?);
        Ok(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if !self.inner.watcher.is_alive() {
            // A forked child has no such thread.
            return;
        }
        self.inner.signals.close();
        self.inner.alive.close();
        self.inner.stop.look.notify_one();
        self.inner.woken.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// What an item of a notice says.
fn change(item: &str) -> Change {
    match item.split_once(':') {
        Some(("q", queue)) => Change::Queue(queue.to_owned()),
        Some(("w", worker)) => Change::Worker(worker.to_owned()),
        Some(("t", topic)) => Change::Topic(topic.to_owned()),
        Some(("c", channel)) => Change::Channel(channel.to_owned()),
        Some(("r", job)) => job.parse().map_or(Change::Anything, Change::Result),
        Some(("s", _)) => Change::Schedules,
        _ => Change::Anything,
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_phase(&self, phase: Phase) {
        self.lock().phase = phase;
        self.watcher.set_unreadable(phase == Phase::Down);
        self.changed.notify_all();
        self.see_to_being_seen();
    }

    /// Whoever has work says that he is alive, by the lock or else from time to time.
    fn see_to_being_seen(&self) {
        let is_lost = self.is_registered.load(Ordering::Acquire) && self.lock().phase != Phase::Hearing;
        self.alive.set_lost(&self.instance, is_lost && !self.signals.is_closed());
    }

    /// A call of the thread's own.
    fn call(&self) -> Call {
        Call::begin(&self.signals, 0, &self.stop).until(Instant::now() + ANSWER_MAX)
    }

    fn run(&self) {
        let mut backoff = BACKOFF_MIN;
        while !self.signals.is_closed() {
            let started = Instant::now();
            let served = Session::connect(&self.endpoint, &self.name, &self.stop, &self.call())
                .and_then(|session| Serving::begin(self, session))
                .and_then(Serving::run);
            let Err(error) = served else { return };
            if self.signals.is_closed() {
                return;
            }
            self.set_phase(Phase::Down);
            self.watcher
                .warn(format!("changes that others make are noticed by looking once a second: {error}"));
            if started.elapsed() > BACKOFF_MAX {
                backoff = BACKOFF_MIN;
            }
            // What was said while nobody heard is looked for.
            self.watcher.announce_changes(vec![Change::Anything]);
            self.rest(backoff.mul_f64(0.5 + fastrand::f64() / 2.0));
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Waits before the next attempt; consumers go on looking.
    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.signals.is_closed() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            pause(&self.woken, left.min(LOOK_EVERY));
            if until > Instant::now() && left > LOOK_EVERY {
                self.watcher.announce_changes(vec![Change::Anything]);
            }
        }
    }
}

/// A connection that works.
struct Serving<'a> {
    inner: &'a Inner,
    session: Session,
    /// Of the server's process behind it: what it says itself it need not hear.
    backend: i32,
    is_hearing: bool,
    look_at: Instant,
    looks: u32,
    /// Not before then does it tell again.
    tell_at: Instant,
    mark: Option<i64>,
    /// When somebody last waited.
    needed_at: Instant,
}

impl<'a> Serving<'a> {
    fn begin(inner: &'a Inner, session: Session) -> Result<Self> {
        let now = Instant::now();
        let mut serving = Serving {
            inner,
            session,
            backend: 0,
            is_hearing: false,
            look_at: now + LOOK_EVERY,
            looks: 0,
            tell_at: now,
            mark: None,
            needed_at: now,
        };
        serving.execute(SQL_SETTINGS)?;
        let asked = Instant::now();
        let rows = serving.ask(SQL_BACKEND, &[])?;
        let (backend, since): (i32, i64) = match rows.first() {
            Some(row) => {
                serving.note_clock(asked, get(row, 2)?);
                (get(row, 0)?, get(row, 1)?)
            }
            None => (0, 0),
        };
        serving.backend = backend;
        let before = serving.inner.lock().backend.replace((backend, since));
        // The server may not know yet that the connection before this one is lost, and it holds the lock.
        if let Some((backend, since)) = before {
            serving.ask(SQL_TERMINATE, &[(&backend, Type::INT4), int(&since)])?;
        }
        serving.inner.set_phase(Phase::Telling);
        Ok(serving)
    }

    /// The server's clock said this between then and now.
    fn note_clock(&self, asked: Instant, micros: i64) {
        self.inner.lock().clock = Some((asked + asked.elapsed() / 2, micros));
    }

    fn ask(&mut self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<tokio_postgres::Row>> {
        let call = self.inner.call();
        self.session.run(&call, async |client: &Client| client.query_typed(sql, parameters).await)
    }

    fn execute(&mut self, sql: &str) -> Result<()> {
        let call = self.inner.call();
        self.session.run(&call, async |client: &Client| client.batch_execute(sql).await)
    }

    /// Until the database is closed; an error if the connection is lost.
    fn run(mut self) -> Result<()> {
        loop {
            if self.inner.signals.is_closed() {
                self.end();
                return Ok(());
            }
            self.see_to_hearing()?;
            self.hear()?;
            self.tell()?;
            self.look()?;
            let mut until =
                if self.is_hearing { self.look_at } else { Instant::now() + Duration::from_secs(60) };
            if !self.inner.lock().pending.is_empty() {
                until = until.min(self.tell_at);
            }
            self.session.wait(until, &self.inner.woken)?;
        }
    }

    /// Begins to listen once somebody wants to hear, and ends when for a while nobody has.
    fn see_to_hearing(&mut self) -> Result<()> {
        let is_registered = self.inner.is_registered.load(Ordering::Acquire);
        let is_asked = std::mem::take(&mut self.inner.lock().asked);
        let is_needed = is_asked || is_registered || self.inner.watcher.subscriptions() > 0;
        if is_needed {
            self.needed_at = Instant::now();
        }
        if is_needed && !self.is_hearing {
            self.execute("LISTEN honker")?;
            self.ask("SELECT honker._listen($1)", &[text(&self.inner.instance)])?;
            if is_registered {
                // Others may have taken this process for dead while the connection was lost.
                self.ask(SQL_REGISTER, &[text(&self.inner.instance), int(&pid()), text(&host())])?;
            }
            self.is_hearing = true;
            // Whatever was committed before.
            self.inner.watcher.announce_changes(vec![Change::Anything]);
            self.inner.set_phase(Phase::Hearing);
            self.mark = None;
        } else if self.is_hearing && self.needed_at.elapsed() > LINGER {
            self.inner.set_phase(Phase::Telling);
            self.is_hearing = false;
            self.execute("UNLISTEN honker")?;
            self.ask("SELECT honker._unlisten($1)", &[text(&self.inner.instance)])?;
        }
        Ok(())
    }

    fn hear(&mut self) -> Result<()> {
        let heard = self.session.take_notifications();
        let mut items: BTreeSet<String> = BTreeSet::new();
        for notification in heard {
            if notification.process_id() == self.backend {
                continue;
            }
            match serde_json::from_str::<Vec<String>>(notification.payload()) {
                Ok(said) => items.extend(said),
                Err(_) => drop(items.insert("*".to_owned())),
            }
        }
        if !items.is_empty() {
            self.inner.watcher.announce_changes(items.iter().map(|item| change(item)).collect());
        }
        Ok(())
    }

    /// Says what was committed here since it last did, unless that was only just.
    fn tell(&mut self) -> Result<()> {
        if self.tell_at > Instant::now() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.inner.lock().pending);
        if pending.is_empty() {
            return Ok(());
        }
        let mut payload = serde_json::to_string(&pending).unwrap_or_default();
        if payload.len() > PAYLOAD_MAX || pending.contains("*") {
            payload = r#"["*"]"#.to_owned();
        }
        match self.send(&payload) {
            Ok(is_heard) => {
                self.tell_at = Instant::now() + if is_heard { TELL_EVERY } else { TELL_NOBODY_EVERY };
                Ok(())
            }
            Err(error) => {
                self.inner.lock().pending.extend(pending);
                Err(error)
            }
        }
    }

    /// Whether anybody else listens.
    fn send(&mut self, payload: &str) -> Result<bool> {
        let call = self.inner.call();
        let parameters = [text(&payload), text(&self.inner.instance)];
        let statement = self.session.prepare(&call, SQL_SEND, &parameters)?;
        let rows = self.session.run(&call, async |client: &Client| statement.query(client).await)?;
        rows.first().map_or(Ok(false), |row| get(row, 0))
    }

    /// Looks whether anything was changed that nobody has told of, and who is dead.
    fn look(&mut self) -> Result<()> {
        if !self.is_hearing || self.look_at > Instant::now() {
            return Ok(());
        }
        self.look_at = Instant::now() + LOOK_EVERY.mul_f64(0.9 + fastrand::f64() / 5.0);
        self.looks += 1;
        if self.looks.is_multiple_of(RESCUE_EVERY) && self.inner.is_registered.load(Ordering::Acquire) {
            return match self.rescue() {
                // A row that cannot be given back is no reason to stop listening.
                Err(error) if !failure::is_lost(&error) => {
                    self.inner
                        .watcher
                        .warn(format!("jobs of processes that are dead cannot be given back: {error}"));
                    Ok(())
                }
                done => done,
            };
        }
        if self.inner.watcher.subscriptions() == 0 {
            return Ok(());
        }
        self.inner.watcher.count_look();
        let asked = Instant::now();
        let rows = self.ask(SQL_MARK, &[])?;
        let mark = rows.first().map_or(Ok(None), |row| get::<Option<i64>>(row, 0))?;
        if let Some(row) = rows.first() {
            self.note_clock(asked, get(row, 1)?);
        }
        // None if the server keeps no statistics: then anything may be.
        if mark.is_none() || self.mark.is_some() && self.mark != mark {
            self.inner.watcher.announce_changes(vec![Change::Anything]);
        }
        self.mark = mark;
        Ok(())
    }

    fn rescue(&mut self) -> Result<()> {
        let dead = self.ask("SELECT id FROM honker._instances_look()", &[])?;
        for row in &dead {
            let id: String = get(row, 0)?;
            loop {
                let rows = self.ask(
                    "SELECT rescued, is_all, pg_catalog.current_setting('honker.woken', true) AS woken FROM honker._rescue($1)",
                    &[text(&id)],
                )?;
                let Some(row) = rows.first() else { break };
                if let Some(items) = get::<Option<&str>>(row, 2)? {
                    let mut items = gathered(items).unwrap_or_default();
                    // They are counted already.
                    items.retain(|item| !item.starts_with("n:"));
                    self.inner.watcher.announce_changes(items.iter().map(|item| change(item)).collect());
                    self.inner.lock().pending.extend(items);
                }
                let rescued: i64 = get(row, 0)?;
                if get(row, 1)? || rescued == 0 {
                    break;
                }
            }
        }
        self.tell()
    }

    /// The database is closed: what is left is said, and the lock given up with the connection.
    fn end(mut self) {
        let call = self.inner.call().uninterrupted().until(Instant::now() + Duration::from_secs(1));
        let pending = std::mem::take(&mut self.inner.lock().pending);
        let payload = serde_json::to_string(&pending).unwrap_or_default();
        let instance = &self.inner.instance;
        let is_hearing = self.is_hearing;
        let _ = self.session.run(&call, async |client: &Client| {
            if !pending.is_empty() {
                client.query_typed(SQL_SEND, &[text(&payload), text(instance)]).await?;
            }
            if is_hearing {
                client.query_typed("SELECT honker._unlisten($1)", &[text(instance)]).await?;
            }
            Ok(())
        });
    }
}

/// The number of this process, for people who look at who is there.
pub(crate) fn pid() -> i64 {
    i64::from(std::process::id())
}

/// The name of this machine.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).or_else(|| std::env::var("COMPUTERNAME").ok());
    name.map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}
