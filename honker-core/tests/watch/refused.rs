//! The operating system refuses what a watcher would like to have, and nobody can read what is printed.

use std::io::Write;
use std::time::Duration;

use honker_core::database::{Database, Options};
use honker_core::watch::{Backend, Method, Settings, State, Watcher};

use crate::foreign::Foreign;
use crate::support::{File, INSERT, alone, wakes, way};

/// Whatever this process writes to its standard error from now on fails with EPIPE.
fn close_standard_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    // SAFETY: replaces a descriptor of this process, which the test has for itself.
    assert_eq!(unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&writer), 2) }, 2);
    assert!(std::io::stderr().write_all(b"x").is_err());
}

/// From now on there are no inotify instances for this process, as if its user had used up all of them. (Really using them
/// up would take them from everybody else on the machine.)
fn use_up_inotify() {
    let filter = |code: u32, jt, jf, k: u32| libc::sock_filter { code: code.try_into().unwrap(), jt, jf, k };
    let number = u32::try_from(libc::SYS_inotify_init1).unwrap();
    let mut program = [
        filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        filter(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        filter(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EMFILE.cast_unsigned()),
        filter(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    // SAFETY: the program lives until the calls return; it holds for the threads that this one starts, too.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
        assert_eq!(libc::inotify_init1(0), -1);
    }
}

#[test]
fn without_inotify_it_polls_and_says_so() {
    alone("refused::without_inotify_it_polls_and_says_so", || {
        let file = File::none();
        let database = Database::open(&file.path, &Options::default()).unwrap();
        assert_eq!(database.status().unwrap().watcher, None);
        let mut foreign = Foreign::on(&file.path);
        close_standard_error();
        use_up_inotify();
        let (subscription, warning) = database.subscribe_with_warning().unwrap();
        let warning = warning.unwrap();
        assert!(warning.contains("polling"), "{warning}");
        foreign.sql("CREATE TABLE row (id INTEGER PRIMARY KEY, payload)");
        for _ in 0..5 {
            foreign.sql(INSERT);
            wakes(&subscription);
        }
        // Once is enough.
        assert_eq!(database.subscribe_with_warning().unwrap().1, None);
        let status = database.status().unwrap();
        assert_eq!((status.file.as_str(), status.connections.writers), (file.path.to_str().unwrap(), 1));
        let watcher = status.watcher.unwrap();
        assert_eq!(
            (watcher.method, watcher.state, watcher.demoted),
            (Method::Polling, State::Watching, true)
        );
        assert_eq!(watcher.warnings[0].text, warning);
        // Asked for by its name it is not replaced.
        let refused = Watcher::start(&file.target(), &way(Backend::Kernel)).err().unwrap().to_string();
        assert!(refused.starts_with("watcher_backend probe failed: "), "{refused}");
    });
}

/// A thread that watches, and finds that it cannot read the file, must not die of saying so.
#[test]
fn trouble_is_in_the_status() {
    alone("refused::trouble_is_in_the_status", || {
        close_standard_error();
        let file = File::new("DELETE");
        let mut foreign = Foreign::on(&file.path);
        let watcher = file.watch(&Settings::default());
        let subscription = watcher.subscribe().unwrap();
        let good = std::fs::read(&file.path).unwrap();
        crate::support::overwrite(&file, &[&[b'x'; 100], &good[100..]].concat());
        wakes(&subscription);
        assert_eq!(watcher.status().state, State::Unreadable);
        assert_eq!(watcher.status().warnings.len(), 1);
        crate::support::overwrite(&file, &good);
        while watcher.status().state == State::Unreadable {
            subscription.wait(Some(Duration::from_millis(100))).unwrap();
        }
        foreign.sql(INSERT);
        wakes(&subscription);
        assert_eq!(watcher.status().warnings[0].count, 1);
    });
}
