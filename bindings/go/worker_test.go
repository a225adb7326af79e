package honker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// logged is what a worker logs.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 6000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("not within a minute:", what)
}

// runs runs a worker; what ends it, and gives the error of Run.
func runs(t *testing.T, w *Worker, handler ...Handler) func() error {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, handler...) }()
	t.Cleanup(cancel)
	return func() error {
		t.Helper()
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Minute):
			t.Fatal("Run does not end")
			return nil
		}
	}
}

func TestWorkerRunsJobsSideBySide(t *testing.T) {
	both(t, func(t *testing.T, db *Database) {
		for _, name := range []string{"a", "b"} {
			must(t, 0, second(db.Queue(name, QueueOptions{}).EnqueueMany([]any{1, 2, 3, 4, 5}, EnqueueOptions{})))
		}
		var seen atomic.Int64
		together := make(chan struct{})
		w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "a", MaxInHand: 1}, {Name: "b"}}, Concurrency: 4})
		var inA, most atomic.Int64
		stop := runs(t, w, func(ctx context.Context, job *Job) error {
			if job.Queue == "a" {
				most.Store(max(most.Load(), inA.Add(1)))
				defer inA.Add(-1)
			}
			if seen.Add(1) == 4 { // all four places are taken
				close(together)
			}
			<-together
			return nil
		})
		eventually(t, "all are done", func() bool {
			a, _ := db.Queue("a", QueueOptions{}).Stats()
			b, _ := db.Queue("b", QueueOptions{}).Stats()
			return seen.Load() == 10 && a.Claimed+a.Pending+b.Claimed+b.Pending == 0
		})
		want(t, most.Load(), 1)
		want(t, stop(), nil)
	})
}

func TestWorkerSettlesAsTheHandlerSays(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	log := &logged{}
	handlers := map[string]func(ctx context.Context, job *Job) error{
		"fails":    func(context.Context, *Job) error { return errors.New("no route") },
		"panics":   func(context.Context, *Job) error { panic("what a mess") },
		"exits":    func(context.Context, *Job) error { runtime.Goexit(); return nil },
		"lies":     func(context.Context, *Job) error { return brokenError{} },
		"snoozes":  func(context.Context, *Job) error { return Snooze(1000 * time.Second) },
		"discards": func(context.Context, *Job) error { return fmt.Errorf("so: %w", Discard(errors.New("no such user"))) },
		"later":    func(context.Context, *Job) error { return RetryAfter(1999*time.Second+1, errors.New("rate limit")) },
		"acks":     func(_ context.Context, job *Job) error { return second(job.Ack()) },
		"succeeds": func(context.Context, *Job) error { return nil },
	}
	ids := map[string]int64{}
	for name := range handlers {
		for _, attempts := range []int64{1, 3} {
			id, err := q.Enqueue(name, EnqueueOptions{MaxAttempts: &attempts})
			ids[fmt.Sprint(name, attempts)] = must(t, id, err)
		}
	}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Concurrency: 2, RetryJitter: -1, RetryBase: 500 * time.Second, Logger: log.logger()})
	start := time.Now().Unix()
	stop := runs(t, w, func(ctx context.Context, job *Job) error {
		var name string
		if err := job.UnmarshalPayload(&name); err != nil {
			return err
		}
		return handlers[name](ctx, job)
	})
	eventually(t, "all are settled", func() bool {
		stats, _ := q.Stats()
		return stats.Pending+stats.Claimed == 0
	})
	want(t, stop(), nil)
	died := map[int64]string{}
	for _, one := range must2dead(t)(q.DeadJobs(-1)) {
		died[one.ID] = *one.LastError
	}
	for name, text := range map[string]string{"fails1": "no route", "panics1": "panic: what a mess\n\n", "exits1": "ended its goroutine", "lies1": "panic: ",
		"discards1": "so: no such user", "discards3": "so: no such user", "later1": "rate limit"} {
		if !strings.Contains(died[ids[name]], text) {
			t.Errorf("%s: %q", name, died[ids[name]])
		}
	}
	want(t, len(died), 7)
	if !strings.Contains(died[ids["panics1"]], "worker_test.go") {
		t.Error("there is no trace:", died[ids["panics1"]])
	}
	for name, expected := range map[string]struct{ attempts, delay int64 }{"fails3": {1, 500}, "panics3": {1, 500}, "exits3": {1, 500}, "lies3": {1, 500},
		"snoozes1": {0, 1000}, "snoozes3": {0, 1000}, "later3": {1, 2000}} {
		row, err := q.GetJob(ids[name])
		if must(t, row, err) == nil {
			t.Errorf("%s is no more", name)
			continue
		}
		if delay := row.RunAt - start; row.Attempts != expected.attempts || delay < expected.delay || delay > expected.delay+60 {
			t.Errorf("%s: %d attempts, again in %d s", name, row.Attempts, delay)
		}
	}
	want(t, log.count("what a mess") > 0, true)
}

