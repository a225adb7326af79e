//! Which jobs are meant: the options that are the keys of the core's filter (docs/sql.md).

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::failure::{Failure, Result};
use crate::moment;

/// A state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Pending, and its time has come
    Due,
    /// Pending, and its time has not come
    Delayed,
    /// Claimed
    Processing,
    /// Set aside until a job of the same concurrency key is over
    Blocked,
    /// Out of attempts, expired or discarded
    Dead,
    /// Done, in a queue that keeps such jobs
    Done,
}

/// See the module documentation.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Filter")]
pub struct Filter {
    /// Of this queue
    #[arg(long, value_name = "QUEUE")]
    pub queue: Option<String>,
    /// In this state; several may be given
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STATE")]
    pub state: Vec<State>,
    /// From this id on
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub min_id: Option<i64>,
    /// Up to this id
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    pub max_id: Option<i64>,
    /// Held by this worker
    #[arg(long, value_name = "WORKER")]
    pub worker: Option<String>,
    /// With this unique key
    #[arg(long, value_name = "KEY")]
    pub unique_key: Option<String>,
    /// Of this batch
    #[arg(long, value_name = "ID")]
    pub batch: Option<i64>,
    /// With this metadata; several may be given
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub metadata: Vec<(String, String)>,
    /// Whose error has this text in it
    #[arg(long, value_name = "TEXT")]
    pub error: Option<String>,
    /// Enqueued at this time or later (seconds since the epoch, or a date)
    #[arg(long, value_name = "TIME", value_parser = moment::parse, allow_negative_numbers = true)]
    pub created_from: Option<i64>,
    /// Enqueued at this time or earlier
    #[arg(long, value_name = "TIME", value_parser = moment::parse, allow_negative_numbers = true)]
    pub created_to: Option<i64>,
    /// Done or dead at this time or later
    #[arg(long, value_name = "TIME", value_parser = moment::parse, allow_negative_numbers = true)]
    pub ended_from: Option<i64>,
    /// Done or dead at this time or earlier
    #[arg(long, value_name = "TIME", value_parser = moment::parse, allow_negative_numbers = true)]
    pub ended_to: Option<i64>,
}

impl Filter {
    /// Whether it names any condition.
    pub fn is_any(&self) -> bool {
        !self.object().is_empty()
    }

    /// As the core reads it.
    pub fn object(&self) -> Map<String, Value> {
        let states: Vec<String> = self
            .state
            .iter()
            .filter_map(ValueEnum::to_possible_value)
            .map(|value| value.get_name().to_owned())
            .collect();
        let metadata: Map<String, Value> =
            self.metadata.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let all = json!({
            "queue": self.queue,
            "state": (!states.is_empty()).then_some(states),
            "min_id": self.min_id,
            "max_id": self.max_id,
            "worker_id": self.worker,
            "unique_key": self.unique_key,
            "batch_id": self.batch,
            "metadata": (!metadata.is_empty()).then_some(metadata),
            "error": self.error,
            "created_from": self.created_from,
            "created_to": self.created_to,
            "ended_from": self.ended_from,
            "ended_to": self.ended_to,
        });
        let Value::Object(all) = all else { return Map::new() };
        all.into_iter().filter(|(_, value)| !value.is_null()).collect()
    }
}

/// `name=value`.
pub fn pair(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Pairs as a JSON object; `None` if there are none. The same name twice is an error.
pub fn object_of(pairs: &[(String, String)]) -> Result<Option<String>> {
    let mut object = Map::new();
    for (name, value) in pairs {
        if object.insert(name.clone(), value.as_str().into()).is_some() {
            return Err(Failure::Usage(format!("metadata: '{name}' is given twice")));
        }
    }
    Ok((!object.is_empty()).then(|| Value::Object(object).to_string()))
}
