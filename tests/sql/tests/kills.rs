//! A process that is killed between any two writes of a call leaves all of the call or nothing, and what it leaves is in nobody's
//! way: the same call by somebody else does what it would have done.

use std::ffi::{OsStr, c_char, c_int, c_void};
use std::os::unix::process::ExitStatusExt;

use honker_sql_tests::*;
use rusqlite::ffi;

/// What is in the file before: a queue with a limit for each key, a batch that one member will finish, a schedule, and jobs of all
/// kinds. Job 1 is dead and has had the key k; w holds 2, a member with a step and a key, and 6, the other member.
const FILE: &str = r#"
    CREATE TABLE effects (job_id, step);
    SELECT honker_queue_configure('q', '{"concurrency_per_key":1,"keep_done_s":60,"rate":{"limit":100,"per_s":60}}');
    SELECT honker_batch_create('{"on_finished":{"queue":"f","payload":"p","options":{"unique_key":"f"}},
                                 "on_success":{"queue":"s","payload":"p"},"keep_s":5}');
    SELECT honker_enqueue_with('q', 'x', '{"unique_key":"k","metadata":{"a":"b"}}');
    SELECT honker_claim_batch('q', 'w', 1, 6000), honker_fail(1, 'w', 'e');
    SELECT honker_enqueue_with('q', 'x', '{"batch_id":1,"concurrency_key":"c","unique_key":"m","unique_until":"claimed"}');
    SELECT honker_enqueue_with('q', 'x', '{"concurrency_key":"c","unique_key":"n"}');
    SELECT honker_enqueue_with('q', 'x', '{"concurrency_key":"c"}');
    SELECT honker_enqueue_with('q', 'x', '{"concurrency_key":"d"}');
    SELECT honker_enqueue_with('r', 'x', '{"batch_id":1,"unique_key":"k"}');
    SELECT honker_claim_batch('q', 'w', 1, 6000), honker_claim_batch('r', 'w', 1, 6000);
    SELECT honker_claim_batch('q', 'v', 1, 6000);
    SELECT honker_enqueue_with('q', 'x', '{"concurrency_key":"e"}');
    SELECT honker_enqueue_with('q', 'x', '{"concurrency_key":"c","unique_key":"o"}');
    SELECT honker_step_save(2, 'w', 'first', '1');
    SELECT honker_batch_seal(1), honker_ack(6, 'w');
    SELECT honker_scheduler_register_with('s', 'q', '@every 1s', 'p', '{"overlap":"skip","unique_key":"s"}');
"#;

const CALLS: &[&str] = &[
    "SELECT honker_ack(2, 'w')",
    "SELECT honker_fail(2, 'w', 'e')",
    "SELECT honker_retry(2, 'w', 0, 'e')",
    "SELECT honker_release(2, 'w', 0)",
    "SELECT honker_cancel(2)",
    "SELECT honker_cancel(3)",
    "SELECT honker_claim_batch('q', 'u', -1, 60)",
    "SELECT honker_dead_requeue(1)",
    "SELECT honker_queue_configure('q', '{\"concurrency_per_key\":null,\"paused\":true}')",
    "SELECT honker_batch_create('{}')",
    "SELECT honker_enqueue_with('q', 'x', '{\"unique_key\":\"new\",\"concurrency_key\":\"c\",\"metadata\":{\"a\":\"b\"}}')",
    "SELECT honker_enqueue_with('q', 'y', '{\"unique_key\":\"n\",\"on_conflict\":\"replace\",\"unique_for_s\":9}')",
    "SELECT honker_enqueue_with('q', 'x', '{\"batch_id\":1,\"member\":{\"job_id\":2,\"worker_id\":\"w\"}}')",
    "SELECT honker_jobs_apply('{\"queue\":\"q\"}', 'delete')",
    "SELECT honker_jobs_apply('{\"queue\":\"q\"}', '{\"move\":\"r\"}')",
    "SELECT honker_scheduler_tick(unixepoch() + 3)",
    "BEGIN IMMEDIATE; INSERT INTO effects VALUES (2, 'second'); SELECT honker_step_save(2, 'w', 'second', '2'); COMMIT",
    "BEGIN; SELECT honker_batch_create('{}'), honker_enqueue_with('q', 'x', '{\"batch_id\":2}'), honker_batch_seal(2),
       honker_cancel(last_insert_rowid()), honker_ack(2, 'w'); COMMIT",
];

/// Is called for each row that is written: ends the process at the one that is wanted.
unsafe extern "C" fn written(left: *mut c_void, _: c_int, _: *const c_char, _: *const c_char, _: i64) {
    // SAFETY: it is what `call_until_killed` has passed, which outlives the connection.
    let left = unsafe { &mut *left.cast::<i64>() };
    *left -= 1;
    if *left == 0 {
        std::process::abort();
    }
}

/// As [`written`], when all is written that the commit will make so.
unsafe extern "C" fn committing(left: *mut c_void) -> c_int {
    // SAFETY: as above.
    unsafe { written(left, 0, std::ptr::null(), std::ptr::null(), 0) };
    0
}

/// Makes a call, and dies at the row that is asked for: "number of the call:number of the row:file".
fn call_until_killed(argument: &OsStr) {
    let argument = argument.to_str().unwrap();
    let (call, rest) = argument.split_once(':').unwrap();
    let (row, path) = rest.split_once(':').unwrap();
    let connection = connect_in_child(path);
    connection.execute_batch("PRAGMA cache_size = 5; PRAGMA cache_spill = 5").unwrap();
    let mut left: i64 = row.parse().unwrap();
    let left: *mut c_void = (&raw mut left).cast();
    // SAFETY: the connection is open, and closed before `left` is gone.
    unsafe {
        ffi::sqlite3_update_hook(connection.handle(), Some(written), left);
        ffi::sqlite3_commit_hook(connection.handle(), Some(committing), left);
    }
    connection.execute_batch(CALLS[call.parse::<usize>().unwrap()]).unwrap();
    drop(connection);
    std::process::exit(0);
}

#[test]
fn a_call_that_dies_at_any_write_leaves_nothing_and_is_in_nobodys_way() {
    const NAME: &str = "a_call_that_dies_at_any_write_leaves_nothing_and_is_in_nobodys_way";
    let mut deaths = 0;
    for (number, call) in CALLS.iter().enumerate() {
        let mode = ["WAL", "DELETE"][number % 2];
        // On the clock of the process that dies.
        let db = Db::in_mode(mode);
        db.clock().set(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64);
        db.run(FILE);
        let before = db.dump();
        let mut rows = 0;
        for row in 1.. {
            let argument = format!("{number}:{row}:{}", db.file().path().display());
            let mut died = false;
            in_child_process(NAME, OsStr::new(&argument), call_until_killed, |child| {
                died = child.wait().unwrap().signal().is_some();
            });
            if !died {
                break;
            }
            rows = row;
            db.assert_still(&before);
        }
        assert!(rows > 0, "nobody died: {call}");
        deaths += rows;
        // The last one has done it.
        assert!(db.dump() != before, "{call}");
        assert_eq!(db.text("PRAGMA integrity_check"), "ok", "{call}");
    }
    println!("{} calls died at {deaths} writes", CALLS.len());
}
