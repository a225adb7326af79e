// What a queue can do beside keeping jobs: only one job of a kind, batches with a job at their end, steps that are not done again,
// queues that are paused, and lists of jobs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"

	honker "github.com/russellromney/honker-go"
)

// Email is what a job of the queue "emails" says.
type Email struct {
	To string `json:"to"`
}

// Report is what a job of the queue "reports" says.
type Report struct {
	Month string `json:"month"`
}

// remind reminds somebody, unless that is to be done already.
func remind(ctx context.Context, emails *honker.TypedQueue[Email], to string) error {
	result, err := emails.EnqueueWith(ctx, Email{To: to}, honker.EnqueueOptions{UniqueKey: honker.String("reminder-" + to)})
	if err != nil {
		return err
	}
	if result.Status == honker.StatusExists {
		fmt.Println(to, "is reminded already, by job", result.ID)
	}
	return nil
}

// makeReports has a report made for each month, and tells the boss when all of them are there.
func makeReports(ctx context.Context, db *honker.Database, months ...string) (*honker.Batch, error) {
	reports := honker.NewTypedQueue[Report](db, "reports", honker.QueueOptions{})
	finished := honker.JobSpec{Queue: "emails", Payload: Email{To: "the boss"}}
	return db.Batch(honker.BatchOptions{OnSuccess: &finished}, func(batch *honker.Batch) error {
		for _, month := range months {
			if _, err := reports.Enqueue(ctx, Report{Month: month}, honker.EnqueueOptions{BatchID: batch.ID}); err != nil {
				return err
			}
		}
		return nil
	})
}

var full = true

func makeReport(ctx context.Context, job *honker.Job, report Report) error {
	total, err := honker.Step(ctx, job, "add up", func(ctx context.Context) (int64, error) {
		return addUp(ctx, report.Month)
	})
	if err != nil {
		return err
	}
	if full {
		full = false
		return errors.New("the disk is full") // again later, but for what has been added up
	}
	return job.StepTx(ctx, "store", func(_ context.Context, tx *honker.Transaction) error {
		_, err := tx.Exec("INSERT INTO totals (month, total) VALUES (?, ?)", report.Month, total)
		return err
	})
}

func addUp(_ context.Context, month string) (int64, error) {
	fmt.Println("adding up", month)
	return 100, nil
}

func sendEmail(_ context.Context, job *honker.Job, email Email) error {
	fmt.Println("to", email.To)
	return nil
}

func run(ctx context.Context, db *honker.Database) error {
	emails := honker.NewTypedQueue[Email](db, "emails", honker.QueueOptions{})
	if err := emails.Queue.Pause(); err != nil { // for all processes
		return err
	}
	for range 2 {
		if err := remind(ctx, emails, "alice"); err != nil {
			return err
		}
	}
	batch, err := makeReports(ctx, db, "January", "February")
	if err != nil {
		return err
	}
	worker := db.NewWorker(honker.WorkerOptions{
		Queues: []honker.WorkerQueue{
			{Name: "emails", Handler: honker.Typed(sendEmail)},
			{Name: "reports", Handler: honker.Typed(makeReport)},
		},
		RetryBase: -1, // no wait
	})
	if _, err := worker.RunDue(ctx); err != nil {
		return err
	}
	status, err := batch.Status()
	if err != nil {
		return err
	}
	fmt.Println(status.Done, "of", status.Total, "reports are done")
	if err := emails.Queue.Resume(); err != nil {
		return err
	}
	for job, err := range db.Jobs(honker.JobFilter{Queue: "emails", OldestFirst: true}).All(ctx) {
		if err != nil {
			return err
		}
		fmt.Println(job.State, job.Payload)
	}
	_, err = worker.RunDue(ctx)
	return err
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil))) // it would tell of the failure, with the time
	db, err := honker.Open("app.db")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		log.Fatal(err)
	}
	if _, err := tx.Exec("CREATE TABLE totals (month TEXT PRIMARY KEY, total INTEGER)"); err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	if err := run(context.Background(), db); err != nil {
		log.Fatal(err)
	}
}

// Output:
// alice is reminded already, by job 1
// adding up January
// adding up February
// 2 of 2 reports are done
// due {"to":"alice"}
// due {"to":"the boss"}
// to alice
// to the boss
