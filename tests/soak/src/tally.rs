//! How often each call answered what.

use std::collections::BTreeMap;

use honker_library::{Status, status};

#[derive(Default)]
pub struct Tally {
    counts: BTreeMap<(&'static str, Status), u64>,
}

impl Tally {
    pub fn count(&mut self, call: &'static str, status: Status) {
        *self.counts.entry((call, status)).or_default() += 1;
    }

    pub fn add(&mut self, other: Tally) {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
    }

    pub fn calls(&self) -> u64 {
        self.counts.values().sum()
    }

    pub fn print(&self) {
        let mut line = String::new();
        let mut before = "";
        for ((call, status), count) in &self.counts {
            if *call != before {
                if !line.is_empty() {
                    println!("{line}");
                }
                line = format!("  {call:<24}");
                before = call;
            }
            line.push_str(&format!(" {} {count}", status::name(*status).trim_start_matches("HONKER_")));
        }
        println!("{line}");
    }
}
