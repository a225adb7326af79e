//! Which jobs are meant: a JSON object of conditions that all have to be fulfilled.

use serde_json::{Map, Value};

use super::scan::{JobOptionsRow, Looked};
use crate::Result;
use crate::given::{self, Given};
use crate::queue::name_and_instance;

const ARGUMENT: &str = "filter";

/// The states a filter may name, in the order of [`States`].
const STATES: [&str; 6] = ["due", "delayed", "processing", "blocked", "dead", "done"];

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// A set of states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct States([bool; STATES.len()]);

impl States {
    pub(super) const ALL: States = States([true; STATES.len()]);

    pub(super) fn of(names: &[&str]) -> Self {
        States(STATES.map(|state| names.contains(&state)))
    }

    pub(super) fn and(self, other: Self) -> Self {
        States(std::array::from_fn(|at| self.0[at] && other.0[at]))
    }

    pub(super) fn contains(self, state: &str) -> bool {
        // One of which this version knows nothing is meant by a filter that names none.
        STATES.iter().position(|name| *name == state).map_or(self == States::ALL, |at| self.0[at])
    }

    pub(super) fn any_of(self, names: &[&str]) -> bool {
        self == States::ALL || names.iter().any(|name| self.contains(name))
    }
}

/// See the module documentation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    queue: Option<String>,
    pub(super) states: States,
    pub(super) min_id: i64,
    pub(super) max_id: i64,
    worker_id: Option<String>,
    unique_key: Option<String>,
    concurrency_key: Option<String>,
    pub(super) batch_id: Option<i64>,
    metadata: Map<String, Value>,
    error: Option<String>,
    created_from: Option<i64>,
    created_to: Option<i64>,
    ended_from: Option<i64>,
    ended_to: Option<i64>,
    pub(super) newest_first: bool,
    pub(super) limit: usize,
}

impl Filter {
    /// Reads it. Unknown keys and wrong types are errors that name them.
    pub(super) fn parse(filter_json: &str) -> Result<Self> {
        let object = given::object(ARGUMENT, filter_json)?;
        let mut filter = Filter {
            queue: None,
            states: States::ALL,
            min_id: i64::MIN,
            max_id: i64::MAX,
            worker_id: None,
            unique_key: None,
            concurrency_key: None,
            batch_id: None,
            metadata: Map::new(),
            error: None,
            created_from: None,
            created_to: None,
            ended_from: None,
            ended_to: None,
            newest_first: true,
            limit: LIMIT_DEFAULT,
        };
        let mut cursor = None;
        for (key, value) in &object {
            let given = Given { argument: ARGUMENT, key, value };
            // A condition of null is one that somebody has lost on the way: it must not mean all jobs.
            if value.is_null() && matches!(key.as_str(), "order" | "limit" | "cursor") {
                continue;
            }
            match key.as_str() {
                "queue" => filter.queue = Some(given.text()?),
                "state" => filter.states = states(given)?,
                "min_id" => filter.min_id = given.integer()?,
                "max_id" => filter.max_id = given.integer()?,
                "worker_id" => filter.worker_id = Some(given.text()?),
                "unique_key" => filter.unique_key = Some(some_text(given)?),
                "concurrency_key" => filter.concurrency_key = Some(some_text(given)?),
                "batch_id" => filter.batch_id = Some(given.integer()?),
                "metadata" => filter.metadata = metadata(given)?,
                "error" => filter.error = Some(some_text(given)?),
                "created_from" => filter.created_from = Some(given.integer()?),
                "created_to" => filter.created_to = Some(given.integer()?),
                "ended_from" => filter.ended_from = Some(given.integer()?),
                "ended_to" => filter.ended_to = Some(given.integer()?),
                "order" => filter.newest_first = order(given)?,
                "limit" => filter.limit = limit(given)?,
                "cursor" => cursor = Some(given.integer()?),
                _ => return Err(given::unknown(ARGUMENT, key)),
            }
        }
        if let Some(cursor) = cursor {
            filter.go_on_after(cursor);
        }
        Ok(filter)
    }

