//! A database on a server: what the seam of honker-core asks of an engine.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use honker_core::database::{
    Connections, Host, Interrupts, Options, Rows, Server, ServerStatus, ServerTransaction, Signals, Value,
    Write,
};
use honker_core::queue::Applied;
use honker_core::watch::Subscription;
use honker_core::{Error, Result, for_each_operation};
use tokio_postgres::Client;

use crate::failure;
use crate::listening::{Listening, SQL_REGISTER, host, pid};
use crate::on::{Begin, On, int, text};
use crate::operations::{self, Schedules, Step};
use crate::pool::{Loan, Pool, Use};
use crate::reach;
use crate::schema;
use crate::sql::{self, Statement};
use crate::stop::{Call, Stop};
use crate::transaction::Transaction;
use crate::url::{Endpoint, Url};

/// How long closing waits for calls that run, and for what is written last.
const CLOSE_MAX: Duration = Duration::from_secs(5);
const LAST_MAX: Duration = Duration::from_secs(1);

/// See the module documentation.
pub(crate) struct Database(pub(crate) Arc<Shared>);

/// What a database and its transactions share.
pub(crate) struct Shared {
    pub(crate) host: Arc<Host>,
    pub(crate) pool: Arc<Pool>,
    /// None once it is closed.
    listening: Mutex<Option<Arc<Listening>>>,
    pub(crate) schedules: Schedules,
    pub(crate) begin: Begin,
    name: String,
    busy_timeout: Duration,
    transactions: Mutex<HashMap<u64, Open>>,
    last_transaction: AtomicU64,
}

/// A transaction that is open.
pub(crate) struct Open {
    stop: Arc<Stop>,
    /// Its connection, while it has it.
    loan: Arc<Mutex<Option<Loan>>>,
}

impl Database {
    /// Connects, and sees to the schema.
    pub(crate) fn open(url: Url, options: &Options, host: &Arc<Host>) -> Result<Self> {
        let Url { mut endpoint, listen, migrate, name } = url;
        let listen_to = listen.clone().unwrap_or_else(|| endpoint.clone());
        let begin = configure(&mut endpoint, options, listen.is_some());
        let pool =
            Arc::new(Pool::new(endpoint, name.clone(), options.readers_max.max(2) + 1, options.busy_timeout));
        let shared = Shared {
            host: Arc::clone(host),
            listening: Mutex::new(Some(Listening::of(&listen_to, &pool)?)),
            pool,
            schedules: Schedules::default(),
            begin,
            name,
            busy_timeout: options.busy_timeout,
            transactions: Mutex::default(),
            last_transaction: AtomicU64::new(0),
        };
        let signals = host.signals();
        let mut loan = shared.pool.borrow(Use::Operation, signals, signals.interrupts(), None)?;
        let call = Call::begin(signals, signals.interrupts(), loan.stop());
        schema::see_to(&mut loan, &call, migrate)?;
        drop(loan);
        Ok(Database(Arc::new(shared)))
    }
}

/// What holds on each connection, from its beginning on, so that RESET ALL goes back to it; and how a transaction begins. Behind a
/// pooler of transactions a setting of the session would be somebody else's, so there each transaction has it.
fn configure(endpoint: &mut Endpoint, options: &Options, is_pooled: bool) -> Begin {
    let lock_timeout = options.busy_timeout.as_millis().clamp(1, i32::MAX as u128);
    let mut sql = "BEGIN ISOLATION LEVEL READ COMMITTED".to_owned();
    if is_pooled {
        sql += &format!("; SET LOCAL honker.wake = 'collect'; SET LOCAL lock_timeout = {lock_timeout}");
    } else {
        let own = format!("-c honker.wake=collect -c lock_timeout={lock_timeout}");
        let given = endpoint.config.get_options().unwrap_or_default();
        // Who gives a setting of their own is to have it.
        let all = if given.is_empty() { own } else { format!("{own} {given}") };
        endpoint.config.options(all);
    }
    Begin { sql, is_pooled }
}

