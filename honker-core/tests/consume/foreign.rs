//! Somebody who knows nothing of honker: python3 with the system's SQLite, in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const PROGRAM: &str = "
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
print('ready', flush=True)
for line in sys.stdin:
    connection.execute(line)
    print('done', flush=True)
";

pub struct Foreign {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Foreign {
    /// `None`, said aloud, where there is no python3.
    pub fn start(path: &Path) -> Option<Self> {
        let spawned = Command::new("python3")
            .args(["-c", PROGRAM])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = spawned else {
            println!("SKIPPED a foreign writer: there is no python3");
            return None;
        };
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut foreign = Foreign { child, answers };
        assert_eq!(foreign.answer(), "ready");
        Some(foreign)
    }

    /// Runs a statement, which is committed when this returns.
    pub fn run(&mut self, sql: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{sql}").unwrap();
        assert_eq!(self.answer(), "done");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
