//! Random programs, run by this engine on a server and by the model of honker side by side: every answer and all rows must agree.
//! They are the programs that honker-model runs on files: with savepoints that are rolled back, unique keys, limits, and a clock
//! that goes back.
//!
//! The programs of a few random seeds, which are printed; many with HONKER_TEST_LONG. `HONKER_MODEL_SEED` sets the seed of the first
//! program, `HONKER_MODEL_PROGRAMS` how many there are.

use std::panic::{AssertUnwindSafe, catch_unwind};

use honker_core::Result;
use honker_core::database::{Database, Transaction, Value};
use honker_core::queue::{self, Claim, EnqueueStatus, Requeued};
use honker_core::schedule::Expression;
use honker_model::tables::{self, Row, row};
use honker_model::{Answer, Cell, Model, Operation, Program};
use postgres::Client;

use crate::support::Server;
use crate::translation::*;

/// After so many operations all tables are compared, and at the end.
const OPERATIONS_BETWEEN_DUMPS: usize = 8;

/// Of jobs that are due, lapse or expire in the same second a transaction that cannot move all moves some: here it is not said which.
const TIMES_MAX: usize = 200;

#[test]
fn random_programs_do_what_the_model_does() {
    let Some(server) = Server::new() else { return };
    let number = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().expect(name));
    let first = number("HONKER_MODEL_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    let is_long = std::env::var_os("HONKER_TEST_LONG").is_some();
    let programs = number("HONKER_MODEL_PROGRAMS").unwrap_or(if is_long { 300 } else { 6 });
    println!("a sample of the programs: HONKER_MODEL_SEED={first}");
    let mut subject = Subject::new(&server);
    let mut operations = 0;
    for seed in first..first + programs {
        let mut program = Program::random(seed, 150 + seed as usize % 101);
        for operation in &mut program.operations {
            if let Operation::EnqueueMany { times, .. } = operation {
                *times = (*times).min(TIMES_MAX);
            }
        }
        operations += program.operations.len();
        if let Err(mismatch) = subject.run(&program) {
            let shrinking = std::cell::RefCell::new(&mut subject);
            let smallest = program.shrink(|program| shrinking.borrow_mut().run(program).is_err());
            let mismatch = subject.run(&smallest).err().unwrap_or(mismatch);
            panic!(
                "the engine and the model disagree.\n\n{smallest:?}\n{mismatch}\n\n\
                 Again: HONKER_MODEL_SEED={seed} HONKER_MODEL_PROGRAMS=1 honker-postgres/tests/with-cluster \
                 cargo test -p honker-postgres --test engine model\n"
            );
        }
    }
    println!("{programs} programs, {operations} operations");
}

/// The engine.
struct Subject {
    database: Database,
    /// By which the clock is set, beside all transactions.
    admin: Client,
    /// What is open, and how many savepoints there are, the transaction itself being one.
    transaction: Option<Transaction>,
    depth: usize,
    /// Whether an id may have been taken from a sequence that was then not used, as it is when a transaction is rolled back. On a file,
    /// and in the model, it is given again.
    has_gaps: bool,
}

/// Calls a method in the open transaction, or else of the database, where it is a transaction of its own.
macro_rules! call {
    ($self:ident.$method:ident($($argument:expr),* $(,)?)) => {
        match &mut $self.transaction {
            Some(transaction) => transaction.$method($($argument),*),
            None => $self.database.$method($($argument),*),
        }
    };
}

/// The same for those methods of the database that are several transactions: one of them.
macro_rules! step {
    ($self:ident.$method:ident($($argument:expr),* $(,)?)) => {
        $self.within(|transaction| transaction.$method($($argument),*))
    };
}

impl Subject {
    fn new(server: &Server) -> Self {
        let mut admin = server.client();
        admin.batch_execute(honker_postgres::TEST_CLOCK_SQL).unwrap();
        admin.batch_execute("INSERT INTO honker._test_clock (at) VALUES (0)").unwrap();
        Subject { database: server.open(), admin, transaction: None, depth: 0, has_gaps: false }
    }

