//! `honker result`: the result of a job.

use std::io::Write;

use clap::Args;
use honker_core::consume::ResultWait;

use super::listen::wait;
use crate::failure::{Failure, Result};
use crate::file::Db;
use crate::show::Screen;

/// Print the result of a job
///
/// It ends with 3 if there is none, or none in time. A job that ends without a result never has one.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker result 42 --db app.db
  honker result \"$(honker enqueue sums '[1, 2]')\" --wait --timeout-s 30")]
pub struct JobResult {
    /// The job's id
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    id: i64,
    /// Wait for it
    #[arg(long)]
    wait: bool,
    /// Wait for so many seconds at most
    #[arg(long, value_name = "N", requires = "wait")]
    timeout_s: Option<u64>,
}

impl JobResult {
    pub fn run(self, db: &Db) -> Result {
        let database = db.look()?;
        let value = if self.wait {
            let mut result = ResultWait::new(&database, self.id)?;
            wait(self.timeout_s, |timeout| result.next(timeout))?
        } else {
            let none = || Failure::NotFound(format!("job {} has no result (yet)", self.id));
            database.result_get(self.id)?.ok_or_else(none)?
        };
        let mut screen = Screen::new();
        writeln!(screen, "{value}")?;
        Ok(screen.flush()?)
    }
}
