// Package honkerotel is OpenTelemetry for honker: a span for what enqueues jobs and one for each job, which is the child of
// the former, in whichever process it runs, and metrics. The trace context travels in the job's metadata.
//
//	telemetry, err := honkerotel.New(honkerotel.Options{})
//	db, err := honker.OpenWithOptions("app.db", "", honker.OpenOptions{
//		EnqueueMiddleware: []honker.EnqueueMiddleware{telemetry.Enqueue},
//	})
//	worker := db.NewWorker(honker.WorkerOptions{
//		Middleware: []honker.Middleware{telemetry.Job},
//	})
//
// Names are those of the semantic conventions for messaging. honker.EnqueueSQL passes it by.
package honkerotel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	honker "github.com/russellromney/honker-go"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const (
	scope = "github.com/russellromney/honker-go/honkerotel"
	// dueAtKey is the key of the metadata that says since when the job could run, in Unix milliseconds.
	dueAtKey = "honker.due_at_ms"
)

// Options says whom to tell. What is nil is the global one.
type Options struct {
	TracerProvider trace.TracerProvider
	MeterProvider  metric.MeterProvider
	// Propagator writes the trace context. Default: that of W3C, whose keys are traceparent and tracestate.
	Propagator propagation.TextMapPropagator
}

// Telemetry has the middleware.
type Telemetry struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	sent       metric.Int64Counter
	duration   metric.Float64Histogram
	wait       metric.Float64Histogram
}

// New makes the middleware.
func New(options Options) (*Telemetry, error) {
	if options.TracerProvider == nil {
		options.TracerProvider = otel.GetTracerProvider()
	}
	if options.MeterProvider == nil {
		options.MeterProvider = otel.GetMeterProvider()
	}
	if options.Propagator == nil {
		options.Propagator = propagation.TraceContext{}
	}
	meter := options.MeterProvider.Meter(scope)
	sent, err := meter.Int64Counter("messaging.client.sent.messages", metric.WithUnit("{message}"), metric.WithDescription("Jobs that were enqueued."))
	duration, err2 := meter.Float64Histogram("messaging.process.duration", metric.WithUnit("s"), metric.WithDescription("How long handlers ran."))
	wait, err3 := meter.Float64Histogram("honker.job.wait", metric.WithUnit("s"),
		metric.WithDescription("How long jobs that could run had waited for their first attempt."))
	return &Telemetry{options.TracerProvider.Tracer(scope), options.Propagator, sent, duration, wait}, errors.Join(err, err2, err3)
}

func attributes(queue, operation string) []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("messaging.system", "honker"), attribute.String("messaging.destination.name", queue),
		attribute.String("messaging.operation.type", operation)}
}

// Enqueue belongs into honker.OpenOptions.EnqueueMiddleware.
func (t *Telemetry) Enqueue(next honker.EnqueueFunc) honker.EnqueueFunc {
	return func(ctx context.Context, jobs []honker.JobSpec) ([]honker.EnqueueResult, error) {
		if len(jobs) == 0 {
			return next(ctx, jobs)
		}
		queue := jobs[0].Queue
		for _, job := range jobs {
			if job.Queue != queue {
				queue = "(several)"
			}
		}
		ctx, span := t.tracer.Start(ctx, "send "+queue, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attributes(queue, "send")...))
		defer span.End()
		if len(jobs) > 1 {
			span.SetAttributes(attribute.Int("messaging.batch.message_count", len(jobs)))
		}
		now, traced := time.Now(), make([]honker.JobSpec, len(jobs))
		for i, job := range jobs {
			metadata := maps.Clone(job.Options.Metadata)
			if metadata == nil {
				metadata = map[string]string{}
			}
			due := now
			if job.Options.RunAt != nil {
				due = time.Unix(*job.Options.RunAt, 0)
			}
			if job.Options.Delay != nil {
				due = now.Add(time.Duration(*job.Options.Delay) * time.Second)
			}
			metadata[dueAtKey] = strconv.FormatInt(due.UnixMilli(), 10)
			t.propagator.Inject(ctx, propagation.MapCarrier(metadata))
			job.Options.Metadata = metadata
			traced[i] = job
		}
		results, err := next(ctx, traced)
		if err != nil {
			fails(span, err)
			return nil, err
		}
		if len(results) == 1 {
			span.SetAttributes(attribute.String("messaging.message.id", strconv.FormatInt(results[0].ID, 10)))
		}
		for i, job := range jobs {
			if i < len(results) && results[i].Status != honker.StatusEnqueued { // another job has its unique key
				continue
			}
			t.sent.Add(ctx, 1, metric.WithAttributes(attributes(job.Queue, "send")...))
		}
		return results, nil
	}
}

// Job belongs into honker.WorkerOptions.Middleware.
func (t *Telemetry) Job(next honker.Handler) honker.Handler {
	return func(ctx context.Context, job *honker.Job) (err error) {
		started := time.Now()
		ctx, span := t.tracer.Start(t.propagator.Extract(ctx, propagation.MapCarrier(job.Metadata)), "process "+job.Queue,
			trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attributes(job.Queue, "process")...), trace.WithAttributes(
				attribute.String("messaging.message.id", strconv.FormatInt(job.ID, 10)),
				attribute.Int("messaging.message.body.size", len(job.Payload)),
				attribute.String("messaging.client.id", job.WorkerID),
				attribute.Int64("honker.job.attempt", job.Attempts), attribute.Int64("honker.job.max_attempts", job.MaxAttempts)))
		if dueAt, err := strconv.ParseInt(job.Metadata[dueAtKey], 10, 64); err == nil && job.Attempts == 1 {
			wait := max(started.Sub(time.UnixMilli(dueAt)), 0).Seconds()
			span.SetAttributes(attribute.Float64("honker.job.wait_s", wait))
			t.wait.Record(ctx, wait, metric.WithAttributes(attributes(job.Queue, "process")...))
		}
		returned := false
		defer func() { // also if the handler panics
			result := attributes(job.Queue, "process")
			var verdict *honker.Verdict
			switch {
			case !returned:
				fails(span, errors.New("the handler panicked, or ended its goroutine"))
				result = append(result, attribute.String("error.type", "panic"))
			case errors.As(err, &verdict) && !verdict.IsFailure():
				span.AddEvent("snoozed")
			case err != nil:
				fails(span, err)
				result = append(result, attribute.String("error.type", fmt.Sprintf("%T", err)))
			}
			span.End()
			t.duration.Record(ctx, time.Since(started).Seconds(), metric.WithAttributes(result...))
		}()
		err = next(ctx, job)
		returned = true
		return err
	}
}

func fails(span trace.Span, err error) {
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
}