impl Shared {
    fn signals(&self) -> &Arc<Signals> {
        self.host.signals()
    }

    fn listening(&self) -> Result<Arc<Listening>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)
    }

    /// This was committed.
    pub(crate) fn tell(&self, items: Vec<String>) {
        if !items.is_empty()
            && let Ok(listening) = self.listening()
        {
            listening.tell(items);
        }
    }

    /// Runs an operation on a connection, by itself.
    fn call<T>(&self, body: impl FnOnce(&mut On<'_>) -> Result<T>) -> Result<T> {
        let signals = self.signals();
        let before = signals.interrupts();
        let loan = self.pool.borrow(Use::Operation, signals, before, None)?;
        let call = Call::begin(signals, before, loan.stop());
        self.call_on(loan, &call, body)
    }

    fn call_on<T>(
        &self,
        mut loan: Loan,
        call: &Call,
        body: impl FnOnce(&mut On<'_>) -> Result<T>,
    ) -> Result<T> {
        let (mut settling, mut woken) = (self.host.settling(), Vec::new());
        let done = body(&mut On::new(
            &mut loan,
            call,
            false,
            &self.schedules,
            &self.begin,
            &mut settling,
            &mut woken,
        ));
        if done.is_ok() {
            settling.commit();
            self.tell(std::mem::take(&mut woken));
            On::new(&mut loan, call, false, &self.schedules, &self.begin, &mut settling, &mut woken)
                .add_counts(false);
        }
        drop(loan);
        if done.as_ref().is_err_and(failure::is_lost) {
            self.pool.doubt();
        }
        done
    }

    fn read<T>(&self, body: impl FnOnce(&mut On<'_>) -> Result<T>) -> Result<T> {
        self.call(body)
    }

    fn write<T>(&self, body: impl FnOnce(&mut On<'_>) -> Result<T>) -> Result<T> {
        reach("commit.before");
        let done = self.call(body)?;
        reach("commit.after");
        Ok(done)
    }

    /// Runs a bounded operation again and again until nothing is left for it to do, a transaction each.
    fn repeat<T: Step>(&self, body: impl Fn(&mut On<'_>) -> Result<T>) -> Result<T::Answer> {
        let interrupts = Interrupts::begin(self.signals());
        let mut done: Option<T> = None;
        loop {
            let next = self.write(&body)?;
            let goes_on = next.goes_on();
            let all = match done {
                Some(done) => done.then(next),
                None => next,
            };
            if !goes_on {
                return Ok(all.answer());
            }
            done = Some(all);
            interrupts.check()?;
        }
    }

    /// What has to be written although the database is being closed, or soon.
    fn call_last<T>(&self, until: Instant, body: impl FnOnce(&mut On<'_>) -> Result<T>) -> Result<T> {
        // Signals of nobody.
        let signals = Arc::new(Signals::default());
        let loan = self.pool.borrow(Use::Operation, &signals, 0, Some(until))?;
        let call = Call::begin(&signals, 0, loan.stop()).until(until);
        self.call_on(loan, &call, body)
    }

    pub(crate) fn transactions(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.transactions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn query(&self, sql: &str, parameters: &[Value]) -> Result<Rows> {
        let statement = Statement::new(sql, parameters)?;
        let signals = self.signals();
        let before = signals.interrupts();
        let mut loan = self.pool.borrow(Use::Caller, signals, before, None)?;
        let call = Call::begin(signals, before, loan.stop());
        let answered = loan.run(&call, async |client: &Client| {
            let (_, answer, ended) = tokio::join!(
                biased;
                client.batch_execute("BEGIN READ ONLY"),
                statement.query(client),
                client.batch_execute("COMMIT"),
            );
            let answer = answer?;
            ended?;
            Ok(answer)
        });
        if answered.as_ref().is_err_and(failure::is_lost) {
            drop(loan);
            self.pool.doubt();
            return answered.and_then(|rows| statement.rows(rows));
        }
        if sql::leaves_for_good(sql) {
            loan.taint();
        } else if sql::may_leave_traces(sql) {
            loan.tidy(&call);
        }
        drop(loan);
        answered.and_then(|rows| statement.rows(rows))
    }

    fn begin(self: &Arc<Self>) -> Result<Transaction> {
        let signals = self.signals();
        let before = signals.interrupts();
        let mut loan = self.pool.borrow(Use::Caller, signals, before, None)?;
        let call = Call::begin(signals, before, loan.stop());
        let begun = loan.run(&call, async |client: &Client| client.batch_execute(&self.begin.sql).await);
        if let Err(error) = begun {
            loan.taint();
            drop(loan);
            if failure::is_lost(&error) {
                self.pool.doubt();
            }
            return Err(error);
        }
        let number = self.last_transaction.fetch_add(1, Ordering::Relaxed) + 1;
        let stop = Arc::clone(loan.stop());
        let loan = Arc::new(Mutex::new(Some(loan)));
        self.transactions().insert(number, Open { stop, loan: Arc::clone(&loan) });
        Ok(Transaction::new(self, loan, number))
    }

    fn subscribe(&self) -> Result<(Subscription, Option<String>)> {
        let interrupts = Interrupts::begin(self.signals());
        self.listening()?.subscribe(self.busy_timeout, &|| interrupts.check())
    }

    fn status(&self) -> ServerStatus {
        let (open, in_use, max) = self.pool.counts();
        ServerStatus {
            connections: Connections {
                writers: open,
                readers: open,
                readers_in_use: in_use,
                readers_max: max,
            },
            watcher: self.listening().ok().and_then(|listening| listening.status()),
            version: self.pool.version(),
        }
    }

    fn instance_id(&self) -> Option<String> {
        let interrupts = Interrupts::begin(self.signals());
        let listening = self.listening().ok()?;
        if let Err(error) = listening.hear(self.busy_timeout, &|| interrupts.check()) {
            self.host.warn(format!(
                "should this process be killed, its jobs come back only when their claims lapse: {error}"
            ));
            return None;
        }
        Some(listening.instance().to_owned())
    }

    /// The row that names this process is there before it claims.
    fn register_instance(&self) -> Result<()> {
        let listening = self.listening()?;
        if !listening.is_registered() {
            let instance = listening.instance();
            self.call(|on| on.row(SQL_REGISTER, &[text(&instance), int(&pid()), text(&host())]).map(drop))?;
            listening.set_registered();
        }
        Ok(())
    }

    fn write_last(&self, writes: &[Write], at_most: Duration) -> Result<()> {
        // It is meant for a lock on a file. A server that is busy takes longer to answer than a file does.
        let until = Instant::now() + at_most.max(LAST_MAX);
        let write = |write: &Write| {
            self.call_last(until, |on| match write {
                Write::ReleaseLock { name, owner } => operations::lock_release(on, name, owner).map(drop),
                Write::SaveOffset { consumer, topic, offset } => {
                    operations::stream_save_offset(on, consumer, topic, *offset).map(drop)
                }
            })
        };
        // One that fails leaves the others alone.
        writes.iter().map(write).fold(Ok(()), Result::and)
    }

    fn close(&self, last_writes: &[Write]) -> Result<()> {
        self.roll_all_back();
        self.pool.close(CLOSE_MAX);
        // Without them the consumers end as in a crash.
        let _ = self.write_last(last_writes, LAST_MAX);
        if self.host.has_counts() {
            let _ = self.call_last(Instant::now() + LAST_MAX, |on| {
                on.add_counts(true);
                Ok(())
            });
        }
        self.pool.close(Duration::ZERO);
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listening) = listening
            && self.host.has_jobs_in_hand_of(listening.instance())
        {
            // Handlers may be running: their process is alive until it ends.
            std::mem::forget(listening);
        }
        Ok(())
    }

    /// Rolls back what is open: calls that run in a transaction end by themselves, as the database is being closed.
    fn roll_all_back(&self) {
        let until = Instant::now() + CLOSE_MAX;
        loop {
            let open: Vec<_> = self.transactions().values().map(|open| Arc::clone(&open.loan)).collect();
            let mut is_busy = false;
            for loan in open {
                match loan.try_lock() {
                    Ok(mut loan) => drop(loan.take().map(crate::transaction::roll_back)),
                    Err(TryLockError::Poisoned(poisoned)) => drop(poisoned.into_inner().take()),
                    Err(TryLockError::WouldBlock) => is_busy = true,
                }
            }
            if !is_busy || Instant::now() > until {
                return;
            }
            self.pool.look();
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

macro_rules! engine {
    (($store:ident, $now:ident) $(
        $(#[$doc:meta])*
        $kind:ident $name:ident($($argument:ident: $type:ty),*) -> $answer:ty = $body:expr;
    )*) => {
        impl Server for Database {
            fn url(&self) -> &str {
                &self.0.name
            }

            fn query(&self, sql: &str, parameters: &[Value]) -> Result<Rows> {
                self.0.query(sql, parameters)
            }

            fn begin(&self) -> Result<Box<dyn ServerTransaction>> {
                Ok(Box::new(self.0.begin()?))
            }

            fn subscribe(&self) -> Result<(Subscription, Option<String>)> {
                self.0.subscribe()
            }

            fn status(&self) -> ServerStatus {
                self.0.status()
            }

            fn instance_id(&self) -> Option<String> {
                self.0.instance_id()
            }

            fn register_instance(&self) -> Result<()> {
                self.0.register_instance()
            }

            fn instant_of(&self, second: i64) -> Option<Instant> {
                self.0.listening().ok()?.instant_of(second)
            }

            fn interrupt(&self) {
                self.0.pool.look();
            }

            fn interrupt_transaction(&self, number: u64) {
                if let Some(open) = self.0.transactions().get(&number) {
                    open.stop.interrupt();
                }
            }

            fn write_last(&self, writes: &[Write], at_most: Duration) -> Result<()> {
                self.0.write_last(writes, at_most)
            }

            fn close(&self, last_writes: Vec<Write>) -> Result<()> {
                self.0.close(&last_writes)
            }

            fn jobs_apply(&self, filter_json: &str, action: &str) -> Result<Applied> {
                self.0.write(|on| operations::jobs_apply(on, filter_json, action))
            }

            fn notifications_prune(&self, older_than_s: Option<i64>, max_keep: Option<i64>) -> Result<i64> {
                self.0.repeat(|on| operations::notifications_prune(on, older_than_s, max_keep))
            }

            $(
                fn $name(&self, $($argument: $type),*) -> Result<$answer> {
                    self.0.$kind(|on| operations::$name(on, $($argument),*))
                }
            )*
        }

        impl ServerTransaction for Transaction {
            fn number(&self) -> u64 {
                self.number
            }

            fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64> {
                self.run_execute(sql, parameters)
            }

            fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows> {
                self.run_query(sql, parameters)
            }

            fn commit(self: Box<Self>) -> Result<()> {
                (*self).end(true)
            }

            fn rollback(self: Box<Self>) -> Result<()> {
                (*self).end(false)
            }

            fn jobs_apply(&mut self, filter_json: &str, action: &str) -> Result<Applied> {
                self.write(|on| operations::jobs_apply(on, filter_json, action))
            }

            fn notifications_prune(&mut self, older_than_s: Option<i64>, max_keep: Option<i64>) -> Result<i64> {
                self.write(|on| operations::notifications_prune(on, older_than_s, max_keep))
            }

            $(
                fn $name(&mut self, $($argument: $type),*) -> Result<$answer> {
                    self.$kind(|on| operations::$name(on, $($argument),*))
                }
            )*
        }
    };
}

for_each_operation!(engine);
