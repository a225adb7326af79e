package main

import (
	"context"
	"fmt"
	"log"

	honker "github.com/russellromney/honker-go"
)

func main() {
	db, err := honker.Open("app.db")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Queue("greetings", honker.QueueOptions{}).Enqueue("hello", honker.EnqueueOptions{}); err != nil {
		log.Fatal(err)
	}
	worker := db.NewWorker(honker.WorkerOptions{Queues: []honker.WorkerQueue{{Name: "greetings"}}})
	log.Fatal(worker.Run(context.Background(), honker.Typed(func(_ context.Context, _ *honker.Job, word string) error {
		fmt.Println(word)
		return nil
	})))
}
