package honker

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFailuresAreLoggedAndReported(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{MaxAttempts: 2})
	payloads := []any{"fails", "panics", "exits", "snoozes", "discards", "slow", "succeeds"}
	must(t, 0, second(q.EnqueueMany(payloads, EnqueueOptions{})))
	log := &logged{}
	var mu sync.Mutex
	reported := map[string]error{}
	failure := errors.New("no route")
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, MaxRun: 3 * time.Second, RetryBase: 500 * time.Second, RetryJitter: -1, Logger: log.logger(),
		OnError: func(ctx context.Context, job *Job, err error) {
			mu.Lock()
			defer mu.Unlock()
			if ctx == nil || reported[string(job.Payload)] != nil {
				t.Error("reported twice:", string(job.Payload))
			}
			reported[string(job.Payload)] = err
			if string(job.Payload) == `"discards"` {
				panic("the reporter is broken")
			}
		}})
	stop := runs(t, w, func(ctx context.Context, job *Job) error {
		switch string(job.Payload) {
		case `"fails"`:
			return failure
		case `"panics"`:
			panic(failure)
		case `"exits"`:
			runtime.Goexit()
		case `"snoozes"`:
			return Snooze(time.Hour)
		case `"discards"`:
			return Discard(failure)
		case `"slow"`:
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	eventually(t, "all are settled, and reported", func() bool {
		mu.Lock()
		defer mu.Unlock()
		stats, err := q.Stats()
		return err == nil && stats.Claimed+stats.Pending == 0 && len(reported) == 5
	})
	want(t, stop(), nil)
	for name, is := range map[string]func(err error) bool{
		"fails":    func(err error) bool { return err == failure },
		"panics":   func(err error) bool { return errors.As(err, new(*PanicError)) && errors.Is(err, failure) },
		"exits":    func(err error) bool { return strings.Contains(err.Error(), "ended its goroutine") },
		"discards": func(err error) bool { return errors.Is(err, failure) },
		"slow":     func(err error) bool { return err == ErrJobTimeout },
	} {
		if err := reported[`"`+name+`"`]; err == nil || !is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, line := range []string{
		`level=WARN msg="honker: a job failed, and is retried" worker=` + w.options.Name + ` queue=q job=1 attempt=1 max_attempts=2 error="no route" next_try_in_s=500`,
		`job=2 attempt=1 max_attempts=2 error="panic: no route" stack="goroutine `,
		`level=ERROR msg="honker: a job failed, and is dead" worker=` + w.options.Name + ` queue=q job=5 attempt=1 max_attempts=2 error="no route"`,
		`msg="honker: OnError panicked" worker=` + w.options.Name + ` job=5`,
		`queue=q job=6 attempt=1 max_attempts=2`,
		`done=1 snoozed=1 retried=4 dead=1 released=0 running=0`,
	} {
		if log.count(line) != 1 {
			t.Errorf("%d of %s in\n%s", log.count(line), line, log.text.String())
		}
	}
	want(t, log.count("job=4"), 0)
	want(t, log.count("job=7"), 0)
}

func TestBackoffThatIsLogged(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{MaxAttempts: 4})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	log := &logged{}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, RetryMax: 40 * time.Second, Logger: log.logger()})
	for range 4 {
		ran, err := w.RunDue(context.Background(), func(context.Context, *Job) error { return errors.New("no") })
		want(t, must(t, ran, err), 1)
		execute(t, db, "UPDATE _honker_live SET run_at = 0")
	}
	for attempt, says := range map[int]string{1: "next_try_in_s=15", 2: "next_try_in_s=30", 3: "next_try_in_s=40", 4: "error=no\n"} {
		want(t, log.count(fmt.Sprintf("attempt=%d max_attempts=4 error=no%s", attempt, strings.TrimPrefix(" "+says, " error=no"))), 1)
	}
	want(t, log.count("is dead"), 1)
}

