package honker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestEnqueueManyOverSeveralQueues(t *testing.T) {
	db := open(t)
	results, err := db.EnqueueMany(context.Background(), []JobSpec{
		{Queue: "a", Payload: 1},
		{Queue: "b", Payload: "two", Options: EnqueueOptions{MaxAttempts: Int64(7), Priority: 5, Metadata: map[string]string{"traceparent": "00-1", "é": "\"<&"}}},
		{Queue: "a", Payload: json.RawMessage("[3]"), Options: EnqueueOptions{Delay: Int64(1000)}},
	})
	must(t, results, err)
	want(t, results, []EnqueueResult{{1, StatusEnqueued}, {2, StatusEnqueued}, {3, StatusEnqueued}})
	one := must2job(t)(db.Queue("b", QueueOptions{}).ClaimOne("w"))
	want(t, one.Metadata, map[string]string{"traceparent": "00-1", "é": "\"<&"})
	want(t, one.MaxAttempts, 7)
	two := must2job(t)(db.Queue("a", QueueOptions{}).ClaimOne("w"))
	want(t, two.Metadata, nil)
	want(t, two.MaxAttempts, 3)
	row, err := db.Queue("b", QueueOptions{}).GetJob(2)
	want(t, must(t, row, err).Metadata, one.Metadata)
	must(t, 0, second(one.Fail("why")))
	want(t, must2dead(t)(db.Queue("b", QueueOptions{}).DeadJobs(1))[0].Metadata, one.Metadata)
	stats, err := db.Queue("a", QueueOptions{}).Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "a", Claimed: 1, Delayed: 1})

	// All or none, and not when the context has ended already.
	long := map[string]string{"k": strings.Repeat("x", 8192)}
	for _, bad := range []JobSpec{{Queue: "a", Payload: math.NaN()}, {Queue: "a\x00b"}, {Queue: "a", Options: EnqueueOptions{Metadata: long}},
		{Queue: "a", Options: EnqueueOptions{RunAt: Int64(math.MaxInt64)}}, {Queue: "a", Options: EnqueueOptions{MaxAttempts: Int64(math.MaxInt64)}}} {
		_, err = db.EnqueueMany(context.Background(), []JobSpec{{Queue: "a"}, bad})
		wantError(t, err, ErrInvalid)
	}
	_, err = db.EnqueueMany(context.Background(), []JobSpec{{Queue: "a", Options: EnqueueOptions{Metadata: map[string]string{"k": "\xff"}}}})
	wantError(t, err, ErrUTF8)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = db.EnqueueMany(ended, []JobSpec{{Queue: "a"}})
	want(t, errors.Is(err, context.Canceled), true)
	tx, err := db.Begin()
	must(t, tx, err)
	results, err = db.EnqueueManyTx(tx, []JobSpec{{Queue: "a"}, {Queue: "c"}})
	want(t, len(must(t, results, err)), 2)
	must(t, 0, tx.Rollback())
	after, err := db.Queue("a", QueueOptions{}).Stats()
	want(t, must(t, after, err), stats)
	none, err := db.EnqueueMany(context.Background(), nil)
	want(t, len(must(t, none, err)), 0)
}

func TestEnqueueMiddlewareThatAnswersNothing(t *testing.T) {
	db := open(t, OpenOptions{EnqueueMiddleware: []EnqueueMiddleware{func(EnqueueFunc) EnqueueFunc {
		return func(context.Context, []JobSpec) ([]EnqueueResult, error) { return nil, nil }
	}}})
	_, err := db.Queue("q", QueueOptions{}).Enqueue(1, EnqueueOptions{})
	wantError(t, err, ErrMisuse, "0 results for 1 jobs")
}

