// A worker that polls. The one in worker does not.
package main

import (
	"errors"
	"fmt"
	"log"
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

func run(db *honker.Database) error {
	q := db.Queue("emails", honker.QueueOptions{MaxAttempts: 10})
	for {
		job, err := q.ClaimOne("worker-1")
		if err != nil {
			return err
		}
		if job == nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		var p map[string]any
		if err = job.UnmarshalPayload(&p); err == nil {
			err = sendEmail(p)
		}
		held := false
		if err != nil {
			held, err = job.Retry(60, err.Error())
		} else {
			held, err = job.Ack()
		}
		if err != nil {
			return err // nobody knows that it is done: it is claimed again when its time is over
		}
		if !held {
			log.Println("job", job.ID, "took longer than its claim: somebody else does it as well")
		}
	}
}

func main() {
	db, err := honker.Open("app.db")
	if err != nil {
		log.Fatal(err)
	}
	q := db.Queue("emails", honker.QueueOptions{MaxAttempts: 10})
	for to, delay := range map[string]int64{"alice": 0, "bob": 1} {
		if _, err := q.Enqueue(map[string]any{"to": to}, honker.EnqueueOptions{Delay: &delay}); err != nil {
			log.Fatal(err)
		}
	}
	log.Fatal(run(db))
}

// Output:
// to alice in vain
// to bob
