//! `honker_enqueue_with`: an enqueue whose options are a JSON object, so that there can be more of them.

use serde::Serialize;

use super::function::{Answer, Arguments};
use super::json;
use crate::queue::{self, EnqueueStatus, Enqueued, JobOptions};
use crate::{Result, Store};

#[derive(Serialize)]
struct Answered {
    id: i64,
    status: EnqueueStatus,
}

pub(super) fn enqueue_with(store: &Store, arguments: &Arguments<'_>) -> Result<Answer> {
    let (queue, payload) = (arguments.text(0, "queue")?, arguments.text(1, "payload")?);
    let options = JobOptions::parse("options", arguments.text(2, "options_json")?)?;
    let Enqueued { id, status } = queue::enqueue(store, store.now()?, &options.job(queue, payload))?;
    json(&Answered { id, status })
}
