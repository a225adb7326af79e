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

func must2stats(t *testing.T) func(QueueStats, error) QueueStats {
	return func(stats QueueStats, err error) QueueStats { t.Helper(); return must(t, stats, err) }
}

func TestSteps(t *testing.T) {
	type receipt struct{ No int }
	db := open(t)
	execute(t, db, "CREATE TABLE charges (id INTEGER PRIMARY KEY)")
	q := db.Queue("q", QueueOptions{MaxAttempts: 4})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	calls := map[string]int{}
	w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, RetryBase: -1, Logger: (&logged{}).logger()})
	ran, err := w.RunDue(context.Background(), func(ctx context.Context, job *Job) error {
		one, err := Step(ctx, job, "value", func(context.Context) (receipt, error) {
			calls["value"]++
			return receipt{calls["value"]}, nil
		})
		want(t, must(t, one, err), receipt{1})
		must(t, 0, job.Step(ctx, "nothing", func(context.Context) error {
			calls["nothing"]++
			return nil
		}))
		err = job.Step(ctx, "fails once", func(context.Context) error {
			if calls["fails once"]++; calls["fails once"] == 1 {
				return errors.New("no route")
			}
			return nil
		})
		if err != nil {
			return err
		}
		id, err := StepTx(ctx, job, "in a transaction", func(_ context.Context, tx *Transaction) (id int64, err error) {
			calls["in a transaction"]++
			err = tx.QueryRow("INSERT INTO charges VALUES (NULL) RETURNING id").Scan(&id)
			if calls["in a transaction"] == 1 {
				err = errors.Join(err, errors.New("no route")) // and nothing of what it wrote stays
			}
			return id, err
		})
		if err != nil {
			return err
		}
		want(t, id, 1)
		must(t, 0, job.StepTx(ctx, "nothing in a transaction", func(_ context.Context, tx *Transaction) error {
			calls["nothing in a transaction"]++
			return second(tx.Exec("INSERT INTO charges VALUES (NULL)"))
		}))
		if job.Attempts < 4 { // once more, with all steps done
			return errors.New("once more")
		}
		return nil
	})
	want(t, must(t, ran, err), 4)
	want(t, calls, map[string]int{"value": 1, "nothing": 1, "fails once": 2, "in a transaction": 2, "nothing in a transaction": 1})

	// They come back with a dead job.
	must(t, 0, second(q.Enqueue(2, EnqueueOptions{})))
	job := must2job(t)(q.ClaimOne("w"))
	must(t, 0, second(Step(context.Background(), job, "s", func(context.Context) (int, error) { return 7, nil })))
	must(t, 0, second(job.Fail("why")))
	must(t, 0, second(q.RequeueDead(job.ID)))
	ran, err = w.RunDue(context.Background(), func(ctx context.Context, job *Job) error {
		seven, err := Step(ctx, job, "s", func(context.Context) (int, error) { return 0, errors.New("it runs again") })
		want(t, must(t, seven, err), 7)
		return nil
	})
	want(t, must(t, ran, err), 1)
	var charges int64
	must(t, 0, db.QueryRow("SELECT count(*) FROM charges").Scan(&charges))
	want(t, charges, 2)
	want(t, must2stats(t)(q.Stats()), QueueStats{Queue: "q"})
}

func TestStepsThatCannotBe(t *testing.T) {
	db := open(t)
	execute(t, db, "CREATE TABLE charges (id INTEGER PRIMARY KEY)")
	ctx := context.Background()
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	job := must2job(t)(q.ClaimOne("w"))
	two := func(context.Context) (int, error) { return 2, nil }
	one, err := Step(ctx, job, "s", two)
	want(t, must(t, one, err), 2)
	_, err = Step(ctx, job, "s", func(context.Context) (string, error) { return "another type", nil })
	wantError(t, err, ErrInvalid, `the step "s"`)
	_, err = Step(ctx, job, "f", func(context.Context) (func(), error) { return nil, nil })
	wantError(t, err, ErrInvalid, "value of the step f")
	_, err = Step(ctx, job, "a\x00b", two)
	wantError(t, err, ErrInvalid)

	// A context that has ended begins no step; what is saved is there all the same.
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = Step(ended, job, "new", two)
	want(t, errors.Is(err, context.Canceled), true)
	_, err = StepTx(ended, job, "new", func(context.Context, *Transaction) (int, error) { return 2, nil })
	want(t, errors.Is(err, context.Canceled), true)
	one, err = Step(ended, job, "s", two)
	want(t, must(t, one, err), 2)

	// One that ends meanwhile rolls back, and so does a panic.
	charge := func(tx *Transaction) error { return second(tx.Exec("INSERT INTO charges VALUES (NULL)")) }
	short, cancel := context.WithCancel(ctx)
	err = job.StepTx(short, "new", func(_ context.Context, tx *Transaction) error {
		err := charge(tx)
		cancel()
		for !tx.over.Load() {
			time.Sleep(time.Millisecond)
		}
		return err
	})
	want(t, errors.Is(err, context.Canceled), true)
	func() {
		defer func() { want(t, recover(), any("a mess")) }()
		_ = job.StepTx(ctx, "new", func(_ context.Context, tx *Transaction) error {
			must(t, 0, charge(tx))
			panic("a mess")
		})
	}()

	must(t, 0, second(job.Release(0)))
	_, err = Step(ctx, job, "late", two)
	wantError(t, err, ErrLost, `the job 1`, `"late" is not saved`)
	err = job.StepTx(ctx, "late", func(_ context.Context, tx *Transaction) error { return charge(tx) })
	wantError(t, err, ErrLost)
	var charges int64
	must(t, 0, db.QueryRow("SELECT count(*) FROM charges").Scan(&charges))
	want(t, charges, 0)
	wantError(t, (&Job{}).Step(ctx, "s", func(context.Context) error { return nil }), ErrMisuse)
	wantError(t, (&Job{}).StepTx(ctx, "s", func(context.Context, *Transaction) error { return nil }), ErrMisuse)
}

