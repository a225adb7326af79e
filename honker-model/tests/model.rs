//! Random programs, run by honker-core on SQLite and by the model side by side: every answer and all rows must agree.
//!
//! A failure prints the program shrunk to the operations that matter, and how to run it again. `HONKER_MODEL_SEED` sets
//! the seed of the first program, `HONKER_MODEL_PROGRAMS` how many programs there are (in memory; the other tests run
//! their share of it).

use std::panic::{AssertUnwindSafe, catch_unwind};

use honker_core::{Store, lock, notify, queue, rate_limit, result, schedule, schema, step, stream};
use honker_model::tables::{self, Row, row};
use honker_model::{Answer, Cell, Model, Operation, Program};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use tempfile::TempDir;
use translation::*;

mod translation;

/// How many programs run in memory unless the environment says otherwise.
const PROGRAMS: u64 = 400;

/// After so many operations all tables are compared, and at the end.
const OPERATIONS_BETWEEN_DUMPS: usize = 8;

/// Where a program runs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// Every operation its own transaction, unless the program opens a savepoint.
    Memory,
    /// The whole program in one transaction.
    Transaction,
    /// Two connections to one file take turns. The text is the journal mode.
    File(&'static str),
}

#[test]
fn programs_in_memory() {
    check(Place::Memory, 1, 100);
}

#[test]
fn programs_in_one_transaction() {
    check(Place::Transaction, 1_000_000, 40);
}

#[test]
fn programs_on_a_wal_file() {
    check(Place::File("WAL"), 2_000_000, 20);
}

#[test]
fn programs_on_a_delete_file() {
    check(Place::File("DELETE"), 3_000_000, 20);
}

/// Runs this share of the programs.
fn check(place: Place, seed: u64, percent: u64) {
    let variable = |name| std::env::var(name).ok().map(|value: String| value.parse().expect(name));
    let first = variable("HONKER_MODEL_SEED").unwrap_or(seed);
    let programs = variable("HONKER_MODEL_PROGRAMS").unwrap_or(PROGRAMS) * percent / 100;
    let mut operations = 0;
    for seed in first..first + programs.max(1) {
        let program = Program::random(seed, 200 + seed as usize % 201);
        operations += program.operations.len();
        if let Err(mismatch) = run(&program, place) {
            let smallest = program.shrink(|program| run(program, place).is_err());
            let mismatch = run(&smallest, place).err().unwrap_or(mismatch);
            panic!(
                "{place:?}: honker-core and the model disagree.\n\n{smallest:?}\n{mismatch}\n\n\
                 Again: HONKER_MODEL_SEED={seed} HONKER_MODEL_PROGRAMS=1 cargo test -p honker-model --test model\n"
            );
        }
    }
    println!("{place:?}: {} programs, {operations} operations", programs.max(1));
}

/// Runs a program; the error tells the first difference.
fn run(program: &Program, place: Place) -> Result<(), String> {
    let mut subject = Subject::new(place);
    let mut model = Model::new(program.start);
    for (step, operation) in program.operations.iter().enumerate() {
        let at = |difference: String| format!("operation {step}, {operation:?}:\n{difference}");
        let now = model.now;
        let before = subject.data_version().map(|data_version| (data_version, model.state.clone()));
        let expected = model.apply(operation);
        let got = catch_unwind(AssertUnwindSafe(|| subject.apply(now, operation)))
            .map_err(|_| at("honker-core panicked".to_owned()))?;
        agree(&expected, &got).map_err(at)?;

        let in_transaction = place == Place::Transaction || model.depth() > 0;
        if subject.connection().is_autocommit() == in_transaction {
            return Err(at(format!("a transaction is open: {}", !in_transaction)));
        }
        if let (Some((data_version, state)), Some(after)) = (before, subject.data_version()) {
            let (changed, noticed) = (state != model.state, data_version != after);
            if changed && !noticed {
                return Err(at("  other connections did not notice the change".to_owned()));
            }
            if noticed && !changed && !writes_the_same_again(operation, &expected) {
                return Err(at("  other connections were woken although nothing changed".to_owned()));
            }
        }
        if step % OPERATIONS_BETWEEN_DUMPS == 0 {
            subject.compare_tables(&model).map_err(at)?;
        }
    }
    subject.compare_tables(&model).map_err(|difference| format!("at the end:\n{difference}"))?;
    subject.finish();
    subject.compare_tables(&model).map_err(|difference| format!("after the commit:\n{difference}"))
}

