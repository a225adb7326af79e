//go:build unix

package honker

import (
	"context"
	"encoding/json"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// cpu is the time that this process has used.
func cpu() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// TestWorkGoesOnWithoutSpinning has the file locked for a while, where nothing waits for locks.
func TestWorkGoesOnWithoutSpinning(t *testing.T) {
	for name, run := range map[string]func(ctx context.Context, db *Database, done func()) error{
		"Worker": func(ctx context.Context, db *Database, done func()) error {
			return db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}}).Run(ctx, func(context.Context, *Job) error { done(); return nil })
		},
		"Work": func(ctx context.Context, db *Database, done func()) error {
			return db.Queue("q", QueueOptions{}).Work(ctx, "w", 0, func(context.Context, *Job) error { done(); return nil })
		},
		"Jobs": func(ctx context.Context, db *Database, done func()) error {
			for job, err := range db.Queue("q", QueueOptions{}).Jobs(ctx, "w") {
				if err != nil {
					return err
				}
				done()
				_, _ = job.Ack()
			}
			return nil
		},
		"Outbox": func(ctx context.Context, db *Database, done func()) error {
			o, err := db.Outbox("o", func(context.Context, json.RawMessage) error { done(); return nil }, OutboxOptions{})
			if err != nil {
				return err
			}
			return o.RunWorker(ctx, "w")
		},
		"Scheduler": func(ctx context.Context, db *Database, done func()) error {
			go func() {
				for job := range db.Queue("scheduled", QueueOptions{}).Jobs(ctx, "w") {
					if job != nil {
						done()
					}
				}
			}()
			return db.Scheduler().Run(ctx, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.db")
			db := must2(t)(OpenWithOptions(path, "", OpenOptions{BusyTimeout: -1}))
			defer db.Close()
			other := must2(t)(Open(path))
			defer other.Close()
			must(t, 0, other.Scheduler().Add(ScheduledTask{Name: "s", Queue: "scheduled", Schedule: "@every 1s"}))
			must(t, 0, second(other.Queue("q", QueueOptions{}).Enqueue(1, EnqueueOptions{})))
			must(t, 0, second(other.Queue("_outbox:o", QueueOptions{}).Enqueue(1, EnqueueOptions{})))
			time.Sleep(1100 * time.Millisecond) // the schedule is due
			tx, err := other.Begin()
			must(t, tx, err)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan struct{}, 100)
			ended := make(chan error, 1)
			before := cpu()
			go func() { ended <- run(ctx, db, func() { done <- struct{}{} }) }()
			time.Sleep(2 * time.Second)
			if used := cpu() - before; used > 400*time.Millisecond {
				t.Errorf("%v of 2 s are used", used)
			}
			want(t, len(done), 0)
			must(t, 0, tx.Rollback())
			select {
			case <-done:
			case err := <-ended:
				t.Fatal("it has ended:", err)
			case <-time.After(time.Minute):
				t.Fatal("it does not go on")
			}
			cancel()
			want(t, <-ended, nil)
		})
	}
}
