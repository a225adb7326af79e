//! Tables for people, JSON for programs.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

/// What has been measured so far.
pub struct Report {
    rows: Vec<Value>,
}

impl Report {
    pub fn new() -> Self {
        Report { rows: Vec::new() }
    }

    /// Begins a table.
    pub fn table(&mut self, title: &str, columns: [&str; 4]) {
        let [name, first, second, third] = columns;
        println!("\n{title}\n");
        println!("| {name:<58} | {first:>14} | {second:>14} | {third:>22} |");
        println!("| {0:-<58} | {0:->13}: | {0:->13}: | {0:->21}: |", "");
    }

    /// Adds a row: two figures, and the ratio with the target it is held against.
    pub fn row(&mut self, name: &str, figures: [String; 2], ratio: f64, target: Option<Target>) {
        let verdict = match target {
            None => format!("{ratio:.2}"),
            Some(target) => {
                let (sign, bound, met) = match target {
                    Target::AtMost(bound) => ("<=", bound, ratio <= bound),
                    Target::AtLeast(bound) => (">=", bound, ratio >= bound),
                };
                format!("{ratio:.2} ({sign} {bound}: {})", if met { "met" } else { "MISSED" })
            }
        };
        let [first, second] = &figures;
        println!("| {name:<58} | {first:>14} | {second:>14} | {verdict:>22} |");
        self.rows.push(json!({ "name": name, "figures": figures, "ratio": ratio }));
    }

    /// Writes the figures to `target/bench.json`.
    pub fn save(&self) -> std::io::Result<()> {
        fs::create_dir_all("target")?;
        fs::write("target/bench.json", serde_json::to_string_pretty(&self.rows)?)
    }
}

/// What a ratio should be.
#[derive(Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// The middle of the values.
pub fn median<T: Copy + PartialOrd>(values: &mut [T]) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).expect("comparable"));
    values[values.len() / 2]
}

pub fn microseconds(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

pub fn per_second(count: usize, time: Duration) -> String {
    format!("{:.0} /s", count as f64 / time.as_secs_f64())
}
