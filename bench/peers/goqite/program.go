// goqite on SQLite, with its job runner.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"strings"
	"time"

	_ "github.com/mattn/go-sqlite3"
	"maragu.dev/goqite"
	"maragu.dev/goqite/jobs"

	"peers.test/peer"
)

type producer struct {
	db    *sql.DB
	queue *goqite.Queue
}

func open() (*producer, error) {
	dsn := peer.URL + "?_journal=WAL&_timeout=5000&_fk=true"
	if !peer.Synced {
		dsn += "&_synchronous=NORMAL"
	}
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	db.SetMaxIdleConns(1)
	schema, err := os.ReadFile(os.Getenv("PEER_SCHEMA"))
	if err != nil {
		return nil, err
	}
	if _, err := db.Exec(string(schema)); err != nil && !strings.Contains(err.Error(), "already exists") {
		return nil, err
	}
	options := goqite.NewOpts{DB: db, Name: "jobs"}
	if peer.Shortest {
		options.Timeout = time.Second
	}
	return &producer{db, goqite.New(options)}, nil
}

func (p *producer) Enqueue(job peer.Job) error {
	_, err := jobs.Create(context.Background(), p.queue, "job", message(job, 0))
	return err
}

func (p *producer) EnqueueMany(many []peer.Job) error { return p.enqueue(many, 0) }

func (p *producer) EnqueueLater(many []peer.Job) error { return p.enqueue(many, peer.Day) }

func (p *producer) enqueue(many []peer.Job, delay time.Duration) error {
	return peer.InTransaction(p.db, func(tx *sql.Tx) error {
		for _, job := range many {
			if _, err := jobs.CreateTx(context.Background(), tx, p.queue, "job", message(job, delay)); err != nil {
				return err
			}
		}
		return nil
	}, true)
}

func (p *producer) Transact(job peer.Job, commit bool) error {
	return peer.InTransaction(p.db, func(tx *sql.Tx) error {
		if _, err := tx.Exec("INSERT INTO orders (n) VALUES (?)", job.N); err != nil {
			return err
		}
		_, err := jobs.CreateTx(context.Background(), tx, p.queue, "job", message(job, 0))
		return err
	}, commit)
}

func message(job peer.Job, delay time.Duration) goqite.Message {
	body, err := json.Marshal(job)
	peer.Check(err)
	return goqite.Message{Body: body, Delay: delay}
}

func work() error {
	p, err := open()
	if err != nil {
		return err
	}
	options := jobs.NewRunnerOpts{Limit: peer.Concurrency, PollInterval: 10 * time.Millisecond, Queue: p.queue}
	if peer.Shortest {
		options.Extend = time.Second
	}
	runner := jobs.NewRunner(options)
	add := peer.AppendTo(p.db, "?")
	runner.Register("job", func(_ context.Context, body []byte) error {
		var job peer.Job
		if err := json.Unmarshal(body, &job); err != nil {
			return err
		}
		return peer.Handle(job, add)
	})
	runner.Start(context.Background())
	return nil
}

func main() {
	peer.Main(work, func() (peer.Producer, error) { return open() })
}
