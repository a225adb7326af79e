package honker

import (
	"context"
	"encoding/json"
	"regexp"
	"runtime"
	"testing"
	"time"
)

// TestWorkerIDs: what a job shows is what settles it.
func TestWorkerIDs(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	settles := func(job *Job) {
		t.Helper()
		row, err := q.GetJob(job.ID)
		want(t, *must(t, row, err).WorkerID, job.WorkerID)
		held, err := job.Heartbeat(60)
		want(t, must(t, held, err), true)
		held, err = job.Ack()
		want(t, must(t, held, err), true)
	}
	must(t, 0, second(q.EnqueueMany([]any{1, 2}, EnqueueOptions{})))
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Name: "one"})
	instance := regexp.MustCompile(`^one@[0-9a-f]{32}$`)
	ran, err := w.RunDue(context.Background(), func(_ context.Context, job *Job) error {
		if runtime.GOOS == "linux" && !instance.MatchString(job.WorkerID) {
			t.Error(job.WorkerID)
		}
		settles(job)
		return nil
	})
	want(t, must(t, ran, err), 2)

	// Others keep the name that they were given.
	must(t, 0, second(q.EnqueueMany([]any{1, 2}, EnqueueOptions{})))
	job := must2job(t)(q.ClaimOne("one"))
	want(t, job.WorkerID, "one")
	settles(job)
	for job, err := range q.Jobs(context.Background(), "one") {
		want(t, must(t, job, err).WorkerID, "one")
		settles(job)
		break
	}
	var worker string
	outbox, err := db.Outbox("o", func(context.Context, json.RawMessage) error {
		return db.QueryRow("SELECT worker_id FROM _honker_live").Scan(&worker)
	}, OutboxOptions{})
	must(t, outbox, err)
	must(t, 0, second(outbox.Enqueue(1, EnqueueOptions{})))
	sent, err := outbox.RunOnce(context.Background(), "one")
	want(t, must(t, sent, err), true)
	want(t, worker, "one")
}

// TestJobsOfAKilledProcess: the visibility timeout is longer than the test.
func TestJobsOfAKilledProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the visibility timeout holds")
	}
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.Enqueue("slow", EnqueueOptions{})))
	p := startProgram(t, db.Path())
	eventually(t, "it has started", func() bool { return p.out.count("started") == 1 })
	row, err := q.GetJob(1)
	want(t, must(t, row, err).State, "processing")
	want(t, *row.ClaimExpiresAt > time.Now().Unix()+120, true)
	attempts := make(chan int64, 1)
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}}), func(_ context.Context, job *Job) error {
		attempts <- job.Attempts
		return nil
	})
	must(t, 0, p.Process.Kill())
	select {
	case n := <-attempts:
		want(t, n, 2)
	case <-time.After(time.Minute):
		t.Error("the job is not given to another worker")
	}
	want(t, stop(), nil)
}
