//! `honker`, the program: look at a honker database, act on it and work it, from the shell, the terminal and the browser.
//!
//! Each command is a file in `commands/`: its arguments, its examples, and what it does with the typed operations of
//! honker-core. What they share lies beside this file: which database is meant (`file.rs`), how things are shown (`show.rs`,
//! `table.rs`, `text.rs`, `moment.rs`), and how errors become messages and exit codes (`failure.rs`).

mod act;
mod args;
mod commands;
mod conceal;
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
#[cfg(unix)]
mod run;
mod serve;
mod show;
mod signals;
mod system;
mod table;
mod text;
mod top;
mod trouble;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = conceal::Arguments::take();
    let parsed = args::Args::try_parse_from(&arguments.all).unwrap_or_else(|error| {
        let text = error.to_string();
        let shown = arguments.without_secrets(&text);
        if shown == text {
            error.exit();
        }
        eprint!("{shown}");
        std::process::exit(error.exit_code());
    });
    match parsed.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
