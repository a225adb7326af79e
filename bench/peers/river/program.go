// River, on SQLite and on Postgres: the same program with another driver.
package main

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite"

	"peers.test/peer"
)

// Args are those of the one kind of job.
type Args struct{ peer.Job }

// Kind names it.
func (Args) Kind() string { return "job" }

type worker struct {
	river.WorkerDefaults[Args]
	add func(n int) error
}

func (w *worker) Work(_ context.Context, job *river.Job[Args]) error {
	return peer.Handle(job.Args.Job, w.add)
}

// With a driver whose transactions are Tx.
type producer[Tx any] struct {
	driver   riverdriver.Driver[Tx]
	client   *river.Client[Tx]
	transact func(do func(tx Tx) error, commit bool) error
	execute  func(tx Tx, n int) error
	add      func(n int) error
}

func (p *producer[Tx]) open() error {
	migrator, err := rivermigrate.New(p.driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(context.Background(), rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	p.client, err = river.NewClient(p.driver, &river.Config{})
	return err
}

func (p *producer[Tx]) Enqueue(job peer.Job) error {
	_, err := p.client.Insert(context.Background(), Args{job}, nil)
	return err
}

func (p *producer[Tx]) EnqueueMany(jobs []peer.Job) error { return p.enqueue(jobs, nil) }

func (p *producer[Tx]) EnqueueLater(jobs []peer.Job) error {
	return p.enqueue(jobs, &river.InsertOpts{ScheduledAt: time.Now().Add(peer.Day)})
}

func (p *producer[Tx]) enqueue(jobs []peer.Job, options *river.InsertOpts) error {
	params := make([]river.InsertManyParams, len(jobs))
	for i, job := range jobs {
		params[i] = river.InsertManyParams{Args: Args{job}, InsertOpts: options}
	}
	_, err := p.client.InsertManyFast(context.Background(), params)
	return err
}

func (p *producer[Tx]) Transact(job peer.Job, commit bool) error {
	return p.transact(func(tx Tx) error {
		if err := p.execute(tx, job.N); err != nil {
			return err
		}
		_, err := p.client.InsertTx(context.Background(), tx, Args{job}, nil)
		return err
	}, commit)
}

func (p *producer[Tx]) work() error {
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{add: p.add})
	config := &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: peer.Concurrency}},
		Workers: workers,
	}
	if peer.Shortest {
		config.JobTimeout, config.RescueStuckJobsAfter = time.Second, time.Second
	}
	client, err := river.NewClient(p.driver, config)
	if err != nil {
		return err
	}
	if err := client.Start(context.Background()); err != nil {
		return err
	}
	select {}
}

func onSQLite() (*producer[*sql.Tx], error) {
	dsn := "file:" + peer.URL + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
	if !peer.Synced {
		dsn += "&_pragma=synchronous(NORMAL)"
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &producer[*sql.Tx]{
		driver: riversqlite.New(db),
		transact: func(do func(tx *sql.Tx) error, commit bool) error {
			return peer.InTransaction(db, do, commit)
		},
		execute: func(tx *sql.Tx, n int) error {
			_, err := tx.Exec("INSERT INTO orders (n) VALUES (?)", n)
			return err
		},
		add: peer.AppendTo(db, "?"),
	}, nil
}

func onPostgres() (*producer[pgx.Tx], error) {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, peer.URL)
	if err != nil {
		return nil, err
	}
	return &producer[pgx.Tx]{
		driver: riverpgxv5.New(pool),
		transact: func(do func(tx pgx.Tx) error, commit bool) error {
			tx, err := pool.Begin(ctx)
			if err != nil {
				return err
			}
			defer tx.Rollback(ctx)
			if err := do(tx); err != nil || !commit {
				return err
			}
			return tx.Commit(ctx)
		},
		execute: func(tx pgx.Tx, n int) error {
			_, err := tx.Exec(ctx, "INSERT INTO orders (n) VALUES ($1)", n)
			return err
		},
		add: func(n int) error {
			_, err := pool.Exec(ctx, "INSERT INTO appended (n) VALUES ($1)", n)
			return err
		},
	}, nil
}

func run[Tx any](p *producer[Tx], err error) {
	peer.Check(err)
	peer.Main(p.work, func() (peer.Producer, error) { return p, p.open() })
}

func main() {
	if peer.Store == "postgres" {
		run(onPostgres())
	} else {
		run(onSQLite())
	}
}
