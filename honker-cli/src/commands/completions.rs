//! `honker completions` and `honker man`: from the same definition as the commands.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args;
use crate::failure::Result;
use crate::show::Screen;

/// Print a completion script for a shell
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker completions bash > /usr/share/bash-completion/completions/honker
  honker completions zsh > ~/.zfunc/_honker
  honker completions fish > ~/.config/fish/completions/honker.fish")]
pub struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Print the manual page of the program or of one of its commands
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker man | man -l -
  honker man jobs retry > honker-jobs-retry.1")]
pub struct Man {
    /// The command
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

impl Completions {
    pub fn run(self) -> Result {
        let mut screen = Screen::new();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut args::Args::command(), "honker", &mut script);
        screen.write_all(&script)?;
        Ok(screen.flush()?)
    }
}

impl Man {
    pub fn run(self) -> Result {
        let mut command = args::Args::command();
        command.build();
        for name in &self.command {
            let found = command.find_subcommand(name).cloned();
            command = found.ok_or_else(|| {
                crate::failure::Failure::NotFound(format!("there is no command {}", self.command.join(" ")))
            })?;
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        let mut screen = Screen::new();
        screen.write_all(&page)?;
        Ok(screen.flush()?)
    }
}
