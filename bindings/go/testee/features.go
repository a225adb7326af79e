package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	honker "github.com/russellromney/honker-go"
)

// queueFeatures are the operations of limits, batches, steps, lists of jobs and handlers.
var queueFeatures = map[string]func(r *request) object{
	"queue.configure": func(r *request) object { check(queue(r).Configure(r.settings())); return object{} },
	"queue.settings":  func(r *request) object { return object{"settings": must(queue(r).Settings())} },
	"queues":          func(r *request) object { return object{"queues": must(db(r).Queues())} },
	"metrics":         func(r *request) object { return object{"queues": must(db(r).Metrics())} },
	"dead.groups": func(r *request) object {
		groups := []object{}
		for _, group := range must(queue(r).DeadGroups()) {
			groups = append(groups, object{"error": group.Error, "count": group.Count, "newest": withPayload(group.Newest)})
		}
		return object{"groups": groups}
	},
	"jobs.list": func(r *request) object {
		filter, cursor := r.filter()
		page, next, err := db(r).Jobs(filter).Page(cursor)
		return object{"page": object{"jobs": listed(page, err), "cursor": orNull(next)}}
	},
	"jobs.apply": func(r *request) object {
		filter, cursor := r.filter()
		jobs := db(r).Jobs(filter)
		var applied honker.AppliedPage
		if r.has("tx") {
			applied = must(jobs.ApplyPageTx(tx(r), r.action(), cursor))
		} else {
			applied = must(jobs.ApplyPage(r.action(), cursor))
		}
		return object{"applied": object{"changed": applied.Changed, "conflicts": applied.Conflicts, "left": applied.Left, "cursor": orNull(applied.Cursor)}}
	},
	"batch.create": func(r *request) object {
		if r.has("tx") {
			return object{"id": must(db(r).CreateBatchTx(tx(r), r.batch())).ID}
		}
		return object{"id": must(db(r).CreateBatch(r.batch())).ID}
	},
	"batch.seal": func(r *request) object {
		if r.has("tx") {
			return object{"sealed": must(db(r).BatchByID(r.num("id")).SealTx(tx(r)))}
		}
		return object{"sealed": must(db(r).BatchByID(r.num("id")).Seal())}
	},
	"batch.get": func(r *request) object {
		status := must(db(r).BatchByID(r.num("id")).Status())
		if status == nil {
			panic(outcome("EMPTY"))
		}
		return object{"batch": status}
	},
	"step.get": func(r *request) object { return step(r, func() (json.RawMessage, error) { return nil, errNotSaved }) },
	"step.save": func(r *request) object {
		return step(r, func() (json.RawMessage, error) { return r.args["value"], nil })
	},
	"stream.configure": func(r *request) object {
		settings := decode[map[string]*int64](r.args["settings"])
		check(stream(r).Configure(honker.StreamUpdate{KeepS: orForEver(settings, "keep_s"), KeepN: orForEver(settings, "keep_n")}))
		return object{}
	},
	"stream.trim": func(r *request) object {
		settings := decode[struct {
			KeepS         *int64 `json:"keep_s"`
			KeepN         *int64 `json:"keep_n"`
			PastConsumers bool   `json:"past_consumers"`
		}](r.args["settings"])
		return count(stream(r).Trim(honker.TrimOptions(settings)))
	},
	"notify.configure": func(r *request) object {
		keepS := int64(0)
		if set := decode[map[string]*int64](r.args["settings"])["keep_s"]; set != nil {
			keepS = *set
		}
		check(db(r).KeepNotifications(keepS))
		return object{}
	},
	"worker.run": func(r *request) object {
		h := &handler{script: decode[[]string](r.args["handle"]), seen: make(chan object, 1000)}
		worker := queue(r).db.NewWorker(honker.WorkerOptions{Queues: []honker.WorkerQueue{{Name: queue(r).Name()}}, Name: r.str("worker"),
			Concurrency: 1, NoSignals: true, StopTimeout: -1})
		return keep(r, func() *handlerRunner {
			return &handlerRunner{start(func(ctx context.Context) error { return worker.Run(ctx, h.handle) }), h}
		})
	},
	"handler.next": func(r *request) object {
		return within(r, func(ctx context.Context) object {
			select {
			case seen := <-use[*handlerRunner](r, "on").seen:
				return seen
			case <-ctx.Done():
				panic(outcome("TIMEOUT"))
			}
		})
	},
}

func orNull(cursor int64) any {
	if cursor == 0 {
		return nil
	}
	return cursor
}

// orForEver is a setting, of which the package's word for null is a negative number.
func orForEver(settings map[string]*int64, key string) *int64 {
	value, is := settings[key]
	if is && value == nil {
		return honker.Int64(-1)
	}
	return value
}

// settings is what to change of a queue; null is the package's zero.
func (r *request) settings() honker.QueueUpdate {
	var update honker.QueueUpdate
	for key, raw := range decode[map[string]json.RawMessage](r.args["settings"]) {
		isNull := string(raw) == "null"
		number := func(null int64) *int64 {
			if isNull {
				return &null
			}
			return honker.Int64(decode[int64](raw))
		}
		switch key {
		case "paused":
			paused := !isNull && decode[bool](raw)
			update.Paused = &paused
		case "concurrency":
			update.Concurrency = number(0)
		case "concurrency_per_key":
			update.ConcurrencyPerKey = number(0)
		case "rate":
			rate := decode[honker.QueueRate](raw)
			update.Rate = &rate
		case "max_attempts":
			update.MaxAttempts = number(0)
		case "retry":
			retry := decode[honker.QueueRetry](raw)
			update.Retry = &retry
		case "keep_done_s":
			update.KeepDoneS = number(0)
		case "keep_dead_s":
			update.KeepDeadS = number(-1)
		default:
			panic(unsupported("unknown_keys"))
		}
	}
	return update
}

