//! Clients and the server are killed at random, again and again: nothing is lost, nothing is acknowledged twice, and a server that
//! is away for a while costs retries, not jobs. Twenty seconds; ten minutes with HONKER_TEST_LONG.
//!
//! Producers put a row into a table of theirs and enqueue a job for it, in one transaction. Workers put a row into another one and
//! ack the job, in one transaction. So whatever a client is told of its commits, or is not told because it or the server was killed:
//! at the end each row of the first table has exactly one in the second.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use honker_core::consume::{Claimed, Next, Settlement, Verdict, Worker, WorkerOptions};
use honker_core::database::Database;
use honker_core::queue::Enqueue;
use honker_core::{Error, Result};
use honker_postgres::connect;
use postgres::{Client, NoTls};

const INSIDE: &str = "HONKER_TEST_KILLS";
const WORKERS: usize = 3;
const PRODUCERS: usize = 2;

fn url() -> String {
    std::env::var("HONKER_POSTGRES_URL").unwrap()
}

fn opened() -> Database {
    loop {
        match connect(&url(), &Default::default(), false) {
            Ok(database) => return database,
            Err(_) => sleep(Duration::from_millis(20)),
        }
    }
}

/// Not tests by themselves: the processes that are killed.
#[test]
fn producer() {
    if std::env::var_os(INSIDE).is_none_or(|inside| inside != "producer") {
        return;
    }
    let database = opened();
    let me = std::process::id();
    for n in 0_u64.. {
        let key = format!("{me}-{n}-{}", fastrand::u32(..));
        let produced = produce(&database, &key);
        if let Err(error) = &produced {
            allow(error);
            sleep(Duration::from_millis(10));
        }
        sleep(Duration::from_millis(fastrand::u64(0..8)));
    }
}

fn produce(database: &Database, key: &str) -> Result<()> {
    let mut transaction = database.begin()?;
    transaction.execute("INSERT INTO orders (key) VALUES (?)", &[key.into()])?;
    transaction.enqueue(&Enqueue { max_attempts: Some(1000), ..Enqueue::new("orders", key) })?;
    if fastrand::u8(..) < 20 {
        return transaction.rollback();
    }
    transaction.commit()?;
    // It is there, and so is the other client's word that it is.
    let mut transaction = database.begin()?;
    transaction.execute("INSERT INTO acknowledged (key) VALUES (?)", &[key.into()])?;
    transaction.commit()
}

#[test]
fn worker() {
    if std::env::var_os(INSIDE).is_none_or(|inside| inside != "worker") {
        return;
    }
    work(&opened(), |_| true);
}

/// Works, as long as it is to go on after a turn that has brought so many jobs.
fn work(database: &Database, mut goes_on: impl FnMut(usize) -> bool) {
    let options = WorkerOptions { visibility_timeout_s: 5, ..WorkerOptions::default() };
    let mut worker = Worker::new(database, "orders", "w", options).unwrap_or_else(|error| panic!("{error}"));
    let mut undone: Vec<Settlement> = Vec::new();
    loop {
        // What could not be settled is settled now. It may have been.
        let settled = worker.settle_and_next(&undone, 4, Some(Duration::from_millis(500)));
        let next = settled.and_then(|settled| {
            undone.clear();
            settled.next
        });
        let mut count = 0;
        match next {
            Ok(Next::Item(batch)) => {
                count = batch.jobs.len();
                for job in &batch.jobs {
                    if let Err(error) = handle(database, job) {
                        allow(&error);
                        let verdict = Verdict::Retry { delay_s: Some(0), error: error.to_string() };
                        undone.push(Settlement { id: job.id, serial: job.serial, verdict });
                    }
                }
            }
            Ok(_) => {}
            Err(error) => {
                allow(&error);
                sleep(Duration::from_millis(20));
            }
        }
        if !goes_on(count) {
            return;
        }
    }
}

fn handle(database: &Database, job: &Claimed) -> Result<()> {
    let mut transaction = database.begin()?;
    transaction.execute("INSERT INTO done (key) VALUES (?)", &[(&*job.payload).into()])?;
    sleep(Duration::from_millis(fastrand::u64(0..4)));
    match transaction.ack(job.id, &job.worker_id)? {
        true => transaction.commit(),
        // Somebody else has it, or has done it.
        false => transaction.rollback(),
    }
}

/// What a client may be told when it or the server is killed, or everything is slow. Anything else is a failure, which the log has.
fn allow(error: &Error) {
    let is_expected =
        matches!(error, Error::Connection(_) | Error::Busy(_) | Error::Aborted(_) | Error::CannotOpen(_));
    if !is_expected {
        Client::connect(&url(), NoTls)
            .and_then(|mut client| {
                client.execute("INSERT INTO failures VALUES ($1)", &[&format!("{error:?}")])
            })
            .map(drop)
            .unwrap_or_default();
    }
}

struct Process {
    role: &'static str,
    child: Child,
}

