package honker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// moved counts how often moveStack has moved a stack.
var moved atomic.Int64

// moveStack makes the stack of its goroutine grow, by which it moves; unless it has grown a lot already.
func moveStack() {
	var here byte
	before := uintptr(unsafe.Pointer(&here))
	for frames := 64; frames <= 8192; frames *= 2 {
		if deeper(frames) == frames && uintptr(unsafe.Pointer(&here)) != before {
			moved.Add(1)
			return
		}
	}
}

//go:noinline
func deeper(frames int) int {
	if frames == 0 {
		return 0
	}
	return deeper(frames-1) + 1
}

// onGrowingStacks runs f on fresh goroutines, whose stacks are small. Stacks are moved by the garbage collector as well, which
// runs meanwhile, and shrinks those that have grown.
func onGrowingStacks(t *testing.T, f func() error) {
	t.Helper()
	var stop atomic.Bool
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for !stop.Load() {
			runtime.GC()
		}
	}()
	before := moved.Load()
	for range 2 {
		failed := make(chan error)
		go func() { failed <- f() }()
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	<-collected
	if moved.Load() == before {
		t.Error("no stack has moved")
	}
}

// TestStacksThatGrow calls everything that the package has, and moves the stack of its goroutine before each call of the
// library, when the addresses of what that is to write to are numbers already. tests/called.py looks whether it leaves a function of the library out.
func TestStacksThatGrow(t *testing.T) {
	t.Cleanup(func() { beforeCall = nil }) // when nothing is open any more
	beforeCall = moveStack
	db := open(t)
	ctx := context.Background()
	q := db.Queue("q", QueueOptions{})
	s := db.Stream("s")
	schedules := db.Scheduler()
	long := EnqueueOptions{Delay: Int64(100_000)}
	tx := func(f func(tx *Transaction) error) error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		if err := f(tx); err != nil {
			_ = tx.Rollback()
			return err
		}
		return tx.Commit()
	}
	is := func(right bool, err error, what ...any) error {
		if err == nil && !right {
			err = fmt.Errorf("it answered %v", what)
		}
		return err
	}
	claimed := func() (*Job, error) {
		if _, err := q.Enqueue("x", EnqueueOptions{}); err != nil {
			return nil, err
		}
		job, err := q.ClaimOne("w")
		return job, is(job != nil && string(job.Payload) == `"x"` && job.Attempts == 1, err, job)
	}
	row, err := q.Enqueue("stays", long)
	must(t, row, err)
	must(t, 0, db.SaveResult(row, "done", 0))
	must(t, 0, schedules.Add(ScheduledTask{Name: "daily", Queue: "other", Schedule: "@daily"}))
	_, err = schedules.TickAt(1) // it is registered before that
	must(t, 0, err)
	dead, err := db.Queue("dead", QueueOptions{}).Enqueue("dies", EnqueueOptions{})
	must(t, dead, err)
	died, err := db.Queue("dead", QueueOptions{}).ClaimOne("w")
	must(t, died, err)
	must(t, 0, second(died.Fail("why")))
	event, err := s.PublishWithKey("key", "first")
	must(t, event, err)

	for name, f := range map[string]func() error{
		"Open": func() error {
			other, err := Open(db.Path())
			if err != nil {
				return err
			}
			return is(other.Version() != "", other.Close())
		},
		"Open of nothing": func() error {
			_, err := Open("/nowhere/app.db")
			failed, is := err.(*Error)
			if !is || failed.Status != StatusCannotOpen || failed.Message == "" {
				return fmt.Errorf("%#v", err)
			}
			return nil
		},
		"Interrupt": db.Interrupt,
		"Enqueue": func() error {
			id, err := q.Enqueue("x", long)
			return is(id > 0, err, id)
		},
		"EnqueueMany": func() error {
			ids, err := q.EnqueueMany([]any{1, "two"}, long)
			return is(len(ids) == 2 && ids[0] > 0 && ids[1] == ids[0]+1, err, ids)
		},
		"ClaimOne, Heartbeat, Ack": func() error {
			job, err := claimed()
			if err != nil {
				return err
			}
			if held, err := job.Heartbeat(10); !held {
				return is(held, err, held)
			}
			held, err := job.Ack()
			return is(held, err, held)
		},
		"ClaimBatch, AckBatch": func() error {
			if _, err := q.EnqueueMany([]any{1, 2}, EnqueueOptions{}); err != nil {
				return err
			}
			jobs, err := q.ClaimBatch("w", 2)
			if err != nil || len(jobs) != 2 {
				return is(false, err, jobs)
			}
			n, err := q.AckBatch([]int64{jobs[0].ID, jobs[1].ID}, "w")
			return is(n == 2, err, n)
		},
		"Retry, Cancel": func() error {
			job, err := claimed()
			if err != nil {
				return err
			}
			if held, err := job.Retry(1000, "later"); !held {
				return is(held, err, held)
			}
			cancelled, err := q.Cancel(job.ID)
			return is(cancelled, err, cancelled)
		},
		"Fail, RequeueDead": func() error {
			job, err := claimed()
			if err != nil {
				return err
			}
			if held, err := job.Fail("never"); !held {
				return is(held, err, held)
			}
			if requeued, err := q.RequeueDead(job.ID); !requeued {
				return is(requeued, err, requeued)
			}
			cancelled, err := q.Cancel(job.ID)
			return is(cancelled, err, cancelled)
		},
		"Release": func() error {
			job, err := claimed()
			if err != nil {
				return err
			}
			if held, err := job.Release(1000); !held {
				return is(held, err, held)
			}
			cancelled, err := q.Cancel(job.ID)
			return is(cancelled, err, cancelled)
		},
		"Status": func() error {
			status, err := db.Status()
			return is(status.Versions.Honker == db.Version(), err, status)
		},
		"GetJob": func() error {
			job, err := q.GetJob(row)
			return is(job != nil && job.Payload == `"stays"`, err, job)
		},
		"Stats": func() error {
			stats, err := db.Queue("dead", QueueOptions{}).Stats()
			return is(stats.Dead == 1, err, stats)
		},
		"DeadJobs": func() error {
			jobs, err := db.Queue("dead", QueueOptions{}).DeadJobs(-1)
			return is(len(jobs) == 1 && jobs[0].ID == dead && *jobs[0].LastError == "why", err, jobs)
		},
		"PurgeDead": func() error {
			n, err := db.Queue("dead", QueueOptions{}).PurgeDead(100_000)
			return is(n == 0, err, n)
		},
		"SweepExpired": func() error {
			if _, err := db.Queue("e", QueueOptions{}).Enqueue(1, EnqueueOptions{Expires: Int64(-1)}); err != nil {
				return err
			}
			n, err := db.Queue("e", QueueOptions{}).SweepExpired()
			return is(n == 1, err, n)
		},
		"NextClaimAt": func() error {
			at, err := q.NextClaimAt()
			return is(at > 1_000_000_000, err, at)
		},
		"SaveResult, GetResult": func() error {
			if err := db.SaveResult(row, "done", 0); err != nil {
				return err
			}
			value, err := db.GetResult(row)
			return is(value != nil && *value == "done", err, value)
		},
		"WaitResult": func() error {
			value, err := db.WaitResult(ctx, row)
			return is(value == "done", err, value)
		},
		"SweepResults": func() error {
			n, err := db.SweepResults()
			return is(n == 0, err, n)
		},
		"TryLock": func() error {
			lock, err := db.TryLock("lock", "", 60)
			if err != nil || lock == nil {
				return is(false, err, lock)
			}
			if held, err := lock.Heartbeat(60); !held {
				return is(held, err, held)
			}
			held, err := lock.Release()
			return is(held, err, held)
		},
		"TryRateLimit": func() error {
			allowed, err := db.TryRateLimit("limit", 1_000_000, 60)
			return is(allowed, err, allowed)
		},
		"SweepRateLimits": func() error {
			n, err := db.SweepRateLimits(100_000)
			return is(n == 0, err, n)
		},
		"Notify, Listener": func() error {
			listener, err := db.Listener("c")
			if err != nil {
				return err
			}
			defer listener.Close()
			id, err := db.Notify("c", "x")
			if err != nil {
				return err
			}
			n, err := listener.Next(ctx)
			return is(n != nil && n.ID == id && string(n.Payload) == `"x"`, err, n)
		},
		"PruneNotifications": func() error {
			n, err := db.PruneNotifications(Int64(100_000), nil)
			return is(n == 0, err, n)
		},
		"Publish": func() error {
			offset, err := s.Publish("x")
			return is(offset > event, err, offset)
		},
		"ReadSince": func() error {
			events, err := s.ReadSince(event-1, 1)
			return is(len(events) == 1 && events[0].Offset == event && *events[0].Key == "key", err, events)
		},
		"SaveOffset, GetOffset": func() error {
			if _, err := s.SaveOffset("c", event); err != nil {
				return err
			}
			offset, err := s.GetOffset("c")
			return is(offset == event, err, offset)
		},
		"Subscription": func() error {
			consumer := "another"
			sub, err := s.Subscription(SubscribeOptions{FromOffset: Int64(event - 1), Consumer: &consumer})
			if err != nil {
				return err
			}
			defer sub.Close()
			one, err := sub.Next(ctx)
			if err != nil || one.Offset != event || string(one.Payload) != `"first"` {
				return is(false, err, one)
			}
			if err := sub.Ack(); err != nil {
				return err
			}
			if err := sub.SaveOffset(); err != nil {
				return err
			}
			offset, err := sub.Offset()
			return is(offset == event, err, offset)
		},
		"Scheduler": func() error {
			task := ScheduledTask{Name: "s", Queue: "q", Schedule: "@hourly"}
			if err := schedules.Add(task); err != nil {
				return err
			}
			for _, change := range []func(string) (bool, error){schedules.Pause, schedules.Resume} {
				if changed, err := change("s"); !changed {
					return is(changed, err, changed)
				}
			}
			if changed, err := schedules.Update("s", ScheduleUpdate{Priority: Int64(1)}); !changed {
				return is(changed, err, changed)
			}
			n, err := schedules.Remove("s")
			return is(n == 1, err, n)
		},
		"Scheduler.List": func() error {
			list, err := schedules.List()
			return is(len(list) > 0 && list[0].Name == "daily", err, list)
		},
		"Scheduler.Soonest": func() error {
			at, err := schedules.Soonest()
			return is(at > 0, err, at)
		},
		"Scheduler.Tick": func() error {
			if err := schedules.Add(ScheduledTask{Name: "often", Queue: "often", Schedule: "@every 1s"}); err != nil {
				return err
			}
			at, err := schedules.Soonest()
			if err != nil {
				return err
			}
			fires, err := schedules.TickAt(at)
			fires = slices.DeleteFunc(fires, func(fire ScheduledFire) bool { return fire.Name == "daily" }) // at midnight
			return is(len(fires) == 1 && fires[0].Name == "often" && fires[0].JobID > 0, err, fires)
		},
		"Scheduler.NextAfter": func() error {
			at, err := schedules.NextAfter("@every 1m", 60)
			return is(at == 120, err, at)
		},
		"Scheduler.Run": func() error {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			return schedules.Run(short, "")
		},
		"Query": func() error {
			rows, err := db.Query("SELECT ?1, ?2, 'c' AS name", 1, "two")
			return is(len(rows) == 1 && rows[0].Values[0] == int64(1) && rows[0].Values[1] == "two" && rows[0].Columns[2] == "name", err, rows)
		},
		"a transaction": func() error {
			return tx(func(tx *Transaction) error {
				id, err := q.EnqueueTx(tx, "x", long)
				if err != nil {
					return err
				}
				rows, err := tx.Query("SELECT id FROM _honker_live WHERE id = ?1", id)
				if err != nil || len(rows) != 1 || rows[0].Values[0] != id {
					return is(false, err, rows)
				}
				n, err := tx.Exec("DELETE FROM _honker_live WHERE id = ?1", id)
				return is(n == 1, err, n)
			})
		},
		"a rollback": func() error {
			tx, err := db.Transaction(ctx)
			if err != nil {
				return err
			}
			return tx.Rollback()
		},
		"Outbox": func() error {
			var got string
			outbox, err := db.Outbox("o", func(_ context.Context, payload json.RawMessage) error {
				got = string(payload)
				return nil
			}, OutboxOptions{})
			if err != nil {
				return err
			}
			if _, err := outbox.Enqueue("x", EnqueueOptions{}); err != nil {
				return err
			}
			ran, err := outbox.RunOnce(ctx, "w")
			return is(ran && got == `"x"`, err, ran, got)
		},
		"an Outbox that fails": func() error {
			outbox, err := db.Outbox("f", func(context.Context, json.RawMessage) error { return errors.New("why") }, OutboxOptions{})
			if err != nil {
				return err
			}
			id, err := outbox.Enqueue("x", EnqueueOptions{MaxAttempts: Int64(1)})
			if err != nil {
				return err
			}
			if ran, err := outbox.RunOnce(ctx, "w"); !ran || err != nil {
				return is(ran, err, ran)
			}
			jobs, err := outbox.Queue().DeadJobs(1)
			return is(len(jobs) == 1 && jobs[0].ID == id && *jobs[0].LastError == "why", err, jobs)
		},
		"ClaimWaker": func() error {
			waker, err := db.Queue("waker", QueueOptions{}).ClaimWaker()
			if err != nil {
				return err
			}
			defer waker.Close()
			if _, err := db.Queue("waker", QueueOptions{}).Enqueue("x", EnqueueOptions{}); err != nil {
				return err
			}
			job, err := waker.Next(ctx, "w")
			return is(job != nil && string(job.Payload) == `"x"`, err, job)
		},
		"a thread that waits": func() error {
			other, err := Open(db.Path())
			if err != nil {
				return err
			}
			other.noDescriptors = true
			updates, err := other.Updates()
			if err != nil {
				return err
			}
			for range 3 {
				time.AfterFunc(20*time.Millisecond, func() { _, _ = db.Notify("nobody", 1) })
				if err := updates.Wait(ctx); err != nil {
					return err
				}
			}
			return other.Close()
		},
		"Work": func() error {
			q := db.Queue("work", QueueOptions{})
			if _, err := q.Enqueue("x", EnqueueOptions{}); err != nil {
				return err
			}
			ended, cancel := context.WithCancel(ctx)
			defer cancel()
			got := ""
			err := q.Work(ended, "w", 0, func(_ context.Context, job *Job) error {
				got = string(job.Payload)
				cancel()
				return nil
			})
			return is(got == `"x"`, err, got)
		},
		"a settlement that is refused": func() error {
			if _, err := db.Queue("refused", QueueOptions{}).Enqueue("x", EnqueueOptions{}); err != nil {
				return err
			}
			run, err := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "refused"}}}).begin(ctx, []Handler{func(context.Context, *Job) error { return nil }})
			if err != nil {
				return err
			}
			defer run.close()
			if err := run.connect(); err != nil {
				return err
			}
			if _, err := run.turn(); err != nil {
				return err
			}
			one := <-run.finished
			status, err := run.consumer.native().workerSettled(run.consumer.consumer, one.job.ID, one.job.serial)
			return is(status == statusOK, err, status)
		},
		"Configure, Settings": func() error {
			if err := db.Queue("set", QueueOptions{}).Configure(QueueUpdate{Concurrency: Int64(3)}); err != nil {
				return err
			}
			set, err := db.Queue("set", QueueOptions{}).Settings()
			return is(set.Concurrency != nil && *set.Concurrency == 3, err, set)
		},
		"Queues": func() error {
			queues, err := db.Queues()
			return is(slices.ContainsFunc(queues, func(one QueueSettings) bool { return one.Queue == "dead" && one.MaxAttempts == 3 }), err, queues)
		},
		"Batch": func() error {
			batch, err := db.Batch(BatchOptions{OnFinished: &JobSpec{Queue: "finished", Payload: "x", Options: long}}, func(b *Batch) error {
				result, err := q.EnqueueWith(ctx, "x", EnqueueOptions{BatchID: b.ID, Delay: long.Delay, UniqueKey: String(fmt.Sprint(b.ID)), ConcurrencyKey: String("c"), MaxRunS: 5})
				return is(result.Status == StatusEnqueued && result.ID > 0, err, result)
			})
			if err != nil {
				return err
			}
			status, err := batch.Status()
			return is(status != nil && status.Pending == 1 && status.Sealed, err, status)
		},
		"Step": func() error {
			job, err := claimed()
			if err != nil {
				return err
			}
			defer job.Ack()
			for range 2 {
				one, err := Step(ctx, job, "s", func(context.Context) (string, error) { return "saved", nil })
				if err != nil || one != "saved" {
					return is(false, err, one)
				}
			}
			return job.StepTx(ctx, "in a transaction", func(context.Context, *Transaction) error { return nil })
		},
		"Jobs": func() error {
			jobs, _, err := db.Jobs(JobFilter{MaxID: row}).Page(0)
			return is(len(jobs) == 1 && jobs[0].Payload == `"stays"`, err, jobs)
		},
		"Jobs.SetPriority": func() error {
			applied, err := db.Jobs(JobFilter{MaxID: row}).SetPriority(ctx, time.Now().UnixNano())
			return is(applied == Applied{Changed: 1}, err, applied)
		},
		"DeadGroups": func() error {
			groups, err := db.Queue("dead", QueueOptions{}).DeadGroups()
			return is(len(groups) == 1 && *groups[0].Error == "why" && groups[0].Newest.ID == dead, err, groups)
		},
		"Metrics": func() error {
			metrics, err := db.Metrics()
			return is(slices.ContainsFunc(metrics, func(one QueueMetrics) bool { return one.Queue == "dead" && one.Depth.Dead == 1 }), err, metrics)
		},
		"what is kept": func() error {
			if err := db.Stream("kept").Configure(StreamUpdate{KeepN: Int64(7)}); err != nil {
				return err
			}
			if err := db.KeepNotifications(1000); err != nil {
				return err
			}
			n, err := db.Stream("kept").Trim(TrimOptions{})
			return is(n == 0, err, n)
		},
		"Updates": func() error {
			updates, err := db.Updates()
			if err != nil {
				return err
			}
			defer updates.Close()
			if _, err := db.Notify("nobody", 1); err != nil {
				return err
			}
			return updates.Wait(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) { onGrowingStacks(t, f) })
	}
}
