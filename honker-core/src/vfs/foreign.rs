//! Noticing that somebody else in this process has a file open, where file access is not lock-safe.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fork;
use crate::identity::{Identity, identity};

/// The files that are open through us.
static OURS: Mutex<Vec<Identity>> = Mutex::new(Vec::new());

/// Whether this process has a descriptor on `path` that is not ours, on a POSIX system on which file access is not
/// lock-safe. To be asked before we open the file ourselves.
///
/// What cannot be found out (no such file yet, a `file:` URI, no `/dev/fd`) is `false`: this serves a warning.
pub fn foreign_descriptor(path: &str) -> bool {
    !super::install()
        && identity(path)
            .is_some_and(|wanted| fork::undisturbed(|| !ours().contains(&wanted)) && has_descriptor(wanted))
}

/// Says that a file is open through us, as long as this lives.
#[derive(Debug)]
pub struct Ours(Option<Identity>);

impl Ours {
    /// For a file that we have opened. Nobody asks where file access is lock-safe.
    pub fn new(path: &str) -> Self {
        let identity = if super::install() { None } else { identity(path) };
        if let Some(identity) = identity {
            fork::undisturbed(|| ours().push(identity));
        }
        Ours(identity)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let Some(own) = self.0 else { return };
        fork::undisturbed(|| {
            let mut ours = ours();
            if let Some(index) = ours.iter().position(|identity| *identity == own) {
                ours.swap_remove(index);
            }
        });
    }
}

fn ours() -> MutexGuard<'static, Vec<Identity>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
fn has_descriptor(wanted: Identity) -> bool {
    let Ok(descriptors) = std::fs::read_dir("/dev/fd") else { return false };
    descriptors.flatten().any(|descriptor| identity(descriptor.path()) == Some(wanted))
}

#[cfg(not(unix))]
fn has_descriptor(_: Identity) -> bool {
    false
}
