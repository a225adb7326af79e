package honkerotel_test

import (
	"context"
	"log"

	honker "github.com/russellromney/honker-go"
	"github.com/russellromney/honker-go/honkerotel"
)

func handler(context.Context, *honker.Job) error { return nil }

func run(ctx context.Context) error {
	telemetry, err := honkerotel.New(honkerotel.Options{}) // the global providers
	if err != nil {
		return err
	}
	db, err := honker.OpenWithOptions("app.db", "", honker.OpenOptions{
		EnqueueMiddleware: []honker.EnqueueMiddleware{telemetry.Enqueue},
	})
	if err != nil {
		return err
	}
	defer db.Close()
	worker := db.NewWorker(honker.WorkerOptions{
		Queues:     []honker.WorkerQueue{{Name: "emails"}},
		Middleware: []honker.Middleware{telemetry.Job},
	})
	return worker.Run(ctx, handler)
}

func Example() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
