//! `honker job`: everything that is known of one job.

use std::io::Write;

use clap::Args;

use crate::failure::{Failure, Result};
use crate::file::Db;
use crate::read::{self, JobDetail};
use crate::show::{Screen, Show};
use crate::{moment, text};

/// Show a job: what it is, what became of it, its payload, steps and error
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker job 42 --db app.db
  honker job 42 --json | jq -r .payload
  honker job 42 --watch

It ends with 3 if there is no job of this id: it was done and its queue keeps none, was cancelled, or never was.")]
pub struct Job {
    /// The job's id
    #[arg(value_name = "ID", allow_negative_numbers = true)]
    id: i64,
    #[command(flatten)]
    show: Show,
}

impl Job {
    pub fn run(self, db: &Db) -> Result {
        let database = db.look()?;
        let read = |database: &honker_core::database::Database| {
            read::job(database, self.id)?
                .ok_or_else(|| Failure::NotFound(format!("there is no job {} (any more)", self.id)))
        };
        self.show.each(&database, read, |job, screen| draw(job, moment::now(), screen))
    }
}

fn draw(JobDetail { job, steps }: &JobDetail, now: i64, screen: &mut Screen) -> Result {
    let at = |at: i64| format!("{} ({})", moment::show(at), moment::relative(at, now));
    let title = screen.bold(&format!("job {}", job.id));
    writeln!(screen, "{title}")?;
    let mut fact = |name: &str, value: Option<String>| match value {
        Some(value) => writeln!(screen, "{name:<16}{}", text::one_line(&value)),
        None => Ok(()),
    };
    fact("queue", Some(job.queue.clone()))?;
    fact("state", Some(job.state.clone()))?;
    fact("attempts", Some(format!("{} of {}", job.attempts, job.max_attempts)))?;
    fact("priority", (job.priority != 0).then(|| job.priority.to_string()))?;
    fact("enqueued", Some(at(job.created_at)))?;
    fact("due", Some(at(job.run_at)))?;
    fact("expires", job.expires_at.map(at))?;
    fact("worker", job.worker_id.clone())?;
    fact("claimed until", job.claim_expires_at.map(at))?;
    fact("died", job.died_at.map(at))?;
    fact("done", job.finished_at.map(at))?;
    fact("unique key", job.unique_key.clone())?;
    fact("concurrency key", job.concurrency_key.clone())?;
    fact("batch", job.batch_id.map(|id| id.to_string()))?;
    fact("metadata", job.metadata.clone())?;
    block("payload", &text::pretty(&job.payload), screen)?;
    for step in steps {
        block(&format!("step {}", text::one_line(&step.name)), &text::pretty(&step.value), screen)?;
    }
    if let Some(result) = &job.result {
        block("result", &text::pretty(result), screen)?;
    }
    if let Some(error) = &job.last_error {
        block("error", error, screen)?;
    }
    Ok(())
}

fn block(name: &str, value: &str, screen: &mut Screen) -> Result {
    let name = screen.bold(name);
    writeln!(screen, "\n{name}")?;
    for line in text::lines(value).lines() {
        writeln!(screen, "  {line}")?;
    }
    Ok(())
}
