package honker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"
	"time"
)

// both runs a test with descriptors, and with threads that wait in the library, as on Windows.
func both(t *testing.T, test func(t *testing.T, db *Database)) {
	t.Run("descriptor", func(t *testing.T) { test(t, open(t)) })
	t.Run("thread", func(t *testing.T) {
		db := open(t)
		db.noDescriptors = true
		test(t, db)
	})
}

func TestNextIsWoken(t *testing.T) {
	both(t, func(t *testing.T, db *Database) {
		q := db.Queue("q", QueueOptions{})
		waker, err := q.ClaimWaker()
		must(t, waker, err)
		defer waker.Close()
		late := 0
		for i := range 30 {
			go func() {
				time.Sleep(time.Duration(i%4) * time.Millisecond)
				if _, err := q.Enqueue(i, EnqueueOptions{}); err != nil {
					t.Error(err)
				}
			}()
			start := time.Now()
			job := must2job(t)(waker.Next(context.Background(), fmt.Sprint("worker-", i%2)))
			if time.Since(start) > 4*time.Second { // the fallback is 5
				late++
			}
			held, err := job.Ack()
			want(t, must(t, held, err), true)
			want(t, job.WorkerID, fmt.Sprint("worker-", i%2))
		}
		want(t, late < 10, true)
	})
}

func TestNextEnds(t *testing.T) {
	both(t, func(t *testing.T, db *Database) {
		q := db.Queue("q", QueueOptions{})
		waker, err := q.ClaimWaker()
		must(t, waker, err)
		for _, end := range []struct {
			how func(cancel func())
			is  error
		}{
			{func(cancel func()) { cancel() }, context.Canceled},
			{func(func()) { db.Interrupt() }, ErrInterrupted},
			{func(cancel func()) { cancel() }, context.Canceled}, // and it can be used further
			{func(func()) { waker.Close() }, ErrClosed},
		} {
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- second(waker.Next(ctx, "w")) }()
			for over := false; !over; { // it may not have begun the first time, and Interrupt is for what has begun
				select {
				case err := <-ended:
					want(t, errors.Is(err, end.is), true)
					over = true
				case <-time.After(50 * time.Millisecond):
					end.how(cancel)
				}
			}
			cancel()
		}
		_, err = waker.Next(context.Background(), "w")
		wantError(t, err, ErrClosed)
		_, err = waker.Poll("w", 1)
		wantError(t, err, ErrClosed)
	})
}

func TestNextEndsWithItsContextWhileAnotherGoroutineWaits(t *testing.T) {
	db := open(t)
	waker, err := db.Queue("q", QueueOptions{}).ClaimWaker()
	must(t, waker, err)
	listener, err := db.Listener("c")
	must(t, listener, err)
	for _, next := range []func(ctx context.Context) error{
		func(ctx context.Context) error { return second(waker.Next(ctx, "w")) },
		func(ctx context.Context) error { return second(listener.Next(ctx)) },
	} {
		first, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- next(first) }()
		time.Sleep(50 * time.Millisecond)
		soon, cancelSoon := context.WithTimeout(context.Background(), 50*time.Millisecond)
		time.AfterFunc(30*time.Second, cancel) // should the second one wait for the first one
		want(t, next(soon), context.DeadlineExceeded)
		want(t, first.Err(), nil)
		cancelSoon()
		cancel()
		want(t, <-ended, context.Canceled)
	}
}

func TestNothingIsClaimedForAContextThatHasEnded(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	waker, err := q.ClaimWaker()
	must(t, waker, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	job, err := waker.Next(ctx, "w")
	want(t, job == nil && err == context.Canceled, true)
	ran, err := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}}).RunDue(ctx, func(context.Context, *Job) error { return nil })
	want(t, ran == 0 && err == context.Canceled, true)
	outbox, err := db.Outbox("o", func(context.Context, json.RawMessage) error { return nil }, OutboxOptions{})
	must(t, outbox, err)
	must(t, 0, second(outbox.Enqueue(1, EnqueueOptions{})))
	did, err := outbox.RunOnce(ctx, "w")
	want(t, !did && err == context.Canceled, true)
	listener, err := db.Listener("c")
	must(t, listener, err)
	want(t, second(listener.Next(ctx)), context.Canceled)
	sub, err := db.Stream("s").Subscription(SubscribeOptions{})
	must(t, sub, err)
	want(t, second(sub.Next(ctx)), context.Canceled)
	updates, err := db.Updates()
	must(t, updates, err)
	want(t, updates.Wait(ctx), context.Canceled)
	for range q.Jobs(ctx, "w") {
		t.Error("a job, or an error")
	}
	for range sub.All(ctx) {
		t.Error("an event, or an error")
	}
	stats, err := q.Stats()
	want(t, must(t, stats, err).Pending, 1)
}