func TestEnqueueMiddleware(t *testing.T) {
	type key struct{}
	var seen []string
	around := func(name string) EnqueueMiddleware {
		return func(next EnqueueFunc) EnqueueFunc {
			return func(ctx context.Context, jobs []JobSpec) ([]EnqueueResult, error) {
				if jobs[0].Queue == "refused" {
					return nil, errors.New("refused by " + name)
				}
				seen = append(seen, name)
				for i := range jobs {
					jobs[i].Options.Metadata = map[string]string{"by": name, "from": fmt.Sprint(ctx.Value(key{}))}
				}
				return next(ctx, jobs)
			}
		}
	}
	db := open(t, OpenOptions{EnqueueMiddleware: []EnqueueMiddleware{around("outer"), around("inner")}})
	q := db.Queue("q", QueueOptions{})
	ctx := context.WithValue(context.Background(), key{}, "here")
	must(t, 0, second(q.EnqueueContext(ctx, 1, EnqueueOptions{})))
	want(t, seen, []string{"outer", "inner"})
	tx, err := db.Transaction(ctx)
	must(t, tx, err)
	must(t, 0, second(q.EnqueueTx(tx, 2, EnqueueOptions{})))
	must(t, 0, tx.Commit())
	for range 2 {
		want(t, must2job(t)(q.ClaimOne("w")).Metadata, map[string]string{"by": "inner", "from": "here"})
	}
	must(t, 0, second(q.EnqueueMany([]any{3, 4}, EnqueueOptions{})))
	want(t, len(seen), 6)
	_, err = db.Queue("refused", QueueOptions{}).Enqueue(1, EnqueueOptions{})
	want(t, err.Error(), "refused by outer")
}

func TestRelease(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{MaxAttempts: 1})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	for range 3 {
		job := must2job(t)(q.ClaimOne("w"))
		want(t, job.Attempts, 1)
		held, err := job.Release(0)
		want(t, must(t, held, err), true)
		held, err = job.Release(0)
		want(t, must(t, held, err), false)
	}
	job := must2job(t)(q.ClaimOne("w"))
	tx, err := db.Begin()
	must(t, tx, err)
	held, err := job.ReleaseTx(tx, 1000)
	want(t, must(t, held, err), true)
	must(t, 0, tx.Commit())
	row, err := q.GetJob(job.ID)
	want(t, must(t, row, err).Attempts, 0)
	want(t, row.State, "pending")
}

func TestStatus(t *testing.T) {
	db := open(t)
	status, err := db.Status()
	must(t, status, err)
	want(t, status.File, db.Path())
	want(t, status.Versions.Honker, db.Version())
	want(t, status.Connections.ReadersMax, 8)
	want(t, status.Watcher == nil, true)
	updates, err := db.Updates()
	must(t, updates, err)
	defer updates.Close()
	status, err = db.Status()
	want(t, must(t, status, err).Watcher.State, "watching")
}

func TestEnqueueWaitsNoLongerThanItsContext(t *testing.T) {
	db := open(t) // its busy timeout is longer than the contexts
	q := db.Queue("q", QueueOptions{})
	for name, enqueue := range map[string]func(ctx context.Context) error{
		"EnqueueContext": func(ctx context.Context) error { return second(q.EnqueueContext(ctx, 1, EnqueueOptions{})) },
		"EnqueueMany": func(ctx context.Context) error {
			return second(db.EnqueueMany(ctx, []JobSpec{{Queue: "q"}, {Queue: "r"}}))
		},
		"TypedQueue": func(ctx context.Context) error {
			return second(NewTypedQueue[int](db, "q", QueueOptions{}).Enqueue(ctx, 1, EnqueueOptions{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			tx, err := db.Begin()
			must(t, tx, err)
			defer tx.Rollback()
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			err = enqueue(ctx)
			want(t, errors.Is(err, context.DeadlineExceeded), true)
			want(t, strings.HasPrefix(err.Error(), "honker: nothing was enqueued: "), true)
			must(t, 0, tx.Rollback())
			long, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			must(t, 0, enqueue(long)) // after whatever was left waiting
			for _, err := range []error{second(db.EnqueueMany(long, []JobSpec{{Queue: "q", Payload: make(chan int)}})), second(db.EnqueueMany(long, []JobSpec{{Queue: "\x00"}}))} {
				wantError(t, err, ErrInvalid)
			}
		})
	}
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "q", Pending: 3})
}
