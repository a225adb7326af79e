package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	_ "github.com/mattn/go-sqlite3"
	honker "github.com/russellromney/honker-go"
)

type request struct{ args map[string]json.RawMessage }

func (r *request) has(key string) bool { _, has := r.args[key]; return has }

func (r *request) isNull(key string) bool { return string(r.args[key]) == "null" }

func (r *request) num(key string) int64 {
	return must(strconv.ParseInt(string(r.args[key]), 10, 64))
}

func (r *request) numOr(key string, otherwise int64) int64 {
	if !r.has(key) || r.isNull(key) {
		return otherwise
	}
	return r.num(key)
}

// nonZero is for options whose zero means the default, and where any number below means what 0 does.
func (r *request) nonZero(key string) int64 {
	if n := r.numOr(key, 0); n != 0 || !r.has(key) {
		return n
	}
	return -1
}

func duration(ms int64) time.Duration {
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

func (r *request) opt(key string) *int64 {
	if !r.has(key) || r.isNull(key) {
		return nil
	}
	return honker.Int64(r.num(key))
}

func decode[T any](raw json.RawMessage) (value T) {
	check(json.Unmarshal(raw, &value))
	return value
}

// special is the text in {"$bytes": ...} and its like.
func special(raw json.RawMessage, key string) (string, bool) {
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || len(object) != 1 || object[key] == nil {
		return "", false
	}
	return decode[string](object[key]), true
}

func text(raw json.RawMessage) string {
	if bytes, is := special(raw, "$bytes"); is {
		return string(must(hex.DecodeString(bytes)))
	}
	return decode[string](raw)
}

func (r *request) str(key string) string { return text(r.args[key]) }

func payload(raw json.RawMessage) any {
	if _, is := special(raw, "$bytes"); is {
		return text(raw)
	}
	if _, is := special(raw, "$text"); is {
		panic(unsupported("text"))
	}
	return raw
}

// stored is a payload that was stored.
func stored[T ~string | ~[]byte](payload T) any {
	if json.Valid([]byte(payload)) {
		return json.RawMessage(payload)
	}
	return object{"$text": string(payload)}
}

func (r *request) params() []any {
	var params []any
	if r.has("params") {
		for _, raw := range decode[[]json.RawMessage](r.args["params"]) {
			params = append(params, param(raw))
		}
	}
	return params
}

func param(raw json.RawMessage) any {
	if digits, is := special(raw, "$hex"); is {
		return must(hex.DecodeString(digits))
	}
	if raw[0] == '"' || raw[0] == '{' {
		return text(raw)
	}
	if number, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return number
	}
	return decode[any](raw)
}

func rowsOf(rows []honker.Row, err error) object {
	all := make([][]any, 0)
	for _, row := range must(rows, err) {
		for i, value := range row.Values {
			if blob, is := value.([]byte); is {
				row.Values[i] = object{"$hex": hex.EncodeToString(blob)}
			}
		}
		all = append(all, row.Values)
	}
	return object{"rows": all}
}

func (r *request) enqueueOptions(attempts *int64) honker.EnqueueOptions {
	options := honker.EnqueueOptions{MaxAttempts: attempts, RunAt: r.opt("run_at"), Priority: r.numOr("priority", 0), Expires: r.opt("expires_s")}
	r.more(&options)
	return options
}

// more has the options that jobs of schedules have as well.
func (r *request) more(options *honker.EnqueueOptions) {
	options.Delay = r.opt("delay_s")
	if r.has("metadata") {
		options.Metadata = decode[map[string]string](r.args["metadata"])
	}
	if r.has("unique_key") {
		options.UniqueKey = honker.String(r.str("unique_key"))
	}
	options.UniqueForS = r.numOr("unique_for_s", 0)
	options.MaxRunS = r.numOr("max_run_s", 0)
	if r.has("concurrency_key") {
		options.ConcurrencyKey = honker.String(r.str("concurrency_key"))
	}
	options.BatchID = r.numOr("batch_id", 0)
	if r.has("member") {
		options.Member = given(decode[claim](r.args["member"]))
	}
	if r.has("unique_until") {
		options.UniqueUntil = map[string]honker.UniqueUntil{"settled": honker.UniqueUntilSettled, "claimed": honker.UniqueUntilClaimed}[r.str("unique_until")]
	}
	if r.has("on_conflict") {
		options.OnConflict = map[string]honker.OnConflict{"keep": honker.ConflictKeep, "replace": honker.ConflictReplace}[r.str("on_conflict")]
	}
}

func enqueued(result honker.EnqueueResult, err error) object {
	one := must(result, err)
	return object{"id": one.ID, "status": one.Status}
}

func fired(fire honker.ScheduledFire) object {
	answer := object{"name": fire.Name, "queue": fire.Queue, "fire_at": fire.FireAt, "job_id": fire.JobID}
	if fire.Status != honker.StatusEnqueued {
		answer["status"] = fire.Status
	}
	if fire.Status == honker.StatusSkipped {
		answer["job_id"] = nil
	}
	return answer
}

func tx(r *request) *honker.Transaction   { return use[*honker.Transaction](r, "tx") }
func db(r *request) *honker.Database      { return use[*honker.Database](r, "on") }
func queue(r *request) *myQueue           { return use[*myQueue](r, "on") }
func stream(r *request) *honker.Stream    { return use[*honker.Stream](r, "on") }
func sub(r *request) *honker.Subscription { return use[*honker.Subscription](r, "on") }
func sched(r *request) *honker.Scheduler  { return db(r).Scheduler() }
func changed(did bool, err error) object  { return object{"changed": must(did, err)} }
func count(n int64, err error) object     { return object{"n": must(n, err)} }
func named(key string) func(int64, error) object {
	return func(n int64, err error) object { return object{key: must(n, err)} }
}