func TestDelayedJobsComeInTime(t *testing.T) {
	both(t, func(t *testing.T, db *Database) {
		q := db.Queue("q", QueueOptions{})
		waker, err := q.ClaimWaker()
		must(t, waker, err)
		late := time.Duration(math.MaxInt64)
		for range 2 {
			at := time.Now().Unix() + 1
			must(t, 0, second(q.Enqueue(1, EnqueueOptions{RunAt: &at})))
			must2job(t)(waker.Next(context.Background(), "w")).Ack()
			late = min(late, time.Since(time.Unix(at, 0)))
			want(t, late >= 0, true)
		}
		want(t, late < 3*time.Second, true) // the fallback is 5
	})
}

func TestCloseEndsEverything(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	notifications, err := db.Listen(ctx, "c")
	must(t, notifications, err)
	events, err := db.Stream("s").Subscribe(ctx, "consumer")
	must(t, events, err)
	outbox, err := db.Outbox("o", func(context.Context, json.RawMessage) error { return nil }, OutboxOptions{})
	must(t, outbox, err)
	updates, err := db.Updates()
	must(t, updates, err)
	ends := make(chan error)
	go func() { ends <- db.Scheduler().Run(ctx, "") }()
	go func() { ends <- outbox.RunWorker(ctx, "w") }()
	go func() { ends <- second(db.WaitResult(ctx, 1)) }()
	go func() {
		ends <- db.Queue("q", QueueOptions{}).Work(ctx, "w", 0, func(context.Context, *Job) error { return nil })
	}()
	go func() {
		for {
			if err := updates.Wait(ctx); err != nil {
				ends <- err
				return
			}
		}
	}()
	time.Sleep(100 * time.Millisecond)
	want(t, db.Close(), nil)
	for range 5 {
		wantError(t, <-ends, ErrClosed)
	}
	for range notifications {
		t.Error("a notification")
	}
	for range events {
		t.Error("an event")
	}
	_, err = db.Listen(ctx, "c")
	wantError(t, err, ErrClosed)
	_, err = db.Transaction(ctx)
	wantError(t, err, ErrClosed)
	want(t, db.Close(), nil)
	again := must2(t)(Open(db.Path()))
	defer again.Close()
	lock, err := again.TryLock("honker-scheduler", "another", 1) // the leader has left
	want(t, must(t, lock, err) != nil, true)
}

// TestCloseIsNoErrorOfTheDispatcher closes while the dispatcher's goroutine is parked: there is one processor, so that it does not run
// again before its file is closed.
func TestCloseIsNoErrorOfTheDispatcher(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for i := range 100 {
		db := must2(t)(Open(filepath.Join(t.TempDir(), "app.db")))
		db.noDescriptors = i%2 == 1
		updates, err := db.Updates()
		must(t, updates, err)
		ended := make(chan error, 1)
		go func() { ended <- updates.Wait(context.Background()) }()
		time.Sleep(time.Millisecond) // mostly they wait by then
		dispatcher := db.dispatcher
		want(t, db.Close(), nil)
		want(t, dispatcher.err, nil)
		wantError(t, <-ended, ErrClosed)
	}
}

func TestManyListenersAreNoThreads(t *testing.T) {
	db := open(t)
	threads := func() int { return pprof.Lookup("threadcreate").Count() }
	ctx, cancel := context.WithCancel(context.Background())
	before := threads()
	var all sync.WaitGroup
	const n = 100
	for range n {
		notifications, err := db.Listen(ctx, "c")
		must(t, notifications, err)
		all.Add(1)
		go func() {
			defer all.Done()
			if got := <-notifications; string(got.Payload) != "1" || got.Err != nil {
				t.Error(got)
			}
		}()
	}
	time.Sleep(200 * time.Millisecond)
	if now := threads(); now > before+20 {
		t.Errorf("%d threads, there were %d", now, before)
	}
	within(t, 12*time.Second, func() { // the fallback is 15
		must(t, 0, second(db.Notify("c", 1)))
		all.Wait()
	})
	cancel()
}