    /// Everything as it is in a file that was made just now.
    fn clear(&mut self) {
        self.depth = 0;
        if let Some(open) = self.transaction.take() {
            open.rollback().unwrap();
        }
        let clear = "DO $$
            DECLARE the_table text;
            BEGIN
              FOR the_table IN
                SELECT tablename FROM pg_tables WHERE schemaname = 'honker' AND tablename NOT IN ('_honker_schema', '_test_clock')
              LOOP
                EXECUTE format('DELETE FROM honker.%I', the_table);
              END LOOP;
            END $$";
        self.admin.batch_execute(clear).unwrap();
        self.has_gaps = true;
    }

    /// The next ids are those of the model.
    fn close_gaps(&mut self, model: &Model) {
        if std::mem::take(&mut self.has_gaps) {
            let last = [
                ("_honker_live", "id", model.state.queue.last_id),
                ("_honker_stream", "offset", model.state.stream.last_offset),
                ("_honker_notifications", "id", model.state.notify.last_id),
            ];
            let set = last.map(|(table, column, last)| {
                let sequence = format!("pg_get_serial_sequence('honker.{table}', '{column}')");
                format!("setval({sequence}, {}, {})", last.max(1), last > 0)
            });
            self.admin.batch_execute(&format!("SELECT {}", set.join(", "))).unwrap();
        }
    }

    fn set_clock(&mut self, now: i64) {
        self.admin.execute("UPDATE honker._test_clock SET at = $1", &[&now]).unwrap();
    }

    /// Runs a program; the error tells the first difference.
    fn run(&mut self, program: &Program) -> std::result::Result<(), String> {
        self.clear();
        let mut model = Model::new(program.start);
        self.set_clock(model.now);
        for (step, operation) in program.operations.iter().enumerate() {
            let at = |difference: String| format!("operation {step}, {operation:?}:\n{difference}");
            self.close_gaps(&model);
            let expected = model.apply(operation);
            let now = model.now;
            let got = catch_unwind(AssertUnwindSafe(|| self.apply(now, operation)))
                .map_err(|_| at("the engine panicked".to_owned()))?;
            self.has_gaps |=
                got.is_err() || matches!(operation, Operation::RollBack | Operation::EnqueueUnique { .. });
            agree(&expected, &got).map_err(at)?;
            if step % OPERATIONS_BETWEEN_DUMPS == 0 {
                self.compare_tables(&model).map_err(at)?;
            }
        }
        self.compare_tables(&model).map_err(|difference| format!("at the end:\n{difference}"))?;
        if let Some(open) = self.transaction.take() {
            open.commit().map_err(|error| format!("the commit: {error:?}"))?;
        }
        self.compare_tables(&model).map_err(|difference| format!("after the commit:\n{difference}"))
    }

    fn compare_tables(&mut self, model: &Model) -> std::result::Result<(), String> {
        for ((table, key), expected) in tables::TABLES.into_iter().zip(tables::dump(&model.state)) {
            // A reserved word here.
            let key = key.replace("offset", "\"offset\"");
            let got = self.rows(&format!("SELECT * FROM honker.{table} ORDER BY {key}"));
            if let Some((expected, got)) = first_difference(&expected, &got) {
                return Err(format!("  {table} in the model {expected:?}\n  {table} on the server {got:?}"));
            }
        }
        Ok(())
    }

    fn rows(&mut self, sql: &str) -> Vec<Row> {
        let cell = |value| match value {
            Value::Null => Cell::Null,
            Value::Integer(value) => value.into(),
            Value::Text(value) => value.into(),
            other => panic!("no such value belongs here: {other:?}"),
        };
        let rows = call!(self.query(sql, &[])).unwrap().rows;
        rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect()
    }

    /// In the open transaction, or in one for this.
    fn within<T>(&mut self, body: impl FnOnce(&mut Transaction) -> Result<T>) -> Result<T> {
        if let Some(open) = &mut self.transaction {
            return body(open);
        }
        let mut transaction = self.database.begin()?;
        match body(&mut transaction) {
            Ok(done) => transaction.commit().map(|()| done),
            Err(error) => transaction.rollback().and(Err(error)),
        }
    }

