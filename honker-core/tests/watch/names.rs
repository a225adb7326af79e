//! What may be asked for, and what is refused.

use std::time::Duration;

use honker_core::watch::{Backend, Settings, Target, Watcher};

use crate::support::{File, WAYS, way};

#[test]
fn back_ends_have_exact_names() {
    for (name, backend) in [
        ("", Backend::Auto),
        ("auto", Backend::Auto),
        ("polling", Backend::Polling),
        ("poll", Backend::Polling),
        ("kernel", Backend::Kernel),
        ("kernel-watcher", Backend::Kernel),
        ("shm", Backend::Shm),
        ("shm-fast-path", Backend::Shm),
    ] {
        assert_eq!(name.parse(), Ok(backend));
    }
    for name in ["KERNEL", "Auto", " polling ", "polling\n", "inotify", "shm_fast_path", "\0"] {
        let error = name.parse::<Backend>().unwrap_err().to_string();
        assert!(error.starts_with("unknown watcher backend"), "{error}");
    }
}

fn refusal(target: &Target, settings: &Settings) -> String {
    Watcher::start(target, settings).err().expect("it should be refused").to_string()
}

#[test]
fn the_poll_interval_is_positive() {
    let file = File::new("WAL");
    for settings in WAYS {
        let settings = Settings { poll_interval: Duration::ZERO, ..settings };
        assert!(refusal(&file.target(), &settings).contains("poll interval must be positive"));
    }
    for poll_interval in [Duration::from_nanos(1), Duration::MAX] {
        for settings in WAYS {
            drop(file.watch(&Settings { poll_interval, ..settings }).subscribe().unwrap());
        }
    }
}

#[test]
fn what_was_asked_for_by_name_is_not_replaced() {
    let file = File::new("DELETE");
    let refused = refusal(&file.target(), &way(Backend::Shm));
    assert!(refused.starts_with("watcher_backend probe failed: -shm unavailable"), "{refused}");
    let nowhere = Target::new(file.directory.path().join("no/such/app.db").to_str().unwrap());
    let refused = refusal(&nowhere, &way(Backend::Kernel));
    assert!(refused.starts_with("watcher_backend probe failed: "), "{refused}");
    for settings in [way(Backend::Polling), way(Backend::Auto)] {
        drop(Watcher::start(&nowhere, &settings).unwrap());
    }
}

#[test]
fn what_is_no_file_of_ours_is_refused() {
    let file = File::none();
    let garbage = file.beside("-garbage");
    std::fs::write(&garbage, [b'x'; 4096]).unwrap();
    let long = format!("{}/{}", file.directory.path().display(), "a".repeat(250));
    let longer = format!("{long}/{0}/{0}", "b".repeat(250));
    for settings in WAYS {
        for path in ["", ":memory:", "file::memory:", "file:x?mode=memory&cache=shared", "file:", "a\0b"] {
            refusal(&Target::new(path), &settings);
        }
        refusal(&Target::new(garbage.to_str().unwrap()), &settings);
        refusal(&Target::new(file.directory.path().to_str().unwrap()), &settings);
        refusal(&Target::new(format!("file:{}?mode=rw", file.path.display())), &settings);
    }
    // A name that is too long for SQLite is the name of no file yet.
    assert!(Watcher::start(&Target::new(longer), &way(Backend::Kernel)).is_err());
    assert!(!file.path.exists(), "watching creates no file");
}
