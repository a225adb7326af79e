//! What the model says, put beside what honker-core says: its arguments and its answers as those of the model.

use honker_core::{Error, queue, schedule, stream};
use honker_model::queue::Setting;
use honker_model::tables::{Row, row};
use honker_model::{Answer, Refusal};

pub fn agree(expected: &Answer, got: &honker_core::Result<Answer>) -> Result<(), String> {
    let agreed = match (expected, got) {
        (Answer::Refused(Refusal::Invalid(words)), Err(Error::Invalid(message))) => message.contains(words),
        (Answer::Refused(Refusal::Constraint), Err(Error::Constraint(_))) => true,
        (Answer::Refused(_), _) | (_, Err(_)) => false,
        (expected, Ok(got)) => expected == got,
    };
    if agreed {
        Ok(())
    } else {
        Err(format!("  the model answers {expected:?}\n  honker-core says  {got:?}"))
    }
}

pub fn first_difference<'a>(
    expected: &'a [Row],
    got: &'a [Row],
) -> Option<(Option<&'a Row>, Option<&'a Row>)> {
    let length = expected.len().max(got.len());
    (0..length).map(|at| (expected.get(at), got.get(at))).find(|(expected, got)| expected != got)
}

pub fn rows<T>(values: impl IntoIterator<Item = T>, to_row: impl Fn(T) -> Row) -> Answer {
    values.into_iter().map(to_row).collect::<Vec<_>>().into()
}

pub fn settings_json(setting: Setting) -> String {
    let text = |value: Option<String>| value.unwrap_or_else(|| "null".to_owned());
    match setting {
        Setting::Paused(paused) => {
            format!(r#"{{"paused":{}}}"#, text(paused.map(|paused| paused.to_string())))
        }
        Setting::Concurrency(limit) => {
            format!(r#"{{"concurrency":{}}}"#, text(limit.map(|limit| limit.to_string())))
        }
        Setting::Rate(rate) => {
            let rate = rate.map(|(limit, per_s)| format!(r#"{{"limit":{limit},"per_s":{per_s}}}"#));
            format!(r#"{{"rate":{}}}"#, text(rate))
        }
    }
}

pub fn to_enqueue(job: &honker_model::queue::Enqueue) -> queue::Enqueue<'static> {
    let honker_model::queue::Enqueue { queue, payload, run_at, delay_s, priority, max_attempts, expires_s } =
        *job;
    let max_attempts = Some(max_attempts);
    queue::Enqueue {
        run_at,
        delay_s,
        priority,
        max_attempts,
        expires_s,
        ..queue::Enqueue::new(queue, payload)
    }
}

pub fn to_unique(
    job: &honker_model::queue::Enqueue,
    unique: &honker_model::unique::Unique,
) -> queue::Enqueue<'static> {
    let honker_model::unique::Unique { key, until_claimed, for_s, replace } = *unique;
    let until = if until_claimed { queue::UniqueUntil::Claimed } else { queue::UniqueUntil::Settled };
    let on_conflict = if replace { queue::OnConflict::Replace } else { queue::OnConflict::Keep };
    let unique = queue::Unique { key, until, for_s, on_conflict };
    queue::Enqueue { unique: Some(unique), ..to_enqueue(job) }
}

pub fn to_registration(schedule: &honker_model::schedule::Registration) -> schedule::Registration<'static> {
    let honker_model::schedule::Registration { name, queue, expression, payload, .. } = *schedule;
    let honker_model::schedule::Registration { priority, expires_s, max_attempts, .. } = *schedule;
    let job = queue::Enqueue { priority, expires_s, max_attempts, ..queue::Enqueue::new(queue, payload) };
    schedule::Registration { name, expression, job, overlap: schedule::Overlap::Allow }
}

pub fn to_update(changes: &honker_model::schedule::Changes) -> schedule::Update<'static> {
    let honker_model::schedule::Changes { expression, payload, priority, expires_s, max_attempts } = *changes;
    schedule::Update { expression, payload, priority, expires_s, max_attempts }
}

pub fn claimed_row(job: queue::ClaimedJob) -> Row {
    row![job.id, &*job.queue, job.payload, &*job.worker_id, job.attempts, job.claim_expires_at]
}

pub fn job_row(job: queue::Job) -> Row {
    row![
        job.id,
        job.queue,
        job.payload,
        job.state,
        job.priority,
        job.run_at,
        job.worker_id,
        job.claim_expires_at,
        job.attempts,
        job.max_attempts,
        job.created_at,
        job.expires_at,
    ]
}

pub fn dead_row(job: queue::DeadJob) -> Row {
    row![
        job.id,
        job.queue,
        job.payload,
        job.priority,
        job.run_at,
        job.attempts,
        job.max_attempts,
        job.last_error,
        job.created_at,
        job.died_at,
    ]
}

pub fn stats_row(stats: queue::QueueStats) -> Row {
    row![stats.queue, stats.pending, stats.delayed, stats.claimed, stats.expired, stats.dead]
}

pub fn event_row(event: stream::Event) -> Row {
    row![event.offset, event.topic, event.key, event.payload, event.created_at]
}

pub fn schedule_row(schedule: schedule::Schedule) -> Row {
    row![
        schedule.name,
        schedule.queue,
        schedule.cron_expr,
        schedule.payload,
        schedule.priority,
        schedule.expires_s,
        schedule.next_fire_at,
        i64::from(schedule.enabled),
        schedule.max_attempts,
    ]
}

pub fn fire_row(fire: schedule::Fire) -> Row {
    row![fire.name, fire.queue, fire.fire_at, fire.job_id]
}