/// Whether this may write what was there before: somebody asked for just that, or wrote SQL that does.
fn writes_the_same_again(operation: &Operation, answer: &Answer) -> bool {
    use Operation::*;
    match operation {
        ResultSave { .. } | Register(_) => *answer == Answer::Done,
        RawRevive { .. } => true,
        Heartbeat { .. } | LockRenew { .. } | Update { .. } | RawBudget { .. } | RawExpression { .. } => {
            *answer == Answer::Flag(true)
        }
        _ => false,
    }
}

/// honker-core on SQLite. The stores come first, because they must be gone when their connections are closed.
struct Subject {
    stores: Vec<Store>,
    connections: Vec<Connection>,
    /// Another connection to the same file, which never writes.
    watcher: Option<Connection>,
    /// Whose turn it is.
    turn: usize,
    /// How many savepoints are open.
    depth: usize,
    _directory: Option<TempDir>,
}

impl Subject {
    fn new(place: Place) -> Self {
        let (mut connections, directory) = match place {
            Place::Memory | Place::Transaction => (vec![Connection::open_in_memory().unwrap()], None),
            Place::File(journal_mode) => {
                let directory = tempfile::tempdir().unwrap();
                let open = |_| {
                    let connection = Connection::open(directory.path().join("model.db")).unwrap();
                    connection.pragma_update(None, "journal_mode", journal_mode).unwrap();
                    connection.pragma_update(None, "synchronous", "OFF").unwrap();
                    connection
                };
                ((0..3).map(open).collect::<Vec<_>>(), Some(directory))
            }
        };
        let watcher = if directory.is_some() { connections.pop() } else { None };
        // SAFETY: the connections are open, and closed after the stores are dropped.
        let store = |connection: &Connection| unsafe { Store::from_handle(connection.handle()) };
        let stores: Vec<Store> = connections.iter().map(store).collect();
        schema::bootstrap(&stores[0]).unwrap();
        if place == Place::Transaction {
            connections[0].execute_batch("BEGIN").unwrap();
        }
        Subject { stores, connections, watcher, turn: 0, depth: 0, _directory: directory }
    }

    fn connection(&self) -> &Connection {
        &self.connections[self.turn]
    }

    /// A number that changes when this connection commits a change; `None` where nobody else could see it.
    fn data_version(&self) -> Option<i64> {
        let watcher = self.watcher.as_ref().filter(|_| self.depth == 0)?;
        Some(watcher.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap())
    }

    fn finish(&mut self) {
        if !self.connection().is_autocommit() {
            self.connection().execute_batch("COMMIT").unwrap();
        }
        let integrity: String =
            self.connection().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(integrity, "ok");
        self.turn = self.connections.len() - 1;
    }

    fn compare_tables(&self, model: &Model) -> Result<(), String> {
        for ((table, key), expected) in tables::TABLES.into_iter().zip(tables::dump(&model.state)) {
            let got = self.rows(&format!("SELECT * FROM {table} ORDER BY {key}"));
            if let Some((expected, got)) = first_difference(&expected, &got) {
                return Err(format!("  {table} in the model {expected:?}\n  {table} in the file  {got:?}"));
            }
        }
        Ok(())
    }

