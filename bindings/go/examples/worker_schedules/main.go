// Schedules, and a worker that fires them beside its jobs.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	honker "github.com/russellromney/honker-go"
)

// Report is what a job of the queue "reports" says.
type Report struct {
	Month string `json:"month"`
}

func addNightly(db *honker.Database) error {
	err := db.Scheduler().Add(honker.ScheduledTask{
		Name:     "nightly",
		Queue:    "reports",
		Schedule: "CRON_TZ=Europe/Berlin 0 3 * * *", // at 03:00; or "@daily", or "@every 5m"
		Payload:  Report{Month: "2026-01"},
	})
	return err
}

func run(ctx context.Context, db *honker.Database) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	makeReport := func(_ context.Context, _ *honker.Job, report Report) error {
		if ctx.Err() == nil && report.Month == "2026-02" {
			fmt.Println("the report of", report.Month)
			stop()
		}
		return nil
	}
	worker := db.NewWorker(honker.WorkerOptions{
		Queues:    []honker.WorkerQueue{{Name: "reports", Handler: honker.Typed(makeReport)}},
		Schedules: []honker.ScheduledTask{{Name: "pulse", Queue: "reports", Schedule: "@every 1s", Payload: Report{Month: "2026-02"}}},
	})
	return worker.Run(ctx)
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	db, err := honker.Open("app.db")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := addNightly(db); err != nil {
		log.Fatal(err)
	}
	if err := run(context.Background(), db); err != nil {
		log.Fatal(err)
	}
	rows, err := db.Scheduler().List()
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range rows {
		fmt.Println(row.Name, row.CronExpr)
	}
}

// Output:
// the report of 2026-02
// nightly CRON_TZ=Europe/Berlin 0 3 * * *
// pulse @every 1s
