// Somebody waits for what a job has come to, and handles what can go wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	honker "github.com/russellromney/honker-go"
)

func main() {
	db, err := honker.Open("app.db")
	if err != nil {
		log.Fatal(err)
	}
	sums := db.Queue("sums", honker.QueueOptions{})
	id, err := sums.Enqueue([]int{1, 2, 3}, honker.EnqueueOptions{})
	if err != nil {
		log.Fatal(err)
	}
	go sums.Work(context.Background(), "worker-1", time.Minute, func(ctx context.Context, job *honker.Job) error {
		var numbers []int
		if err := job.UnmarshalPayload(&numbers); err != nil {
			return err
		}
		sum := 0
		for _, number := range numbers {
			sum += number
		}
		return db.SaveResult(job.ID, fmt.Sprint(sum), 3600)
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(db.WaitResult(ctx, id))

	ctx, cancel = context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = db.WaitResult(ctx, 1000)
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))

	db.Close()
	_, err = sums.ClaimOne("worker-1")
	var failed *honker.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Name(), errors.Is(err, honker.ErrClosed))
	}
}

// Output:
// 6 <nil>
// honker: wait_result(1000) timed out: context deadline exceeded
// true
// HONKER_CLOSED_HANDLE true
