//! `honker`, the program: look at a honker file, act on it and work it, from the shell, the terminal and the browser.
//!
//! Each command is a file in `commands/`: its arguments, its examples, and what it does with the typed operations of
//! honker-core. What they share lies beside this file: which file is meant (`file.rs`), how things are shown (`show.rs`,
//! `table.rs`, `text.rs`, `moment.rs`), and how errors become messages and exit codes (`failure.rs`).

mod act;
mod args;
mod commands;
mod confirm;
mod doctor;
mod failure;
mod file;
mod filter;
mod moment;
mod overview;
mod payload;
mod plain;
mod progress;
mod read;
mod run;
mod serve;
mod show;
mod signals;
mod table;
mod text;
mod top;
mod trouble;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match args.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
