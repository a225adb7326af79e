//! What takes a process of its own: signals, SIGKILL, forks. The process is this test, run once more with a role.

#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use honker::{Database, EnqueueOpts, Error, Failure, QueueOpts, Worker};

const LONG: Duration = Duration::from_secs(120);

struct Role {
    child: Child,
    said: Receiver<String>,
}

impl Role {
    fn start(name: &str, path: &Path) -> Role {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "a_role", "--nocapture"])
            .env("HONKER_ROLE", name)
            .env("HONKER_FILE", path)
            .stdout(Stdio::piped());
        // A shell that starts this test in the background ignores SIGINT, and what is ignored stays so.
        // SAFETY: `signal` is allowed in a child that was forked.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            })
        };
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (say, said) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if let Some((_, words)) = line.split_once("role: ") {
                    let _ = say.send(words.to_owned());
                }
            }
        });
        Role { child, said }
    }

    fn says(&self) -> String {
        self.said.recv_timeout(LONG).unwrap()
    }

    fn signal(&self, signal: i32) {
        // SAFETY: it is our child, and not waited for yet.
        unsafe { libc::kill(self.child.id().try_into().unwrap(), signal) };
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

static HEARD: AtomicUsize = AtomicUsize::new(0);

/// What a program installs that has other things to stop.
fn hear(signal: i32) {
    extern "C" fn heard(_: i32) {
        HEARD.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: the handler only counts.
    unsafe { libc::signal(signal, heard as extern "C" fn(i32) as usize) };
}

/// Not a test by itself.
#[test]
fn a_role() {
    let Ok(role) = std::env::var("HONKER_ROLE") else { return };
    let path = std::env::var("HONKER_FILE").unwrap();
    // A signal that comes when the worker has ended, and has not said so yet, does not end the stubborn one.
    if role == "server" || role == "stubborn" {
        hear(libc::SIGTERM);
    }
    let role_of_worker = role.clone();
    let builder =
        Worker::builder().stop_timeout(if role == "stubborn" { LONG } else { Duration::from_millis(50) });
    let worker = builder.queue("q", move |job| {
        println!("role: begun");
        #[cfg(target_os = "linux")]
        if role_of_worker == "starved" && job.payload_as::<i64>()? == 1 {
            // Room for anything but the stack of a thread, which has 2 MiB.
            let pages: u64 =
                std::fs::read_to_string("/proc/self/statm")?.split(' ').next().unwrap().parse()?;
            let most = pages * 4096 + (3 << 19);
            // SAFETY: it is our own process.
            unsafe { libc::setrlimit(libc::RLIMIT_AS, &libc::rlimit { rlim_cur: most, rlim_max: most }) };
        }
        if role_of_worker == "forks" {
            // SAFETY: the child only ends.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: as above.
                unsafe {
                    libc::raise(libc::SIGTERM);
                    libc::_exit(0);
                }
            }
            let mut status = 0;
            // SAFETY: it is our child.
            unsafe { libc::waitpid(child, &mut status, 0) };
            println!("role: child ended by {}", libc::WTERMSIG(status));
        }
        match job.sleep(LONG * 2) {
            Some(why) => Err(Failure::from(why)),
            None => Ok(()),
        }
    });
    let ended = worker.open(path).unwrap().run();
    println!("role: {}", if ended.is_ok() { "ended" } else { "failed" });
    if role == "server" {
        // SAFETY: it is our own process.
        unsafe { libc::raise(libc::SIGTERM) };
        println!("role: heard {}", HEARD.load(Ordering::SeqCst));
    }
}

fn file() -> (tempfile::TempDir, std::path::PathBuf, Database) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let db = Database::open(&path).unwrap();
    (folder, path, db)
}

#[test]
fn a_signal_stops_a_worker_and_gives_its_job_back() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let (_folder, path, db) = file();
        let q = db.queue("q", QueueOpts::default());
        let id = q.enqueue(&1, EnqueueOpts::default()).unwrap();
        let role = Role::start("worker", &path);
        assert_eq!(role.says(), "begun");
        role.signal(signal);
        assert_eq!(role.says(), "ended");
        let job = q.get_job(id).unwrap().unwrap();
        assert_eq!((job.state.as_str(), job.attempts), ("pending", 0));
    }
}

/// A web server with a graceful shutdown of its own, for instance.
#[test]
fn the_programs_own_handler_of_a_signal_is_called_as_well() {
    let (_folder, path, db) = file();
    db.queue("q", QueueOpts::default()).enqueue(&1, EnqueueOpts::default()).unwrap();
    let role = Role::start("server", &path);
    assert_eq!(role.says(), "begun");
    role.signal(libc::SIGTERM);
    assert_eq!(role.says(), "ended");
    // And it stands alone again after that.
    assert_eq!(role.says(), "heard 2");
}

