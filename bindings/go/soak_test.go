package honker

import (
	"context"
	"errors"
	"math/rand"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asSoaked is the handler of the program for TestSoak: it fails in all ways, now and then.
func asSoaked(ctx context.Context, job *Job) error {
	db := job.Database()
	switch rand.Intn(40) {
	case 0:
		return errors.New("fails")
	case 1:
		panic("panics")
	case 2:
		return Snooze(0)
	case 3:
		select { // until it is stopped, or killed
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	ack := job.AckTx
	if rand.Intn(2) == 0 { // as with a driver of the application's
		var err error
		if db, err = otherConnection(); err != nil {
			return err
		}
		ack = func(tx *Transaction) (bool, error) { return job.AckSQL(ctx, foreign{tx}) }
	}
	tx, err := db.Transaction(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if held, err := ack(tx); err != nil || !held {
		return err
	}
	if _, err := tx.Exec("INSERT INTO acked VALUES (?)", job.ID); err != nil {
		return err
	}
	return tx.Commit()
}

var otherConnection = sync.OnceValues(func() (*Database, error) { return Open(os.Getenv("HONKER_TEST_WORKER")) })

// TestSoak has two programs with workers do jobs, and kills and stops them all the time: each job is acknowledged once.
// HONKER_TEST_SOAK_S is for how many seconds.
func TestSoak(t *testing.T) {
	seconds, err := strconv.Atoi(orDefault(os.Getenv("HONKER_TEST_SOAK_S"), "5"))
	must(t, seconds, err)
	db := open(t, OpenOptions{BusyTimeout: 30 * time.Second})
	q := db.Queue("q", QueueOptions{MaxAttempts: 1_000_000})
	execute(t, db, "CREATE TABLE acked (id INTEGER)")
	t.Setenv("HONKER_TEST_SOAK", "1")

	var enqueued, killed, stopped int64
	var workers [2]*program
	deadline := time.Now().Add(time.Duration(seconds) * time.Second)
	for time.Now().Before(deadline) {
		for i, p := range workers {
			switch {
			case p == nil:
				workers[i] = startProgram(t, db.Path())
			case rand.Intn(10) == 0:
				must(t, 0, p.Process.Kill())
				want(t, p.ends(t), -1)
				workers[i], killed = nil, killed+1
			case rand.Intn(10) == 0:
				must(t, 0, p.Process.Signal(syscall.SIGTERM))
				if status := p.ends(t); status == -1 { // it was not yet there to hear it
					killed++
				} else { // 1 if its handlers had not time enough to return
					stopped++
				}
				workers[i] = nil
			}
		}
		ids := must2ids(t)(q.EnqueueMany(make([]any, rand.Intn(50)), EnqueueOptions{}))
		enqueued += int64(len(ids))
		time.Sleep(100 * time.Millisecond)
	}
	eventually(t, "all are done", func() bool {
		for i, p := range workers {
			if p == nil {
				workers[i] = startProgram(t, db.Path())
			}
		}
		stats, err := q.Stats()
		return err == nil && stats == QueueStats{Queue: "q"}
	})
	for _, p := range workers {
		must(t, 0, p.Process.Signal(syscall.SIGTERM))
		_ = p.ends(t)
	}
	var acked, different int64
	must(t, 0, db.QueryRow("SELECT count(*), count(DISTINCT id) FROM acked").Scan(&acked, &different))
	t.Logf("%d jobs, %d kills, %d stops", enqueued, killed, stopped)
	want(t, []int64{acked, different}, []int64{enqueued, enqueued})
}
