package honker

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"
)

func TestSettingsOfQueues(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	defaults := QueueSettings{Queue: "q", MaxAttempts: 3}
	settings := func() QueueSettings {
		t.Helper()
		settings, err := q.Settings()
		return must(t, settings, err)
	}
	want(t, settings(), defaults)
	half, two, yes := 0.5, 2.0, true
	must(t, 0, q.Configure(QueueUpdate{Paused: &yes, Concurrency: Int64(2), ConcurrencyPerKey: Int64(1), Rate: &QueueRate{Limit: 5, PerS: 60},
		MaxAttempts: Int64(7), Retry: &QueueRetry{BaseS: Int64(0), Jitter: &half}, KeepDoneS: Int64(100), KeepDeadS: Int64(0)}))
	all := QueueSettings{Queue: "q", Paused: true, Concurrency: Int64(2), ConcurrencyPerKey: Int64(1), Rate: &QueueRate{Limit: 5, PerS: 60},
		MaxAttempts: 7, Retry: &QueueRetry{BaseS: Int64(0), Factor: &two, MaxS: Int64(3600), Jitter: &half}, KeepDoneS: 100, KeepDeadS: Int64(0)}
	want(t, settings(), all)
	queues, err := db.Queues()
	want(t, must(t, queues, err), []QueueSettings{all})

	// It holds where the queue's own options say nothing.
	id, err := q.Enqueue(1, EnqueueOptions{})
	must(t, id, err)
	row, err := q.GetJob(id)
	want(t, must(t, row, err).MaxAttempts, 7)
	job, err := q.ClaimOne("w")
	want(t, must(t, job, err), nil)
	must(t, 0, q.Resume())
	all.Paused = false
	want(t, settings(), all)
	must(t, 0, second(must2job(t)(q.ClaimOne("w")).Ack()))
	done, _, err := db.Jobs(JobFilter{States: []JobState{JobDone}}).Page(0)
	want(t, len(must(t, done, err)), 1)
	want(t, done[0].ID, id)
	want(t, done[0].FinishedAt != nil, true)

	tx, err := db.Begin()
	must(t, tx, err)
	must(t, 0, q.ConfigureTx(tx, QueueUpdate{Concurrency: Int64(9)}))
	must(t, 0, tx.Rollback())
	want(t, settings(), all)
	must(t, 0, q.Configure(QueueUpdate{Concurrency: Int64(9)}))
	all.Concurrency = Int64(9)
	want(t, settings(), all)
	must(t, 0, q.Configure(QueueUpdate{Paused: new(bool), Concurrency: new(int64), ConcurrencyPerKey: new(int64), Rate: &QueueRate{}, MaxAttempts: new(int64),
		Retry: &QueueRetry{}, KeepDoneS: new(int64), KeepDeadS: Int64(-1)}))
	want(t, settings(), defaults)

	nan := math.NaN()
	for word, bad := range map[string]QueueUpdate{"concurrency": {Concurrency: Int64(-1)}, "rate.per_s": {Rate: &QueueRate{Limit: 1}},
		"retry.jitter": {Retry: &QueueRetry{Jitter: &two}}, "keep_done_s": {KeepDoneS: Int64(-1)}, "NaN": {Retry: &QueueRetry{Factor: &nan}}} {
		wantError(t, q.Configure(bad), ErrInvalid, word)
	}
	want(t, settings(), defaults)
	must(t, 0, db.Close())
	wantError(t, q.Pause(), ErrClosed)
	_, err = db.Queues()
	wantError(t, err, ErrClosed)
}

func TestPausedQueueWakesItsWorker(t *testing.T) {
	both(t, func(t *testing.T, db *Database) {
		q := db.Queue("q", QueueOptions{})
		must(t, 0, q.Pause())
		must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
		ran, other := make(chan struct{}), make(chan struct{})
		stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}, {Name: "other"}}}), func(_ context.Context, job *Job) error {
			if job.Queue == "other" {
				close(other)
			} else {
				close(ran)
			}
			return nil
		})
		must(t, 0, second(db.Queue("other", QueueOptions{}).Enqueue(1, EnqueueOptions{})))
		<-other
		select {
		case <-ran:
			t.Error("it ran while the queue was paused")
		default:
		}
		must(t, 0, q.Resume())
		<-ran
		want(t, stop(), nil)
	})
}

