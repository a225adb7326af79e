//! A file with honker in it, opened the way the language packages open theirs.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ffi};

/// Opens `name` in `directory`, loads the extension and bootstraps.
pub fn open(directory: &Path, name: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(directory.join(name))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000;
         PRAGMA foreign_keys = ON; PRAGMA cache_size = -32000; PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 10000;",
    )?;
    // SAFETY: the connection is open, and the library is the one this workspace builds.
    unsafe { ffi::sqlite3_enable_load_extension(connection.handle(), 1) };
    connection.query_row("SELECT load_extension(?1)", [extension().to_string_lossy()], |_| Ok(()))?;
    // SAFETY: as above.
    unsafe { ffi::sqlite3_enable_load_extension(connection.handle(), 0) };
    connection.query_row("SELECT honker_bootstrap()", [], |_| Ok(()))?;
    Ok(connection)
}

/// The extension library: `HONKER_EXTENSION_PATH`, or the release build beside this program.
fn extension() -> PathBuf {
    let beside = || {
        let program = std::env::current_exe().unwrap_or_default();
        program.with_file_name(format!(
            "{}honker_ext{}",
            std::env::consts::DLL_PREFIX,
            std::env::consts::DLL_SUFFIX
        ))
    };
    std::env::var_os("HONKER_EXTENSION_PATH").map_or_else(beside, PathBuf::from)
}