func TestMiddleware(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.EnqueueMany([]any{"passes", "refused"}, EnqueueOptions{})))
	type key struct{}
	var seen []string
	around := func(name string) Middleware {
		return func(next Handler) Handler {
			return func(ctx context.Context, job *Job) (err error) {
				seen = append(seen, name)
				defer func() { seen = append(seen, fmt.Sprint(name, " ", err)) }()
				if name == "inner" && string(job.Payload) == `"refused"` {
					return Discard(errors.New("refused"))
				}
				return next(context.WithValue(ctx, key{}, name), job)
			}
		}
	}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Middleware: []Middleware{around("outer"), around("inner")}})
	ran, err := w.RunDue(context.Background(), func(ctx context.Context, job *Job) error {
		seen = append(seen, fmt.Sprint("handler in ", ctx.Value(key{})))
		return nil
	})
	want(t, must(t, ran, err), 2)
	want(t, seen, []string{"outer", "inner", "handler in inner", "inner <nil>", "outer <nil>", "outer", "inner", "inner refused", "outer refused"})
}

type email struct {
	To string `json:"to"`
}

func TestTypedJobs(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	emails := NewTypedQueue[email](db, "emails", QueueOptions{MaxAttempts: 7})
	numbers := NewTypedQueue[int](db, "numbers", QueueOptions{})
	must(t, 0, second(emails.Enqueue(ctx, email{"alice"}, EnqueueOptions{})))
	tx, err := db.Begin()
	must(t, tx, err)
	must(t, 0, second(numbers.EnqueueTx(tx, 7, EnqueueOptions{})))
	must(t, 0, tx.Commit())
	results, err := db.EnqueueMany(ctx, []JobSpec{emails.Spec(email{"bob"}, EnqueueOptions{}), numbers.Spec(8, EnqueueOptions{})})
	must(t, results, err)
	want(t, string(must2job(t)(emails.Queue.ClaimOne("w")).Payload), `{"to":"alice"}`) // as other languages write it
	for _, wrong := range []any{"no object", []int{1}, map[string]any{"to": 7}} {
		must(t, 0, second(emails.Queue.Enqueue(wrong, EnqueueOptions{})))
	}
	must(t, 0, second(emails.Queue.Enqueue(map[string]any{"to": "carol", "cc": "of a later version"}, EnqueueOptions{})))
	execute(t, db, "INSERT INTO _honker_live (queue, payload) VALUES ('emails', 'no JSON')")
	var got []string
	queues := []WorkerQueue{
		{Name: "emails", Handler: Typed(func(_ context.Context, job *Job, one email) error {
			want(t, job.MaxAttempts, 7)
			got = append(got, one.To)
			return nil
		})},
		{Name: "numbers", Handler: Typed(func(_ context.Context, _ *Job, n int) error {
			got = append(got, fmt.Sprint(n))
			return nil
		})},
	}
	ran, err := db.NewWorker(WorkerOptions{Queues: queues, Logger: (&logged{}).logger()}).RunDue(ctx)
	want(t, must(t, ran, err), 8)
	for _, one := range []string{"bob", "carol", "7", "8"} {
		want(t, strings.Count(strings.Join(got, " "), one), 1)
	}
	want(t, len(got), 4)
	dead := must2dead(t)(emails.Queue.DeadJobs(-1))
	want(t, len(dead), 4)
	for _, one := range dead { // at the first attempt, with the reason
		want(t, one.Attempts, 1)
		want(t, strings.Contains(*one.LastError, "the payload cannot be decoded: "), true)
	}
}