// filter is the package's, and where its page begins.
func (r *request) filter() (honker.JobFilter, int64) {
	filter := honker.JobFilter{Everything: true}
	cursor := int64(0)
	for key, raw := range decode[map[string]json.RawMessage](r.args["filter"]) {
		switch key {
		case "state":
			if raw[0] == '"' {
				raw = json.RawMessage("[" + string(raw) + "]")
			}
			filter.States = decode[[]honker.JobState](raw)
		case "unique_key":
			filter.UniqueKey = honker.String(text(raw))
		case "metadata":
			filter.Metadata = decode[map[string]string](raw)
		case "order":
			filter.OldestFirst = text(raw) == "oldest"
		case "cursor":
			cursor = decode[int64](raw)
		default:
			if to := map[string]*string{"queue": &filter.Queue, "worker_id": &filter.WorkerID, "error": &filter.Error}[key]; to != nil {
				*to = text(raw)
				continue
			}
			to := map[string]*int64{"min_id": &filter.MinID, "max_id": &filter.MaxID, "batch_id": &filter.BatchID, "limit": &filter.PageSize,
				"created_from": &filter.CreatedFrom, "created_to": &filter.CreatedTo, "ended_from": &filter.EndedFrom, "ended_to": &filter.EndedTo}[key]
			if to == nil {
				panic(unsupported("unknown_keys"))
			}
			*to = decode[int64](raw)
		}
	}
	return filter, cursor
}

func (r *request) action() honker.JobAction {
	what := r.str("action")
	named := map[string]honker.JobAction{"retry": honker.ActionRetry, "run_now": honker.ActionRunNow, "cancel": honker.ActionCancel, "delete": honker.ActionDelete}
	if action, is := named[what]; is {
		return action
	}
	if what[0] != '{' {
		panic(unsupported("unknown_keys"))
	}
	action := decode[struct {
		Move     *string
		Priority *int64
	}](json.RawMessage(what))
	if action.Move != nil {
		return honker.ActionMove(*action.Move)
	}
	return honker.ActionPriority(*action.Priority)
}

// batch is what the package enqueues at the end of a batch.
func (r *request) batch() honker.BatchOptions {
	options := decode[struct {
		OnFinished *map[string]json.RawMessage `json:"on_finished"`
		OnSuccess  *map[string]json.RawMessage `json:"on_success"`
		KeepS      *int64                      `json:"keep_s"`
	}](r.args["options"])
	spec := func(job *map[string]json.RawMessage) *honker.JobSpec {
		if job == nil {
			return nil
		}
		spec := &honker.JobSpec{Queue: text((*job)["queue"]), Payload: json.RawMessage(text((*job)["payload"]))}
		if more := (*job)["options"]; more != nil {
			of := &request{decode[map[string]json.RawMessage](more)}
			spec.Options = of.enqueueOptions(of.opt("max_attempts"))
		}
		return spec
	}
	return honker.BatchOptions{OnFinished: spec(options.OnFinished), OnSuccess: spec(options.OnSuccess), KeepS: options.KeepS}
}

var errNotSaved = errors.New("the step was not saved")

// step is a step of a job in hand, which f does if it was not done before.
func step(r *request, f func() (json.RawMessage, error)) object {
	var value json.RawMessage
	var err error
	if r.has("tx") {
		value, err = honker.StepIn(context.Background(), tx(r), job(r), r.str("name"), func(context.Context) (json.RawMessage, error) { return f() })
	} else {
		value, err = honker.Step(context.Background(), job(r), r.str("name"), func(context.Context) (json.RawMessage, error) { return f() })
	}
	switch {
	case errors.Is(err, errNotSaved):
		panic(outcome("EMPTY"))
	case errors.Is(err, honker.ErrLost):
		panic(outcome("LOST"))
	}
	return object{"value": must(value, err)}
}

// handler is a handler that does what the script says, and tells what happens to it.
type handler struct {
	sync.Mutex
	script []string
	calls  int
	seen   chan object
}

type handlerRunner struct {
	*runner
	*handler
}

var reasons = map[error]string{honker.ErrJobGone: "gone", honker.ErrJobLapsed: "lapsed", honker.ErrJobTaken: "taken", honker.ErrJobTimeout: "timeout", honker.ErrStopping: "stop"}

func (h *handler) handle(ctx context.Context, job *honker.Job) error {
	h.say(job, object{"what": "called"})
	h.Lock()
	what := h.script[min(h.calls, len(h.script)-1)]
	h.calls++
	h.Unlock()
	switch what {
	case "ok":
		return nil
	case "wait":
		<-ctx.Done()
		h.say(job, object{"what": "told", "reason": reasons[context.Cause(ctx)]})
		return ctx.Err()
	}
	return errors.New(what)
}

func (h *handler) say(job *honker.Job, what object) {
	what["at_us"] = time.Now().UnixMicro()
	what["id"], what["attempts"], what["worker"] = job.ID, job.Attempts, job.WorkerID
	h.seen <- what
}
