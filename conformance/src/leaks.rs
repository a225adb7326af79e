//! What a process has left: descriptors of files that are gone, and threads.
//!
//! honker keeps descriptors of databases that it has closed, because to close one would drop the locks that others in
//! the process have on the file; it gives up those of deleted files when it next opens one. So the suite deletes a
//! case's files, has the testee open another database, and then nothing may be left of the case's directory.

use std::path::Path;
use std::time::{Duration, Instant};

/// How long threads and descriptors may take to be gone.
const GRACE: Duration = Duration::from_secs(2);
const EVERY: Duration = Duration::from_millis(10);

/// What the process `pid` has open in `dir`, or had before it was deleted.
pub fn descriptors(pid: u32, dir: &Path) -> Vec<String> {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = links.filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.display().to_string()));
    links.filter(|link| Path::new(link).starts_with(dir)).collect()
}

/// The names of the threads of the process `pid`.
pub fn threads(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let names = tasks.filter_map(|entry| std::fs::read_to_string(entry.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

/// Whether `what` gives nothing to object to before the grace is over; or what it objected to last.
pub fn in_time(mut what: impl FnMut() -> Option<String>) -> Result<(), String> {
    let deadline = Instant::now() + GRACE;
    loop {
        match what() {
            None => return Ok(()),
            Some(objection) if Instant::now() > deadline => return Err(objection),
            Some(_) => std::thread::sleep(EVERY),
        }
    }
}