func TestHandlersOfQueues(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	for _, name := range []string{"emails", "reports", "others"} {
		must(t, 0, second(db.Queue(name, QueueOptions{}).Enqueue(1, EnqueueOptions{})))
	}
	var got []string
	says := func(who string) Handler {
		return func(_ context.Context, job *Job) error { got = append(got, who+" "+job.Queue); return nil }
	}
	around := func(next Handler) Handler {
		return func(ctx context.Context, job *Job) error { got = append(got, "around"); return next(ctx, job) }
	}
	worker := func(queues ...WorkerQueue) *Worker {
		return db.NewWorker(WorkerOptions{Queues: queues, Middleware: []Middleware{around}, Logger: (&logged{}).logger()})
	}
	emails := WorkerQueue{Name: "emails", Handler: says("emails'")}
	for _, given := range [][]Handler{nil, {nil}, {says("a"), says("b")}} {
		w := worker(emails, WorkerQueue{Name: "reports"})
		words := map[bool]string{true: "one handler", false: `the queue "reports" has no handler`}[len(given) == 2]
		wantError(t, w.Run(ctx, given...), ErrInvalid, words)
		ran, err := w.RunDue(ctx, given...)
		wantError(t, err, ErrInvalid, words)
		want(t, ran, 0)
	}
	want(t, len(got), 0)
	ran, err := worker(emails).RunDue(ctx)
	want(t, must(t, ran, err), 1)
	ran, err = worker(emails, WorkerQueue{Name: "reports"}).RunDue(ctx, says("given"))
	want(t, must(t, ran, err), 1)
	stop := runs(t, worker(emails, WorkerQueue{Name: "others", Handler: says("others'")}))
	eventually(t, "it is done", func() bool {
		stats, err := db.Queue("others", QueueOptions{}).Stats()
		return err == nil && stats == QueueStats{Queue: "others"}
	})
	want(t, stop(), nil)
	want(t, got, []string{"around", "emails' emails", "around", "given reports", "around", "others' others"})
}

func TestBackoffThatCannotBeComputed(t *testing.T) {
	for name, c := range map[string]struct {
		options  WorkerOptions
		attempts int64
		want     int64
	}{
		"no wait":               {WorkerOptions{RetryBase: -1}, 100_000, 0},
		"no wait, after one":    {WorkerOptions{RetryBase: -1}, 1, 0},
		"infinite":              {WorkerOptions{}, 100_000, 3600},
		"beyond all numbers":    {WorkerOptions{RetryMax: math.MaxInt64}, 100_000, 9_223_372_037},
		"an attempt of raw SQL": {WorkerOptions{}, math.MinInt64, 15},
		"no growth":             {WorkerOptions{RetryFactor: 1}, math.MaxInt64, 15},
	} {
		if got := NewWorker("app.db", c.options).backoffS(c.attempts); got != c.want {
			t.Errorf("%s: %d", name, got)
		}
	}
	// As the log says it, of a job that has failed more often than a float64 can double.
	db := open(t)
	must(t, 0, second(db.Queue("q", QueueOptions{}).Enqueue(1, EnqueueOptions{MaxAttempts: Int64(math.MaxInt64 - 1)})))
	execute(t, db, "UPDATE _honker_live SET attempts = 5000")
	log := &logged{}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, RetryBase: -1, Logger: log.logger()})
	failed := false
	ran, err := w.RunDue(context.Background(), func(context.Context, *Job) error {
		if failed {
			return nil
		}
		failed = true
		return errors.New("no")
	})
	want(t, must(t, ran, err), 2)
	want(t, log.count("attempt=5001 max_attempts=9223372036854775806 error=no next_try_in_s=0\n"), 1)
}

// noTables is a connection of a driver to a file without tables.
type noTables struct{}

func (noTables) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errNoTables
}

var errNoTables = errors.New("SQL logic error: no such table: _honker_live (1)")

func TestEnqueueSQLSaysThatThereAreNoTables(t *testing.T) {
	_, err := EnqueueSQL(context.Background(), noTables{}, "q", 1, EnqueueOptions{})
	if err == nil || !strings.Contains(err.Error(), "open it once with honker.Open") || !strings.Contains(err.Error(), "no such table") {
		t.Fatal(err)
	}
}

func TestEnqueueSQLRefuses(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		queue   string
		payload any
		options EnqueueOptions
		kind    error
	}{
		{"a\x00b", 1, EnqueueOptions{}, ErrInvalid},
		{"\xff", 1, EnqueueOptions{}, ErrUTF8},
		{"q", make(chan int), EnqueueOptions{}, ErrInvalid},
		{"q", 1, EnqueueOptions{Metadata: map[string]string{"a": "b"}}, ErrUnsupported},
		{"q", 1, EnqueueOptions{Delay: Int64(math.MaxInt64)}, ErrInvalid},
		{"q", 1, EnqueueOptions{Expires: Int64(math.MaxInt64)}, ErrInvalid},
	} {
		_, err := EnqueueSQL(ctx, nil, c.queue, c.payload, c.options)
		wantError(t, err, c.kind)
	}
}

