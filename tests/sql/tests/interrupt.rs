//! A call that the host interrupts has done nothing, and leaves no transaction behind.
//!
//! Hosts interrupt statements in two ways: `sqlite3_interrupt`, which stops everything that runs on the connection, our
//! own clean-up included; and a progress handler, which stops the innermost statement, once or for as long as it cares
//! to. Each call is interrupted at its first step, its second, and so on until it gets through.
//!
//! A progress handler is also asked when a statement has already committed, and SQLite then reports the interruption all
//! the same, for our statements as for anybody's. There the call has done all or nothing.

use std::ffi::{c_int, c_void};

use honker_sql_tests::{Db, NOW};
use rusqlite::ffi;

/// Calls of more than one statement, on the rows that [`fill`] makes.
const CALLS: [&str; 8] = [
    "SELECT honker_claim_batch('q', 'w', 1, 60)",
    "SELECT honker_claim_batch('q', 'w', 3, 60)",
    "SELECT honker_sweep_expired('q')",
    "SELECT honker_retry(4, 'me', 0, 'again')",
    "SELECT honker_fail(4, 'me', 'broken')",
    "SELECT honker_ack_batch('[4,5]', 'me')",
    "SELECT honker_dead_requeue(9)",
    "SELECT honker_scheduler_tick(unixepoch())",
];

fn fill(db: &Db) {
    db.run(&format!(
        "DELETE FROM _honker_live; DELETE FROM _honker_dead; DELETE FROM _honker_scheduler_tasks;
         DELETE FROM sqlite_sequence;
         INSERT INTO _honker_live (id, queue, payload, state, worker_id, claim_expires_at, attempts, expires_at) VALUES
           (1, 'q', 'lapsed, exhausted', 'processing', 'x', {NOW} - 1, 3, NULL),
           (2, 'q', 'lapsed, expired', 'processing', 'x', {NOW} - 1, 1, {NOW}),
           (3, 'q', 'lapsed', 'processing', 'x', {NOW} - 1, 1, NULL),
           (4, 'q', 'held, last attempt', 'processing', 'me', {NOW}, 3, NULL),
           (5, 'q', 'held', 'processing', 'me', {NOW}, 1, NULL),
           (6, 'q', 'expired', 'pending', NULL, NULL, 0, {NOW}),
           (7, 'q', 'exhausted', 'pending', NULL, NULL, 3, NULL),
           (8, 'q', 'due', 'pending', NULL, NULL, 0, NULL);
         INSERT INTO _honker_dead (id, queue, payload) VALUES (9, 'q', 'dead');
         INSERT INTO _honker_scheduler_tasks (name, queue, cron_expr, payload, next_fire_at)
           VALUES ('s', 'q', '@every 1s', 'x', {NOW} - 1);"
    ));
}

/// When to stop what runs.
struct Stop {
    db: *mut ffi::sqlite3,
    steps: c_int,
    how: How,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    /// `sqlite3_interrupt`.
    Interrupt,
    /// The handler says stop, once.
    Once,
    /// The handler says stop, and goes on to.
    FromThenOn,
}

unsafe extern "C" fn progress(stop: *mut c_void) -> c_int {
    // SAFETY: `interrupted` passes a `Stop` that outlives the handler, and nobody else uses it meanwhile.
    let stop = unsafe { &mut *stop.cast::<Stop>() };
    stop.steps -= 1;
    match stop.how {
        How::Interrupt if stop.steps == 0 => {
            // SAFETY: the connection is open: it is calling us.
            unsafe { ffi::sqlite3_interrupt(stop.db) };
            0
        }
        How::Once if stop.steps == 0 => 1,
        How::FromThenOn if stop.steps <= 0 => 1,
        _ => 0,
    }
}

/// Makes `call`, stopped after `steps`; whether it got through.
fn interrupted(db: &Db, call: &str, steps: c_int, how: How) -> bool {
    let mut statement = db.prepare(call).unwrap();
    // SAFETY: the handler is removed before `stop` goes out of scope.
    unsafe {
        let mut stop = Stop { db: db.handle(), steps, how };
        ffi::sqlite3_progress_handler(db.handle(), 1, Some(progress), (&raw mut stop).cast());
        let outcome = statement.query_row([], |_| Ok(()));
        ffi::sqlite3_progress_handler(db.handle(), 0, None, std::ptr::null_mut());
        match outcome {
            Ok(()) => true,
            Err(rusqlite::Error::SqliteFailure(error, _)) if error.extended_code == ffi::SQLITE_INTERRUPT => {
                false
            }
            Err(other) => panic!("{call}: {other}"),
        }
    }
}

#[test]
fn an_interrupted_call_has_done_nothing() {
    let db = Db::new();
    for call in CALLS {
        for how in [How::Interrupt, How::Once, How::FromThenOn] {
            for in_transaction in [true, false] {
                fill(&db);
                db.rows(call);
                let after = db.dump();
                let mut steps = 1;
                loop {
                    fill(&db);
                    let before = db.dump();
                    if in_transaction {
                        db.run("BEGIN");
                    }
                    let through = interrupted(&db, call, steps, how);
                    if in_transaction && !db.is_autocommit() {
                        db.run("COMMIT");
                    }
                    assert!(db.is_autocommit(), "{call} left a transaction, stopped after {steps} steps");
                    if through {
                        break;
                    }
                    if how == How::Interrupt || db.dump() != after {
                        db.assert_still(&before);
                    }
                    steps += 1;
                }
                assert!(steps > 20, "{call} got through after {steps} steps: nothing was tested");
            }
        }
    }
}
