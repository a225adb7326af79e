package honkerotel

import (
	"context"
	"errors"
	"testing"
	"time"

	honker "github.com/russellromney/honker-go"
	"github.com/russellromney/honker-go/honkertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func TestTraceGoesOnInTheJob(t *testing.T) {
	spans, reader := tracetest.NewSpanRecorder(), metric.NewManualReader()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	telemetry, err := New(Options{TracerProvider: traces, MeterProvider: metric.NewMeterProvider(metric.WithReader(reader))})
	if err != nil {
		t.Fatal(err)
	}
	db := honkertest.Open(t, honker.OpenOptions{EnqueueMiddleware: []honker.EnqueueMiddleware{telemetry.Enqueue}})
	ctx, request := traces.Tracer("test").Start(context.Background(), "request")
	metadata := map[string]string{"tenant": "7"}
	q := db.Queue("q", honker.QueueOptions{MaxAttempts: 2})
	if _, err := q.EnqueueContext(ctx, "succeeds", honker.EnqueueOptions{Metadata: metadata}); err != nil {
		t.Fatal(err)
	}
	if len(metadata) != 1 {
		t.Error("the caller's metadata was changed:", metadata)
	}
	tx, err := db.Transaction(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.EnqueueManyTx(tx, []honker.JobSpec{{Queue: "q", Payload: "fails"}, {Queue: "q", Payload: "panics"}, {Queue: "other", Payload: "snoozes"}}); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := q.EnqueueContext(ctx, make(chan int), honker.EnqueueOptions{}); err == nil {
		t.Fatal("that cannot be encoded")
	}
	for range 2 { // the second one finds the key taken, and counts as none
		if _, err := db.Queue("unique", honker.QueueOptions{}).EnqueueContext(ctx, 1, honker.EnqueueOptions{UniqueKey: honker.String("k")}); err != nil {
			t.Fatal(err)
		}
	}
	request.End()

	failure := errors.New("no route")
	worker := db.NewWorker(honker.WorkerOptions{Queues: []honker.WorkerQueue{{Name: "q"}, {Name: "other"}},
		Middleware: []honker.Middleware{telemetry.Job}})
	ran, err := worker.RunDue(context.Background(), func(ctx context.Context, job *honker.Job) error {
		if trace.SpanContextFromContext(ctx).TraceID() != request.SpanContext().TraceID() {
			t.Error("another trace")
		}
		switch string(job.Payload) {
		case `"succeeds"`:
			if job.Metadata["tenant"] != "7" || job.Metadata["traceparent"] == "" {
				t.Error(job.Metadata)
			}
		case `"fails"`:
			return failure
		case `"panics"`:
			panic(failure)
		case `"snoozes"`:
			return honker.Snooze(time.Hour)
		}
		return nil
	})
	if err != nil || ran != 4 {
		t.Fatal(ran, err)
	}

	status := map[string][]codes.Code{}
	parents := map[trace.SpanID]string{request.SpanContext().SpanID(): "request"}
	for _, span := range spans.Ended() {
		parents[span.SpanContext().SpanID()] = span.Name()
	}
	for _, span := range spans.Ended() {
		status[span.Name()] = append(status[span.Name()], span.Status().Code)
		attributes := attribute.NewSet(span.Attributes()...)
		has := func(key attribute.Key) bool { return attributes.HasValue(key) }
		parent := parents[span.Parent().SpanID()]
		switch span.SpanKind() {
		case trace.SpanKindProducer:
			if parent != "request" || !has("messaging.system") {
				t.Error(span.Name(), parent, span.Attributes())
			}
		case trace.SpanKindConsumer:
			if (parent != "send q" && parent != "send (several)") || !has("honker.job.wait_s") || !has("messaging.message.id") || !has("honker.job.attempt") {
				t.Error(span.Name(), parent, span.Attributes())
			}
		}
	}
	for name, expected := range map[string]struct{ failed, all int }{"send q": {1, 2}, "send (several)": {0, 1}, "process q": {2, 3}, "process other": {0, 1}} {
		failed := 0
		for _, code := range status[name] {
			if code == codes.Error {
				failed++
			}
		}
		if len(status[name]) != expected.all || failed != expected.failed {
			t.Errorf("%s: %v", name, status[name])
		}
	}

	var collected metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &collected); err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, one := range collected.ScopeMetrics[0].Metrics {
		switch data := one.Data.(type) {
		case metricdata.Sum[int64]:
			for _, point := range data.DataPoints {
				counts[one.Name] += uint64(point.Value)
			}
		case metricdata.Histogram[float64]:
			for _, point := range data.DataPoints {
				counts[one.Name] += point.Count
				if point.Attributes.HasValue("error.type") {
					counts["failed"] += point.Count
				}
			}
		}
	}
	for name, n := range map[string]uint64{"messaging.client.sent.messages": 5, "messaging.process.duration": 4, "honker.job.wait": 4, "failed": 2} {
		if counts[name] != n {
			t.Errorf("%s: %d of %d", name, counts[name], n)
		}
	}
}

func TestWithoutAnyProviders(t *testing.T) {
	telemetry, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	db := honkertest.Open(t, honker.OpenOptions{EnqueueMiddleware: []honker.EnqueueMiddleware{telemetry.Enqueue}})
	results, err := db.EnqueueMany(context.Background(), nil)
	if err != nil || len(results) != 0 {
		t.Error(results, err)
	}
	if _, err := db.Queue("q", honker.QueueOptions{}).Enqueue(1, honker.EnqueueOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := honkertest.RunDue(t, db, telemetry.Job(func(context.Context, *honker.Job) error { return nil }), "q"); n != 1 {
		t.Error(n)
	}
}
