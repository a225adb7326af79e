// Other ways to wait for jobs than a worker: a handler for one at a time, a loop, and a call.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	honker "github.com/russellromney/honker-go"
)

func sendEmail(to string) error {
	if to == "nobody" {
		return errors.New("no such address")
	}
	fmt.Println("to", to)
	return nil
}

// whenDone ends a context when the queue has nothing left to do.
func whenDone(queue *honker.Queue, cancel context.CancelFunc) {
	for {
		stats, err := queue.Stats()
		if err != nil || stats.Pending+stats.Claimed == 0 {
			cancel()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func main() {
	db, err := honker.Open("app.db")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	queue := db.Queue("emails", honker.QueueOptions{})
	for _, to := range []string{"alice", "nobody", "bob"} {
		if _, err := queue.Enqueue(to, honker.EnqueueOptions{}); err != nil {
			log.Fatal(err)
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	go whenDone(queue, cancel)
	err = queue.Work(ctx, "worker-1", 0, func(ctx context.Context, job *honker.Job) error {
		var to string
		if err := job.UnmarshalPayload(&to); err != nil {
			return err
		}
		return sendEmail(to) // an error: again, here at once
	})
	if err != nil {
		log.Fatal(err)
	}
	dead, err := queue.DeadJobs(-1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(dead[0].Payload, "after", dead[0].Attempts, "attempts:", *dead[0].LastError)

	if _, err := queue.EnqueueMany([]any{"carol", "dave"}, honker.EnqueueOptions{}); err != nil {
		log.Fatal(err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	go whenDone(queue, cancel)
	for job, err := range queue.Jobs(ctx, "worker-1") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(job.Payload))
		if held, err := job.Ack(); err != nil || !held {
			log.Println("the claim was lost", err)
		}
	}

	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := next(ctx, queue); !errors.Is(err, context.DeadlineExceeded) {
		log.Fatal(err)
	}
}

func next(ctx context.Context, queue *honker.Queue) error {
	waker, err := queue.ClaimWaker() // of db.Queue("emails", honker.QueueOptions{}), or of a TypedQueue's Queue
	if err != nil {
		return err
	}
	defer waker.Close()
	job, err := waker.Next(ctx, "worker-1")
	fmt.Println(job, err)
	return err
}

// Output:
// to alice
// to bob
// "nobody" after 3 attempts: no such address
// "carol"
// "dave"
// <nil> context deadline exceeded
