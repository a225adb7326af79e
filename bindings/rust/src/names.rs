//! Names: those that nobody else has, and what none may have in it.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;

use crate::{Error, Result};

/// Refuses texts with a NUL, at which other programs would take them to end.
pub(crate) fn check<'a>(texts: impl IntoIterator<Item = (&'static str, &'a str)>) -> Result<()> {
    match texts.into_iter().find(|(_, text)| text.contains('\0')) {
        Some((argument, _)) => Err(Error::Invalid(format!("{argument} contains a NUL"))),
        None => Ok(()),
    }
}

/// Random hexadecimal digits, other ones in each call.
pub(crate) fn random() -> String {
    // Its keys are random, once a thread, and another number each time.
    let number = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", number(), number())
}

/// The name of a worker that was given none.
pub(crate) fn worker() -> String {
    format!("honker-worker-{}-{}", std::process::id(), &random()[..8])
}

/// Whether it is the URL of a server, and no file.
pub(crate) fn is_url(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with("postgres://") || path.starts_with("postgresql://"))
}
