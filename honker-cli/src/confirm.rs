//! Asking before something is changed.

use std::io::{IsTerminal, Write};

use clap::Args;

use crate::failure::{Failure, Result};

/// The option of commands that ask.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Confirm {
    /// Do not ask
    #[arg(long, short = 'y')]
    pub yes: bool,
}

impl Confirm {
    /// Asks on the terminal; an error if that is not answered with yes, or nobody is there to answer.
    pub fn ask(self, question: &str) -> Result {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::Declined(format!(
                "{question} Nobody can answer here: --yes does it unasked"
            )));
        }
        let mut stderr = std::io::stderr();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::Declined("nothing was done".to_owned())),
        }
    }
}

/// "1 job", "2 jobs".
pub fn jobs(n: u64) -> String {
    if n == 1 { "1 job".to_owned() } else { format!("{n} jobs") }
}
