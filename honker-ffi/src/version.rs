//! Which library this is.

use std::ffi::{CStr, c_char};
use std::sync::LazyLock;

use honker_core::database;

/// The version of the interface that this header describes, major << 16 | minor. A library serves a program that was
/// compiled against another header if the major versions are the same and the library's minor version is not the lower
/// one.
pub const HONKER_ABI_VERSION: u32 = 2 << 16 | 2;

/// The version of the interface that the library at hand has: HONKER_ABI_VERSION when it was built.
#[unsafe(no_mangle)]
pub extern "C" fn honker_abi_version() -> u32 {
    HONKER_ABI_VERSION
}

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version without a NUL"),
};

/// The version of the library, "1.2.3". The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn honker_version() -> *const c_char {
    VERSION.as_ptr()
}

/// What the library was built from, for bug reports: a JSON object with the keys version, abi_version, commit, target,
/// sqlite_version, sqlite_source_id, lock_safe_files (whether another copy of SQLite in this process may have the same
/// file open) and features. The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn honker_build_info() -> *const c_char {
    static INFO: LazyLock<std::ffi::CString> = LazyLock::new(|| {
        let features = [("faults", cfg!(feature = "faults")), ("postgres", cfg!(feature = "postgres"))];
        let features: Vec<&str> =
            features.iter().filter(|(_, is_in)| *is_in).map(|(name, _)| *name).collect();
        let info = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "abi_version": HONKER_ABI_VERSION,
            "commit": env!("HONKER_COMMIT"),
            "target": env!("HONKER_TARGET"),
            "sqlite_version": database::sqlite_version(),
            "sqlite_source_id": database::sqlite_source_id(),
            "lock_safe_files": honker_core::vfs::install(),
            "features": features,
        });
        std::ffi::CString::new(info.to_string()).unwrap_or_default()
    });
    INFO.as_ptr()
}
