//! Transactions of actors: several operations and rows of a user's own table, together or not at all; and what can be
//! done to a database as a whole.

use honker_library::{Database, Parameter, Place, Status, Transaction, status};

use crate::actor::{Actor, milliseconds};
use crate::jobs::numbers;
use crate::ledger::Effect;

/// The user's own tables.
pub const TABLES: &str =
    "CREATE TABLE IF NOT EXISTS orders (name TEXT PRIMARY KEY, job INTEGER NOT NULL) WITHOUT ROWID;
     CREATE TABLE IF NOT EXISTS items (name TEXT NOT NULL REFERENCES orders DEFERRABLE INITIALLY DEFERRED)";

impl Actor {
    /// An order with its job, and anything else, in one transaction that is committed, rolled back or left.
    pub fn transact(&mut self, _: Place) {
        let name = self.fresh_name();
        let fate = self.random.u32(..8);
        let mut made = false;
        let committed = self.in_transaction(|actor, transaction| {
            for _ in 0..actor.random.u32(..4) {
                actor.anything(transaction.place());
            }
            let options = actor.options();
            let queue = actor.one_of(crate::jobs::ALL_QUEUES);
            let job = transaction.place().enqueue(queue, &name, Some(&options));
            let job = actor.call("enqueue", &[], job)?;
            let row = [Parameter::Text(&name), Parameter::Integer(job)];
            let insert = transaction.execute("INSERT INTO orders VALUES (?1, ?2)", &row);
            actor.call("tx_execute", &[], insert)?;
            actor.ledger.done(vec![Effect::Enqueued(job, name.clone()), Effect::Ordered(name.clone(), job)]);
            made = true;
            if actor.chance(6) {
                let again = transaction.execute("INSERT INTO orders VALUES (?1, ?2)", &row);
                if actor.call("tx_execute", &[status::CONSTRAINT], again).is_ok() {
                    actor.complain(format!("order {name} could be made twice"));
                }
            }
            for _ in 0..actor.random.u32(..4) {
                actor.anything(transaction.place());
            }
            match fate {
                0 => Err(status::OK),
                1 => {
                    // An item of no order: the commit is refused.
                    let item = transaction.execute("INSERT INTO items VALUES ('of no order')", &[]);
                    actor.call("tx_execute", &[], item).map(drop)
                }
                _ => Ok(()),
            }
        });
        if made && !committed {
            self.ledger.done(vec![Effect::RolledBack(name)]);
        }
    }

    /// Runs `body` in a transaction; whether it was committed. `Ok` commits it, also after a call in it has failed, `Err`
    /// does not.
    pub fn in_transaction(
        &mut self,
        body: impl FnOnce(&mut Self, &Transaction) -> Result<(), Status>,
    ) -> bool {
        let Ok(transaction) = self.call("tx_begin", &[], self.database.begin()) else { return false };
        self.ledger.begin();
        self.just_claimed.clear();
        let wanted = body(self, &transaction);
        let effects = self.ledger.end();
        let committed = wanted.is_ok() && self.commit(&transaction, &effects);
        if !committed {
            let just_claimed = std::mem::take(&mut self.just_claimed);
            self.held.retain(|(id, _)| !just_claimed.contains(id));
            if wanted.is_err() && self.chance(2) {
                let _ = self.call("tx_rollback", &[], transaction.rollback());
            }
        }
        committed
    }

    fn commit(&mut self, transaction: &Transaction, effects: &[Effect]) -> bool {
        let expected = [status::CONSTRAINT];
        let committed =
            self.book("tx_commit", &expected, effects, || transaction.commit(), |()| effects.to_vec());
        if committed.is_ok() && self.chance(20) {
            let answer = transaction.place().enqueue("q1", "after the commit", None);
            if self.call("wrong handle", &[status::MISUSE], answer).is_ok() {
                self.complain("a transaction could be used after its end".to_owned());
            }
        }
        committed.is_ok()
    }

    /// What is committed has to make sense to a reader at any time.
    pub fn query(&mut self, _: Place) {
        let nothing_wrong = [
            ("jobs live and dead", "SELECT count(*) FROM _honker_live JOIN _honker_dead USING (id)"),
            (
                "orders whose job never was",
                "SELECT count(*) FROM orders WHERE job > (SELECT seq FROM sqlite_sequence WHERE name = '_honker_live')",
            ),
            ("rate limits exceeded", "SELECT count(*) FROM _honker_rate_limits WHERE count > 40"),
            ("items of no order", "SELECT count(*) FROM items WHERE name NOT IN (SELECT name FROM orders)"),
        ];
        let (what, sql) = nothing_wrong[self.random.usize(..nothing_wrong.len())];
        let answer = self.database.query(sql, &[]);
        if let Ok(rows) = self.call("query", &[], answer)
            && numbers(&rows) != [0]
        {
            self.complain(format!("{what}: {rows:?}"));
        }
        let write = self.database.query("DELETE FROM orders RETURNING 1", &[]);
        if self.chance(20) && self.call("query", &[status::READONLY], write).is_ok() {
            self.complain("a query could write".to_owned());
        }
    }

    /// Ends whatever runs. Again and again for a while: most statements are over before they look.
    pub fn interrupt(&mut self) {
        for _ in 0..self.random.u32(1..300) {
            let _ = self.call("interrupt", &[], self.database.interrupt());
        }
    }

    /// Handles that are none, and a transaction of another database's.
    pub fn wrong_handle(&mut self, place: Place) {
        let wrong = Database::wrong(self.random.usize(..9)).place();
        let before = milliseconds();
        for (call, answer) in [
            ("enqueue", wrong.enqueue("q1", "wrong", None).map(drop)),
            ("claim", wrong.claim("q1", "wrong", 1, 60).map(drop)),
            ("lock_acquire", place.of_another().lock_acquire("wrong", &self.name, 60)),
        ] {
            match answer {
                Err(failure) if failure.status == status::MISUSE => {
                    self.tally.count("wrong handle", status::MISUSE);
                }
                other => self.complain(format!("{call} with a wrong handle answered {other:?}, {before}")),
            }
        }
    }
}
