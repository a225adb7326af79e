// honker for Go, with its worker.
package main

import (
	"context"

	honker "github.com/russellromney/honker-go"

	"peers.test/peer"
)

type producer struct {
	db    *honker.Database
	queue *honker.Queue
}

func open() (*producer, error) {
	options := honker.OpenOptions{}
	if peer.Synced {
		options.Durability = honker.DurabilityFull
	}
	db, err := honker.OpenWithOptions(peer.URL, "", options)
	if err != nil {
		return nil, err
	}
	return &producer{db, db.Queue("bench", honker.QueueOptions{})}, nil
}

func (p *producer) Enqueue(job peer.Job) error {
	_, err := p.queue.Enqueue(job, honker.EnqueueOptions{})
	return err
}

func (p *producer) EnqueueMany(jobs []peer.Job) error {
	return p.enqueue(jobs, honker.EnqueueOptions{})
}

func (p *producer) EnqueueLater(jobs []peer.Job) error {
	return p.enqueue(jobs, honker.EnqueueOptions{Delay: honker.Int64(int64(peer.Day.Seconds()))})
}

func (p *producer) enqueue(jobs []peer.Job, options honker.EnqueueOptions) error {
	payloads := make([]any, len(jobs))
	for i, job := range jobs {
		payloads[i] = job
	}
	_, err := p.queue.EnqueueMany(payloads, options)
	return err
}

func (p *producer) Transact(job peer.Job, commit bool) error {
	tx, err := p.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Exec("INSERT INTO orders (n) VALUES (?)", job.N); err != nil {
		return err
	}
	if _, err := p.queue.EnqueueTx(tx, job, honker.EnqueueOptions{}); err != nil || !commit {
		return err
	}
	return tx.Commit()
}

func work() error {
	p, err := open()
	if err != nil {
		return err
	}
	add := func(n int) error {
		tx, err := p.db.Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.Exec("INSERT INTO appended (n) VALUES (?)", n); err != nil {
			return err
		}
		return tx.Commit()
	}
	handler := honker.Typed(func(_ context.Context, _ *honker.Job, job peer.Job) error { return peer.Handle(job, add) })
	worker := p.db.NewWorker(honker.WorkerOptions{
		Queues:      []honker.WorkerQueue{{Name: "bench", Handler: handler}},
		Concurrency: peer.Concurrency,
	})
	return worker.Run(context.Background())
}

func main() {
	peer.Main(work, func() (peer.Producer, error) { return open() })
}
