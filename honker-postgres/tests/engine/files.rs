//! While only files are open nothing of this engine exists: no thread, no runtime, no connection.

use std::process::Command;

use honker_core::queue::Enqueue;
use honker_postgres::open;

const ALONE: &str = "HONKER_TEST_FILES";

fn entries(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            std::fs::read_link(&path).unwrap_or(path).to_string_lossy().into_owned()
        })
        .collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_needs_nothing_of_a_server() {
    // The other tests have threads.
    if std::env::var_os(ALONE).is_none() {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "files::a_file_needs_nothing_of_a_server", "--nocapture"])
            .env(ALONE, "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let threads = entries("/proc/self/task").len();
    let database = open(folder.path().join("app.db"), &Default::default()).unwrap();
    database.enqueue(&Enqueue::new("q", "p")).unwrap();
    assert!(!database.is_remote());
    assert_eq!(entries("/proc/self/task").len(), threads);
    for descriptor in entries("/proc/self/fd") {
        assert!(!descriptor.contains("eventpoll") && !descriptor.contains("socket"), "{descriptor}");
    }
}
