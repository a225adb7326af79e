//! SIGTERM and SIGINT, for as long as a worker runs.
//!
//! The handlers are installed with the first worker and taken out with the last one, when what was there before holds again.
//! A signal that is ignored stays so. The handler writes a byte into a pipe, which a thread reads that tells all workers, and
//! then calls the handler that was there before: a web server in the same process hears of the signal as well.
//!
//! Invariants:
//! - Ours is taken out only if nobody has installed another one over it, who calls ours in turn. Otherwise it stays, and is
//!   not installed again.
//! - A child that was forked, and has not begun another program, tells nobody: the pipe is the parent's.
//!
//! Threads: any. The lock is never held while a worker is told.

#[cfg(unix)]
mod unix {
    use std::io;
    use std::mem::MaybeUninit;
    use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    type Told = Arc<dyn Fn(&'static str) + Send + Sync>;

    const SIGNALS: [(i32, &str); 2] = [(libc::SIGTERM, "SIGTERM"), (libc::SIGINT, "SIGINT")];

    /// Where the handler writes; -1: nowhere.
    static PIPE: AtomicI32 = AtomicI32::new(-1);
    /// Who may write there.
    static PROCESS: AtomicI32 = AtomicI32::new(-1);
    /// What ours calls, for each of the signals.
    static BEFORE: [Before; SIGNALS.len()] = [const { Before::default() }; SIGNALS.len()];
    static STATE: Mutex<State> =
        Mutex::new(State { told: Vec::new(), next: 0, before: [None; SIGNALS.len()] });

    /// A handler: its address, or what stands for none, and whether it takes three arguments.
    struct Before {
        handler: AtomicUsize,
        takes_info: AtomicBool,
    }

    impl Before {
        const fn default() -> Self {
            Before { handler: AtomicUsize::new(libc::SIG_DFL), takes_info: AtomicBool::new(false) }
        }
    }

    struct State {
        told: Vec<(u64, Told)>,
        next: u64,
        /// Where ours is installed: what was there before.
        before: [Option<libc::sigaction>; SIGNALS.len()],
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
        // SAFETY: it only asks.
        PROCESS.store(unsafe { libc::getpid() }, Ordering::SeqCst);
        PIPE.store(ends[1], Ordering::SeqCst);
        for (place, (signal, _)) in SIGNALS.into_iter().enumerate() {
            let before = installed(signal);
            if state.before[place].is_some() || before.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            BEFORE[place].handler.store(before.sa_sigaction, Ordering::SeqCst);
            BEFORE[place].takes_info.store(before.sa_flags & libc::SA_SIGINFO != 0, Ordering::SeqCst);
            // SAFETY: a zeroed action is one with an empty mask; the handler only does what a handler may.
            unsafe {
                let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
                action.sa_sigaction = OURS as usize;
                action.sa_flags = libc::SA_RESTART | libc::SA_SIGINFO;
                libc::sigaction(signal, &action, std::ptr::null_mut());
            }
            state.before[place] = Some(before);
        }
        Ok(())
    }

    /// What is installed for a signal.
    fn installed(signal: i32) -> libc::sigaction {
        let mut action = MaybeUninit::zeroed();
        // SAFETY: it only asks, and a zeroed action is one.
        unsafe {
            libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
            action.assume_init()
        }
    }

    fn end(state: &mut State) {
        for (place, (signal, _)) in SIGNALS.into_iter().enumerate() {
            if installed(signal).sa_sigaction != OURS as usize {
                continue;
            }
            if let Some(before) = state.before[place].take() {
                // SAFETY: it was the action before ours.
                unsafe { libc::sigaction(signal, &before, std::ptr::null_mut()) };
            }
        }
        let writer = PIPE.swap(-1, Ordering::SeqCst);
        // Its thread ends with that. A handler that runs in this moment may write to whatever gets the number next; the
        // signals are not ours any more by then.
        // SAFETY: it is ours.
        unsafe { libc::close(writer) };
    }

    type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);
    const OURS: Handler = handle;

    extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: it only asks.
        let is_ours = unsafe { libc::getpid() } == PROCESS.load(Ordering::SeqCst);
        if is_ours {
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
        let Some(place) = SIGNALS.iter().position(|(known, _)| *known == signal) else { return };
        let before = &BEFORE[place];
        match before.handler.load(Ordering::SeqCst) {
            // SAFETY: both are allowed here. The child ends as it would have without us.
            libc::SIG_DFL if !is_ours => unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            },
            libc::SIG_DFL | libc::SIG_IGN => {}
            // SAFETY: it is a handler that was installed with this many arguments.
            address => unsafe {
                if before.takes_info.load(Ordering::SeqCst) {
                    std::mem::transmute::<usize, Handler>(address)(signal, info, context);
                } else {
                    std::mem::transmute::<usize, extern "C" fn(i32)>(address)(signal);
                }
            },
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
