//! For monitoring: `/metrics` in Prometheus' text format, and `/healthz`.

use std::fmt::Write;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use honker_core::counters::{Histogram, QueueMetrics};
use honker_core::database::Database;
use honker_core::schedule::LEADER_LOCK;
use honker_core::watch;

use super::{Refusal, Shared};
use crate::failure::Result;
use crate::moment;

/// `GET /healthz`: 200, or 503 if the file cannot be read or a queue is late. It names none.
pub async fn health(State(site): State<Shared>) -> Response {
    let late_s = site.late_s;
    match site.with(move |database| late_queues(database, late_s)).await {
        Ok(0) => (StatusCode::OK, "ok\n").into_response(),
        Ok(n) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{n} queue{} late\n", if n == 1 { " is" } else { "s are" }),
        )
            .into_response(),
        Err(Refusal(_, _)) => (StatusCode::SERVICE_UNAVAILABLE, "the file cannot be read\n").into_response(),
    }
}

fn late_queues(database: &Database, late_s: i64) -> Result<usize> {
    let mut late = 0;
    for QueueMetrics { queue, depth, .. } in database.metrics()?.queues {
        let is_late = depth.oldest_due_age_s.is_some_and(|age_s| age_s > late_s);
        late += usize::from(is_late && !database.queue_settings(&queue)?.paused);
    }
    Ok(late)
}

/// `GET /metrics`.
pub async fn metrics(State(site): State<Shared>) -> std::result::Result<Response, Refusal> {
    let text = site.with(text).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn text(database: &Database) -> Result<String> {
    let queues = database.metrics()?.queues;
    let mut text = String::new();
    family(&mut text, "honker_jobs", "gauge", "Jobs that are there, by state.");
    for QueueMetrics { queue, depth, .. } in &queues {
        for (state, n) in [
            ("due", depth.due),
            ("delayed", depth.delayed),
            ("processing", depth.processing),
            ("blocked", depth.blocked),
            ("expired", depth.expired),
            ("dead", depth.dead),
        ] {
            let _ = writeln!(text, "honker_jobs{{queue=\"{}\",state=\"{state}\"}} {n}", label(queue));
        }
    }
    family(
        &mut text,
        "honker_oldest_due_age_seconds",
        "gauge",
        "For how long the oldest due job has been due; 0 if none is.",
    );
    for QueueMetrics { queue, depth, .. } in &queues {
        let age = depth.oldest_due_age_s.unwrap_or(0);
        let _ = writeln!(text, "honker_oldest_due_age_seconds{{queue=\"{}\"}} {age}", label(queue));
    }
    family(&mut text, "honker_queue_paused", "gauge", "Whether a queue is paused.");
    for QueueMetrics { queue, .. } in &queues {
        let paused = u8::from(database.queue_settings(queue)?.paused);
        let _ = writeln!(text, "honker_queue_paused{{queue=\"{}\"}} {paused}", label(queue));
    }
    family(
        &mut text,
        "honker_job_events_total",
        "counter",
        "What honker's processes have done to jobs, up to ten seconds late.",
    );
    for QueueMetrics { queue, counts, .. } in &queues {
        for (event, n) in [
            ("enqueued", counts.enqueued),
            ("claimed", counts.claimed),
            ("done", counts.done),
            ("retried", counts.retried),
            ("released", counts.released),
            ("dead", counts.dead),
            ("cancelled", counts.cancelled),
        ] {
            let _ =
                writeln!(text, "honker_job_events_total{{queue=\"{}\",event=\"{event}\"}} {n}", label(queue));
        }
    }
    let name = "honker_job_wait_seconds";
    family(
        &mut text,
        name,
        "histogram",
        "How long claimed jobs had been due, in whole seconds: less than the bound.",
    );
    queues.iter().for_each(|queue| histogram(&mut text, name, &queue.queue, &queue.wait));
    let name = "honker_job_run_seconds";
    family(&mut text, name, "histogram", "How long jobs were held, from their claim to their settlement.");
    queues.iter().for_each(|queue| histogram(&mut text, name, &queue.queue, &queue.run));

    let holder = database.lock_holder(LEADER_LOCK)?.filter(|holder| holder.expires_at > moment::now());
    family(&mut text, "honker_leader", "gauge", "Whether somebody leads the schedules.");
    let _ = writeln!(text, "honker_leader {}", u8::from(holder.is_some()));
    let watcher = database.status()?.watcher;
    family(&mut text, "honker_watcher_up", "gauge", "Whether this process notices commits.");
    let is_watching = watcher.as_ref().is_some_and(|status| status.state == watch::State::Watching);
    let _ = writeln!(text, "honker_watcher_up {}", u8::from(is_watching));
    family(
        &mut text,
        "honker_watcher_polling",
        "gauge",
        "Whether it polls for them, because there are no events.",
    );
    let polls = watcher.is_some_and(|status| status.method == watch::Method::Polling);
    let _ = writeln!(text, "honker_watcher_polling {}", u8::from(polls));
    Ok(text)
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn histogram(text: &mut String, name: &str, queue: &str, histogram: &Histogram) {
    let (queue, mut total) = (label(queue), 0);
    for bucket in &histogram.buckets {
        total += bucket.count;
        let bound = bucket.up_to_s.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
        let _ = writeln!(text, "{name}_bucket{{queue=\"{queue}\",le=\"{bound}\"}} {total}");
    }
    let _ = writeln!(text, "{name}_sum{{queue=\"{queue}\"}} {}", histogram.sum_s);
    let _ = writeln!(text, "{name}_count{{queue=\"{queue}\"}} {total}");
}

/// The value of a label.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
