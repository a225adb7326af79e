package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/hibiken/asynq"
)

func main() {
	redis, err := asynq.ParseRedisURI(os.Getenv("PEER_URL"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := asynq.NewClient(redis).Enqueue(asynq.NewTask("greet", []byte("hello"))); err != nil {
		log.Fatal(err)
	}
	server := asynq.NewServer(redis, asynq.Config{})
	log.Fatal(server.Run(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		fmt.Println(string(task.Payload()))
		return nil
	})))
}
