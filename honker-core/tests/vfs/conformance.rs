//! Beside a stock SQLite in another process, lock-safe access is SQLite as ever: each sees the other's locks.

use crate::locks::holder;
use crate::process::{Process, Role};

pub const ROLES: &[Role] = &[("conformance_holder", holder)];

#[track_caller]
fn expect(process: &mut Process, sql: &str, answer: &str) {
    process.tell(sql);
    assert_eq!(process.line(), answer, "{sql}");
}

#[test]
fn two_processes_lock_each_other_out() {
    for journal in ["DELETE", "WAL"] {
        for order in [["safe", "system"], ["system", "safe"], ["safe", "safe"]] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("db");
            let [mut first, mut second] =
                order.map(|copy| Process::start("conformance_holder", &[copy, path.to_str().unwrap()]));
            expect(&mut first, &format!("PRAGMA journal_mode = {journal}; CREATE TABLE t(x)"), "ok");
            expect(&mut second, "INSERT INTO t VALUES (1)", "ok");

            // A writer keeps writers out, not readers.
            expect(&mut first, "BEGIN IMMEDIATE; INSERT INTO t VALUES (2)", "ok");
            expect(&mut second, "BEGIN IMMEDIATE", "busy");
            expect(&mut second, "SELECT * FROM t", "ok");
            expect(&mut first, "COMMIT", "ok");
            expect(&mut second, "INSERT INTO t VALUES (3)", "ok");

            // An exclusive transaction keeps readers out as well, but with a write-ahead log.
            let reads = if journal == "DELETE" { "busy" } else { "ok" };
            expect(&mut first, "BEGIN EXCLUSIVE", "ok");
            expect(&mut second, "SELECT * FROM t", reads);
            expect(&mut second, "INSERT INTO t VALUES (4)", "busy");
            expect(&mut first, "COMMIT", "ok");

            // A reader keeps a commit, or a change of the journal, waiting.
            expect(&mut second, "BEGIN; SELECT * FROM t", "ok");
            let waiting =
                if journal == "DELETE" { "INSERT INTO t VALUES (5)" } else { "PRAGMA journal_mode = DELETE" };
            expect(&mut first, waiting, "busy");
            expect(&mut second, "COMMIT", "ok");

            // The exclusive locking mode holds on to its locks between transactions, and lets go when the process dies.
            if journal == "DELETE" {
                expect(&mut first, "PRAGMA locking_mode = EXCLUSIVE; INSERT INTO t VALUES (6)", "ok");
                expect(&mut second, "SELECT * FROM t", "busy");
            }
            first.kill();
            expect(&mut second, "INSERT INTO t VALUES (7)", "ok");
        }
    }
}
