//! The adapter of the crate `honker`: does what conformance/PROTOCOL.md says, and answers what the crate answered.
//!
//! This thread reads requests and gives them to lanes; `reset` and `bye` it does itself. A lane is a thread.

mod handles;
mod operations;
mod values;
mod workers;

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use serde_json::{Value, json};

struct Lane {
    requests: Sender<Value>,
    thread: JoinHandle<()>,
}

fn say(answer: &Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}").and_then(|()| out.flush()).expect("standard output");
}

/// Closing ends what the lanes wait for; then they do what they were given, and end.
fn reset(lanes: &mut HashMap<String, Lane>) {
    handles::close_all();
    for (_, lane) in lanes.drain() {
        drop(lane.requests);
        let _ = lane.thread.join();
    }
    // What was made meanwhile.
    handles::close_all();
    handles::forget_all();
}

fn main() {
    let mut lanes: HashMap<String, Lane> = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input");
        let request: Value = serde_json::from_str(&line).expect("a request");
        match request["op"].as_str().expect("an operation") {
            op @ ("reset" | "bye") => {
                reset(&mut lanes);
                say(&json!({ "seq": request["seq"], "ok": {} }));
                if op == "bye" {
                    return;
                }
            }
            _ => {
                let name = request["lane"].as_str().unwrap_or_default().to_owned();
                let lane = lanes.entry(name).or_insert_with(|| {
                    let (requests, given) = channel::<Value>();
                    let thread = std::thread::spawn(move || {
                        given.into_iter().for_each(|request| say(&operations::perform(&request)));
                    });
                    Lane { requests, thread }
                });
                lane.requests.send(request).expect("a lane");
            }
        }
    }
    reset(&mut lanes);
}
