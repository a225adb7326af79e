//! A user's transaction: the caller's own SQL and honker's operations, committed together or not at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use honker_core::database::{Rows, Settling, Value};
use honker_core::{Error, Result};
use tokio_postgres::Client;

use crate::failure;
use crate::on::{On, get, hear};
use crate::operations::Step;
use crate::pool::Loan;
use crate::reach;
use crate::server::Shared;
use crate::sql::{Statement, leaves_for_good};
use crate::stop::Call;

pub(crate) struct Transaction {
    shared: Arc<Shared>,
    /// There until it is over, or the database is closed.
    loan: Arc<Mutex<Option<Loan>>>,
    pub(crate) number: u64,
    settling: Settling,
    woken: Vec<String>,
    /// SQL of the caller's has run, and may have left settings, temporary tables or locks on the connection.
    is_untidy: bool,
}

impl Transaction {
    pub(crate) fn new(shared: &Arc<Shared>, loan: Arc<Mutex<Option<Loan>>>, number: u64) -> Self {
        Transaction {
            shared: Arc::clone(shared),
            loan,
            number,
            settling: shared.host.settling(),
            woken: Vec::new(),
            is_untidy: false,
        }
    }

    fn on<T>(&mut self, body: impl FnOnce(&mut On<'_>) -> Result<T>) -> Result<T> {
        let Transaction { shared, loan, settling, woken, .. } = self;
        let mut loan = lock(loan);
        let loan = loan.as_mut().ok_or(Error::Closed)?;
        let call = call(shared, loan);
        body(&mut On::new(loan, &call, true, &shared.schedules, &shared.begin, settling, woken))
    }

    pub(crate) fn read<T>(&mut self, body: impl FnOnce(&mut On<'_>) -> Result<T>) -> Result<T> {
        self.on(body)
    }

    pub(crate) fn write<T>(&mut self, body: impl FnOnce(&mut On<'_>) -> Result<T>) -> Result<T> {
        self.on(body)
    }

    /// Runs a bounded operation, once.
    pub(crate) fn repeat<T: Step>(
        &mut self,
        body: impl FnOnce(&mut On<'_>) -> Result<T>,
    ) -> Result<T::Answer> {
        self.on(body).map(Step::answer)
    }

    fn run<T: Send>(
        &mut self,
        requests: impl AsyncFnOnce(&Client) -> std::result::Result<T, tokio_postgres::Error> + Send,
    ) -> Result<T> {
        let mut loan = lock(&self.loan);
        let loan = loan.as_mut().ok_or(Error::Closed)?;
        self.is_untidy = true;
        let call = call(&self.shared, loan);
        loan.run(&call, requests)
    }

    /// This is about to be run.
    fn note(&self, sql: &str) {
        if leaves_for_good(sql)
            && let Some(loan) = lock(&self.loan).as_mut()
        {
            loan.taint();
        }
    }

    pub(crate) fn run_execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64> {
        let statement = Statement::new(sql, parameters)?;
        self.note(sql);
        self.run(async |client: &Client| statement.execute(client).await)
    }

    pub(crate) fn run_query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows> {
        let statement = Statement::new(sql, parameters)?;
        self.note(sql);
        let rows = self.run(async |client: &Client| statement.query(client).await)?;
        statement.rows(rows)
    }

    /// Commits, or rolls back. A commit that has begun is not interrupted.
    pub(crate) fn end(mut self, commit: bool) -> Result<()> {
        let Some(mut loan) = lock(&self.loan).take() else { return Err(Error::Closed) };
        if !commit {
            return roll_back(loan);
        }
        let call = call(&self.shared, &loan);
        if let Err(reason) = call.check() {
            let _ = roll_back(loan);
            return Err(reason);
        }
        let call = call.uninterrupted();
        reach("commit.before");
        let committed = loan.run(&call, async |client: &Client| {
            // In a transaction that has failed COMMIT is answered as if it were well; the first says so.
            let (woken, committed) = tokio::join!(
                biased;
                client.query_typed("SELECT pg_catalog.current_setting('honker.woken', true)", &[]),
                client.batch_execute("COMMIT"),
            );
            committed.and(woken)
        });
        match committed {
            Ok(rows) => {
                reach("commit.after");
                if self.is_untidy {
                    loan.tidy(&call);
                }
                drop(loan);
                let mut woken = std::mem::take(&mut self.woken);
                for row in &rows {
                    if let Some(items) = get::<Option<&str>>(row, 0)? {
                        hear(items, &mut self.settling, &mut woken)?;
                    }
                }
                self.settling.commit();
                self.shared.tell(woken);
                Ok(())
            }
            Err(error) => {
                loan.taint();
                drop(loan);
                if failure::is_lost(&error) {
                    self.shared.pool.doubt();
                }
                Err(error)
            }
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.shared.transactions().remove(&self.number);
        if let Some(loan) = lock(&self.loan).take() {
            // Whoever wants to know whether rolling back worked calls `rollback`.
            let _ = roll_back(loan);
        }
    }
}

/// Rolls back, and gives the connection back as it was before.
pub(crate) fn roll_back(mut loan: Loan) -> Result<()> {
    let nobodys = Arc::default();
    let call = Call::begin(&nobodys, 0, loan.stop()).uninterrupted();
    let undone = loan.run(&call, async |client: &Client| client.batch_execute("ROLLBACK").await);
    match &undone {
        // SQL of the caller's may have run.
        Ok(()) => loan.tidy(&call),
        Err(_) => loan.taint(),
    }
    undone
}

/// A call in a transaction, which begins now.
fn call(shared: &Shared, loan: &Loan) -> Call {
    let signals = shared.host.signals();
    Call::begin(signals, signals.interrupts(), loan.stop())
}

fn lock(loan: &Mutex<Option<Loan>>) -> MutexGuard<'_, Option<Loan>> {
    loan.lock().unwrap_or_else(PoisonError::into_inner)
}
