// A worker that polls. The one in worker does not.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	honker "github.com/russellromney/honker-go"
)

var failed bool

func sendEmail(p map[string]any) error {
	if !failed {
		failed = true
		fmt.Println("to", p["to"], "in vain")
		return errors.New("no route to host")
	}
	fmt.Println("to", p["to"])
	os.Exit(0)
	return nil
}

func main() {
	db, err := honker.Open("app.db")
	if err != nil {
		panic(err)
	}
	q := db.Queue("emails", honker.QueueOptions{})
	q.Enqueue(map[string]any{"to": "alice"}, honker.EnqueueOptions{})
	q.Enqueue(map[string]any{"to": "bob"}, honker.EnqueueOptions{Delay: honker.Int64(1)})

	for {
		job, _ := q.ClaimOne("worker-1")
		if job == nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		var p map[string]any
		job.UnmarshalPayload(&p)
		if err := sendEmail(p); err != nil {
			job.Retry(60, err.Error())
		} else {
			job.Ack()
		}
	}
}

// Output:
// to alice in vain
// to bob
