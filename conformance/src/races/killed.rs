//! A process is killed while it works on several lanes, at whatever moment. What it was told is done is done; what it has
//! asked for and not heard of may be either.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::arena::{Arena, Lane, at_once};
use super::{Outcome, once};
use crate::Effort;
use crate::protocol::Answer;
use crate::testee::Testee;

/// When to kill, in the turns of a race: early and late.
const DELAYS_MS: [u64; 5] = [5, 40, 12, 80, 25];

/// Who was told what before it died.
#[derive(Default)]
struct Told {
    asked: BTreeSet<String>,
    answered: BTreeSet<String>,
}

/// Does it with ever new names until the process is gone.
fn until_death(
    lane: &Lane<'_>,
    prefix: &str,
    told: &Mutex<Told>,
    op: &str,
    arguments: impl Fn(&str) -> Value,
) {
    for n in 0.. {
        let name = format!("{prefix}-{n}");
        let lock = || told.lock().expect("no panics");
        lock().asked.insert(name.clone());
        match lane.ask(op, arguments(&name)) {
            Ok(Answer::Ok(_)) => lock().answered.insert(name),
            _ => return,
        };
    }
}

/// All that was answered is there, once, and nothing that was not asked for.
fn compare(arena: &Arena, what: &str, told: &Told, sql: &str) -> Result<usize, String> {
    let rows = arena.rows(sql)?;
    let there = once(what, rows.iter().map(|row| row[0].as_str().unwrap_or("?").to_owned()))?;
    if let Some(lost) = told.answered.difference(&there).next() {
        return Err(format!("{what} {lost} was acknowledged and is lost"));
    }
    match there.difference(&told.asked).next() {
        Some(made_up) => Err(format!("{what} {made_up} was never asked for")),
        None => Ok(there.len()),
    }
}

fn kill_after(testee: &Testee, delay_ms: u64) {
    std::thread::sleep(Duration::from_millis(delay_ms));
    testee.kill();
}

/// Jobs, events and acknowledgements of a process that is killed; the other one goes on with its file.
pub fn at_random(arena: &Arena, effort: Effort) -> Outcome {
    let (jobs, events) = (Mutex::<Told>::default(), Mutex::<Told>::default());
    let mut kills = 0;
    for turn in 0..effort.turns(3) {
        let dir = arena.dir.join(format!("victim-{turn}"));
        let victim = Testee::start(&arena.testees[0].made, &dir, "UTC")?;
        arena.ready(&victim)?;
        let lane = |name: &str| Lane { testee: &victim, name: Some(name.to_owned()) };
        lane("stream").must("stream.open", json!({ "on": "db", "as": "t", "topic": "t" }))?;
        let lanes = [lane("one"), lane("two"), lane("stream"), lane("killer")];
        at_once(&lanes, |index, lane| {
            let prefix = format!("{turn}-{index}");
            match index {
                0 | 1 => until_death(
                    lane,
                    &prefix,
                    &jobs,
                    "queue.enqueue",
                    |name| json!({ "on": "q", "payload": name }),
                ),
                2 => until_death(
                    lane,
                    &prefix,
                    &events,
                    "stream.publish",
                    |name| json!({ "on": "t", "payload": name }),
                ),
                _ => kill_after(&victim, DELAYS_MS[turn % DELAYS_MS.len()]),
            }
            Ok(())
        })?;
        kills += 1;
        // The survivor is not held up, and sees what there is.
        arena.main(1).must("queue.enqueue", json!({ "on": "q", "payload": format!("survivor-{turn}") }))?;
        let mut books = jobs.lock().expect("no panics");
        let name = format!("survivor-{turn}");
        books.asked.insert(name.clone());
        books.answered.insert(name);
        compare(arena, "job", &books, "SELECT trim(payload, '\"') FROM _honker_live")?;
        let books = events.lock().expect("no panics");
        compare(arena, "event", &books, "SELECT trim(payload, '\"') FROM _honker_stream")?;
    }
    Ok(format!("{kills} kills, {} jobs", arena.number("SELECT count(*) FROM _honker_live")?))
}

/// The language's own SQLite writes to the file in the same process.
pub fn beside_another_sqlite(arena: &Arena, effort: Effort) -> Outcome {
    arena.database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, payload TEXT)")?;
    let jobs = Mutex::<Told>::default();
    let mut orders = 0;
    for turn in 0..effort.turns(2) {
        let dir = arena.dir.join(format!("victim-{turn}"));
        let victim = Testee::start(&arena.testees[0].made, &dir, "UTC")?;
        arena.ready(&victim)?;
        let lane = |name: &str| Lane { testee: &victim, name: Some(name.to_owned()) };
        let lanes = [lane("ours"), lane("theirs"), lane("more"), lane("killer")];
        let done = at_once(&lanes, |index, lane| {
            let prefix = format!("{turn}-{index}");
            let mut rows = 0;
            match index {
                1 => loop {
                    let sql = "INSERT INTO orders (payload) VALUES ('order')";
                    let arguments = json!({ "path": arena.database.address(), "sql": sql, "times": 3 });
                    match lane.ask("foreign.exec", arguments) {
                        Ok(Answer::Ok(_)) => rows += 3,
                        Ok(other) => return Err(format!("foreign.exec: {other}")),
                        Err(_) => break,
                    }
                },
                3 => kill_after(&victim, 60 + DELAYS_MS[turn % DELAYS_MS.len()]),
                _ => until_death(
                    lane,
                    &prefix,
                    &jobs,
                    "queue.enqueue",
                    |name| json!({ "on": "q", "payload": name }),
                ),
            }
            Ok(rows)
        })?;
        orders += done.iter().sum::<i64>();
        arena.database.inspect()?;
        let there = arena.number("SELECT count(*) FROM orders")?;
        if there < orders {
            return Err(format!(
                "turn {turn}: {orders} rows of the other SQLite were committed, {there} are there"
            ));
        }
        orders = there;
        let books = jobs.lock().expect("no panics");
        compare(arena, "job", &books, "SELECT trim(payload, '\"') FROM _honker_live")?;
    }
    Ok(format!("{orders} rows of the other SQLite"))
}