func TestRetryThatIsSetForTheQueue(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	none := 0.0
	must(t, 0, q.Configure(QueueUpdate{Retry: &QueueRetry{BaseS: Int64(1000), Jitter: &none}}))
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	log := &logged{}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Logger: log.logger()})
	ran, err := w.RunDue(context.Background(), func(context.Context, *Job) error { return errors.New("why") })
	want(t, must(t, ran, err), 1)
	row, err := q.GetJob(1)
	want(t, must(t, row, err).RunAt >= row.CreatedAt+1000, true)
	want(t, log.count("next_try_in_s=1000"), 1)
}

// TestDeadlineOfAJobsOwnLimit: the context says what holds for the job, and not for the worker.
func TestDeadlineOfAJobsOwnLimit(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	results, err := db.EnqueueMany(context.Background(), []JobSpec{{Queue: "q", Payload: 10_000, Options: EnqueueOptions{MaxRunS: 10_000}},
		{Queue: "q", Payload: 1000}})
	must(t, results, err)
	shares := make(chan float64, 2)
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, MaxRun: 1000 * time.Second}), func(ctx context.Context, job *Job) error {
		var limit float64
		if err := job.UnmarshalPayload(&limit); err != nil {
			return err
		}
		at, _ := ctx.Deadline()
		shares <- time.Until(at).Seconds() / limit
		return nil
	})
	for range 2 {
		if share := <-shares; share < 0.5 || share > 1 {
			t.Error("of the limit, this is left:", share)
		}
	}
	want(t, stop(), nil)

	// It ends a job.
	must(t, 0, second(q.Enqueue("short", EnqueueOptions{MaxRunS: 1, MaxAttempts: Int64(1)})))
	causes := make(chan error, 1)
	stop = runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Logger: (&logged{}).logger()}), func(ctx context.Context, _ *Job) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil
	})
	want(t, <-causes, ErrJobTimeout)
	want(t, stop(), nil)
}

func TestRetention(t *testing.T) {
	db := open(t)
	s := db.Stream("s")
	for i := range 5 {
		must(t, 0, second(s.Publish(i)))
	}
	must(t, 0, second(s.SaveOffset("c", 1)))
	trimmed := func(options TrimOptions) int64 {
		t.Helper()
		n, err := s.Trim(options)
		return must(t, n, err)
	}
	want(t, trimmed(TrimOptions{}), 0)
	want(t, trimmed(TrimOptions{KeepN: Int64(3)}), 1)
	must(t, 0, s.Configure(StreamUpdate{KeepN: Int64(2), KeepS: Int64(1000)}))
	want(t, trimmed(TrimOptions{}), 0)
	want(t, trimmed(TrimOptions{PastConsumers: true}), 2)
	must(t, 0, second(s.Publish(5)))
	must(t, 0, s.Configure(StreamUpdate{KeepN: Int64(-1), KeepS: Int64(-1)}))
	want(t, trimmed(TrimOptions{PastConsumers: true}), 0)
	wantError(t, s.Configure(StreamUpdate{KeepS: Int64(0)}), ErrInvalid, "keep_s")
	_, err := s.Trim(TrimOptions{KeepS: Int64(0)})
	wantError(t, err, ErrInvalid, "keep_s")

	kept := func() (rows []Row) {
		t.Helper()
		rows, err := db.Query("SELECT value FROM _honker_settings WHERE name <> 'maintenance'")
		return must(t, rows, err)
	}
	must(t, 0, db.KeepNotifications(60))
	want(t, kept()[0].Values[0], any(int64(60)))
	must(t, 0, db.KeepNotifications(0))
	want(t, len(kept()), 0)
	wantError(t, db.KeepNotifications(-1), ErrInvalid, "keep_s")
}
