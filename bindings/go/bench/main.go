// Bench is started by the benchmarks of all packages: with an empty directory as its argument and HONKER_LIBRARY set it
// reads what to measure from standard input, a line each, and answers with a line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"time"

	honker "github.com/russellromney/honker-go"
)

func main() {
	db, err := honker.Open(filepath.Join(os.Args[1], "bench.db"))
	check(err)
	lines := bufio.NewScanner(os.Stdin)
	for turn := 0; lines.Scan(); turn++ {
		var what string
		var n int
		if _, err := fmt.Sscan(lines.Text(), &what, &n); err != nil {
			log.Fatalf("%q: %v", lines.Text(), err)
		}
		q := db.Queue(fmt.Sprintf("queue-%d", turn), honker.QueueOptions{})
		measure, known := measures[what]
		if !known {
			log.Fatalf("%q: unknown", lines.Text())
		}
		check(json.NewEncoder(os.Stdout).Encode(measure(q, n)))
	}
	check(lines.Err())
	check(db.Close())
}

var measures = map[string]func(q *honker.Queue, n int) map[string]float64{
	"enqueue": func(q *honker.Queue, n int) map[string]float64 {
		return seconds(func() { enqueue(q, n) })
	},
	"claim_ack": func(q *honker.Queue, n int) map[string]float64 {
		fill(q, n)
		return seconds(func() {
			for range n {
				job, err := q.ClaimOne("worker")
				check(err)
				held, err := job.Ack()
				check(err)
				mustBe(held)
			}
		})
	},
	"batch": func(q *honker.Queue, n int) map[string]float64 {
		fill(q, n)
		return seconds(func() {
			for done := 0; ; {
				jobs, err := q.ClaimBatch("worker", 100)
				check(err)
				if len(jobs) == 0 {
					mustBe(done == n)
					return
				}
				ids := make([]int64, len(jobs))
				for i, job := range jobs {
					ids[i] = job.ID
				}
				acked, err := q.AckBatch(ids, "worker")
				check(err)
				mustBe(int(acked) == len(jobs))
				done += len(jobs)
			}
		})
	},
	"wake": wake,
}

type payload struct {
	N int `json:"n"`
}

func enqueue(q *honker.Queue, n int) {
	for i := range n {
		_, err := q.Enqueue(payload{i}, honker.EnqueueOptions{})
		check(err)
	}
}

func fill(q *honker.Queue, n int) {
	payloads := make([]any, n)
	for i := range payloads {
		payloads[i] = payload{i}
	}
	_, err := q.EnqueueMany(payloads, honker.EnqueueOptions{})
	check(err)
}

// wake measures from before an enqueue to the job in the hand of a consumer that waits.
func wake(q *honker.Queue, n int) map[string]float64 {
	waker, err := q.ClaimWaker()
	check(err)
	got := make(chan time.Time)
	go func() {
		for range n {
			job, err := waker.Next(context.Background(), "worker")
			at := time.Now()
			check(err)
			_, err = job.Ack()
			check(err)
			got <- at
		}
	}()
	var took []float64
	for i := range n {
		time.Sleep(2 * time.Millisecond)
		start := time.Now()
		_, err := q.Enqueue(payload{i}, honker.EnqueueOptions{})
		check(err)
		took = append(took, float64((<-got).Sub(start).Nanoseconds())/1000)
	}
	check(waker.Close())
	slices.Sort(took)
	return map[string]float64{"p50_us": took[len(took)/2], "p99_us": took[len(took)*99/100]}
}

func seconds(f func()) map[string]float64 {
	start := time.Now()
	f()
	return map[string]float64{"seconds": time.Since(start).Seconds()}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func mustBe(right bool) {
	if !right {
		check(errors.New("a job was lost, or came twice"))
	}
}