type brokenError struct{}

func (brokenError) Error() string { panic("no text") }

func TestWorkerTellsTheHandlerThatItsJobIsLost(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	id, err := q.Enqueue("cancelled", EnqueueOptions{MaxRunS: 1000}) // it goes before the worker's, so that nothing else ends this one
	must(t, id, err)
	must(t, 0, second(q.Enqueue("slow", EnqueueOptions{MaxAttempts: Int64(1)})))
	causes := map[string]chan error{`"cancelled"`: make(chan error, 1), `"slow"`: make(chan error, 1)}
	started := make(chan struct{}, 2)
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Concurrency: 2, MaxRun: 4 * time.Second})
	stop := runs(t, w, func(ctx context.Context, job *Job) error {
		started <- struct{}{}
		<-ctx.Done()
		causes[string(job.Payload)] <- context.Cause(ctx)
		return nil
	})
	<-started
	<-started
	cancelled, err := q.Cancel(id)
	want(t, must(t, cancelled, err), true)
	want(t, <-causes[`"cancelled"`], ErrJobGone)
	want(t, <-causes[`"slow"`], ErrJobTimeout)
	want(t, stop(), nil)
	want(t, *must2dead(t)(q.DeadJobs(-1))[0].LastError, "timeout after 4 s")
}

func TestWorkerProlongsWhatRuns(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	var calls atomic.Int64
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, VisibilityTimeout: 4 * time.Second})
	done := make(chan struct{})
	stop := runs(t, w, func(ctx context.Context, job *Job) error {
		calls.Add(1)
		select {
		case <-time.After(7 * time.Second):
		case <-ctx.Done():
			t.Error("the claim was lost:", context.Cause(ctx))
		}
		close(done)
		return nil
	})
	<-done
	want(t, stop(), nil)
	want(t, calls.Load(), 1)
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "q"})
}

func TestWorkerStops(t *testing.T) {
	at := make(chan struct{}) // last, when everything is over
	for name, test := range map[string]struct {
		handler func(ctx context.Context, stopped <-chan struct{}) error
		left    QueueStats
		fails   bool
	}{
		"in time":                {func(_ context.Context, stopped <-chan struct{}) error { <-stopped; return nil }, QueueStats{Queue: "q", Pending: 1}, false},
		"when its context ends":  {func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return context.Cause(ctx) }, QueueStats{Queue: "q", Pending: 2}, false},
		"done in spite of it":    {func(ctx context.Context, _ <-chan struct{}) error { <-ctx.Done(); return nil }, QueueStats{Queue: "q", Pending: 1}, false},
		"not, whatever is asked": {func(context.Context, <-chan struct{}) error { <-at; return nil }, QueueStats{Queue: "q", Pending: 2}, true},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			q := db.Queue("q", QueueOptions{})
			must(t, 0, second(q.EnqueueMany([]any{1, 2}, EnqueueOptions{MaxAttempts: Int64(1)})))
			started, stopped := make(chan struct{}), make(chan struct{})
			w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Concurrency: 1, StopTimeout: time.Second})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				ended <- w.Run(ctx, func(ctx context.Context, job *Job) error {
					close(started)
					return test.handler(ctx, stopped)
				})
			}()
			<-started
			wantError(t, w.Run(context.Background(), func(context.Context, *Job) error { return nil }), ErrMisuse, "runs already")
			cancel()
			close(stopped) // and not before: the other job would be claimed
			err := <-ended
			want(t, err != nil, test.fails)
			stats, err := q.Stats()
			if test.fails {
				close(at)
			}
			want(t, must(t, stats, err), test.left) // what was given back can be claimed, though it had one attempt
		})
	}
}