// TestStepInATransaction: with the caller's transaction it is saved, or not.
func TestStepInATransaction(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	job := must2job(t)(q.ClaimOne("w"))
	seven := func(context.Context) (int, error) { return 7, nil }
	again := func(context.Context) (int, error) { return 0, errors.New("it runs again") }
	for _, ends := range []func(*Transaction) error{(*Transaction).Rollback, (*Transaction).Commit} {
		tx, err := db.Begin()
		must(t, tx, err)
		value, err := StepIn(ctx, tx, job, "s", seven)
		want(t, must(t, value, err), 7)
		value, err = StepIn(ctx, tx, job, "s", again)
		want(t, must(t, value, err), 7)
		must(t, 0, ends(tx))
	}
	value, err := Step(ctx, job, "s", again)
	want(t, must(t, value, err), 7)

	tx, err := db.Begin()
	must(t, tx, err)
	defer tx.Rollback()
	_, err = StepIn(ctx, tx, job, "fails", again)
	want(t, err.Error(), "it runs again")
	must(t, 0, second(job.AckTx(tx)))
	_, err = StepIn(ctx, tx, job, "late", seven)
	wantError(t, err, ErrLost, "late")
	_, err = StepIn(ctx, nil, job, "s", seven)
	wantError(t, err, ErrMisuse)
	_, err = StepIn(ctx, tx, &Job{}, "s", seven)
	wantError(t, err, ErrMisuse)
}

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("no JSON") }

// The step has run: another attempt would run it again, so that there is none.
func TestStepWhoseValueHasNoJSON(t *testing.T) {
	db := open(t)
	execute(t, db, "CREATE TABLE charges (id INTEGER PRIMARY KEY)")
	// What SQLite says of a gigabyte, without one.
	execute(t, db, `CREATE TRIGGER too_big BEFORE INSERT ON _honker_steps WHEN NEW.value = '"huge"'
		BEGIN SELECT zeroblob(1000000001 + 0 * NEW.job_id); END`)
	ctx := context.Background()
	for what, value := range map[string]any{"too big": "huge", "unsupported value: NaN": math.NaN(), "not valid UTF-8": "\xff", "unsupported type: chan int": make(chan int),
		"not valid JSON": json.RawMessage("{"), "is not valid UTF-8": json.RawMessage("\"\xff\""), "no JSON": panics{}} {
		for _, inTx := range []bool{false, true} {
			q := db.Queue(fmt.Sprint(what, inTx), QueueOptions{MaxAttempts: 5})
			must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
			calls := 0
			w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: q.Name()}}, RetryBase: -1, Logger: (&logged{}).logger()})
			ran, err := w.RunDue(ctx, func(ctx context.Context, job *Job) error {
				calls++
				var err error
				if inTx {
					_, err = StepTx(ctx, job, "charge", func(_ context.Context, tx *Transaction) (any, error) {
						return value, second(tx.Exec("INSERT INTO charges VALUES (NULL)"))
					})
				} else {
					_, err = Step(ctx, job, "charge", func(context.Context) (any, error) { return value, nil })
				}
				return fmt.Errorf("while charging: %w", err)
			})
			want(t, must(t, ran, err), 1)
			want(t, calls, 1)
			dead := must2dead(t)(q.DeadJobs(-1))
			want(t, len(dead), 1)
			for _, part := range []string{`while charging: the step "charge" has run, and is not saved: `, what} {
				if !strings.Contains(*dead[0].LastError, part) {
					t.Errorf("%q is not in %q", part, *dead[0].LastError)
				}
			}
			rows, err := db.Query("SELECT * FROM charges UNION ALL SELECT 1 FROM _honker_steps")
			want(t, len(must(t, rows, err)), 0)
		}
	}
}