// TestWhatFailsAfterItsContext has handlers that fail when their worker has been told to stop, or their job was cancelled.
func TestWhatFailsAfterItsContext(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{MaxAttempts: 1})
	ids := must2ids(t)(q.EnqueueMany([]any{"panics", "fails", "is cancelled"}, EnqueueOptions{}))
	log := &logged{}
	var mu sync.Mutex
	reported := map[int64]error{}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Logger: log.logger(), OnError: func(_ context.Context, job *Job, err error) {
		mu.Lock()
		defer mu.Unlock()
		reported[job.ID] = err
	}})
	w.sync = true // it waits for its handlers, however long that is
	started := make(chan struct{}, 3)
	stop := runs(t, w, func(ctx context.Context, job *Job) error {
		started <- struct{}{}
		<-ctx.Done()
		if string(job.Payload) == `"fails"` {
			return errors.New("half done")
		}
		panic("too late")
	})
	for range ids {
		<-started
	}
	held, err := q.Cancel(ids[2])
	want(t, must(t, held, err), true)
	eventually(t, "the one that is lost has panicked", func() bool { return log.count("panicked after its context") == 1 })
	want(t, stop(), nil)
	for _, id := range []int64{ids[0], ids[2]} {
		want(t, errors.As(reported[id], new(*PanicError)), true)
		want(t, log.count(fmt.Sprintf(`level=ERROR msg="honker: a handler panicked after its context had ended" worker=%s queue=q job=%d attempt=1 max_attempts=1 error="panic: too late" stack="goroutine `,
			w.options.Name, id)), 1)
	}
	want(t, len(reported), 2)
	want(t, log.count(`level=INFO msg="honker: a job failed after its context had ended, and is given back" worker=`+w.options.Name+` queue=q job=2 attempt=1 max_attempts=1 error="half done"`), 1)
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "q", Pending: 2})
}

func TestTimeoutOfTheLastAttempt(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{MaxAttempts: 1})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	log := &logged{}
	var told Job
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, MaxRun: time.Second, Logger: log.logger(), OnError: func(_ context.Context, job *Job, err error) {
		for log.count("the worker has ended") == 0 { // Run waits for this
			time.Sleep(time.Millisecond)
		}
		told = *job
	}})
	returned := make(chan struct{})
	stop := runs(t, w, func(ctx context.Context, job *Job) error {
		defer close(returned)
		job.Queue, job.ID = "the handler's", 0 // this one is its own
		at, has := ctx.Deadline()
		if left := time.Until(at); !has || left > time.Second {
			t.Error(has, left)
		}
		<-ctx.Done()
		want(t, ctx.Err(), context.DeadlineExceeded)
		want(t, errors.Is(context.Cause(ctx), context.DeadlineExceeded), true)
		return nil
	})
	<-returned
	want(t, stop(), nil)
	want(t, []any{told.ID, told.Queue}, []any{int64(1), "q"})
	want(t, log.count(`level=ERROR msg="honker: a job failed, and is dead" worker=`+w.options.Name+` queue=q job=1 attempt=1 max_attempts=1 error="honker: the job was lost: it ran for longer than MaxRun`), 1)
	want(t, log.count("is retried"), 0)
	want(t, log.count("retried=0 dead=1"), 1)
	want(t, *must2dead(t)(q.DeadJobs(-1))[0].LastError, "timeout after 1 s")
}

func TestFailuresThatAreNotSettled(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	log := &logged{}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Logger: log.logger()})
	ran, err := w.RunDue(context.Background(), func(_ context.Context, job *Job) error {
		must(t, 0, second(job.Ack()))
		return errors.New("too late")
	})
	want(t, must(t, ran, err), 1)
	want(t, log.count("is retried"), 0)
	want(t, log.count(`msg="honker: a job failed that is not the worker's any more`), 1)

	must(t, 0, second(q.Enqueue(2, EnqueueOptions{})))
	_, err = w.RunDue(context.Background(), func(context.Context, *Job) error {
		_ = db.Close()
		return errors.New("nobody settles it")
	})
	wantError(t, err, ErrClosed)
	want(t, log.count("is retried"), 0)
	want(t, log.count(`msg="honker: a job failed, which could not be settled`), 1)
	want(t, log.count("nobody settles it"), 1)
}