func TestWorkerSettlesWhatIsFinishedAtTheDeadline(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.EnqueueMany([]any{1, 2, 3}, EnqueueOptions{})))
	finish := make(chan struct{})
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}})
	run, err := w.begin(context.Background(), []Handler{func(context.Context, *Job) error { <-finish; return nil }})
	must(t, run, err)
	defer run.close()
	must(t, 0, run.connect())
	must(t, 0, second(run.turn()))
	want(t, len(run.hand), 3)
	run.stop("a test")
	run.cancel()
	close(finish)
	eventually(t, "the handlers have returned", func() bool { return len(run.finished) == 3 })
	must(t, 0, run.release())
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "q"})
}

func TestWorkerSettlesAtTheEndAsSoonAsItCan(t *testing.T) {
	defer func(before time.Duration) { settleTimeout = before }(settleTimeout)
	settleTimeout = time.Minute
	for name, run := range map[string]func(ctx context.Context, db *Database, handler Handler) error{
		"Run": func(ctx context.Context, db *Database, handler Handler) error {
			return db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, StopTimeout: -1}).Run(ctx, handler)
		},
		"Work": func(ctx context.Context, db *Database, handler Handler) error {
			return db.Queue("q", QueueOptions{}).Work(ctx, "w", 0, handler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t, OpenOptions{BusyTimeout: -1})
			other := must2(t)(Open(db.Path()))
			defer other.Close()
			q := other.Queue("q", QueueOptions{})
			must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
			ctx, cancel := context.WithCancel(context.Background())
			var tx *Transaction
			err := run(ctx, db, func(context.Context, *Job) (err error) {
				tx, err = other.Begin()
				cancel() // the job is done, and the file is locked
				time.AfterFunc(3*time.Second, func() { _ = tx.Rollback() })
				return err
			})
			must(t, 0, err)
			stats, err := q.Stats()
			want(t, must(t, stats, err), QueueStats{Queue: "q"})
		})
	}
}

func TestSettlementThatIsRefusedLeavesTheOthersAlone(t *testing.T) {
	for name, c := range map[string]struct {
		trigger string
		first   error
		log     string
	}{
		"is retried": {"BEFORE INSERT ON _honker_dead", Discard(errors.New("never")), "cannot be settled, and is retried"},
		"lapses":     {"BEFORE UPDATE ON _honker_live WHEN NEW.state = 'pending'", errors.New("not now"), "cannot be settled, and is run again when its claim is over"},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			q := db.Queue("q", QueueOptions{})
			execute(t, db, "CREATE TRIGGER guard "+c.trigger+" BEGIN SELECT RAISE(ABORT, 'not this one'); END")
			must(t, 0, second(q.EnqueueMany([]any{"stuck", "other", "other"}, EnqueueOptions{})))
			log := &logged{}
			var tries, others atomic.Int64
			w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Concurrency: 1, VisibilityTimeout: 3 * time.Second, RetryBase: -1, Logger: log.logger()})
			stop := runs(t, w, func(ctx context.Context, job *Job) error {
				switch {
				case string(job.Payload) == `"other"`:
					others.Add(1)
				case tries.Add(1) == 1:
					return c.first
				}
				return nil
			})
			eventually(t, "all are done", func() bool {
				stats, err := q.Stats()
				return err == nil && stats == QueueStats{Queue: "q"}
			})
			want(t, stop(), nil)
			want(t, []int64{tries.Load(), others.Load()}, []int64{2, 2})
			want(t, log.count(c.log), 1)
			want(t, log.count("not this one"), 1)
			want(t, log.count("which could not be settled"), 0) // it has been said, and is forgotten
		})
	}
}

