//! Interrupts, and closing.

use std::thread;
use std::time::{Duration, Instant};

use honker_core::Error;
use honker_core::consume::{Next, Worker, WorkerOptions};
use honker_core::database::Options;

use crate::support::{LONG, Server, count, enqueue, wait_until};

/// Whether a statement sleeps in the server.
fn is_asleep(server: &Server) -> bool {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
               AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()";
    server.client().query_one(sql, &[]).unwrap().get::<_, i64>(0) > 0
}

#[test]
fn an_interrupt_ends_what_runs_and_nothing_later() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    thread::scope(|scope| {
        let sleeping = scope.spawn(|| database.query("SELECT pg_sleep(60)", &[]));
        wait_until("it sleeps", || is_asleep(&server));
        let start = Instant::now();
        database.interrupt().unwrap();
        assert!(matches!(sleeping.join().unwrap(), Err(Error::Interrupted(_))));
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    });
    wait_until("the server has ended it", || !is_asleep(&server));
    enqueue(&database, "q", "p");
}

#[test]
fn an_interrupt_of_a_transaction_ends_its_statement_alone() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut transaction = database.begin().unwrap();
    let number = transaction.number();
    thread::scope(|scope| {
        let sleeping = scope.spawn(|| transaction.query("SELECT pg_sleep(60)", &[]).map(|_| ()));
        wait_until("it sleeps", || is_asleep(&server));
        database.interrupt_transaction(number + 1).unwrap();
        thread::sleep(Duration::from_millis(200));
        assert!(!sleeping.is_finished());
        database.interrupt_transaction(number).unwrap();
        assert!(matches!(sleeping.join().unwrap(), Err(Error::Interrupted(_))));
    });
    transaction.rollback().unwrap();
    enqueue(&database, "q", "p");
}

#[test]
fn closing_ends_calls_waits_and_transactions() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut transaction = database.begin().unwrap();
    transaction.notify("c", "never").unwrap();
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    thread::scope(|scope| {
        let sleeping = scope.spawn(|| database.query("SELECT pg_sleep(60)", &[]));
        let waiting = scope.spawn(|| worker.next(1, LONG));
        wait_until("it sleeps", || is_asleep(&server));
        database.close().unwrap();
        assert_eq!(sleeping.join().unwrap().map(|_| ()), Err(Error::Closed));
        assert_eq!(waiting.join().unwrap(), Err(Error::Closed));
    });
    assert_eq!(transaction.notify("c", "never").map(|_| ()), Err(Error::Closed));
    drop(transaction);
    database.close().unwrap();
    wait_until("the server is rid of them", || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        drop(worker.waiter());
        server.client().query_one(sql, &[]).unwrap().get::<_, i64>(0) == 0
    });
}

#[test]
fn a_lock_is_waited_for_as_long_as_the_busy_timeout_says() {
    let Some(server) = Server::new() else { return };
    let options = Options { busy_timeout: Duration::from_millis(300), ..Options::default() };
    let database = server.open_with(&options);
    let id = enqueue(&database, "q", "p");
    let mut other = server.client();
    let mut holding = other.transaction().unwrap();
    holding.execute("SELECT 1 FROM honker._honker_live WHERE id = $1 FOR UPDATE", &[&id]).unwrap();
    let start = Instant::now();
    let cancelled = database.cancel(id);
    assert!(matches!(cancelled, Err(Error::Busy(_))), "{cancelled:?}");
    assert!(start.elapsed() >= Duration::from_millis(250));
    holding.rollback().unwrap();
    assert!(database.cancel(id).unwrap());
}

#[test]
fn transactions_leave_a_connection_for_operations() {
    let Some(server) = Server::new() else { return };
    let options = Options { readers_max: 2, busy_timeout: Duration::from_millis(300), ..Options::default() };
    let database = server.open_with(&options);
    let held: Vec<_> = (0..2).map(|_| database.begin().unwrap()).collect();
    assert!(matches!(database.begin().map(|_| ()), Err(Error::Busy(_))));
    enqueue(&database, "q", "p");
    drop(held);
    database.begin().unwrap().commit().unwrap();
    assert_eq!(count(&database, "honker._honker_live"), 1);
}

#[test]
fn a_wake_ends_a_wait() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    let waiter = worker.waiter();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| worker.next(1, LONG).unwrap());
        thread::sleep(Duration::from_millis(100));
        waiter.wake();
        assert_eq!(waiting.join().unwrap(), Next::Woken);
    });
}
