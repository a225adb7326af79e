package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite"
)

type Greeting struct {
	Word string `json:"word"`
}

func (Greeting) Kind() string { return "greeting" }

type Greeter struct {
	river.WorkerDefaults[Greeting]
}

func (*Greeter) Work(_ context.Context, job *river.Job[Greeting]) error {
	fmt.Println(job.Args.Word)
	return nil
}

func main() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "file:app.db?_pragma=journal_mode(WAL)")
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	driver := riversqlite.New(db)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		log.Fatal(err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &Greeter{})
	client, err := river.NewClient(driver, &river.Config{
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1}},
		Workers: workers,
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := client.Insert(ctx, Greeting{"hello"}, nil); err != nil {
		log.Fatal(err)
	}
	if err := client.Start(ctx); err != nil {
		log.Fatal(err)
	}
	select {}
}