func TestDelaysOfAnyLength(t *testing.T) {
	const longest = time.Duration(math.MaxInt64)
	for delay, seconds := range map[time.Duration]int64{-1: -1, math.MinInt64: -9_223_372_037, 0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, longest: 9_223_372_037} {
		want(t, wholeSeconds(delay), seconds)
	}
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	ids := must2ids(t)(q.EnqueueMany([]any{1, 2}, EnqueueOptions{}))
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}}), func(_ context.Context, job *Job) error {
		if job.ID == ids[0] {
			return Snooze(longest)
		}
		return RetryAfter(longest, errors.New("why"))
	})
	eventually(t, "both are for later", func() bool {
		stats, err := q.Stats()
		return err == nil && stats == QueueStats{Queue: "q", Delayed: 2}
	})
	want(t, stop(), nil)
}

func must2ids(t *testing.T) func([]int64, error) []int64 {
	return func(ids []int64, err error) []int64 { t.Helper(); return must(t, ids, err) }
}

func TestWorkerSaysOnceThatItCannotGoOn(t *testing.T) {
	db := open(t, OpenOptions{BusyTimeout: -1})
	other := must2(t)(Open(db.Path()))
	defer other.Close()
	must(t, 0, second(other.Queue("q", QueueOptions{}).Enqueue(1, EnqueueOptions{})))
	log := &logged{}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Logger: log.logger()})
	running, finish := make(chan struct{}), make(chan struct{})
	stop := runs(t, w, func(context.Context, *Job) error {
		close(running)
		<-finish
		return nil
	})
	<-running
	tx, err := other.Begin()
	must(t, tx, err)
	close(finish) // it is to be settled now
	eventually(t, "it says so", func() bool { return log.count("cannot go on now") > 0 })
	time.Sleep(time.Second)
	want(t, log.count("cannot go on now"), 1)
	must(t, 0, tx.Rollback())
	eventually(t, "it goes on", func() bool {
		stats, err := db.Queue("q", QueueOptions{}).Stats()
		return err == nil && stats == QueueStats{Queue: "q"}
	})
	want(t, stop(), nil)
}

func TestInterruptEndsAWorkerWhenItsJobsAreDone(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	ended := make(chan error, 1)
	go func() {
		ended <- db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}}).Run(context.Background(), func(context.Context, *Job) error { return db.Interrupt() })
	}()
	select {
	case err := <-ended:
		wantError(t, err, ErrInterrupted)
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "q"})
}

func TestHandlerMayCloseTheDatabase(t *testing.T) {
	db := open(t)
	must(t, 0, second(db.Queue("q", QueueOptions{}).Enqueue(1, EnqueueOptions{})))
	ended := make(chan error, 1)
	go func() {
		ended <- db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}}).Run(context.Background(), func(context.Context, *Job) error { return db.Close() })
	}()
	select {
	case err := <-ended:
		wantError(t, err, ErrClosed)
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
	}
}

func TestWorkerRefuses(t *testing.T) {
	db := open(t)
	nothing := func(context.Context, *Job) error { return nil }
	q := []WorkerQueue{{Name: "q"}}
	for _, options := range []WorkerOptions{{}, {Queues: []WorkerQueue{{Name: "q"}, {Name: "q"}}}, {Queues: []WorkerQueue{{Name: "a\x00b"}}},
		{Queues: q, Concurrency: -1}, {Queues: q, Concurrency: math.MaxInt}, {Queues: q, RetryFactor: 0.5}, {Queues: q, MaxRun: -1},
		{Queues: q, Schedules: []ScheduledTask{{Name: "s", Queue: "q", Schedule: "every day"}}}} {
		wantError(t, db.NewWorker(options).Run(context.Background(), nothing), ErrInvalid)
	}
	wantError(t, db.NewWorker(WorkerOptions{Queues: q}).Run(context.Background(), nil), ErrInvalid)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	want(t, db.NewWorker(WorkerOptions{Queues: q}).Run(ended, nothing), nil)
}