func TestManyCallersAreNotManyThreads(t *testing.T) {
	db := open(t, OpenOptions{BusyTimeout: time.Minute})
	other := must2(t)(Open(db.Path()))
	defer other.Close()
	tx, err := other.Begin()
	must(t, tx, err)
	threads := func() int { return pprof.Lookup("threadcreate").Count() }
	before := threads()
	q := db.Queue("q", QueueOptions{})
	const n = 4 * callersMax
	done := make(chan error, n)
	call := func(f func() error) {
		for range n {
			go func() { done <- f() }()
		}
		eventually(t, "nobody else can wait in the library", func() bool { return len(db.slots[writing]) == callersMax })
	}
	call(func() error { return second(q.Enqueue(1, EnqueueOptions{})) })
	must(t, 0, second(q.Stats())) // reads are others
	must(t, 0, tx.Rollback())
	for range n {
		must(t, 0, <-done)
	}
	if now := threads(); now > before+callersMax+100 {
		t.Errorf("%d threads, there were %d", now, before)
	}
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "q", Pending: n})

	tx, err = db.Begin() // what is part of it needs no slot
	must(t, tx, err)
	call(func() error { return second(q.Enqueue(1, EnqueueOptions{})) })
	must(t, 0, second(q.EnqueueTx(tx, 1, EnqueueOptions{})))
	for left := n; left > 0; {
		select {
		case err := <-done:
			wantError(t, err, ErrInterrupted)
			left--
		case <-time.After(10 * time.Millisecond): // those who were not yet there
			must(t, 0, db.Interrupt())
		}
	}
	call(func() error { return second(q.Enqueue(1, EnqueueOptions{})) })
	must(t, 0, db.Close())
	for range n {
		if err := <-done; err != nil { // one that has come just now may have been in time
			wantError(t, err, ErrClosed)
		}
	}
	wantError(t, tx.Rollback(), ErrClosed) // it was not forgotten before
}

func TestSubscribeSavesWhatIsFinished(t *testing.T) {
	db := open(t)
	s := db.Stream("s")
	for i := range 5 {
		must(t, 0, second(s.Publish(i)))
	}
	ctx, cancel := context.WithCancel(context.Background())
	events, err := s.Subscribe(ctx, "c")
	must(t, events, err)
	for i := range 3 {
		want(t, (<-events).Offset, int64(i+1))
	}
	time.Sleep(1500 * time.Millisecond) // its second is over, but nobody has finished the third
	want(t, (<-events).Offset, 4)
	eventually(t, "the third is saved", func() bool {
		offset, err := s.GetOffset("c")
		return err == nil && offset == 3
	})
	cancel()
	last := int64(4)
	for event := range events { // it may have been about to give the next one
		last = event.Offset
	}
	again, err := s.Subscribe(context.Background(), "c")
	must(t, again, err)
	want(t, (<-again).Offset, last)
}

func TestSubscriptionSavesInTime(t *testing.T) {
	db := open(t)
	s := db.Stream("s")
	must(t, 0, second(s.Publish(1)))
	consumer := "c"
	sub, err := s.Subscription(SubscribeOptions{Consumer: &consumer, SaveEveryMS: Int64(100)})
	must(t, sub, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	must(t, 0, second(sub.Next(ctx)))
	ended := make(chan error, 1)
	go func() { ended <- second(sub.Next(ctx)) }()
	eventually(t, "it saves while it waits", func() bool {
		offset, err := s.GetOffset("c")
		return err == nil && offset == 1
	})
	cancel()
	want(t, <-ended, context.Canceled)
}

func TestChannelsEndWithTheError(t *testing.T) {
	db := open(t)
	notifications, err := db.Listen(context.Background(), "c")
	must(t, notifications, err)
	events, err := db.Stream("s").Subscribe(context.Background(), "c")
	must(t, events, err)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		os.Remove(db.Path() + suffix)
	}
	want(t, os.WriteFile(db.Path(), nil, 0o600), nil)
	// Which error it is depends on who is first: the watcher, or a look at the new file.
	want(t, (<-notifications).Err != nil, true)
	want(t, (<-events).Err != nil, true)
	_, open := <-notifications
	want(t, open, false)
}

