package honker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestMain is also the program with a worker, to which tests send signals.
func TestMain(m *testing.M) {
	if path := os.Getenv("HONKER_TEST_WORKER"); path != "" {
		signal.Notify(make(chan os.Signal, 1), os.Interrupt) // which is ignored where the tests run in the background of a shell
		slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
		options, handler := WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Concurrency: 8, StopTimeout: time.Minute}, asThePayloadSays
		if os.Getenv("HONKER_TEST_SOAK") != "" {
			options.StopTimeout, options.VisibilityTimeout, options.RetryBase, handler = -1, 2*time.Second, -1, asSoaked
		}
		if err := NewWorker(path, options).Run(context.Background(), handler); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt) // Go has a goroutine for signals, from the first use on
	signal.Stop(signals)
	os.Exit(m.Run())
}

// asThePayloadSays is the handler of that program.
func asThePayloadSays(ctx context.Context, job *Job) error {
	fmt.Println("started", string(job.Payload))
	switch string(job.Payload) {
	case `"counts"`: // how often it ran stands in the file
		tx, err := job.Database().Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.Exec("INSERT INTO runs VALUES (?)", job.ID); err != nil {
			return err
		}
		return tx.Commit()
	case `"slow"`:
		<-ctx.Done()
		return context.Cause(ctx)
	case `"stuck"`:
		select {}
	case `"brief"`:
		time.Sleep(500 * time.Millisecond)
	}
	return nil
}

// program is the program with a worker.
type program struct {
	*exec.Cmd
	out, log logged
}

func startProgram(t *testing.T, path string) *program {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals")
	}
	p := &program{Cmd: exec.Command(os.Args[0])}
	p.Env = append(os.Environ(), "HONKER_TEST_WORKER="+path)
	p.Stdout, p.Stderr = &p.out, &p.log
	must(t, 0, p.Start())
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	return p
}

// ends waits for the end of the program; its exit status.
func (p *program) ends(t *testing.T) int {
	t.Helper()
	ended := make(chan struct{})
	go func() { _ = p.Wait(); close(ended) }()
	select {
	case <-ended:
		return p.ProcessState.ExitCode()
	case <-time.After(40 * time.Second):
		t.Fatal("it does not end", p.log.text.String())
		return 0
	}
}

func TestFirstSignalLetsJobsFinish(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.Enqueue("brief", EnqueueOptions{})))
	p := startProgram(t, db.Path())
	eventually(t, "it has started", func() bool { return p.out.count("started") == 1 })
	must(t, 0, p.Process.Signal(syscall.SIGTERM))
	want(t, p.ends(t), 0)
	want(t, p.log.count(`msg="honker: the worker has ended"`), 1)
	want(t, p.log.count("why=terminated done=1 snoozed=0 retried=0 dead=0 released=0 running=0"), 1)
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "q"})
}

func TestSecondSignalReleasesAtOnce(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{MaxAttempts: 1})
	must(t, 0, second(q.EnqueueMany([]any{"slow", "slow"}, EnqueueOptions{})))
	p := startProgram(t, db.Path())
	eventually(t, "they have started", func() bool { return p.out.count("started") == 2 })
	must(t, 0, p.Process.Signal(syscall.SIGTERM)) // two of the same might become one
	must(t, 0, p.Process.Signal(os.Interrupt))    // the stop timeout is a minute
	_ = p.ends(t)                                 // 1, unless the handlers returned at once
	want(t, p.log.count("done=0 snoozed=0 retried=0 dead=0 released=2"), 1)
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "q", Pending: 2}) // with their only attempt
}

func TestSecondSignalSaysWhatItLeaves(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{MaxAttempts: 1})
	must(t, 0, second(q.EnqueueMany([]any{"stuck", "stuck"}, EnqueueOptions{})))
	p := startProgram(t, db.Path())
	eventually(t, "they have started", func() bool { return p.out.count("started") == 2 })
	must(t, 0, p.Process.Signal(syscall.SIGTERM))
	must(t, 0, p.Process.Signal(os.Interrupt))
	want(t, p.ends(t), 1)
	want(t, p.log.count("the second signal left 2 handlers no time to return"), 1)
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "q", Pending: 2})
}

func TestSignalsAtAnyTimeLoseNothingAndDoNothingTwice(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	execute(t, db, "CREATE TABLE runs (id INTEGER)")
	const jobs = 600
	payloads := make([]any, jobs)
	for i := range payloads {
		payloads[i] = "counts"
	}
	must(t, 0, second(q.EnqueueMany(payloads, EnqueueOptions{})))
	for i := 0; ; i++ {
		stats, err := q.Stats()
		if must(t, stats, err) == (QueueStats{Queue: "q"}) {
			break
		}
		p := startProgram(t, db.Path())
		eventually(t, "it runs", func() bool {
			stats, err := q.Stats()
			started := p.out.count("started")
			return started > 3*i || started > 0 && err == nil && stats == QueueStats{Queue: "q"}
		})
		must(t, 0, p.Process.Signal(syscall.SIGTERM))
		want(t, p.ends(t), 0)
		want(t, p.log.count("running=0"), 1)
		if stats, err = q.Stats(); must(t, stats, err).Claimed != 0 {
			t.Fatal(stats, p.log.text.String())
		}
		if i == 9 { // the rest
			rest := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}}), asThePayloadSays)
			eventually(t, "all are done", func() bool {
				stats, err := q.Stats()
				return err == nil && stats == QueueStats{Queue: "q"}
			})
			want(t, rest(), nil)
		}
	}
	var ran, different int64
	must(t, 0, db.QueryRow("SELECT count(*), count(DISTINCT id) FROM runs").Scan(&ran, &different))
	want(t, []int64{ran, different}, []int64{jobs, jobs})
}

func TestWorkerWaitsForItsFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "yet")
	path := filepath.Join(dir, "app.db")
	log := &logged{}
	done := make(chan *Job, 1)
	stop := runs(t, NewWorker(path, WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Logger: log.logger()}),
		func(_ context.Context, job *Job) error { done <- job; return nil })
	eventually(t, "it says so", func() bool { return log.count("there is no file "+path) == 1 })
	must(t, 0, os.MkdirAll(dir, 0o700))
	time.Sleep(300 * time.Millisecond)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the worker made the file", err)
	}
	db := must2(t)(Open(path))
	defer db.Close()
	must(t, 0, second(db.Queue("q", QueueOptions{}).Enqueue("at last", EnqueueOptions{})))
	job := <-done
	want(t, job.Database().Path(), path)
	want(t, stop(), nil)
	want(t, log.count("cannot go on now"), 1)
	want(t, log.count("goes on"), 1)
	_, err := job.Database().Status() // it was the worker's
	wantError(t, err, ErrClosed)

	// One that is told to stop before there is a file just ends.
	want(t, runs(t, NewWorker(path+".never", WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Logger: log.logger()}),
		func(context.Context, *Job) error { return nil })(), nil)
	wantError(t, NewWorker(path, WorkerOptions{Logger: log.logger()}).Run(context.Background(), func(context.Context, *Job) error { return nil }), ErrInvalid)
	var failed *LibraryError
	err = NewWorker(path, WorkerOptions{LibraryPath: "/nowhere.so", Logger: log.logger()}).Run(context.Background(), func(context.Context, *Job) error { return nil })
	want(t, errors.As(err, &failed), true)
}

func TestWorkerGoesOnWithAFileThatReplacesItsOwn(t *testing.T) {
	for name, newWorker := range map[string]func(db *Database, options WorkerOptions) *Worker{
		"opened by itself":     func(db *Database, options WorkerOptions) *Worker { return NewWorker(db.Path(), options) },
		"opened by the caller": (*Database).NewWorker,
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			must(t, 0, second(db.Queue("q", QueueOptions{}).EnqueueMany([]any{"of the old file", "finishes"}, EnqueueOptions{})))
			other := must2(t)(Open(db.Path() + ".new"))
			must(t, 0, second(other.Queue("q", QueueOptions{}).Enqueue("of the new file", EnqueueOptions{MaxAttempts: Int64(7)})))
			must(t, 0, other.Close())

			log := &logged{}
			started, causes, done := make(chan struct{}), make(chan error, 1), make(chan *Job, 10)
			finish := make(chan struct{})
			stop := runs(t, newWorker(db, WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Concurrency: 2, Logger: log.logger()}), func(ctx context.Context, job *Job) error {
				switch string(job.Payload) {
				case `"of the old file"`:
					close(started)
					<-ctx.Done()
					causes <- context.Cause(ctx)
					<-finish // it takes its time, and its place
				case `"of the new file"`:
					done <- job
				}
				return nil
			})
			<-started
			eventually(t, "the other one is finished", func() bool {
				stats, err := db.Queue("q", QueueOptions{}).Stats()
				return err == nil && stats == QueueStats{Queue: "q", Claimed: 1}
			})
			replace(t, db)
			wantError(t, <-causes, ErrWatcher)
			job := <-done
			want(t, job.MaxAttempts, 7)
			want(t, job.Database() != db, true)
			close(finish)
			want(t, stop(), nil)
			want(t, log.count("the file was replaced"), 1)
			want(t, log.count("done=2 snoozed=0 retried=0 dead=0 released=0 running=0"), 1)
			again := must2(t)(Open(db.Path()))
			defer again.Close()
			stats, err := again.Queue("q", QueueOptions{}).Stats()
			want(t, must(t, stats, err), QueueStats{Queue: "q"})
		})
	}
}

func TestWorkerWaitsForAFileThatWasDeleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	db := must2(t)(Open(path))
	defer db.Close()
	must(t, 0, second(db.Queue("q", QueueOptions{}).Enqueue(1, EnqueueOptions{})))
	log := &logged{}
	done := make(chan struct{}, 2)
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Logger: log.logger()}), func(context.Context, *Job) error {
		done <- struct{}{}
		return nil
	})
	<-done
	for _, suffix := range []string{"", "-wal", "-shm"} {
		must(t, 0, os.Remove(path+suffix))
	}
	eventually(t, "it says so", func() bool { return log.count("there is no file "+path) == 1 })
	before := log.count("the worker goes on\"") // 1 if the file went while the worker settled the first job
	again := must2(t)(Open(path))
	defer again.Close()
	must(t, 0, second(again.Queue("q", QueueOptions{}).Enqueue(2, EnqueueOptions{})))
	<-done
	want(t, stop(), nil)
	want(t, log.count("the file was replaced"), 1)
	want(t, log.count("the worker goes on\""), before+1)
}

