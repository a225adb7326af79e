//! SIGTERM and SIGINT, for as long as a worker runs.
//!
//! The handlers are installed with the first worker and taken out with the last one, when what was there before holds again.
//! A signal that is ignored stays so. The handler writes a byte into a pipe, which a thread reads that tells all workers.
//!
//! Threads: any. The lock is never held while a worker is told.

#[cfg(unix)]
mod unix {
    use std::io;
    use std::mem::MaybeUninit;
    use std::sync::atomic::{AtomicI32, Ordering};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    type Told = Arc<dyn Fn(&'static str) + Send + Sync>;

    const SIGNALS: [(i32, &str); 2] = [(libc::SIGTERM, "SIGTERM"), (libc::SIGINT, "SIGINT")];

    /// Where the handler writes; -1: nowhere.
    static PIPE: AtomicI32 = AtomicI32::new(-1);
    static STATE: Mutex<State> = Mutex::new(State { told: Vec::new(), next: 0, before: Vec::new() });

    struct State {
        told: Vec<(u64, Told)>,
        next: u64,
        before: Vec<(i32, libc::sigaction)>,
    }

    fn lock() -> MutexGuard<'static, State> {
        STATE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells until it is dropped.
    pub(in super::super) struct Signals(u64);

    impl Signals {
        pub(in super::super) fn listen(told: Told) -> io::Result<Self> {
            let mut state = lock();
            if state.told.is_empty() {
                begin(&mut state)?;
            }
            state.next += 1;
            let number = state.next;
            state.told.push((number, told));
            Ok(Signals(number))
        }
    }

    impl Drop for Signals {
        fn drop(&mut self) {
            let mut state = lock();
            state.told.retain(|(number, _)| *number != self.0);
            if state.told.is_empty() {
                end(&mut state);
            }
        }
    }

    fn begin(state: &mut State) -> io::Result<()> {
        let mut ends = [-1; 2];
        // SAFETY: there is room for two descriptors.
        if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        for end in ends {
            // SAFETY: the descriptors are open, and ours.
            unsafe { libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        // A handler must never wait.
        // SAFETY: as above.
        unsafe { libc::fcntl(ends[1], libc::F_SETFL, libc::O_NONBLOCK) };
        let reader = ends[0];
        let spawned =
            std::thread::Builder::new().name("honker-signals".to_owned()).spawn(move || read(reader));
        if let Err(error) = spawned {
            // SAFETY: nobody else has them.
            ends.into_iter().for_each(|end| unsafe {
                libc::close(end);
            });
            return Err(error);
        }
        PIPE.store(ends[1], Ordering::SeqCst);
        for (signal, _) in SIGNALS {
            let mut before = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: it only asks.
            let before = unsafe {
                libc::sigaction(signal, std::ptr::null(), before.as_mut_ptr());
                before.assume_init()
            };
            if before.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            // SAFETY: a zeroed action is one with an empty mask; the handler only does what a handler may.
            unsafe {
                let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                action.sa_sigaction = handle as extern "C" fn(i32) as usize;
                action.sa_flags = libc::SA_RESTART;
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
            state.before.push((signal, before));
        }
        Ok(())
    }

    fn end(state: &mut State) {
        for (signal, before) in state.before.drain(..) {
            // SAFETY: it was the action before ours.
            unsafe { libc::sigaction(signal, &before, std::ptr::null_mut()) };
        }
        let writer = PIPE.swap(-1, Ordering::SeqCst);
        // Its thread ends with that. A handler that runs in this moment may write to whatever gets the number next; the
        // signals are not ours any more by then.
        // SAFETY: it is ours.
        unsafe { libc::close(writer) };
    }

    extern "C" fn handle(signal: i32) {
        // SAFETY: `write` is allowed here, `errno` is put back, and the byte lives on the stack.
        unsafe {
            #[cfg(target_vendor = "apple")]
            let errno = libc::__error();
            #[cfg(not(target_vendor = "apple"))]
            let errno = libc::__errno_location();
            let before = *errno;
            let byte = signal as u8;
            libc::write(PIPE.load(Ordering::SeqCst), (&raw const byte).cast(), 1);
            *errno = before;
        }
    }

    fn read(pipe: i32) {
        loop {
            let mut byte = 0_u8;
            // SAFETY: the descriptor is this thread's, and there is room for the byte.
            match unsafe { libc::read(pipe, (&raw mut byte).cast(), 1) } {
                1 => {}
                -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => continue,
                _ => break,
            }
            let name = SIGNALS
                .iter()
                .find(|(signal, _)| *signal == i32::from(byte))
                .map_or("a signal", |(_, name)| name);
            let told: Vec<Told> = lock().told.iter().map(|(_, told)| Arc::clone(told)).collect();
            told.iter().for_each(|told| told(name));
        }
        // SAFETY: it is this thread's.
        unsafe { libc::close(pipe) };
    }
}

#[cfg(unix)]
pub(super) use unix::Signals;

/// There are none.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen(_: std::sync::Arc<dyn Fn(&'static str) + Send + Sync>) -> std::io::Result<Self> {
        Ok(Signals)
    }
}
