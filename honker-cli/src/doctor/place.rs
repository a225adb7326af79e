//! The file as the operating system has it: where it is, who may write to it, what its first bytes say.
//!
//! All of it before the file is opened as a database: closing a descriptor of it afterwards would drop SQLite's locks.

use std::path::{Path, PathBuf};

use super::{Finding, Level};
use crate::file::{has_wal, header};
use crate::system::{may_make_files_in, may_read_and_write};

/// A log of more than this is one that could not be written back.
const WAL_MAX: u64 = 256 * 1024 * 1024;

/// File systems on which locks or shared memory do not work between machines, by their magic numbers.
#[cfg(target_os = "linux")]
const NETWORK: [(u32, &str); 8] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x786f_4256, "a shared folder of VirtualBox"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
];
#[cfg(target_os = "linux")]
const FUSE: u32 = 0x6573_5546;

/// What there is to say.
pub fn look(path: &Path) -> Vec<Finding> {
    let mut findings = vec![access(path), file_system(path), journal(path), wal(path)];
    findings.extend(inotify());
    findings
}

fn access(path: &Path) -> Finding {
    const CHECK: &str = "access";
    let folder = folder_of(path);
    if !may_read_and_write(path) {
        let advice = "Let the users of the queue read and write the file, and write to its folder.";
        return Finding::new(CHECK, Level::Bad, "the file may not be read and written by this user", advice);
    }
    if !may_make_files_in(&folder) {
        let advice = "SQLite keeps its log beside the file: let the users of the queue write to the folder.";
        return Finding::new(CHECK, Level::Bad, "the folder may not be written to by this user", advice);
    }
    for end in ["-wal", "-shm", "-honker"] {
        let beside = beside(path, end);
        if beside.exists() && !may_read_and_write(&beside) {
            let found = format!("{} may not be read and written by this user", beside.display());
            let advice = "It was made by another user. Run all programs that use the file as one user, or give it to their group.";
            return Finding::new(CHECK, Level::Bad, found, advice);
        }
    }
    Finding::ok(CHECK, "the file and its folder can be written to")
}

fn folder_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

#[cfg(target_os = "linux")]
fn file_system(path: &Path) -> Finding {
    const CHECK: &str = "file system";
    let Ok(found) = rustix::fs::statfs(path) else {
        return Finding::new(CHECK, Level::Note, "nothing is known of the file system", "");
    };
    let kind = found.f_type as u32;
    if let Some((_, name)) = NETWORK.iter().find(|(magic, _)| *magic == kind) {
        let advice = "Move the file to a local disk. Locks and the log's shared memory are those of one kernel: used from \
                      two machines the file is damaged sooner or later.";
        return Finding::new(CHECK, Level::Bad, format!("the file is on {name}"), advice);
    }
    if kind == FUSE {
        let advice = "Make sure that it is a local one: a network file system behind FUSE damages the file.";
        return Finding::new(CHECK, Level::Warning, "the file is on a FUSE file system", advice);
    }
    let left = found.f_bavail.saturating_mul(u64::try_from(found.f_bsize).unwrap_or(0));
    if left < 64 * 1024 * 1024 {
        let advice = "Make room: without it nothing can be enqueued or settled.";
        return Finding::new(CHECK, Level::Warning, format!("{} MB are left", left / 1024 / 1024), advice);
    }
    Finding::ok(CHECK, "a local one, with room")
}

#[cfg(not(target_os = "linux"))]
fn file_system(_path: &Path) -> Finding {
    Finding::new("file system", Level::Note, "not looked at on this system", "Keep the file on a local disk.")
}

fn journal(path: &Path) -> Finding {
    const CHECK: &str = "journal";
    let Some(header) = header(path) else {
        return Finding::new(
            CHECK,
            Level::Note,
            "the file is empty",
            "Nothing was ever written to it; is it the right one?",
        );
    };
    if !header.starts_with(b"SQLite format 3\0") {
        let advice = "It is encrypted, damaged at its beginning, or another file.";
        return Finding::new(CHECK, Level::Bad, "the file does not begin as a SQLite database does", advice);
    }
    if has_wal(&header) {
        return Finding::ok(CHECK, "write-ahead log");
    }
    let advice = "honker's programs turn on the write-ahead log when they open the file; something has turned it off again. \
                  With a rollback journal readers and the writer wait for each other.";
    Finding::new(CHECK, Level::Warning, "a rollback journal, not the write-ahead log", advice)
}

fn wal(path: &Path) -> Finding {
    const CHECK: &str = "log";
    let size = std::fs::metadata(beside(path, "-wal")).map_or(0, |metadata| metadata.len());
    let found = format!("the write-ahead log has {} MB", size / 1024 / 1024);
    if size > WAL_MAX {
        let advice = "It cannot be written back while somebody reads: look for a transaction or a cursor that is never closed \
                      (fuser FILE-shm names the processes). When nobody reads: sqlite3 FILE 'PRAGMA wal_checkpoint(TRUNCATE)'.";
        return Finding::new(CHECK, Level::Warning, found, advice);
    }
    Finding::ok(CHECK, found)
}

/// How many inotify instances this user's processes have, of how many.
fn inotify() -> Option<Finding> {
    const CHECK: &str = "inotify";
    let limit = |name| {
        let text = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let (instances, watches) = (limit("max_user_instances")?, limit("max_user_watches")?);
    let used = count_instances();
    let found = format!("{used} of {instances} instances used, as far as this user sees; {watches} watches");
    if used.saturating_mul(10) >= instances.saturating_mul(9) || watches < 64 {
        let advice = "A process that gets no instance polls instead, and is slower. Raise it: sysctl -w \
                      fs.inotify.max_user_instances=1024 (and fs.inotify.max_user_watches).";
        return Some(Finding::new(CHECK, Level::Warning, found, advice));
    }
    Some(Finding::ok(CHECK, found))
}

fn count_instances() -> u64 {
    let is_process =
        |name: &std::ffi::OsStr| name.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let descriptors = processes
        .filter(|process| is_process(&process.file_name()))
        .filter_map(|process| std::fs::read_dir(process.path().join("fd")).ok())
        .flatten()
        .flatten();
    let is_inotify =
        |path: PathBuf| std::fs::read_link(path).is_ok_and(|link| link.as_os_str() == "anon_inode:inotify");
    descriptors.filter(|descriptor| is_inotify(descriptor.path())).count() as u64
}