impl Process {
    fn start(role: &'static str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", role, "--nocapture"])
            .env(INSIDE, role)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        Process { role, child }
    }

    fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([name, &self.child.id().to_string()]).status();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server(does: &str, argument: &[&str]) {
    let folder = std::env::var("HONKER_POSTGRES_FOLDER").unwrap();
    let program = Path::new(&folder).join(does);
    // Starting may fail while the processes of the one before are still there.
    for _ in 0..20 {
        let done = Command::new(&program).args(argument).output().unwrap();
        if done.status.success() {
            return;
        }
        sleep(Duration::from_millis(500));
    }
    panic!("the server does not {does}");
}

#[test]
fn nothing_is_lost_or_acknowledged_twice_while_all_are_killed() {
    if std::env::var_os("HONKER_POSTGRES_URL").is_none() {
        println!("SKIPPED postgres: no server");
        return;
    }
    match std::env::var(INSIDE).as_deref() {
        Ok("control") => control(),
        Ok(_) => {}
        Err(_) => {
            // A server of its own, which it may kill.
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/with-cluster");
            let status = Command::new(script)
                .args(["-s", "fsync=off"])
                .arg(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "nothing_is_lost_or_acknowledged_twice_while_all_are_killed",
                    "--nocapture",
                ])
                .env(INSIDE, "control")
                .env_remove("HONKER_POSTGRES_URL")
                .status()
                .unwrap();
            assert!(status.success());
        }
    }
}

fn control() {
    let time = Duration::from_secs(if std::env::var_os("HONKER_TEST_LONG").is_some() { 600 } else { 20 });
    connect(&url(), &Default::default(), true).unwrap().close().unwrap();
    let tables =
        "CREATE TABLE orders (key text PRIMARY KEY); CREATE TABLE acknowledged (key text PRIMARY KEY);
                  CREATE TABLE done (key text); CREATE TABLE failures (what text)";
    Client::connect(&url(), NoTls).unwrap().batch_execute(tables).unwrap();
    let roles = (0..WORKERS).map(|_| "worker").chain((0..PRODUCERS).map(|_| "producer"));
    let mut processes: Vec<Process> = roles.map(Process::start).collect();
    let mut counts: HashMap<&str, u32> = HashMap::new();
    let mut count = |what| *counts.entry(what).or_default() += 1;
    let until = Instant::now() + time;
    let mut next_stop = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        sleep(Duration::from_millis(fastrand::u64(100..900)));
        let victim = fastrand::usize(..processes.len());
        if Instant::now() > next_stop {
            count("stops of the server");
            server("stop", &["immediate"]);
            sleep(Duration::from_millis(fastrand::u64(0..3000)));
            server("start", &[]);
            next_stop = Instant::now() + Duration::from_millis(fastrand::u64(2000..12000));
        } else if fastrand::u8(..) < 40 {
            count("pauses of a client");
            processes[victim].signal("-STOP");
            sleep(Duration::from_millis(fastrand::u64(100..1500)));
            processes[victim].signal("-CONT");
        } else {
            count("kills of a client");
            let role = processes[victim].role;
            processes[victim] = Process::start(role);
        }
    }
    drop(processes);
    // What is left comes back when its claims lapse.
    let database = opened();
    let left = || match &database.query("SELECT count(*) FROM honker._honker_live", &[]).unwrap().rows[0][0] {
        honker_core::database::Value::Integer(count) => *count,
        other => panic!("{other:?}"),
    };
    let give_up = Instant::now() + Duration::from_secs(180);
    work(&database, |_| left() > 0 && Instant::now() < give_up);
    assert_eq!(left(), 0, "jobs that do not come back");
    let mut client = Client::connect(&url(), NoTls).unwrap();
    let mut number = |sql: &str| client.query_one(sql, &[]).unwrap().get::<_, i64>(0);
    let orders = number("SELECT count(*) FROM orders");
    counts.insert("jobs", u32::try_from(orders).unwrap());
    println!("{counts:?}");
    for (what, sql) in [
        ("lost", "SELECT count(*) FROM orders WHERE key NOT IN (SELECT key FROM done)"),
        ("done twice", "SELECT count(*) FROM (SELECT key FROM done GROUP BY key HAVING count(*) > 1) twice"),
        ("done that never were", "SELECT count(*) FROM done WHERE key NOT IN (SELECT key FROM orders)"),
        (
            "acknowledged and gone",
            "SELECT count(*) FROM acknowledged WHERE key NOT IN (SELECT key FROM orders)",
        ),
        ("dead", "SELECT count(*) FROM honker._honker_dead"),
    ] {
        assert_eq!(number(sql), 0, "{what}");
    }
    let failures: Vec<String> = client
        .query("SELECT DISTINCT what FROM failures", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(failures, Vec::<String>::new());
    assert!(orders > 20, "only {orders} jobs");
    database.close().unwrap();
}