func TestWork(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{Priority: 1}))) // it is first again when it is retried, in whichever second
	must(t, 0, second(q.EnqueueMany([]any{2, 3}, EnqueueOptions{})))
	ctx, cancel := context.WithCancel(context.Background())
	var seen []string
	err := q.Work(ctx, "w", 0, func(ctx context.Context, job *Job) error {
		seen = append(seen, fmt.Sprint(string(job.Payload), "/", job.Attempts))
		if len(seen) == 4 {
			cancel() // the job in hand is finished, nothing more is claimed
			return nil
		}
		if job.ID == 1 && job.Attempts < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	want(t, err, nil)
	want(t, seen, []string{"1/1", "1/2", "1/3", "2/1"})
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "q", Pending: 1})
}

func TestOutboxGivesTheJobInHandBack(t *testing.T) {
	db := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	outbox, err := db.Outbox("o", func(ctx context.Context, payload json.RawMessage) error {
		cancel()
		return ctx.Err()
	}, OutboxOptions{MaxAttempts: 1})
	must(t, outbox, err)
	must(t, 0, second(outbox.Enqueue(1, EnqueueOptions{})))
	want(t, outbox.RunWorker(ctx, "w"), nil)
	stats, err := outbox.Queue().Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "_outbox:o", Pending: 1})
	delivered := ""
	outbox, err = db.Outbox("o", func(_ context.Context, payload json.RawMessage) error {
		delivered = string(payload)
		return nil
	}, OutboxOptions{})
	must(t, outbox, err)
	ran, err := outbox.RunOnce(context.Background(), "w")
	want(t, must(t, ran, err), true)
	want(t, delivered, "1") // its only attempt has not been used
}

func TestManyGoroutines(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	const producers, consumers, each = 4, 4, 100
	var all sync.WaitGroup
	for range producers {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range each {
				if _, err := q.Enqueue(i, EnqueueOptions{}); err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					runtime.Gosched()
				}
			}
		}()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var mu sync.Mutex
	seen := map[int64]int{}
	for c := range consumers {
		all.Add(1)
		go func() {
			defer all.Done()
			for job, err := range q.Jobs(ctx, fmt.Sprint("worker-", c)) {
				if err != nil {
					t.Error(err)
					return
				}
				if held, err := job.Ack(); !held || err != nil {
					t.Error(held, err)
				}
				mu.Lock()
				seen[job.ID]++
				if len(seen) == producers*each {
					cancel()
				}
				mu.Unlock()
			}
		}()
	}
	all.Wait()
	want(t, len(seen), producers*each)
	for id, n := range seen {
		if n != 1 {
			t.Error(id, n)
		}
	}
}

func TestCloseWaitsForGoroutines(t *testing.T) {
	db := open(t)
	over := false
	err := db.start(context.Background(), func(ctx context.Context) {
		<-ctx.Done()
		time.Sleep(100 * time.Millisecond)
		over = true
	})
	want(t, err, nil)
	want(t, db.Close(), nil)
	want(t, over, true)
}

func TestCloseLetsNoWaitingWriteThrough(t *testing.T) {
	for range 10 {
		db := open(t)
		tx, err := db.Begin()
		must(t, tx, err)
		done := make(chan error)
		go func() { done <- second(db.Queue("q", QueueOptions{}).Enqueue(1, EnqueueOptions{})) }()
		time.Sleep(30 * time.Millisecond)
		want(t, db.Close(), nil)
		wantError(t, <-done, ErrClosed)
	}
}

func TestSubscribeSavesLaterWhatItCannotSaveNow(t *testing.T) {
	db := open(t, OpenOptions{BusyTimeout: -1})
	s := db.Stream("s")
	must(t, 0, second(s.Publish(1)))
	must(t, 0, second(s.Publish(2)))
	other := must2(t)(Open(db.Path()))
	defer other.Close()
	tx, err := other.Begin()
	must(t, tx, err)
	events, err := s.Subscribe(context.Background(), "c")
	must(t, events, err)
	want(t, (<-events).Offset, 1)
	want(t, (<-events).Offset, 2)
	select { // a second later the first offset is to be saved
	case event := <-events:
		t.Fatal(event.Err)
	case <-time.After(2500 * time.Millisecond):
	}
	must(t, 0, tx.Rollback())
	eventually(t, "it is saved", func() bool {
		offset, err := s.GetOffset("c")
		return err == nil && offset == 1
	})
	must(t, 0, second(s.Publish(3)))
	want(t, (<-events).Offset, 3)
}