    /// Leaves out what comes up to the job of this id.
    fn go_on_after(&mut self, id: i64) {
        let next = if self.newest_first { id.checked_sub(1) } else { id.checked_add(1) };
        match next {
            Some(next) if self.newest_first => self.max_id = self.max_id.min(next),
            Some(next) => self.min_id = self.min_id.max(next),
            None => self.states = States::of(&[]),
        }
    }

    /// Whether a job fulfils the conditions on its row.
    pub(super) fn admits_row(&self, job: &Looked) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        let within = |from: Option<i64>, to: Option<i64>, at: Option<i64>| match at {
            Some(at) => from.is_none_or(|from| at >= from) && to.is_none_or(|to| at <= to),
            None => from.is_none() && to.is_none(),
        };
        self.states.contains(&job.state)
            && is(&self.queue, Some(&job.queue))
            && self.worker_id.as_deref().is_none_or(|wanted| is_worker(wanted, job.worker_id.as_deref()))
            && within(self.created_from, self.created_to, Some(job.created_at))
            && within(self.ended_from, self.ended_to, job.ended_at)
            && self.error.as_deref().is_none_or(|text| {
                job.last_error.as_deref().is_some_and(|last_error| last_error.contains(text))
            })
    }

    /// Whether there are conditions on the options of a job.
    pub(super) fn asks_for_options(&self) -> bool {
        self.unique_key.is_some()
            || self.concurrency_key.is_some()
            || self.batch_id.is_some()
            || !self.metadata.is_empty()
    }

    /// Whether the options of a job fulfil them.
    pub(super) fn admits_options(&self, options: &JobOptionsRow) -> bool {
        (self.unique_key.is_none() || self.unique_key == options.unique_key)
            && (self.concurrency_key.is_none() || self.concurrency_key == options.concurrency_key)
            && (self.batch_id.is_none() || self.batch_id == options.batch_id)
            && (self.metadata.is_empty() || self.admits_metadata(options.metadata.as_deref()))
    }

    fn admits_metadata(&self, metadata: Option<&str>) -> bool {
        let found: Option<Map<String, Value>> = metadata.and_then(|text| serde_json::from_str(text).ok());
        found.is_some_and(|found| self.metadata.iter().all(|(key, value)| found.get(key) == Some(value)))
    }
}

/// Whether a claim is of that worker: by all of its id, or by the name that was given to a worker, which claims as
/// `<name>@<instance>`.
fn is_worker(wanted: &str, found: Option<&str>) -> bool {
    found.is_some_and(|found| {
        found == wanted || name_and_instance(found).is_some_and(|(name, _)| name == wanted)
    })
}

fn some_text(given: Given<'_>) -> Result<String> {
    given.text().ok().filter(|text| !text.is_empty()).ok_or_else(|| given.wrong("a text that is not empty"))
}

fn states(given: Given<'_>) -> Result<States> {
    let names: Option<Vec<&str>> = match given.value {
        Value::String(name) => Some(vec![name.as_str()]),
        Value::Array(names) => names.iter().map(Value::as_str).collect(),
        _ => None,
    };
    match names {
        Some(names) if names.iter().all(|name| STATES.contains(name)) => Ok(States::of(&names)),
        _ => Err(given.wrong(&format!("one or an array of {}", STATES.join(", ")))),
    }
}

fn metadata(given: Given<'_>) -> Result<Map<String, Value>> {
    match given.value {
        Value::Object(object) if object.values().all(Value::is_string) => Ok(object.clone()),
        _ => Err(given.wrong("an object of texts")),
    }
}

fn order(given: Given<'_>) -> Result<bool> {
    match given.value.as_str() {
        Some("newest") => Ok(true),
        Some("oldest") => Ok(false),
        _ => Err(given.wrong("'newest' or 'oldest'")),
    }
}

fn limit(given: Given<'_>) -> Result<usize> {
    let limit = given.value.as_u64().and_then(|limit| usize::try_from(limit).ok());
    limit
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| given.wrong(&format!("an integer from 1 to {LIMIT_MAX}")))
}