    fn rows(&self, sql: &str) -> Vec<Row> {
        let mut statement = self.connection().prepare(sql).unwrap();
        let columns = statement.column_count();
        let cell = |row: &rusqlite::Row<'_>, column| match row.get_ref_unwrap(column) {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(value) => value.into(),
            ValueRef::Text(value) => std::str::from_utf8(value).unwrap().into(),
            other => panic!("no such value belongs here: {other:?}"),
        };
        let rows = statement
            .query_map([], |row| Ok((0..columns).map(|column| cell(row, column)).collect()))
            .unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn raw(&self, sql: &str, parameters: impl rusqlite::Params) -> Answer {
        (self.connection().execute(sql, parameters).unwrap() > 0).into()
    }

    /// Does it with honker-core. The connections take turns except while a savepoint is open.
    fn apply(&mut self, now: i64, operation: &Operation) -> honker_core::Result<Answer> {
        use Operation::*;
        let store = &self.stores[self.turn];
        Ok(match operation {
            Clock { .. } => {
                if self.depth == 0 {
                    self.turn = (self.turn + 1) % self.stores.len();
                }
                Answer::Done
            }
            Savepoint => {
                self.connection().execute_batch("SAVEPOINT model").unwrap();
                self.depth += 1;
                Answer::Done
            }
            RollBack | Release => {
                let sql = match operation {
                    RollBack => "ROLLBACK TO model; RELEASE model",
                    _ => "RELEASE model",
                };
                if let Some(depth) = self.depth.checked_sub(1) {
                    self.connection().execute_batch(sql).unwrap();
                    self.depth = depth;
                }
                Answer::Done
            }
            Bootstrap => {
                store.clear();
                schema::ensure_notifications(store)?;
                schema::bootstrap(store)?.into()
            }

            RawInsert { queue, payload } => {
                // The defaults of the two times are SQLite's clock, which is not the one of the program.
                self.raw(
                    "INSERT INTO _honker_live (queue, payload, run_at, created_at) VALUES (?1, ?2, ?3, ?3)",
                    (queue, payload, now),
                );
                self.connection().last_insert_rowid().into()
            }
            RawBudget { id, max_attempts } => {
                self.raw("UPDATE _honker_live SET max_attempts = ?2 WHERE id = ?1", (id, max_attempts))
            }
            RawRevive { id } => self.raw(
                "INSERT OR IGNORE INTO _honker_live (id, queue, payload, run_at, created_at)
                 SELECT id, queue, payload, ?2, ?2 FROM _honker_dead WHERE id = ?1",
                (id, now),
            ),
            RawExpression { name, expression } => self
                .raw("UPDATE _honker_scheduler_tasks SET cron_expr = ?2 WHERE name = ?1", (name, expression)),

            EnqueueUnique { job, unique } => {
                let done = queue::enqueue(store, now, &to_unique(job, unique))?;
                let status = match done.status {
                    queue::EnqueueStatus::Enqueued => "enqueued",
                    queue::EnqueueStatus::Exists => "exists",
                    queue::EnqueueStatus::Replaced => "replaced",
                };
                vec![row![done.id, status]].into()
            }
            Enqueue(job) => queue::enqueue(store, now, &to_enqueue(job))?.id.into(),
            EnqueueMany { jobs, times } => {
                let jobs: Vec<_> = jobs.repeat(*times).iter().map(to_enqueue).collect();
                let enqueued = queue::enqueue_many(store, now, &jobs)?;
                enqueued.iter().map(|enqueued| enqueued.id).collect::<Vec<_>>().into()
            }
            Configure { queue, setting } => {
                queue::configure(store, queue, &settings_json(*setting))?;
                Answer::Done
            }
            Claim { queue, worker_id, n, timeout_s } => {
                rows(queue::claim(store, now, queue, worker_id, *n, *timeout_s)?, claimed_row)
            }
            Ack { id, worker_id } => queue::ack(store, now, *id, worker_id)?.into(),
            AckBatch { ids, worker_id } => {
                let ids = queue::parse_ids(&format!("{ids:?}"))?;
                queue::ack_batch(store, now, &ids, worker_id)?.into()
            }
            AckBatchMalformed { ids_json, worker_id } => {
                queue::ack_batch(store, now, &queue::parse_ids(ids_json)?, worker_id)?.into()
            }
            Retry { id, worker_id, delay_s, error } => {
                queue::retry(store, now, *id, worker_id, *delay_s, error)?.into()
            }
            Fail { id, worker_id, error } => queue::fail(store, now, *id, worker_id, error)?.into(),
            Heartbeat { id, worker_id, extend_s } => {
                queue::heartbeat(store, now, *id, worker_id, *extend_s)?.into()
            }
            Cancel { id } => queue::cancel(store, now, *id)?.into(),
            GetJob { id } => rows(queue::get_job(store, *id)?, job_row),
            SweepExpired { queue } => queue::sweep_expired(store, now, queue)?.into(),
            NextClaimAt { queue } => queue::next_claim_at(store, now, queue)?.into(),
            Stats { queue } => rows([queue::stats(store, now, queue)?], stats_row),
            StatsAll => rows(queue::stats_all(store, now)?, stats_row),
            DeadList { queue, limit } => rows(queue::dead_list(store, *queue, *limit)?, dead_row),
            DeadRequeue { id } => (queue::dead_requeue(store, now, *id)? == queue::Requeued::Requeued).into(),
            DeadPurge { queue, older_than_s } => queue::dead_purge(store, now, *queue, *older_than_s)?.into(),

            Publish { topic, key, payload } => stream::publish(store, now, topic, *key, payload)?.into(),
            ReadSince { topic, offset, limit } => {
                rows(stream::read_since(store, topic, *offset, *limit)?, event_row)
            }
            SaveOffset { consumer, topic, offset } => {
                stream::save_offset(store, consumer, topic, *offset)?.into()
            }
            GetOffset { consumer, topic } => stream::get_offset(store, consumer, topic)?.into(),

            Notify { channel, payload } => notify::notify(store, now, channel, payload)?.into(),
            Prune { older_than_s, max_keep } => notify::prune(store, now, *older_than_s, *max_keep)?.into(),

            StepSave { id, worker_id, name, value } => {
                step::save(store, now, *id, worker_id, name, value)?.into()
            }
            StepGet { id, name } => step::get(store, *id, name)?.into(),

            ResultSave { job_id, value, ttl_s } => result::save(store, now, *job_id, value, *ttl_s)?.into(),
            ResultGet { job_id } => result::get(store, now, *job_id)?.into(),
            ResultSweep => result::sweep(store, now)?.into(),

            LockAcquire { name, owner, ttl_s } => lock::acquire(store, now, name, owner, *ttl_s)?.into(),
            LockRenew { name, owner, ttl_s } => lock::renew(store, now, name, owner, *ttl_s)?.into(),
            LockRelease { name, owner } => lock::release(store, name, owner)?.into(),

            RateLimitTry { name, limit, per_s } => {
                rate_limit::try_acquire(store, now, name, *limit, *per_s)?.into()
            }
            RateLimitSweep { older_than_s } => rate_limit::sweep(store, now, *older_than_s)?.into(),

            Register(schedule) => schedule::register(store, now, &to_registration(schedule))?.into(),
            Unregister { name } => schedule::unregister(store, name)?.into(),
            Update { name, changes } => schedule::update(store, now, name, &to_update(changes))?.into(),
            Pause { name } => schedule::pause(store, name)?.into(),
            Resume { name } => schedule::resume(store, name)?.into(),
            ListSchedules => rows(schedule::list(store)?, schedule_row),
            Tick { until } => rows(schedule::tick(store, now, *until)?, fire_row),
            Soonest => schedule::soonest(store)?.into(),
            NextAfter { expression, from } => {
                schedule::Expression::parse(expression)?.next_after(*from)?.into()
            }
        })
    }
}
