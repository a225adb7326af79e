package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"os"

	honker "github.com/russellromney/honker-go"
)

var features = []string{"queue", "tx", "wait", "stream", "notify", "sched", "result", "lock", "rate", "outbox", "journal", "watcher",
	"interrupt", "foreign", "enqueue_many", "settle_tx", "next_at", "stats", "dead", "updates", "cron", "result_tx", "rate_sweep", "bytes", "prune_keep", "tick_at", "release", "metadata", "unique", "schedule_options",
	"settings", "batch", "step", "bulk", "metrics", "counters", "handlers"}

var operations map[string]func(r *request) object

func init() {
	operations = map[string]func(r *request) object{
		"hello": func(r *request) object {
			return object{"testee": "go", "version": "0.1.0", "pid": os.Getpid(), "features": features}
		},
		"open": open, "next": next,
		"close":     func(r *request) object { check(closeHandle(use[any](r, "on"))); return object{} },
		"interrupt": func(r *request) object { check(db(r).Interrupt()); return object{} },
		"foreign.exec": func(r *request) object {
			foreign := must(sql.Open("sqlite3", "file:"+r.str("path")+"?_busy_timeout=5000"))
			defer foreign.Close()
			foreign.SetMaxOpenConns(1)
			n := r.numOr("times", 1)
			for range n {
				must(foreign.Exec(r.str("sql")))
			}
			return object{"done": n}
		},

		"tx.begin":    func(r *request) object { return keep(r, func() *honker.Transaction { return must(db(r).Begin()) }) },
		"tx.commit":   func(r *request) object { check(use[*honker.Transaction](r, "on").Commit()); return object{} },
		"tx.rollback": func(r *request) object { check(use[*honker.Transaction](r, "on").Rollback()); return object{} },
		"sql.exec": func(r *request) object {
			return named("changes")(use[*honker.Transaction](r, "on").Exec(r.str("sql"), r.params()...))
		},
		"sql.query": func(r *request) object {
			return rowsOf(use[interface {
				Query(string, ...any) ([]honker.Row, error)
			}](r, "on").Query(r.str("sql"), r.params()...))
		},

		"queue.open": func(r *request) object {
			return keep(r, func() *myQueue {
				q := db(r).Queue(r.str("name"), honker.QueueOptions{MaxAttempts: r.numOr("max_attempts", 0)})
				if timeout := r.opt("visibility_timeout_s"); timeout != nil {
					q = q.WithVisibilityTimeout(*timeout)
				}
				return &myQueue{q, db(r), r.opt("max_attempts")}
			})
		},
		"queue.enqueue": func(r *request) object {
			if r.has("tx") {
				return enqueued(queue(r).EnqueueWithTx(tx(r), payload(r.args["payload"]), r.enqueueOptions(queue(r).attempts)))
			}
			return enqueued(queue(r).EnqueueWith(context.Background(), payload(r.args["payload"]), r.enqueueOptions(queue(r).attempts)))
		},
		"queue.enqueue_many": func(r *request) object {
			var payloads []any
			for _, raw := range decode[[]json.RawMessage](r.args["payloads"]) {
				payloads = append(payloads, payload(raw))
			}
			if r.has("tx") {
				return object{"ids": must(queue(r).EnqueueManyTx(tx(r), payloads, r.enqueueOptions(queue(r).attempts)))}
			}
			return object{"ids": must(queue(r).EnqueueMany(payloads, r.enqueueOptions(queue(r).attempts)))}
		},
		"queue.claim": func(r *request) object { return jobs(queue(r).ClaimBatch(r.str("worker"), r.num("n"))) },
		"queue.ack": func(r *request) object {
			if r.has("tx") {
				return or("LOST")(job(r).AckTx(tx(r)))
			}
			return or("LOST")(job(r).Ack())
		},
		"queue.retry": func(r *request) object {
			if r.has("tx") {
				return or("LOST")(job(r).RetryTx(tx(r), r.num("delay_s"), r.str("error")))
			}
			return or("LOST")(job(r).Retry(r.num("delay_s"), r.str("error")))
		},
		"queue.fail": func(r *request) object {
			if r.has("tx") {
				return or("LOST")(job(r).FailTx(tx(r), r.str("error")))
			}
			return or("LOST")(job(r).Fail(r.str("error")))
		},
		"queue.release": func(r *request) object {
			if r.has("tx") {
				return or("LOST")(job(r).ReleaseTx(tx(r), r.num("delay_s")))
			}
			return or("LOST")(job(r).Release(r.num("delay_s")))
		},
		"queue.heartbeat": func(r *request) object { return or("LOST")(job(r).Heartbeat(r.num("extend_s"))) },
		"queue.ack_many": func(r *request) object {
			return named("acked")(queue(r).AckBatch(decode[[]int64](r.args["ids"]), r.str("worker")))
		},
		"queue.cancel": func(r *request) object { return object{"cancelled": must(queue(r).Cancel(r.num("id")))} },
		"queue.get": func(r *request) object {
			row := must(queue(r).GetJob(r.num("id")))
			if row == nil {
				panic(outcome("EMPTY"))
			}
			return object{"job": withPayload(row)}
		},
		"queue.next_at": func(r *request) object { return named("at")(queue(r).NextClaimAt()) },
		"queue.sweep":   func(r *request) object { return count(queue(r).SweepExpired()) },
		"queue.stats":   func(r *request) object { return object{"stats": must(queue(r).Stats())} },
		"dead.list":     func(r *request) object { return object{"jobs": listed(queue(r).DeadJobs(r.numOr("limit", -1)))} },
		"dead.requeue":  func(r *request) object { return object{"requeued": must(queue(r).RequeueDead(r.num("id")))} },
		"dead.purge":    func(r *request) object { return count(queue(r).PurgeDead(r.num("older_than_s"))) },

		"worker.open": func(r *request) object {
			return keep(r, func() worker {
				w := worker{must(queue(r).ClaimWaker()), r.str("worker")}
				must(w.NextBatch(context.Background(), w.name, 0)) // its name is looked at in there
				return w
			})
		},
		"updates.open": func(r *request) object { return keep(r, func() *honker.Updates { return must(db(r).Updates()) }) },
		"listen.open": func(r *request) object {
			return keep(r, func() *honker.Listener { return must(db(r).Listener(r.str("channel"))) })
		},

		"stream.open": func(r *request) object { return keep(r, func() *honker.Stream { return db(r).Stream(r.str("topic")) }) },
		"stream.publish": func(r *request) object {
			s, p := stream(r), payload(r.args["payload"])
			hasKey := r.has("key") && !r.isNull("key")
			switch {
			case hasKey && r.has("tx"):
				return named("offset")(s.PublishWithKeyTx(tx(r), r.str("key"), p))
			case hasKey:
				return named("offset")(s.PublishWithKey(r.str("key"), p))
			case r.has("tx"):
				return named("offset")(s.PublishTx(tx(r), p))
			}
			return named("offset")(s.Publish(p))
		},
		"stream.read": func(r *request) object { return events(stream(r).ReadSince(r.num("offset"), r.numOr("limit", -1))) },
		"stream.read_consumer": func(r *request) object {
			return events(stream(r).ReadFromConsumer(r.str("consumer"), r.numOr("limit", -1)))
		},
		"stream.save": func(r *request) object {
			if r.has("tx") {
				return object{"saved": must(stream(r).SaveOffsetTx(tx(r), r.str("consumer"), r.num("offset")))}
			}
			return object{"saved": must(stream(r).SaveOffset(r.str("consumer"), r.num("offset")))}
		},
		"stream.offset": func(r *request) object { return named("offset")(stream(r).GetOffset(r.str("consumer"))) },
		"stream.subscribe": func(r *request) object {
			options := honker.SubscribeOptions{FromOffset: r.opt("from_offset"), SaveEveryN: r.opt("save_every_n"), SaveEveryMS: r.opt("save_every_ms")}
			if r.has("consumer") && !r.isNull("consumer") {
				consumer := r.str("consumer")
				options.Consumer = &consumer
			}
			return keep(r, func() *honker.Subscription { return must(stream(r).Subscription(options)) })
		},
		"subscription.ack":    func(r *request) object { check(sub(r).Ack()); return object{} },
		"subscription.save":   func(r *request) object { check(sub(r).SaveOffset()); return object{} },
		"subscription.offset": func(r *request) object { return named("offset")(sub(r).Offset()) },

		"notify.send": func(r *request) object {
			if r.has("tx") {
				return named("id")(db(r).NotifyTx(tx(r), r.str("channel"), payload(r.args["payload"])))
			}
			return named("id")(db(r).Notify(r.str("channel"), payload(r.args["payload"])))
		},
		"notify.prune": func(r *request) object {
			return count(db(r).PruneNotifications(r.opt("older_than_s"), r.opt("max_keep")))
		},

		"sched.add": func(r *request) object {
			task := honker.ScheduledTask{Name: r.str("name"), Queue: r.str("queue"), Schedule: r.str("schedule"), Payload: payload(r.args["payload"]),
				Priority: r.numOr("priority", 0), ExpiresS: r.opt("expires_s"), MaxAttempts: r.nonZero("max_attempts")}
			r.more(&task.Options)
			if r.has("overlap") {
				task.Overlap = map[string]honker.Overlap{"allow": honker.OverlapAllow, "skip": honker.OverlapSkip}[r.str("overlap")]
			}
			check(sched(r).Add(task))
			return object{}
		},
		"sched.remove": func(r *request) object {
			n, err := sched(r).Remove(r.str("name"))
			return changed(n > 0, err)
		},
		"sched.pause":  func(r *request) object { return changed(sched(r).Pause(r.str("name"))) },
		"sched.resume": func(r *request) object { return changed(sched(r).Resume(r.str("name"))) },
		"sched.update": func(r *request) object {
			update := honker.ScheduleUpdate{Priority: r.opt("priority"), MaxAttempts: r.opt("max_attempts")}
			if r.has("schedule") {
				expression := r.str("schedule")
				update.CronExpr = &expression
			}
			if r.has("payload") {
				update.Payload = payload(r.args["payload"])
			}
			if expires := r.opt("expires_s"); r.has("expires_s") {
				update.ExpiresS = &expires
			}
			if r.has("max_attempts") && update.MaxAttempts == nil {
				update.MaxAttempts = honker.Int64(3) // the default
			}
			return changed(sched(r).Update(r.str("name"), update))
		},
		"sched.list": func(r *request) object { return object{"schedules": listed(sched(r).List())} },
		"sched.tick": func(r *request) object {
			tick := sched(r).Tick
			if r.has("now") {
				tick = func() ([]honker.ScheduledFire, error) { return sched(r).TickAt(r.num("now")) }
			}
			fires := []object{}
			for _, fire := range must(tick()) {
				fires = append(fires, fired(fire))
			}
			return object{"fires": fires}
		},
		"sched.soonest": func(r *request) object { return named("at")(sched(r).Soonest()) },
		"sched.run": func(r *request) object {
			s, owner := sched(r), r.str("owner")
			return keep(r, run(func(ctx context.Context) error { return s.Run(ctx, owner) }))
		},
		"cron.next_after": func(r *request) object { return named("at")(sched(r).NextAfter(r.str("schedule"), r.num("from"))) },

		"result.save": func(r *request) object {
			value := string(decode[json.RawMessage](r.args["value"]))
			if r.has("tx") {
				check(db(r).SaveResultTx(tx(r), r.num("id"), value, r.numOr("ttl_s", 0)))
			} else {
				check(db(r).SaveResult(r.num("id"), value, r.numOr("ttl_s", 0)))
			}
			return object{}
		},
		"result.get": func(r *request) object {
			value := must(db(r).GetResult(r.num("id")))
			if value == nil {
				panic(outcome("EMPTY"))
			}
			return object{"value": stored(*value)}
		},
		"result.wait": func(r *request) object {
			return within(r, func(ctx context.Context) object {
				return object{"value": stored(must(db(r).WaitResult(ctx, r.num("id"))))}
			})
		},
		"result.sweep": func(r *request) object { return count(db(r).SweepResults()) },

		"lock.acquire": func(r *request) object {
			owner := ""
			if r.has("owner") {
				owner = r.str("owner")
			}
			lock := must(db(r).TryLock(r.str("name"), owner, r.num("ttl_s")))
			if lock == nil {
				panic(outcome("HELD"))
			}
			return keep(r, func() *honker.Lock { return lock })
		},
		"lock.renew":   func(r *request) object { return or("LOST")(use[*honker.Lock](r, "on").Heartbeat(r.num("ttl_s"))) },
		"lock.release": func(r *request) object { return or("LOST")(use[*honker.Lock](r, "on").Release()) },
		"rate.try": func(r *request) object {
			return or("LIMITED")(db(r).TryRateLimit(r.str("name"), r.num("limit"), r.num("per_s")))
		},
		"rate.sweep": func(r *request) object { return count(db(r).SweepRateLimits(r.num("older_than_s"))) },

		"outbox.open": func(r *request) object {
			o := &outbox{attempts: r.opt("max_attempts"), script: decode[[]string](r.args["deliver"])}
			o.Outbox = must(db(r).Outbox(r.str("name"), o.deliver, honker.OutboxOptions{VisibilityTimeoutS: r.numOr("visibility_timeout_s", 0),
				MaxAttempts: r.numOr("max_attempts", 0), BaseBackoffS: r.nonZero("base_backoff_s")}))
			return keep(r, func() *outbox { return o })
		},
		"outbox.enqueue": func(r *request) object {
			if r.has("tx") {
				return named("id")(onOutbox(r).EnqueueTx(tx(r), payload(r.args["payload"]), r.enqueueOptions(onOutbox(r).attempts)))
			}
			return named("id")(onOutbox(r).Enqueue(payload(r.args["payload"]), r.enqueueOptions(onOutbox(r).attempts)))
		},
		"outbox.run_once": func(r *request) object {
			return object{"handled": must(onOutbox(r).RunOnce(context.Background(), r.str("worker")))}
		},
		"outbox.run": func(r *request) object {
			o, worker := onOutbox(r), r.str("worker")
			return keep(r, run(func(ctx context.Context) error { return o.RunWorker(ctx, worker) }))
		},
		"outbox.calls": func(r *request) object {
			o := onOutbox(r)
			o.Lock()
			defer o.Unlock()
			payloads := []any{}
			for _, payload := range o.payloads {
				payloads = append(payloads, stored(payload))
			}
			return object{"payloads": payloads}
		},
	}
	maps.Copy(operations, queueFeatures)
}

func open(r *request) object {
	options := honker.OpenOptions{BusyTimeout: duration(r.nonZero("busy_timeout_ms")), WatcherPollInterval: duration(r.nonZero("poll_ms"))}
	if r.has("journal") {
		options.JournalMode = map[string]honker.JournalMode{"WAL": honker.JournalWAL, "DELETE": honker.JournalDelete,
			"TRUNCATE": honker.JournalTruncate, "PERSIST": honker.JournalPersist}[r.str("journal")]
	}
	if r.has("watcher") {
		options.WatcherBackend = r.str("watcher")
	}
	return keep(r, func() *honker.Database { return must(honker.OpenWithOptions(r.str("path"), "", options)) })
}
