package honker

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestHandlerThatBlocksForEver(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{MaxAttempts: 1})
	must(t, 0, second(q.EnqueueMany([]any{"blocks", "other"}, EnqueueOptions{})))
	var others atomic.Int64
	blocks, started := make(chan struct{}), make(chan struct{}, 1)
	log := &logged{}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Concurrency: 2, StopTimeout: -1, Logger: log.logger()})
	stop := runs(t, w, func(_ context.Context, job *Job) error {
		if string(job.Payload) == `"blocks"` {
			started <- struct{}{}
			<-blocks // whatever its context says
		} else {
			others.Add(1)
		}
		return nil
	})
	<-started
	must(t, 0, second(q.EnqueueMany([]any{"other", "other", "other"}, EnqueueOptions{})))
	eventually(t, "the others go on", func() bool { return others.Load() == 4 })
	err := stop()
	want(t, err != nil && strings.Contains(err.Error(), "1 handlers ignored that their context had ended, and still run"), true)
	want(t, log.count("done=4 snoozed=0 retried=0 dead=0 released=1 running=1"), 1)
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "q", Pending: 1})
	close(blocks)
}

func TestHandlerThatAcksTwice(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.EnqueueMany([]any{"acks", "retries", "in a transaction"}, EnqueueOptions{})))
	log := &logged{}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Logger: log.logger()})
	stop := runs(t, w, func(_ context.Context, job *Job) error {
		switch string(job.Payload) {
		case `"acks"`:
			first, err := job.Ack()
			again, err2 := job.Ack()
			want(t, []any{first, again, err, err2}, []any{true, false, error(nil), error(nil)})
		case `"retries"`:
			must(t, 0, second(job.Retry(1000, "why")))
			return errors.New("and fails")
		default:
			tx, err := db.Begin()
			must(t, tx, err)
			must(t, 0, second(job.AckTx(tx)))
			must(t, 0, tx.Commit())
		}
		return nil
	})
	eventually(t, "all are settled", func() bool {
		stats, err := q.Stats()
		return err == nil && stats == QueueStats{Queue: "q", Delayed: 1}
	})
	want(t, stop(), nil)
	want(t, log.count("was lost"), 0)
}

func TestWorkerWithAnyConcurrency(t *testing.T) {
	const many = 10_000
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	payloads := make([]any, many)
	must(t, 0, second(q.EnqueueMany(payloads, EnqueueOptions{})))
	var running atomic.Int64
	var all sync.WaitGroup
	all.Add(many)
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Concurrency: many}), func(context.Context, *Job) error {
		running.Add(1)
		all.Done()
		all.Wait() // side by side, all of them
		return nil
	})
	eventually(t, "all are done", func() bool {
		stats, err := q.Stats()
		return err == nil && stats == QueueStats{Queue: "q"}
	})
	want(t, running.Load(), many)
	want(t, stop(), nil)

	must(t, 0, second(q.EnqueueMany(payloads[:20], EnqueueOptions{})))
	var most atomic.Int64
	running.Store(0)
	stop = runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}}), func(context.Context, *Job) error { // 0: the default
		most.Store(max(most.Load(), running.Add(1)))
		time.Sleep(50 * time.Millisecond)
		running.Add(-1)
		return nil
	})
	eventually(t, "all are done", func() bool {
		stats, err := q.Stats()
		return err == nil && stats == QueueStats{Queue: "q"}
	})
	want(t, stop(), nil)
	want(t, most.Load() > 1 && most.Load() <= 10, true)
}

func TestPayloadsOfAnyKind(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	large := strings.Repeat("x", 10<<20)
	must(t, 0, second(q.Enqueue(large, EnqueueOptions{})))
	execute(t, db, "INSERT INTO _honker_live (queue, payload) VALUES ('q', 'not JSON'), ('q', ''), ('q', 'a' || char(0) || 'b')")
	_, err := q.Enqueue(json.RawMessage("{"), EnqueueOptions{})
	wantError(t, err, ErrInvalid)
	_, err = db.Queue("a\x00b", QueueOptions{}).Enqueue(1, EnqueueOptions{})
	wantError(t, err, ErrInvalid)
	var got []string
	ran, err := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}}).RunDue(context.Background(), func(_ context.Context, job *Job) error {
		if len(job.Payload) > 1000 {
			var text string
			must(t, 0, job.UnmarshalPayload(&text))
			want(t, text == large, true)
			return nil
		}
		got = append(got, string(job.Payload))
		return nil
	})
	want(t, must(t, ran, err), 4)
	want(t, got, []string{"not JSON", "", "a\x00b"})
}
