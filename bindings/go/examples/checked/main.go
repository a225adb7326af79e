// A job, from enqueue to ack, with its errors.
package main

import (
	"errors"
	"fmt"
	"log"

	honker "github.com/russellromney/honker-go"
)

func main() {
	db, err := honker.Open("app.db")
	if err != nil {
		log.Fatal(err) // for instance: libhonker cannot be loaded, and where it was looked for
	}
	defer db.Close()
	if err := greet(db); err != nil {
		log.Fatal(err)
	}
}

// Greeting is what a job of the queue "greetings" says.
type Greeting struct {
	Name string `json:"name"`
}

func greet(db *honker.Database) error {
	q := db.Queue("greetings", honker.QueueOptions{})
	if _, err := q.Enqueue(Greeting{Name: "world"}, honker.EnqueueOptions{}); err != nil {
		return err
	}
	job, err := q.ClaimOne("worker-1")
	if err != nil || job == nil {
		return err
	}
	var greeting Greeting
	if err := job.UnmarshalPayload(&greeting); err != nil {
		return err
	}
	fmt.Printf("hello, %s!\n", greeting.Name)
	held, err := job.Ack()
	if err == nil && !held {
		err = errors.New("the claim was lost")
	}
	return err
}

// Output:
// hello, world!
