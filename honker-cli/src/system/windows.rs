//! Windows.

use std::path::Path;

use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};

/// What a console tells its programs: Ctrl-C, Ctrl-Break, that it is closed, and that the system ends.
pub struct EndSignals {
    c: CtrlC,
    ctrl_break: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl EndSignals {
    /// From now on they do not end the process by themselves. Within a runtime.
    pub fn new() -> std::io::Result<Self> {
        Ok(EndSignals {
            c: ctrl_c()?,
            ctrl_break: ctrl_break()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.c.recv() => {}
            _ = self.ctrl_break.recv() => {}
            _ = self.close.recv() => {}
            _ = self.shutdown.recv() => {}
        }
    }
}

/// Whether this user may read and write a file.
pub fn may_read_and_write(path: &Path) -> bool {
    std::fs::OpenOptions::new().read(true).write(true).open(path).is_ok()
}

/// Whether this user may make files in a folder: that is known once it is tried, and a look changes nothing.
pub fn may_make_files_in(folder: &Path) -> bool {
    folder.is_dir()
}

/// Whether two paths lead to one file that exists, by whatever links.
pub fn are_one(one: &Path, other: &Path) -> bool {
    same_file::is_same_file(one, other).unwrap_or(false)
}

/// There is no limit of a process's own.
pub fn descriptors(_wanted: u64) -> Option<u64> {
    None
}

/// What the machine is called.
pub fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "windows".to_owned())
}
