//! `honker serve` for tests, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{DEADLINE, Running, Site};

/// A server that listens.
pub struct Server {
    pub running: Running,
    /// "127.0.0.1:4711"
    pub address: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

pub fn serve(site: &Site, options: &[&str]) -> Server {
    serve_by(site.command(&[&["serve", "--listen", "127.0.0.1:0"], options].concat()))
}

/// A server that this command starts.
pub fn serve_by(command: Command) -> Server {
    let running = Running::of(command);
    let url = running.line();
    let address = url.trim_start_matches("http://").split('/').next().expect("an address").to_owned();
    Server { running, address }
}

/// A file with a token.
pub fn token(site: &Site) -> (PathBuf, &'static str) {
    let token = "a-token-of-some-length";
    let path = site.path("token");
    std::fs::write(&path, format!("{token}\n")).expect("written");
    (path, token)
}

impl Server {
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = self.connect();
        let host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !host {
            request += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        // It may be refused before it is read.
        let _ = stream.write_all(format!("{request}\r\n{body}").as_bytes());
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        Answer::of(&String::from_utf8_lossy(&text))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// A write as the page makes it.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("Sec-Fetch-Site", "same-origin")], &body.to_string())
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("set");
        stream
    }

    /// The event stream.
    pub fn events(&self) -> Events {
        let mut stream = self.connect();
        let request = format!("GET /api/events HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).expect("sent");
        Events { lines: BufReader::new(stream) }
    }
}

impl Answer {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        Answer {
            status: status.unwrap_or(0),
            headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn json_or_null(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// An event stream that is read.
pub struct Events {
    lines: BufReader<TcpStream>,
}

impl Events {
    /// The next state; `None` at the end.
    pub fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("a line in time") == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).expect("JSON"));
            }
        }
    }

    /// Reads until a state is like that.
    pub fn until(&mut self, is_so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let state = self.next().expect("it goes on");
            if is_so(&state) {
                return state;
            }
        }
    }
}
