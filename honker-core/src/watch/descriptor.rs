//! A descriptor that event loops can wait for: an eventfd on Linux, a pipe elsewhere.

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

    use rustix::io::{read, write};

    use crate::{Error, Result};

    /// Readable once it is raised, until it is lowered.
    #[derive(Debug)]
    pub(in crate::watch) struct Descriptor {
        reader: OwnedFd,
        #[cfg(not(target_os = "linux"))]
        writer: OwnedFd,
    }

    impl Descriptor {
        #[cfg(target_os = "linux")]
        pub(in crate::watch) fn new() -> Result<Self> {
            use rustix::event::{EventfdFlags, eventfd};
            let reader = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(no_descriptor)?;
            Ok(Descriptor { reader })
        }

        #[cfg(not(target_os = "linux"))]
        pub(in crate::watch) fn new() -> Result<Self> {
            use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};
            let (reader, writer) = rustix::pipe::pipe().map_err(no_descriptor)?;
            for end in [&reader, &writer] {
                fcntl_setfd(end, FdFlags::CLOEXEC).map_err(no_descriptor)?;
                ioctl_fionbio(end, true).map_err(no_descriptor)?;
            }
            Ok(Descriptor { reader, writer })
        }

        /// Makes it readable. It does not matter how often.
        pub(in crate::watch) fn raise(&self) {
            #[cfg(target_os = "linux")]
            let writer = &self.reader;
            #[cfg(not(target_os = "linux"))]
            let writer = &self.writer;
            // It fails only when it is full: then it is readable.
            let _ = write(writer, &1_u64.to_ne_bytes());
        }

        /// Makes it unreadable.
        pub(in crate::watch) fn lower(&self) {
            let mut buffer = [0; 512];
            while read(&self.reader, &mut buffer).is_ok_and(|length| length == buffer.len()) {}
        }
    }

    impl AsRawFd for Descriptor {
        fn as_raw_fd(&self) -> RawFd {
            self.reader.as_raw_fd()
        }
    }

    impl AsFd for Descriptor {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.reader.as_fd()
        }
    }

    pub(crate) fn no_descriptor(error: rustix::io::Errno) -> Error {
        Error::system("a descriptor to wait for", &error.into())
    }
}

#[cfg(unix)]
pub(super) use unix::Descriptor;
#[cfg(unix)]
pub(crate) use unix::no_descriptor;

/// There are no descriptors to wait for here.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct Descriptor;

#[cfg(not(unix))]
impl Descriptor {
    pub(super) fn raise(&self) {}
    pub(super) fn lower(&self) {}
}
