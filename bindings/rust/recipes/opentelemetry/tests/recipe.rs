//! A job's span is the child of the span that enqueued it, in whichever process either is: the trace travels in the job's
//! metadata.

use std::collections::HashMap;

use honker::{Database, EnqueueOpts, JobContext, OpenOptions, QueueOpts, Worker};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanKind, TracerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// For workers: the span of a job, whose parent is the span that enqueued it.
fn job_span(job: &JobContext) -> Span {
    let wait_s = job.waited().as_secs_f64();
    let span =
        tracing::info_span!("job", otel.kind = "consumer", queue = job.queue, attempt = job.attempts, wait_s);
    let carrier: HashMap<String, String> = job.metadata.clone().into_iter().collect();
    // Refused where the span is filtered out, or nobody exports.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
    span
}

#[tokio::test]
async fn a_trace_goes_through_a_job() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("app"));
    tracing_subscriber::registry().with(layer).init();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    // The present span goes with the jobs.
    let options = OpenOptions::new().around_enqueue(|jobs, next| {
        let mut carrier = HashMap::new();
        TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
        for job in jobs.iter_mut() {
            job.options.metadata.extend(carrier.clone());
        }
        next(jobs)
    });
    let db = Database::open_with_options(&path, options).unwrap();
    tracing::info_span!("request").in_scope(|| {
        for queue in ["emails", "reports"] {
            db.queue(queue, QueueOpts::default()).enqueue(&"alice", EnqueueOpts::default()).unwrap();
        }
    });

    let elsewhere = Database::open(&path).unwrap();
    let worker = Worker::builder()
        .queue("emails", |_job| {
            tracing::info_span!("smtp").in_scope(|| ());
            Ok(())
        })
        .queue_async("reports", |_job| async { Ok(()) }.instrument(tracing::info_span!("sql")))
        .span(job_span)
        .build(&elsewhere)
        .unwrap();
    assert_eq!(worker.run_due_async().await.unwrap(), 2);

    let spans = exporter.get_finished_spans().unwrap();
    let all = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<&SpanData>>();
    let request = all("request")[0];
    let jobs = all("job");
    assert_eq!(jobs.len(), 2);
    for job in &jobs {
        assert_eq!(job.span_context.trace_id(), request.span_context.trace_id());
        assert_eq!(job.parent_span_id, request.span_context.span_id());
        assert_eq!(job.span_kind, SpanKind::Consumer);
        assert!(job.attributes.iter().any(|attribute| attribute.key.as_str() == "wait_s"));
    }
    for inner in ["smtp", "sql"] {
        assert!(jobs.iter().any(|job| all(inner)[0].parent_span_id == job.span_context.span_id()), "{inner}");
    }
}
