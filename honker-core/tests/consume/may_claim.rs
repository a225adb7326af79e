//! Looking before claiming: whatever a queue holds, the look says what a claim would do, and when one would do more.

use honker_core::database::{Transaction, Value};
use honker_core::queue;

use crate::support::*;

const AT: i64 = 1_700_000_000;

/// A generator of numbers that are random enough.
struct Random(u64);

impl Random {
    fn below(&mut self, end: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.unsigned_abs()).cast_signed()
    }

    /// About now: mostly one second before, now, or one after.
    fn about_now(&mut self) -> i64 {
        AT + match self.below(8) {
            0 => -1000,
            1 => 1000,
            _ => self.below(5) - 2,
        }
    }
}

fn optional(value: Option<i64>) -> Value {
    value.map_or(Value::Null, Value::from)
}

/// Fills the queue `q`; another one is never empty.
fn fill(transaction: &mut Transaction, random: &mut Random) {
    let rows = match random.below(10) {
        0 => 250,
        1 | 2 => 0,
        _ => 1 + random.below(6),
    };
    // So that many tables hold only what nobody can claim.
    let (only_expired, only_spent) = (random.below(3) == 0, random.below(4) == 0);
    for row in 0..=rows {
        let queue = if row == 0 { "other" } else { "q" };
        let is_claimed = random.below(3) == 0;
        let claim_expires_at = is_claimed.then(|| random.about_now());
        let expires_at = match only_expired || random.below(3) == 0 {
            true if only_expired => Some(AT - random.below(2)),
            true => Some(random.about_now()),
            false => None,
        };
        let attempts = random.below(4);
        let max_attempts = if only_spent { attempts } else { random.below(4) };
        transaction
            .execute(
                "INSERT INTO _honker_live (queue, payload, state, priority, run_at, worker_id, claim_expires_at,
                                           attempts, max_attempts, created_at, expires_at)
                 VALUES (?1, 'p', ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9)",
                &[
                    queue.into(),
                    (if is_claimed { "processing" } else { "pending" }).into(),
                    (random.below(3) - 1).into(),
                    random.about_now().into(),
                    if is_claimed { "somebody".into() } else { Value::Null },
                    optional(claim_expires_at),
                    attempts.into(),
                    max_attempts.into(),
                    optional(expires_at),
                ],
            )
            .unwrap();
    }
}

/// What a claim at `now` does: how many it takes, and whether it changes anything. It is undone.
fn claim(transaction: &mut Transaction, now: i64) -> (usize, bool) {
    transaction.execute("SAVEPOINT look", &[]).unwrap();
    let count =
        |transaction: &mut Transaction| transaction.query("SELECT count(*) FROM _honker_dead", &[]).unwrap();
    let before = count(transaction);
    let claimed = transaction.run(|store, _| queue::claim(store, now, "q", "w", 1, 60)).unwrap().len();
    let buried = count(transaction) != before;
    transaction.execute("ROLLBACK TO look", &[]).unwrap();
    transaction.execute("RELEASE look", &[]).unwrap();
    (claimed, claimed > 0 || buried)
}

#[test]
fn the_look_says_what_a_claim_would_do() {
    let (_file, database) = open();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut yes, mut no, mut deadlines) = (0, 0, 0);
    for round in 0..700 {
        let mut transaction = database.begin().unwrap();
        fill(&mut transaction, &mut random);
        let look = |transaction: &mut Transaction, now| {
            let may_claim = transaction.run(|store, _| queue::may_claim(store, now, "q")).unwrap();
            (may_claim, transaction.run(|store, _| queue::next_claim_at(store, now, "q")).unwrap())
        };
        let (may_claim, next_at) = look(&mut transaction, AT);
        let (claimed, does_anything) = claim(&mut transaction, AT);
        assert_eq!(may_claim, does_anything, "round {round}: claimed {claimed}");
        if claimed == 0 {
            // Without a commit nothing can be claimed before the deadline, and something can at it.
            for now in AT + 1..AT + 5 {
                if next_at.is_none_or(|next_at| now < next_at) {
                    assert_eq!(claim(&mut transaction, now).0, 0, "round {round} at {}", now - AT);
                }
            }
            if let Some(next_at) = next_at {
                assert!(next_at > AT);
                // Unless it has expired by then.
                deadlines += claim(&mut transaction, next_at).0;
            }
        }
        *(if may_claim { &mut yes } else { &mut no }) += 1;
        transaction.rollback().unwrap();
    }
    assert!(yes > 100 && no > 100 && deadlines > 30, "{yes} {no} {deadlines}");
}
