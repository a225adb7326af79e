// The same as first_queue, with the libhonker that comes with the module, or that HONKER_LIBRARY names.
package main

import (
	"fmt"

	honker "github.com/russellromney/honker-go"
)

func main() {
	db, _ := honker.Open("app.db")
	defer db.Close()
	q := db.Queue("greetings", honker.QueueOptions{})
	q.Enqueue(map[string]any{"name": "world"}, honker.EnqueueOptions{})
	job, _ := q.ClaimOne("worker-1")
	var p map[string]any
	job.UnmarshalPayload(&p)
	fmt.Printf("hello, %s!\n", p["name"])
	job.Ack()
}

// Output:
// hello, world!
