//! A Postgres server of this run's own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::throughput::Outcome;

const WITH_CLUSTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../honker-postgres/tests/with-cluster");

/// Runs until it is told to end, or this process is gone.
const HOLD: &str = "echo \"$HONKER_POSTGRES_URL\"; while kill -0 $0 2>/dev/null; do sleep 1; done";

/// It is stopped, and removed, when this is dropped.
pub struct Server {
    url: String,
    holder: Child,
}

impl Server {
    /// `None` if Postgres is not installed.
    pub fn start() -> Outcome<Option<Self>> {
        let mut holder = Command::new(WITH_CLUSTER)
            .args(["-s", "shared_buffers=256MB", "sh", "-c", HOLD, &std::process::id().to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        BufReader::new(holder.stdout.take().ok_or("no output")?).read_line(&mut url)?;
        if url.starts_with("SKIPPED") {
            holder.wait()?;
            return Ok(None);
        }
        if !url.starts_with("postgres") {
            return Err(format!("the server did not start: {url}").into());
        }
        Ok(Some(Server { url: url.trim().to_owned(), holder }))
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL for connections with this setting.
    pub fn with_option(&self, setting: &str) -> String {
        format!("{}&options=-c%20{}", self.url, setting.replace('=', "%3D"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.holder.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.holder.wait();
    }
}