func TestWorkerFiresItsSchedules(t *testing.T) {
	db := open(t)
	log := &logged{}
	pulse := ScheduledTask{Name: "pulse", Queue: "q", Schedule: "@every 1s", Payload: "beat", MaxAttempts: 7}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Schedules: []ScheduledTask{pulse}, Logger: log.logger()})
	ran, err := w.RunDue(context.Background(), func(context.Context, *Job) error { return nil })
	want(t, must(t, ran, err), 0)
	rows, err := db.Scheduler().List()
	want(t, len(must(t, rows, err)), 0)

	var beats atomic.Int64
	stop := runs(t, w, func(_ context.Context, job *Job) error {
		if string(job.Payload) == `"beat"` && job.MaxAttempts == 7 {
			beats.Add(1)
		}
		return nil
	})
	eventually(t, "it is fired", func() bool { return beats.Load() >= 2 })
	execute(t, db, "CREATE TRIGGER no BEFORE INSERT ON _honker_live BEGIN SELECT RAISE(ABORT, 'not today'); END")
	eventually(t, "the status says why it is not fired", func() bool {
		status, err := db.Status()
		return strings.Contains(fmt.Sprintf("%+v", must(t, status, err)), "not today")
	})
	execute(t, db, "DROP TRIGGER no")
	before := beats.Load()
	eventually(t, "it goes on", func() bool { return beats.Load() > before })
	want(t, stop(), nil)
	// The lead is free: another one fires at once.
	fires := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	waker, err := db.Queue("q", QueueOptions{}).ClaimWaker()
	must(t, waker, err)
	defer waker.Close()
	go func() { fires <- db.Scheduler().Run(ctx, "other") }()
	within(t, 50*time.Second, func() { want(t, must2job(t)(waker.Next(ctx, "w")) != nil, true) })
	cancel()
	want(t, <-fires, nil)
}

// slow is a log whose handler takes its time with one message.
type slow struct {
	slog.Handler
	message          string
	entered, release chan struct{}
	left             atomic.Bool
}

func (s *slow) Enabled(context.Context, slog.Level) bool { return true }
func (s *slow) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *slow) Handle(_ context.Context, record slog.Record) error {
	if strings.Contains(record.Message, s.message) {
		s.entered <- struct{}{}
		<-s.release
		s.left.Store(true)
	}
	return nil
}

func TestCloseWaitsForWhatFiresAWorkersSchedules(t *testing.T) {
	db := open(t)
	log := &slow{message: "the scheduler cannot go on now", entered: make(chan struct{}, 1), release: make(chan struct{})}
	pulse := ScheduledTask{Name: "pulse", Queue: "q", Schedule: "@every 1s"}
	runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Schedules: []ScheduledTask{pulse}, Logger: slog.New(log)}),
		func(context.Context, *Job) error { return nil })
	eventually(t, "it is added", func() bool {
		rows, err := db.Scheduler().List()
		return err == nil && len(rows) == 1
	})
	execute(t, db, "ALTER TABLE _honker_locks RENAME TO not_there")
	<-log.entered
	execute(t, db, "ALTER TABLE not_there RENAME TO _honker_locks")
	time.AfterFunc(100*time.Millisecond, func() { close(log.release) })
	want(t, db.Close(), nil)
	want(t, log.left.Load(), true)
}

func TestWorkerSaysOnceThatItsSchedulesAreNotFired(t *testing.T) {
	db := open(t)
	log := &logged{}
	pulse := ScheduledTask{Name: "pulse", Queue: "q", Schedule: "@every 1s"}
	var beats atomic.Int64
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Schedules: []ScheduledTask{pulse}, Logger: log.logger()}),
		func(context.Context, *Job) error { beats.Add(1); return nil })
	eventually(t, "it is fired", func() bool { return beats.Load() > 0 })
	execute(t, db, "ALTER TABLE _honker_locks RENAME TO not_there")
	eventually(t, "it says so", func() bool { return log.count("the scheduler cannot go on now") == 1 })
	time.Sleep(6 * time.Second)
	want(t, log.count("no such table: main._honker_locks"), 1)
	execute(t, db, "ALTER TABLE not_there RENAME TO _honker_locks")
	before := beats.Load()
	eventually(t, "it goes on", func() bool { return beats.Load() > before && log.count("the scheduler goes on") == 1 })
	want(t, stop(), nil)
}