#[test]
fn a_signal_of_a_forked_child_is_its_own() {
    let (_folder, path, db) = file();
    let q = db.queue("q", QueueOpts::default());
    let id = q.enqueue(&1, EnqueueOpts::default()).unwrap();
    let role = Role::start("forks", &path);
    assert_eq!(role.says(), "begun");
    assert_eq!(role.says(), format!("child ended by {}", libc::SIGTERM));
    // The worker has not heard.
    assert_eq!(q.get_job(id).unwrap().unwrap().state, "processing");
    role.signal(libc::SIGTERM);
    assert_eq!(role.says(), "ended");
}

#[cfg(target_os = "linux")]
#[test]
fn jobs_for_which_there_is_no_thread_wait_for_a_free_one() {
    let (_folder, path, db) = file();
    let q = db.queue("q", QueueOpts::default());
    let first = q.enqueue(&1, EnqueueOpts::default()).unwrap();
    let role = Role::start("starved", &path);
    assert_eq!(role.says(), "begun");
    q.enqueue_many(&[2, 3], EnqueueOpts::default()).unwrap();
    let mut updates = db.update_events().unwrap();
    while q.stats().unwrap().claimed < 3 {
        let _ = updates.recv_timeout(Duration::from_millis(200));
    }
    // They are held, and not given back and claimed again and again.
    assert!(!updates_go_on(&mut updates), "the worker spins");
    q.cancel(first).unwrap();
    assert_eq!(role.says(), "begun");
    role.signal(libc::SIGTERM);
    // The last one may begin when the thread is free, and is told to stop at once.
    while role.says() != "ended" {}
    let stats = q.stats().unwrap();
    assert_eq!((stats.pending, stats.claimed), (2, 0));
}

/// Whether there is commit after commit, without an end.
#[cfg(target_os = "linux")]
fn updates_go_on(updates: &mut honker::UpdateEvents) -> bool {
    (0..100).all(|_| updates.recv_timeout(Duration::from_secs(1)).unwrap())
}

#[test]
fn a_second_signal_does_not_wait_for_jobs() {
    let (_folder, path, db) = file();
    let q = db.queue("q", QueueOpts::default());
    let id = q.enqueue(&1, EnqueueOpts::default()).unwrap();
    let role = Role::start("stubborn", &path);
    assert_eq!(role.says(), "begun");
    role.signal(libc::SIGTERM);
    // The kernel makes one of two that come at once.
    loop {
        match role.said.recv_timeout(Duration::from_millis(100)) {
            // Its handler may have heard in time or not.
            Ok(said) => break assert!(said == "ended" || said == "failed", "{said}"),
            Err(RecvTimeoutError::Timeout) => role.signal(libc::SIGTERM),
            Err(RecvTimeoutError::Disconnected) => panic!("it has said nothing"),
        }
    }
    let job = q.get_job(id).unwrap().unwrap();
    assert_eq!((job.state.as_str(), job.attempts), ("pending", 0));
}

#[cfg(target_os = "linux")]
#[test]
fn the_jobs_of_a_killed_process_go_on_at_once() {
    let (_folder, path, db) = file();
    db.queue("q", QueueOpts::default()).enqueue(&1, EnqueueOpts::default()).unwrap();
    let role = Role::start("worker", &path);
    assert_eq!(role.says(), "begun");
    let (did, does) = channel();
    let worker = Worker::builder().signals(false).queue("q", move |job| {
        did.send(job.attempts)?;
        Ok(())
    });
    let worker = worker.build(&db).unwrap();
    let stopper = worker.stopper();
    let running = std::thread::spawn(move || worker.run());
    drop(role);
    // Long before its claim is over, which is valid for 300 s.
    assert_eq!(does.recv_timeout(LONG).unwrap(), 2);
    stopper.stop();
    running.join().unwrap().unwrap();
}

#[test]
fn a_forked_child_is_refused() {
    let (_folder, _path, db) = file();
    let q = db.queue("q", QueueOpts::default());
    let mut news = db.listen("news").unwrap();
    // SAFETY: the child makes calls that are refused, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = [
            q.enqueue(&1, EnqueueOpts::default()).err(),
            db.transaction().err(),
            db.query("SELECT 1", []).err(),
            db.try_lock("l", "o", 60).err(),
            db.close().err(),
        ];
        let all = refused.iter().all(|error| matches!(error, Some(Error::Forked)));
        // SAFETY: nothing of the parent's is to be run here.
        unsafe { libc::_exit(if all { 7 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: it is our child.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(libc::WEXITSTATUS(status), 7);
    db.notify("news", &1).unwrap();
    assert!(news.recv_timeout(LONG).unwrap().is_some());
}