func TestWorkerWaitsOutALockAtEachStep(t *testing.T) {
	defer func(before time.Duration) { settleTimeout = before }(settleTimeout)
	settleTimeout = time.Minute // the lock is as long as this test needs to see that it waits
	for _, step := range []string{"start", "claim", "ack", "release"} {
		t.Run(step, func(t *testing.T) {
			db := open(t, OpenOptions{BusyTimeout: -1})
			other := must2(t)(Open(db.Path()))
			defer other.Close()
			lock := func() *Transaction {
				tx, err := other.Begin()
				return must(t, tx, err)
			}
			var tx *Transaction
			enqueue := func() { must(t, 0, second(other.Queue("q", QueueOptions{}).Enqueue(1, EnqueueOptions{}))) }
			started, finish := make(chan struct{}, 1), make(chan struct{})
			log := &logged{}
			if step == "start" {
				enqueue()
				tx = lock()
			}
			stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, StopTimeout: -1, Logger: log.logger()}), func(ctx context.Context, _ *Job) error {
				started <- struct{}{}
				select {
				case <-finish:
				case <-ctx.Done():
					return ctx.Err()
				}
				return nil
			})
			var stopped chan error
			switch step {
			case "start":
			case "claim": // the enqueue wakes the worker, which finds the next lock
				enqueue()
				tx = lock()
			case "ack":
				enqueue()
				<-started
				tx = lock()
				close(finish)
			case "release":
				enqueue()
				<-started
				tx = lock()
				stopped = make(chan error, 1)
				go func() { stopped <- stop() }()
			}
			if step != "claim" { // there it may have been in time
				eventually(t, "it says so", func() bool { return log.count("cannot go on now") > log.count("the worker goes on") })
			}
			must(t, 0, tx.Rollback())
			left := QueueStats{Queue: "q"}
			switch step {
			case "release":
				left.Pending = 1
			case "start", "claim":
				<-started
				close(finish)
				fallthrough
			default:
				eventually(t, "it goes on", func() bool {
					stats, err := other.Queue("q", QueueOptions{}).Stats()
					return err == nil && stats == left
				})
			}
			if stopped == nil {
				want(t, stop(), nil)
			} else {
				want(t, <-stopped, nil)
			}
			stats, err := db.Queue("q", QueueOptions{}).Stats()
			want(t, must(t, stats, err), left)
		})
	}
}

func TestPausesAreShortBesideTheVisibilityTimeout(t *testing.T) {
	db := open(t)
	for timeout, longest := range map[time.Duration]time.Duration{0: 10 * time.Second, time.Minute: 10 * time.Second, math.MaxInt64: 10 * time.Second,
		6 * time.Second: time.Second, 1: time.Second / 6, -1: time.Second / 6} {
		w := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, VisibilityTimeout: timeout, Logger: (&logged{}).logger()})
		r, err := w.begin(context.Background(), []Handler{func(context.Context, *Job) error { return nil }})
		must(t, r, err)
		for range 20 {
			want(t, r.pause(newError(StatusBusy, "locked")), true)
		}
		want(t, r.failing.last, longest)
		r.close()
	}
}

func TestWorkerWaitsForRoomOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED a small disk cannot be mounted: %v %s", err, out)
	}
	defer func() { must(t, 0, exec.Command("umount", "-l", dir).Run()) }() // honker keeps descriptors, for its locks
	db := must2(t)(Open(filepath.Join(dir, "app.db")))
	defer db.Close()
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.EnqueueMany([]any{1, 2, 3}, EnqueueOptions{})))
	log := &logged{}
	started, finish := make(chan struct{}, 3), make(chan struct{})
	var calls atomic.Int64
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Logger: log.logger()}), func(context.Context, *Job) error {
		started <- struct{}{}
		calls.Add(1)
		<-finish
		return errors.New(strings.Repeat("a long story ", 10_000)) // more than what is left of a page
	})
	for range 3 {
		<-started
	}
	full := filepath.Join(dir, "full")
	file, err := os.Create(full)
	must(t, file, err)
	for err == nil {
		_, err = file.Write(bytes.Repeat([]byte("x"), 4096))
	}
	must(t, 0, file.Close())
	close(finish)
	eventually(t, "it says so", func() bool { return log.count("cannot go on now") == 1 })
	time.Sleep(500 * time.Millisecond)
	want(t, log.count("cannot go on now"), 1)
	must(t, 0, os.Remove(full))
	eventually(t, "it goes on", func() bool {
		stats, err := q.Stats()
		return err == nil && stats == QueueStats{Queue: "q", Delayed: 3}
	})
	want(t, stop(), nil)
	want(t, calls.Load(), 3)
	want(t, log.count("the worker goes on"), 1)
}