func jobs(claimed []*honker.Job, err error) object {
	all := []object{}
	for _, job := range must(claimed, err) {
		handles.Lock()
		handles.jobs[fmt.Sprint(job.ID, job.WorkerID)] = job
		handles.Unlock()
		answer := object{"id": job.ID, "queue": job.Queue, "payload": stored(job.Payload), "worker": job.WorkerID, "attempts": job.Attempts}
		if job.Metadata != nil {
			answer["metadata"] = job.Metadata
		}
		all = append(all, answer)
	}
	return object{"jobs": all}
}

func job(r *request) *honker.Job { return given(claim{r.num("id"), r.str("worker")}) }

// claim names a job that was given.
type claim struct {
	Job    int64  `json:"job_id"`
	Worker string `json:"worker_id"`
}

func given(it claim) *honker.Job {
	handles.Lock()
	defer handles.Unlock()
	job := handles.jobs[fmt.Sprint(it.Job, it.Worker)]
	if job == nil {
		panic(unsupported("by_id"))
	}
	return job
}

func event(e *honker.StreamEvent) object {
	return object{"offset": e.Offset, "topic": e.Topic, "key": e.Key, "payload": stored(e.Payload), "created_at": e.CreatedAt}
}

func events(events []honker.StreamEvent, err error) object {
	all := []object{}
	for _, e := range must(events, err) {
		all = append(all, event(&e))
	}
	return object{"events": all}
}

// withPayload is what the package returns, where payloads are texts.
func withPayload(row any) any {
	fields := decode[map[string]json.RawMessage](must(json.Marshal(row)))
	fields["payload"] = must(json.Marshal(stored(decode[string](fields["payload"]))))
	return fields
}

func listed[T any](rows []T, err error) []any {
	all := []any{}
	for _, row := range must(rows, err) {
		all = append(all, withPayload(row))
	}
	return all
}

// within calls something that waits.
func within(r *request, wait func(ctx context.Context) object) object {
	now := r.num("timeout_ms") == 0
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if ms := r.num("timeout_ms"); ms >= 0 {
		ctx, cancel = context.WithTimeout(ctx, duration(max(ms, 20)))
	}
	defer cancel()
	defer func() {
		if why := recover(); why != nil {
			switch err, _ := why.(error); {
			case errors.Is(err, context.DeadlineExceeded):
				why = outcome("TIMEOUT")
			case !now && errors.Is(err, honker.ErrClosed):
				why = outcome("CLOSED")
			}
			panic(why)
		}
	}()
	return wait(ctx)
}

// myQueue is a queue with its budget: in QueueOptions 0 would be the default.
type myQueue struct {
	*honker.Queue
	db       *honker.Database
	attempts *int64
}

type worker struct {
	*honker.ClaimWaker
	name string
}

func next(r *request) object {
	now := r.num("timeout_ms") == 0
	return within(r, func(ctx context.Context) object {
		switch on := use[any](r, "on").(type) {
		case worker:
			if now {
				claimed, err := on.Poll(on.name, r.numOr("n", 1))
				return some(jobs(claimed, err), len(claimed) > 0 || r.numOr("n", 1) < 1)
			}
			claimed, err := on.NextBatch(ctx, on.name, r.numOr("n", 1))
			return some(jobs(claimed, err), len(claimed) > 0 || r.numOr("n", 1) < 1)
		case *honker.Listener:
			poll := on.Poll
			if !now {
				poll = func() (*honker.Notification, error) { return on.Next(ctx) }
			}
			n := must(poll())
			some(nil, n != nil)
			return object{"notification": object{"id": n.ID, "channel": n.Channel, "payload": stored(n.Payload)}}
		case *honker.Subscription:
			poll := on.Poll
			if !now {
				poll = func() (*honker.StreamEvent, error) { return on.Next(ctx) }
			}
			e := must(poll())
			some(nil, e != nil)
			return object{"event": event(e)}
		case *honker.Updates:
			check(on.Wait(ctx))
			return object{}
		}
		panic(errors.New("next does not work on this"))
	})
}

func some(answer object, is bool) object {
	if !is {
		panic(outcome("TIMEOUT"))
	}
	return answer
}

// runner is a loop of the package's, which runs until it is told to stop.
type runner struct {
	stop  context.CancelFunc
	ended chan error
}

func run(loop func(ctx context.Context) error) func() *runner {
	return func() *runner { return start(loop) }
}

func start(loop func(ctx context.Context) error) *runner {
	ctx, stop := context.WithCancel(context.Background())
	r := &runner{stop, make(chan error, 1)}
	go func() { r.ended <- loop(ctx); close(r.ended) }()
	return r
}

func (r *runner) Close() error { r.stop(); return <-r.ended }

// outbox is an outbox, and what its function was given so far and does, call by call.
type outbox struct {
	*honker.Outbox
	attempts *int64
	sync.Mutex
	payloads []json.RawMessage
	script   []string
}

func (o *outbox) deliver(_ context.Context, payload json.RawMessage) error {
	o.Lock()
	defer o.Unlock()
	o.payloads = append(o.payloads, payload)
	if what := o.script[min(len(o.payloads), len(o.script))-1]; what != "ok" {
		return errors.New(what)
	}
	return nil
}
func onOutbox(r *request) *outbox { return use[*outbox](r, "on") }
