//! How exactly the kernel keeps the time of a thread that leads.

/// While this lives a nap of 20 µs on this thread is one, not one of 70.
pub(crate) struct QuickTimers {
    #[cfg(target_os = "linux")]
    before: Option<std::num::NonZeroU64>,
}

impl QuickTimers {
    pub(crate) fn set() -> Self {
        #[cfg(target_os = "linux")]
        {
            let before = rustix::thread::current_timer_slack().ok().and_then(std::num::NonZeroU64::new);
            let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
            QuickTimers { before }
        }
        #[cfg(not(target_os = "linux"))]
        QuickTimers {}
    }
}

impl Drop for QuickTimers {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        let _ = rustix::thread::set_current_timer_slack(self.before);
    }
}