func TestWorkerFiresSchedulesInAFileThatReplacesItsOwn(t *testing.T) {
	db := open(t)
	must(t, 0, must2(t)(Open(db.Path()+".new")).Close())
	log := &logged{}
	var beats atomic.Int64
	pulse := ScheduledTask{Name: "pulse", Queue: "q", Schedule: "@every 1s"}
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Schedules: []ScheduledTask{pulse}, Logger: log.logger()}),
		func(context.Context, *Job) error { beats.Add(1); return nil })
	eventually(t, "it is fired", func() bool { return beats.Load() > 0 })
	replace(t, db)
	eventually(t, "it says so", func() bool { return log.count("the file was replaced; ") == 1 })
	before := beats.Load()
	eventually(t, "it is fired in the new file", func() bool { return beats.Load() > before+1 })
	want(t, stop(), nil)
	want(t, log.count("the scheduler cannot go on now"), 0)
}

// TestSchedulerWaitsOutWhatPasses has a directory where SQLite wants to put its journal.
func TestSchedulerWaitsOutWhatPasses(t *testing.T) {
	db := open(t, OpenOptions{JournalMode: JournalDelete})
	must(t, 0, db.Scheduler().Add(ScheduledTask{Name: "s", Queue: "q", Schedule: "@every 1s"}))
	journal := db.Path() + "-journal"
	must(t, 0, os.Mkdir(journal, 0o700))
	log := &logged{}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- db.Scheduler().run(ctx, "", pauses{log: log.logger(), who: "the scheduler", passes: isTransient})
	}()
	eventually(t, "it says so", func() bool { return log.count("the scheduler cannot go on now") == 1 })
	time.Sleep(time.Second)
	want(t, log.count("the scheduler cannot go on now"), 1)
	must(t, 0, os.Remove(journal))
	eventually(t, "it goes on", func() bool {
		stats, err := db.Queue("q", QueueOptions{}).Stats()
		return err == nil && stats.Pending > 0
	})
	eventually(t, "it says that it goes on", func() bool { return log.count("the scheduler goes on") == 1 })
	cancel()
	want(t, <-ended, nil)
}

func TestSchedulerEndsWithItsFile(t *testing.T) {
	db := open(t)
	must(t, 0, must2(t)(Open(db.Path()+".new")).Close())
	must(t, 0, db.Scheduler().Add(ScheduledTask{Name: "s", Queue: "q", Schedule: "@every 1s"}))
	ended := make(chan error, 1)
	go func() { ended <- db.Scheduler().Run(context.Background(), "") }()
	eventually(t, "it is fired", func() bool {
		stats, err := db.Queue("q", QueueOptions{}).Stats()
		return err == nil && stats.Pending > 0
	})
	replace(t, db)
	select {
	case err := <-ended:
		wantError(t, err, ErrWatcher, "is another file now")
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
}

func TestWorkerLogsWithTheDefaultOfTheTimeWhenItRuns(t *testing.T) {
	db := open(t)
	defer stdlog.SetOutput(stdlog.Writer()) // SetDefault changes that too
	defer slog.SetDefault(slog.Default())
	slog.SetDefault((&logged{}).logger())
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}})
	log := &logged{}
	slog.SetDefault(log.logger())
	want(t, runs(t, w, func(context.Context, *Job) error { return nil })(), nil)
	want(t, log.count(`"honker: the worker has begun" worker=`+w.options.Name+` queues=[q] concurrency=10`), 1)
	want(t, log.count("the worker has ended"), 1)
	host, _ := os.Hostname()
	want(t, strings.HasPrefix(w.options.Name, fmt.Sprintf("%s-%d-", host, os.Getpid())), true)
	want(t, w.options.Name != db.NewWorker(WorkerOptions{}).options.Name, true)
}

func TestWorkerSaysThatItsHandlersAreStuck(t *testing.T) {
	db := open(t)
	must(t, 0, second(db.Queue("q", QueueOptions{}).EnqueueMany([]any{1, 2, 3, 4}, EnqueueOptions{MaxAttempts: Int64(1)})))
	log := &logged{}
	release := make(chan struct{})
	var started atomic.Int64
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Concurrency: 2, MaxRun: time.Second, Logger: log.logger()}),
		func(context.Context, *Job) error { started.Add(1); <-release; return nil })
	eventually(t, "it says so", func() bool {
		return log.count("the worker runs no job until a handler returns; all ignore that their contexts have ended\" worker=") >= 1
	})
	want(t, started.Load(), 2)
	close(release)
	eventually(t, "it goes on", func() bool { return started.Load() == 4 })
	want(t, stop(), nil)
}
