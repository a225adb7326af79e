//! Looking before claiming: whatever a queue holds, the look says what a claim would do, and when one would do more.

use honker_core::{Store, queue, schema};
use rusqlite::Connection;

const AT: i64 = 1_700_000_000;

/// About now: mostly one second before, now, or one after.
fn about_now(random: &mut fastrand::Rng) -> i64 {
    AT + match random.i64(0..8) {
        0 => -1000,
        1 => 1000,
        _ => random.i64(0..5) - 2,
    }
}

/// The operations themselves, on a connection of our own: there the test says what second it is.
struct Queue {
    store: Store,
    connection: Connection,
}

impl Queue {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        // SAFETY: the connection is open, and the store is dropped before it.
        let store = unsafe { Store::from_handle(connection.handle()) };
        schema::bootstrap(&store).unwrap();
        Queue { store, connection }
    }

    fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    fn look(&self, now: i64) -> (bool, Option<i64>) {
        let outlook = queue::work_outlook(&self.store, now, "w", &[], &["q"]).unwrap();
        (outlook.may_claim, outlook.next_at)
    }

    /// What a claim at `now` does: how many it takes, and whether it changes anything. It is undone.
    fn claim(&self, now: i64) -> (usize, bool) {
        self.run("SAVEPOINT look");
        let count = || -> i64 {
            self.connection.query_row("SELECT count(*) FROM _honker_dead", [], |row| row.get(0)).unwrap()
        };
        let before = count();
        let claimed = queue::claim(&self.store, now, "q", "w", 1, 60).unwrap().len();
        let dead_lettered = count() != before;
        self.run("ROLLBACK TO look; RELEASE look");
        (claimed, claimed > 0 || dead_lettered)
    }
}

/// Fills the queue `q`; another one is never empty.
fn fill(queue: &Queue, random: &mut fastrand::Rng) {
    let rows = match random.i64(0..10) {
        0 => 250,
        1 | 2 => 0,
        _ => 1 + random.i64(0..6),
    };
    // So that many tables hold only what nobody can claim.
    let (only_expired, only_spent) = (random.i64(0..3) == 0, random.i64(0..4) == 0);
    for row in 0..=rows {
        let name = if row == 0 { "other" } else { "q" };
        let is_claimed = random.i64(0..3) == 0;
        let claim_expires_at = is_claimed.then(|| about_now(random));
        let expires_at = match only_expired || random.i64(0..3) == 0 {
            true if only_expired => Some(AT - random.i64(0..2)),
            true => Some(about_now(random)),
            false => None,
        };
        let attempts = random.i64(0..4);
        let max_attempts = if only_spent { attempts } else { random.i64(0..4) };
        queue
            .connection
            .execute(
                "INSERT INTO _honker_live (queue, payload, state, priority, run_at, worker_id, claim_expires_at,
                                           attempts, max_attempts, created_at, expires_at)
                 VALUES (?1, 'p', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                rusqlite::params![
                    name,
                    if is_claimed { "processing" } else { "pending" },
                    random.i64(0..3) - 1,
                    about_now(random),
                    is_claimed.then_some("somebody"),
                    claim_expires_at,
                    attempts,
                    max_attempts,
                    // Delayed jobs and immediate ones; some of these after the clock was set back.
                    if random.i64(0..2) == 0 { 0 } else { AT + 1000 },
                    expires_at,
                ],
            )
            .unwrap();
    }
}

#[test]
fn the_look_says_what_a_claim_would_do() {
    let queue = Queue::new();
    let mut random = fastrand::Rng::with_seed(0x9e37_79b9_7f4a_7c15);
    let (mut yes, mut no, mut deadlines) = (0, 0, 0);
    for round in 0..700 {
        queue.run("BEGIN");
        fill(&queue, &mut random);
        let (may_claim, next_at) = queue.look(AT);
        let (claimed, does_anything) = queue.claim(AT);
        assert_eq!(may_claim, does_anything, "round {round}: claimed {claimed}");
        if does_anything {
            // A claim that takes nothing but moves rows is to be made now.
            assert!(claimed > 0 || next_at == Some(AT), "round {round}: {next_at:?}");
        } else {
            // Without a commit nothing can be claimed before the deadline, and something can at it.
            for now in AT + 1..AT + 5 {
                if next_at.is_none_or(|next_at| now < next_at) {
                    assert_eq!(queue.claim(now).0, 0, "round {round} at {}", now - AT);
                }
            }
            if let Some(next_at) = next_at {
                assert!(next_at > AT);
                // Unless it has expired by then.
                deadlines += queue.claim(next_at).0;
            }
        }
        *(if may_claim { &mut yes } else { &mut no }) += 1;
        queue.run("ROLLBACK");
    }
    assert!(yes > 100 && no > 100 && deadlines > 10, "{yes} {no} {deadlines}");
}
