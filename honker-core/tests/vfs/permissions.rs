//! A shared descriptor gives nobody more than the permissions do.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::process::{Role, argument, run};
use crate::sqlite::{Failure, READ_ONLY, READ_WRITE, safe, system};

pub const ROLES: &[Role] = &[("permissions", permissions)];

/// A user that is not root, if we are.
const NOBODY: libc::uid_t = 65_534;

fn set_mode(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn is_read_only(outcome: Result<(), Failure>) {
    let failure = outcome.unwrap_err();
    assert_eq!(failure.code & 0xff, rusqlite::ffi::SQLITE_READONLY, "{failure:?}");
}

fn permissions() {
    // SAFETY: these only look at, and lower, the privileges of this process.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setgid(NOBODY), 0);
            assert_eq!(libc::setuid(NOBODY), 0);
        }
        // Cleared by that, and it keeps the process from being killed with its parent.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    let path = Path::new(&argument(0)).join("db");
    let write = "INSERT INTO t VALUES (1)";
    safe().connect(&path).run("CREATE TABLE t(x)").unwrap();

    // Opened when it could be written to, and pooled; then not any more.
    set_mode(&path, 0o444);
    is_read_only(safe().connect(&path).run(write));
    set_mode(&path, 0o000);
    assert!(safe().open(&path, READ_ONLY).is_err());
    assert!(safe().open(&path, READ_WRITE).is_err());

    // The first open cannot write, a later one could.
    let path = path.with_file_name("other");
    system().connect(&path).run("CREATE TABLE t(x)").unwrap();
    set_mode(&path, 0o444);
    let reader = safe().open(&path, READ_ONLY).unwrap();
    assert_eq!(reader.integer("SELECT count(*) FROM t").unwrap(), 0);
    is_read_only(safe().connect(&path).run(write));
    set_mode(&path, 0o644);
    // A second description would conflict with the one that `reader` locks with.
    is_read_only(safe().connect(&path).run(write));
    drop(reader);
    let writer = safe().connect(&path);
    writer.run(write).unwrap();
    let reader = safe().open(&path, READ_ONLY).unwrap();
    assert_eq!(reader.integer("SELECT count(*) FROM t").unwrap(), 1);
    writer.run(write).unwrap();
    system().connect(&path).run(write).unwrap();

    // Of what is created, the mode is SQLite's: that of the database for the files beside it.
    set_mode(&path, 0o660);
    writer.run("PRAGMA journal_mode = WAL").unwrap();
    writer.run(write).unwrap();
    let shm = path.with_file_name("other-shm");
    assert_eq!(shm.metadata().unwrap().permissions().mode() & 0o777, 0o660);
}

#[test]
fn permissions_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o777);
    run("permissions", &[directory.path().to_str().unwrap()]);
}