    /// Somebody's own statement; whether it changed anything.
    fn raw(&mut self, sql: &str, parameters: &[Value]) -> Result<Answer> {
        self.within(|transaction| transaction.execute(sql, parameters)).map(|count| (count > 0).into())
    }

    /// Opens a savepoint; the first one is the transaction.
    fn open_savepoint(&mut self) -> Result<()> {
        match &mut self.transaction {
            Some(transaction) => transaction.execute("SAVEPOINT model", &[]).map(drop)?,
            None => self.transaction = Some(self.database.begin()?),
        }
        self.depth += 1;
        Ok(())
    }

    /// Ends the last savepoint, if there is one.
    fn close_savepoint(&mut self, keeps: bool) -> Result<()> {
        self.depth = match self.depth {
            0 => return Ok(()),
            depth => depth - 1,
        };
        match self.transaction.take() {
            Some(transaction) if self.depth == 0 => {
                if keeps {
                    transaction.commit()
                } else {
                    transaction.rollback()
                }
            }
            Some(mut transaction) => {
                if !keeps {
                    transaction.execute("ROLLBACK TO SAVEPOINT model", &[])?;
                }
                transaction.execute("RELEASE SAVEPOINT model", &[])?;
                self.transaction = Some(transaction);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn apply(&mut self, now: i64, operation: &Operation) -> Result<Answer> {
        use Operation::*;
        Ok(match operation {
            Clock { .. } => {
                self.set_clock(now);
                Answer::Done
            }
            Savepoint => self.open_savepoint()?.into(),
            RollBack => self.close_savepoint(false)?.into(),
            Release => self.close_savepoint(true)?.into(),
            Bootstrap => {
                self.within(|it| it.query("SELECT honker.honker_bootstrap()", &[])).map(drop)?.into()
            }

            RawInsert { queue, payload } => {
                // The defaults of the two times are the server's clock, which is that of the program.
                let sql = "INSERT INTO honker._honker_live (queue, payload) VALUES (?, ?) RETURNING id";
                let rows = self.within(|it| it.query(sql, &[(*queue).into(), (*payload).into()]))?.rows;
                let Value::Integer(id) = rows[0][0] else { panic!("{rows:?}") };
                id.into()
            }
            RawBudget { id, max_attempts } => self.raw(
                "UPDATE honker._honker_live SET max_attempts = ?2 WHERE id = ?1",
                &[(*id).into(), (*max_attempts).into()],
            )?,
            RawRevive { id } => self.raw(
                "INSERT INTO honker._honker_live (id, queue, payload)
                 SELECT id, queue, payload FROM honker._honker_dead WHERE id = ?1 ON CONFLICT DO NOTHING",
                &[(*id).into()],
            )?,
            RawExpression { name, expression } => self.raw(
                "UPDATE honker._honker_scheduler_tasks SET cron_expr = ?2 WHERE name = ?1",
                &[(*name).into(), (*expression).into()],
            )?,

            EnqueueUnique { job, unique } => {
                let done = call!(self.enqueue(&to_unique(job, unique)))?;
                let status = match done.status {
                    EnqueueStatus::Enqueued => "enqueued",
                    EnqueueStatus::Exists => "exists",
                    EnqueueStatus::Replaced => "replaced",
                };
                vec![row![done.id, status]].into()
            }
            Enqueue(job) => call!(self.enqueue(&to_enqueue(job)))?.id.into(),
            EnqueueMany { jobs, times } => {
                let jobs: Vec<_> = jobs.repeat(*times).iter().map(to_enqueue).collect();
                let enqueued = call!(self.enqueue_many(&jobs))?;
                enqueued.iter().map(|enqueued| enqueued.id).collect::<Vec<_>>().into()
            }
            Configure { queue, setting } => {
                call!(self.queue_configure(queue, &settings_json(*setting)))?;
                Answer::Done
            }
            Claim { queue, worker_id, n, timeout_s } => {
                let claim = self::Claim { queue, worker_id, n: *n, timeout_s: *timeout_s };
                rows(step!(self.claim(&claim))?, claimed_row)
            }
            Ack { id, worker_id } => call!(self.ack(*id, worker_id))?.into(),
            AckBatch { ids, worker_id } => call!(self.ack_batch(ids, worker_id))?.into(),
            AckBatchMalformed { ids_json, worker_id } => {
                call!(self.ack_batch(&queue::parse_ids(ids_json)?, worker_id))?.into()
            }
            Retry { id, worker_id, delay_s, error } => {
                call!(self.retry(*id, worker_id, *delay_s, error))?.into()
            }
            Fail { id, worker_id, error } => call!(self.fail(*id, worker_id, error))?.into(),
            Heartbeat { id, worker_id, extend_s } => call!(self.heartbeat(*id, worker_id, *extend_s))?.into(),
            Cancel { id } => call!(self.cancel(*id))?.into(),
            GetJob { id } => rows(call!(self.get_job(*id))?, job_row),
            SweepExpired { queue } => step!(self.sweep_expired(queue))?.into(),
            NextClaimAt { queue } => call!(self.queue_next_claim_at(queue))?.into(),
            Stats { queue } => rows([call!(self.queue_stats(queue))?], stats_row),
            StatsAll => rows(call!(self.queue_stats_all())?, stats_row),
            DeadList { queue, limit } => rows(call!(self.dead_list(*queue, *limit))?, dead_row),
            DeadRequeue { id } => (call!(self.dead_requeue(*id))? == Requeued::Requeued).into(),
            DeadPurge { queue, older_than_s } => step!(self.dead_purge(*queue, *older_than_s))?.into(),

            Publish { topic, key, payload } => call!(self.stream_publish(topic, *key, payload))?.into(),
            ReadSince { topic, offset, limit } => {
                rows(call!(self.stream_read_since(topic, *offset, *limit))?, event_row)
            }
            SaveOffset { consumer, topic, offset } => {
                call!(self.stream_save_offset(consumer, topic, *offset))?.into()
            }
            GetOffset { consumer, topic } => call!(self.stream_get_offset(consumer, topic))?.into(),

            Notify { channel, payload } => call!(self.notify(channel, payload))?.into(),
            Prune { older_than_s, max_keep } => {
                step!(self.notifications_prune(*older_than_s, *max_keep))?.into()
            }

            StepSave { id, worker_id, name, value } => {
                call!(self.step_save(*id, worker_id, name, value))?.into()
            }
            StepGet { id, name } => call!(self.step_get(*id, name))?.into(),

            ResultSave { job_id, value, ttl_s } => call!(self.result_save(*job_id, value, *ttl_s))?.into(),
            ResultGet { job_id } => call!(self.result_get(*job_id))?.into(),
            ResultSweep => step!(self.result_sweep())?.into(),

            LockAcquire { name, owner, ttl_s } => call!(self.lock_acquire(name, owner, *ttl_s))?.into(),
            LockRenew { name, owner, ttl_s } => call!(self.lock_renew(name, owner, *ttl_s))?.into(),
            LockRelease { name, owner } => call!(self.lock_release(name, owner))?.into(),

            RateLimitTry { name, limit, per_s } => call!(self.rate_limit_try(name, *limit, *per_s))?.into(),
            RateLimitSweep { older_than_s } => step!(self.rate_limit_sweep(*older_than_s))?.into(),

            Register(schedule) => call!(self.scheduler_register(&to_registration(schedule)))?.into(),
            Unregister { name } => call!(self.scheduler_unregister(name))?.into(),
            Update { name, changes } => call!(self.scheduler_update(name, &to_update(changes)))?.into(),
            Pause { name } => call!(self.scheduler_pause(name))?.into(),
            Resume { name } => call!(self.scheduler_resume(name))?.into(),
            ListSchedules => rows(call!(self.scheduler_list())?, schedule_row),
            Tick { until } => rows(call!(self.scheduler_tick(Some(*until)))?, fire_row),
            Soonest => call!(self.scheduler_soonest())?.into(),
            NextAfter { expression, from } => Expression::parse(expression)?.next_after(*from)?.into(),
        })
    }
}
