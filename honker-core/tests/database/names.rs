//! Names: those that SQLite takes for a private database are refused, and only those.

use std::path::Path;

use honker_core::Error;
use honker_core::database::{Database, Options, Value};
use rusqlite::{Connection, OpenFlags};

use crate::support::{File, single};

/// Whether SQLite itself puts what this name names into a file. In a directory of its own, where relative names end up
/// nowhere else: the name is given with `{}` for that directory.
fn is_file_to_sqlite(name: &str) -> bool {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(name, flags).unwrap();
    let file: String =
        connection.query_row("SELECT file FROM pragma_database_list", [], |row| row.get(0)).unwrap();
    // A database in memory may have a name all the same, but no file.
    !file.is_empty() && Path::new(&file).exists()
}

const IN_MEMORY: &[&str] = &[
    "",
    ":memory:",
    "file:",
    "file::memory:",
    "file::memory:?cache=shared",
    "file::memory:#fragment",
    "file::memory:?cache=shared#fragment",
    "file:%3Amemory%3a",
    "file:%3A%6d%65%6dory:",
    "file:?mode=memory",
    "file:?cache=shared",
    "file:#app.db",
    "file:name?mode=memory",
    "file:name?mode=memory&cache=shared",
    "file:name?cache=shared&mode=memory",
    "file:name?cache=shared&&mode=memory",
    "file:name?m%6fde=mem%6Fry",
    "file:/name?vfs=memdb",
    "file:name?vfs=memdb",
    "file:name?%76fs=m%65mdb",
    "file:///?mode=memory",
    "file:///name?mode=memory",
    "file://localhost/name?mode=memory",
    "file://localhost",
    // SQLite ignores what follows a %00 in a part of a URI.
    "file:%00name",
    "file::memory:%00name",
    "file:name?mode%00x=memory",
    "file:name?mode=memory%00x",
    "file:name?vfs=memdb%00x",
];

#[test]
fn in_memory_databases_are_refused() {
    for name in IN_MEMORY {
        assert!(!is_file_to_sqlite(name), "this test is wrong: '{name}' is a file");
        match Database::open(name, &Options::default()) {
            Err(Error::Invalid(message)) => {
                assert!(message.contains("in-memory"), "{name}: {message}");
                assert!(message.contains("temporary file"), "{name}: {message}");
            }
            Err(error) => panic!("'{name}' is refused for another reason: {error:?}"),
            Ok(_) => panic!("'{name}' is opened"),
        }
    }
}

/// Names that look like it and are files. `{}` is a directory.
const FILES: &[&str] = &[
    "{}/:memory:",
    "file:{}/:memory:",
    "file://{}/:memory:",
    "file://localhost{}/a.db",
    "file:{}/a%20b.db",
    "file:{}/mode=memory",
    "file:{}/a.db?mode=rwc",
    "file:{}/a.db?mode=rw%63",
    "file:{}/a.db?cache=private",
    "file:{}/a.db?vfs=unix",
    "file:{}/a.db?x=mode=memory",
    "file:{}/a.db?=mode=memory",
    "file:{}/a.db?Mode=memory",
    "file:{}/a.db?x#&mode=memory",
    "file:{}/a.db#?mode=memory",
    "file:{}/a.db%3Fmode=memory",
    "file:{}/a.db%00?x=y",
    "{}/file::memory:",
    "{}/x?mode=memory",
    "{}/größe 漢字 🦀.db",
    "file:{}/gr%C3%B6%C3%9Fe.db",
    "{}/%41.db",
    "{}/a'b\"c;d.db",
];

#[test]
fn names_that_only_look_like_it_are_files() {
    for name in FILES {
        let directory = tempfile::tempdir().unwrap();
        let name = name.replace("{}", directory.path().to_str().unwrap());
        let database = Database::open(&name, &Options::default())
            .unwrap_or_else(|error| panic!("'{name}' is refused: {error:?}"));
        // A reader has to end up in the same file.
        let id = crate::support::enqueue(&database, "p").unwrap();
        let read = database.query("SELECT id FROM _honker_live", &[]).unwrap();
        assert_eq!(single(read), Value::Integer(id), "{name}");
        assert!(is_file_to_sqlite(&name), "'{name}' is no file");
        database.close().unwrap();
    }
}

#[test]
fn names_with_a_nul_are_refused() {
    for name in ["\0", "a\0b", "file:a\0?mode=memory"] {
        let error = Database::open(name, &Options::default()).map(drop).unwrap_err();
        assert!(matches!(&error, Error::Invalid(message) if message.contains("NUL")), "{error:?}");
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_not_unicode_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"/tmp/\xff.db");
    let error = Database::open(name, &Options::default()).map(drop).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
}

/// Readers are opened later than the writer, and the process may have moved since.
#[cfg(target_os = "linux")]
#[test]
fn a_relative_name_stays_the_same_file() {
    crate::support::alone("names::a_relative_name_stays_the_same_file", || {
        let file = File::new();
        std::env::set_current_dir(file.path.parent().unwrap()).unwrap();
        for name in ["app.db", "file:app.db"] {
            let database = Database::open(name, &Options::default()).unwrap();
            std::env::set_current_dir("/").unwrap();
            let read = database.query("SELECT count(*) FROM _honker_live", &[]).map(single);
            assert_eq!(read, Ok(Value::Integer(0)), "{name}");
            database.close().unwrap();
            std::env::set_current_dir(file.path.parent().unwrap()).unwrap();
        }
    });
}
