package honker

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// foreign is a transaction of another connection, as an application has one. tests/drivers has those of real drivers.
type foreign struct{ *Transaction }

func (f foreign) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	n, err := f.Exec(query, args...)
	return driver.RowsAffected(n), err
}

func TestWorkerLeavesWhatIsAckedElsewhereToItsTransaction(t *testing.T) {
	for name, c := range map[string]struct {
		commits  bool
		returns  error
		attempts int64 // how often the job runs
	}{
		"committed":              {true, nil, 1},
		"rolled back":            {false, nil, 2}, // when its claim is over
		"rolled back, and fails": {false, errors.New("cannot commit"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			other := must2(t)(Open(db.Path()))
			defer other.Close()
			q := db.Queue("q", QueueOptions{})
			must(t, 0, second(q.Enqueue("acked", EnqueueOptions{Metadata: map[string]string{"a": "b"}})))
			log := &logged{}
			next := make(chan struct{})
			attempts := make(chan int64, 10)
			var over atomic.Int64
			w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Concurrency: 2, VisibilityTimeout: 3 * time.Second, RetryBase: -1, Logger: log.logger()})
			stop := runs(t, w, func(ctx context.Context, job *Job) error {
				if string(job.Payload) == `"next"` {
					close(next)
					return nil
				}
				attempts <- job.Attempts
				defer over.Add(1)
				tx, err := other.Begin()
				if err != nil {
					return err
				}
				defer tx.Rollback()
				if held, err := job.AckSQL(ctx, foreign{tx}); !held || err != nil {
					t.Error(held, err)
				}
				if job.Attempts == 1 && !c.commits {
					return c.returns
				}
				if err := tx.Commit(); err != nil {
					return err
				}
				if job.Attempts == 1 { // the turn that claims the next one sees that this one is gone
					must(t, 0, second(q.Enqueue("next", EnqueueOptions{})))
					<-next
					want(t, ctx.Err(), nil)
				}
				return nil
			})
			eventually(t, "it is done", func() bool {
				if over.Load() != c.attempts { // the next one is not enqueued yet, or not over
					return false
				}
				stats, err := q.Stats()
				return err == nil && stats == QueueStats{Queue: "q"}
			})
			want(t, stop(), nil)
			close(attempts)
			last := int64(0)
			for attempt := range attempts {
				want(t, attempt, last+1)
				last = attempt
			}
			want(t, last, c.attempts)
			want(t, log.count("was lost"), 0)
			want(t, log.count("not the worker's any more"), 0)
			var options int64
			must(t, 0, db.QueryRow("SELECT count(*) FROM _honker_job_options").Scan(&options))
			want(t, options, 0)
		})
	}
}

func TestAckSQLOfAClaimThatIsLost(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.Enqueue(1, EnqueueOptions{})))
	job := must2job(t)(q.ClaimOne("w"))
	must(t, 0, second(q.Cancel(job.ID)))
	tx, err := db.Begin()
	must(t, tx, err)
	held, err := job.AckSQL(context.Background(), foreign{tx})
	want(t, must(t, held, err), false)
	must(t, 0, tx.Rollback())
	_, err = job.AckSQL(context.Background(), noTables{})
	want(t, errors.Is(err, errNoTables), true)
}

// TestAckSQLInAFileThatHasReplacedTheJobsOwn has a job there with the same id, claimed by the same worker.
func TestAckSQLInAFileThatHasReplacedTheJobsOwn(t *testing.T) {
	db := open(t)
	must(t, 0, second(db.Queue("q", QueueOptions{}).Enqueue("old", EnqueueOptions{})))
	other := must2(t)(Open(db.Path() + ".new"))
	must(t, 0, second(other.Queue("q", QueueOptions{}).Enqueue("new", EnqueueOptions{})))
	must(t, 0, other.Close())
	started, runsNew, tried := make(chan struct{}), make(chan struct{}), make(chan struct{})
	held := make(chan bool, 1)
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Concurrency: 2, Logger: (&logged{}).logger()}), func(ctx context.Context, job *Job) error {
		if string(job.Payload) == `"new"` {
			close(runsNew)
			<-tried
			return nil
		}
		close(started)
		<-runsNew
		defer close(tried)
		again, err := Open(db.Path())
		if err != nil {
			return err
		}
		defer again.Close()
		tx, err := again.Begin()
		if err != nil {
			return err
		}
		is, err := job.AckSQL(ctx, foreign{tx})
		held <- is
		return err
	})
	<-started
	replace(t, db)
	want(t, <-held, false)
	want(t, stop(), nil)
}
