//! Lock-safe file access, beside another copy of SQLite and beside other processes.
//!
//! What is tested belongs to a process, so every scenario is a process of its own: this binary once more, with the
//! scenario's name in the environment ([`process`]). The other copy is the system's `libsqlite3.so.0`, loaded into the
//! same process with its symbols to itself ([`sqlite`]); in a second process it is a stock SQLite like any other.
#![cfg(all(feature = "runtime", target_os = "linux", target_pointer_width = "64"))]

mod conformance;
mod descriptors;
mod fork;
mod locks;
mod permissions;
mod process;
mod sqlite;
mod torture;

/// What a process that [`process::Process`] starts does. By itself this is no test.
#[test]
fn role() {
    let Some(role) = process::role() else {
        return;
    };
    let role = role.as_str();
    for roles in [
        torture::ROLES,
        locks::ROLES,
        fork::ROLES,
        descriptors::ROLES,
        permissions::ROLES,
        conformance::ROLES,
    ] {
        if let Some((_, body)) = roles.iter().find(|(name, _)| *name == role) {
            return body();
        }
    }
    panic!("there is no role {role}");
}
