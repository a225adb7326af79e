//! How the conformance suite moves the clock of a running process and plants faults in it: a file that both map.
//!
//! Only in test builds (feature `faults`), never in a release. The suite's side makes the file and writes to it
//! ([`Control::create`], [`Control::set_clock`], [`Control::arm`]); the library's side, `faults.rs`, reads it whenever it
//! wants to know the time or comes to a point where something might have been planted. The suite includes this file in
//! its own sources, so nothing here uses the rest of the crate.
//!
//! The file holds words of 64 bits, all accessed atomically. There is one fault at a time: its point is written before it
//! is armed, and only the thread that counts it down to nothing disarms it and lets it fire.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const MAGIC: u64 = u64::from_le_bytes(*b"honkctl1");
const POINT_WORDS: usize = 16;
const POINT_LEN_MAX: usize = POINT_WORDS * 8;

#[repr(C)]
struct Page {
    magic: AtomicU64,
    clock_is_set: AtomicU64,
    clock: AtomicU64,
    /// Which fault is armed, 0 for none: a number that is never used twice.
    armed: AtomicU64,
    /// How often its point must still be reached.
    left: AtomicU64,
    action: AtomicU64,
    argument: AtomicU64,
    point_len: AtomicU64,
    point: [AtomicU64; POINT_WORDS],
    fired: AtomicU64,
    faults: AtomicU64,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL to the process itself.
    Kill,
    /// SIGSTOP to the process itself.
    Stop,
    /// A panic.
    Panic,
    /// The system call fails with this number.
    Error(i32),
    /// The thread sleeps for so many milliseconds.
    Delay(u64),
}

/// The mapped file. It stays mapped for as long as the process lives.
#[derive(Clone, Copy)]
pub struct Control {
    page: &'static Page,
}

impl Control {
    /// Makes the file: the machine's clock, and no fault.
    pub fn create(path: &Path) -> io::Result<Control> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(size_of::<Page>() as u64)?;
        let control = Control::map(&file)?;
        control.page.magic.store(MAGIC, SeqCst);
        Ok(control)
    }

    /// Opens one that exists.
    pub fn open(path: &Path) -> io::Result<Control> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() < size_of::<Page>() as u64 {
            return Err(io::Error::other("too short for a control file"));
        }
        let control = Control::map(&file)?;
        if control.page.magic.load(SeqCst) != MAGIC {
            return Err(io::Error::other("not a control file of this version"));
        }
        Ok(control)
    }

    fn map(file: &std::fs::File) -> io::Result<Control> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of a file that is open, at an address that the kernel chooses.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Page>(),
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mapping is as long as a page, aligned, never undone, and holds atomics only.
        Ok(Control { page: unsafe { &*address.cast::<Page>() } })
    }

    /// What time it is; `None` is the machine's.
    pub fn set_clock(&self, now: Option<i64>) {
        self.page.clock.store(now.unwrap_or(0).cast_unsigned(), SeqCst);
        self.page.clock_is_set.store(u64::from(now.is_some()), SeqCst);
    }

    /// See [`Control::set_clock`].
    pub fn clock(&self) -> Option<i64> {
        (self.page.clock_is_set.load(SeqCst) == 1).then(|| self.page.clock.load(SeqCst).cast_signed())
    }

    /// Plants a fault that fires the `nth` time (from 1) that `point` is reached. It takes the place of the last one.
    pub fn arm(&self, point: &str, nth: u64, action: Action) {
        assert!(point.len() <= POINT_LEN_MAX && nth > 0, "no such fault: {point}, the {nth}th time");
        self.disarm();
        for (word, bytes) in self.page.point.iter().zip(point.as_bytes().chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(padded), SeqCst);
        }
        let (action, argument) = match action {
            Action::Kill => (0, 0),
            Action::Stop => (1, 0),
            Action::Panic => (2, 0),
            Action::Error(errno) => (3, i64::from(errno).cast_unsigned()),
            Action::Delay(ms) => (4, ms),
        };
        self.page.point_len.store(point.len() as u64, SeqCst);
        self.page.action.store(action, SeqCst);
        self.page.argument.store(argument, SeqCst);
        self.page.left.store(nth, SeqCst);
        self.page.armed.store(self.page.faults.fetch_add(1, SeqCst) + 1, SeqCst);
    }

    /// Takes the fault away, if it has not fired.
    pub fn disarm(&self) {
        self.page.armed.store(0, SeqCst);
    }

    /// How many faults have fired since the file was made.
    pub fn fired(&self) -> u64 {
        self.page.fired.load(SeqCst)
    }

    /// Whether a fault is armed at a point that begins like this: what may be costly to find out need not be, otherwise.
    pub fn is_armed(&self, beginning: &str) -> bool {
        self.page.armed.load(SeqCst) != 0 && self.point().starts_with(beginning.as_bytes())
    }

    /// A point is reached. What has to be done there, if the fault fires now.
    pub fn reach(&self, point: &str) -> Option<Action> {
        let armed = self.page.armed.load(SeqCst);
        if armed == 0 || self.point() != point.as_bytes() || self.page.left.fetch_sub(1, SeqCst) != 1 {
            return None;
        }
        self.page.armed.compare_exchange(armed, 0, SeqCst, SeqCst).ok()?;
        self.page.fired.fetch_add(1, SeqCst);
        let argument = self.page.argument.load(SeqCst);
        Some(match self.page.action.load(SeqCst) {
            0 => Action::Kill,
            1 => Action::Stop,
            2 => Action::Panic,
            3 => Action::Error(i32::try_from(argument.cast_signed()).unwrap_or(libc::EIO)),
            _ => Action::Delay(argument),
        })
    }

    fn point(&self) -> Vec<u8> {
        let words = self.page.point.iter().flat_map(|word| word.load(SeqCst).to_le_bytes());
        let len = usize::try_from(self.page.point_len.load(SeqCst)).unwrap_or(0);
        words.take(len).collect()
    }
}
