package honkertest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	honker "github.com/russellromney/honker-go"
)

type welcome struct {
	To   string `json:"to"`
	Lang string `json:"lang"`
}

// signUp is what an application does: it greets now, and asks after a day.
func signUp(db *honker.Database, name string) error {
	emails := honker.NewTypedQueue[welcome](db, "emails", honker.QueueOptions{MaxAttempts: 10})
	_, err := db.EnqueueMany(context.Background(), []honker.JobSpec{
		emails.Spec(welcome{To: name, Lang: "en"}, honker.EnqueueOptions{}),
		{Queue: "surveys", Payload: name, Options: honker.EnqueueOptions{Delay: honker.Int64(86_400)}},
	})
	return err
}

func TestSignUp(t *testing.T) {
	db := Open(t)
	if err := signUp(db, "alice"); err != nil {
		t.Fatal(err)
	}
	job := AssertEnqueued(t, db, "emails", map[string]any{"to": "alice"})
	if job.MaxAttempts != 10 {
		t.Error(job)
	}
	AssertNotEnqueued(t, db, "emails", map[string]any{"to": "bob"})

	var did []string
	handler := func(_ context.Context, job *honker.Job) error {
		did = append(did, job.Queue)
		return nil
	}
	if n := RunDue(t, db, handler, "emails", "surveys"); n != 1 {
		t.Error(n, did)
	}
	Advance(t, db, 86_000*time.Second) // the clock goes on by itself as well
	if n := RunDue(t, db, handler, "emails", "surveys"); n != 0 {
		t.Error(n, did)
	}
	Advance(t, db, 400*time.Second)
	if n := RunDue(t, db, handler, "emails", "surveys"); n != 1 || fmt.Sprint(did) != "[emails surveys]" {
		t.Error(n, did)
	}
	if jobs := Enqueued(t, db, "surveys"); len(jobs) != 0 {
		t.Error(jobs)
	}
}

func TestRunDueSettlesAsAWorkerDoes(t *testing.T) {
	db := Open(t)
	q := db.Queue("q", honker.QueueOptions{MaxAttempts: 2})
	for _, payload := range []any{"fails", "panics", "enqueues"} {
		if _, err := q.Enqueue(payload, honker.EnqueueOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	here := goroutine()
	handler := func(_ context.Context, job *honker.Job) error {
		if goroutine() != here {
			t.Error("in another goroutine")
		}
		switch string(job.Payload) {
		case `"fails"`:
			return errors.New("no")
		case `"panics"`:
			panic("no")
		case `"enqueues"`:
			_, err := q.Enqueue("more", honker.EnqueueOptions{})
			return err
		}
		return nil
	}
	if n := RunDue(t, db, handler, "q"); n != 4 {
		t.Error(n)
	}
	Advance(t, db, time.Minute)
	if n := RunDue(t, db, handler, "q"); n != 2 {
		t.Error(n)
	}
	dead, err := q.DeadJobs(-1)
	if err != nil || len(dead) != 2 {
		t.Error(dead, err)
	}
}

func goroutine() string {
	stack := make([]byte, 100)
	id, _, _ := strings.Cut(string(stack[:runtime.Stack(stack, false)]), " [")
	return id
}

func TestAdvanceMovesWhatIsInTheFile(t *testing.T) {
	db := Open(t)
	lock, err := db.TryLock("lock", "me", 100)
	if err != nil || lock == nil {
		t.Fatal(lock, err)
	}
	if err := db.SaveResult(1, "done", 100); err != nil {
		t.Fatal(err)
	}
	if ok, err := db.TryRateLimit("limit", 1, 1_000_000); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := db.Scheduler().Add(honker.ScheduledTask{Name: "hourly", Queue: "q", Schedule: "@every 1h"}); err != nil {
		t.Fatal(err)
	}
	q := db.Queue("throttled", honker.QueueOptions{})
	throttled := honker.EnqueueOptions{UniqueKey: honker.String("k"), UniqueForS: 3600}
	for _, expected := range []honker.EnqueueStatus{honker.StatusEnqueued, honker.StatusExists} {
		if result, err := q.EnqueueWith(context.Background(), 1, throttled); err != nil || result.Status != expected {
			t.Fatal(result, err)
		}
		RunDue(t, db, func(context.Context, *honker.Job) error { return nil }, "throttled")
	}
	Advance(t, db, 2*time.Hour)
	if result, err := q.EnqueueWith(context.Background(), 1, throttled); err != nil || result.Status != honker.StatusEnqueued {
		t.Error("the key has not expired", result, err)
	}
	other, err := db.TryLock("lock", "somebody", 100)
	if err != nil || other == nil {
		t.Error("the lock has not expired", err)
	}
	if result, err := db.GetResult(1); err != nil || result != nil {
		t.Error("the result has not expired", err)
	}
	if ok, err := db.TryRateLimit("limit", 1, 1_000_000); err != nil || !ok {
		t.Error("the window is not over", err)
	}
	if _, err := db.Scheduler().Tick(); err != nil {
		t.Error(err)
	}
	if jobs := Enqueued(t, db, "q"); len(jobs) != 2 {
		t.Error(jobs)
	}
}

// fatal is a test that notes how it ends.
type fatal struct {
	testing.TB
	says string
}

func (f *fatal) Fatalf(format string, args ...any) {
	f.says = fmt.Sprintf(format, args...)
	panic(f)
}

func TestAssertions(t *testing.T) {
	db := Open(t)
	if _, err := db.Queue("q", honker.QueueOptions{}).Enqueue(map[string]any{"a": 1, "b": map[string]any{"c": []int{2, 3}, "d": nil}}, honker.EnqueueOptions{}); err != nil {
		t.Fatal(err)
	}
	fails := func(assert func(t testing.TB)) string {
		f := &fatal{TB: t}
		func() {
			defer func() { _ = recover() }()
			assert(f)
		}()
		return f.says
	}
	for _, c := range []struct {
		payload any
		is      bool
	}{
		{map[string]any{}, true}, {map[string]any{"a": 1}, true}, {map[string]any{"b": map[string]any{"c": []int{2, 3}}}, true},
		{map[string]any{"b": map[string]any{"d": nil}}, true}, {map[string]any{"e": nil}, false}, {map[string]any{"a": 2}, false},
		{map[string]any{"b": map[string]any{"c": []int{2}}}, false}, {1, false}, {nil, false},
	} {
		if (fails(func(t testing.TB) { AssertEnqueued(t, db, "q", c.payload) }) == "") != c.is {
			t.Errorf("%v", c.payload)
		}
		if (fails(func(t testing.TB) { AssertNotEnqueued(t, db, "q", c.payload) }) != "") != c.is {
			t.Errorf("not %v", c.payload)
		}
	}
	if says := fails(func(t testing.TB) { AssertEnqueued(t, db, "q", make(chan int)) }); !strings.Contains(says, "unsupported type: chan int") {
		t.Error(says)
	}
}
