package honker

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

func TestUniqueJobs(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	q := NewTypedQueue[int](db, "q", QueueOptions{})
	enqueue := func(payload int, options EnqueueOptions) EnqueueResult {
		t.Helper()
		options.UniqueKey = String("k")
		result, err := q.EnqueueWith(ctx, payload, options)
		return must(t, result, err)
	}
	payload := func() string {
		t.Helper()
		row, err := q.Queue.GetJob(1)
		return must(t, row, err).Payload
	}
	want(t, enqueue(1, EnqueueOptions{UniqueUntil: UniqueUntilClaimed}), EnqueueResult{1, StatusEnqueued})
	want(t, enqueue(2, EnqueueOptions{}), EnqueueResult{1, StatusExists})
	want(t, payload(), "1")
	want(t, enqueue(3, EnqueueOptions{OnConflict: ConflictReplace, MaxRunS: 7}), EnqueueResult{1, StatusReplaced})
	want(t, payload(), "3")
	id, err := q.Enqueue(ctx, 4, EnqueueOptions{UniqueKey: String("k")})
	want(t, must(t, id, err), 1)

	// Of several, in a transaction that is rolled back, and once the first one runs.
	tx, err := db.Begin()
	must(t, tx, err)
	results, err := db.EnqueueManyTx(tx, []JobSpec{q.Spec(5, EnqueueOptions{UniqueKey: String("k")}), q.Spec(6, EnqueueOptions{UniqueKey: String("l")}),
		q.Spec(7, EnqueueOptions{UniqueKey: String("l"), OnConflict: ConflictReplace})})
	want(t, must(t, results, err), []EnqueueResult{{1, StatusExists}, {2, StatusEnqueued}, {2, StatusReplaced}})
	must(t, 0, tx.Rollback())
	must2job(t)(q.Queue.ClaimOne("w"))
	tx, err = db.Begin()
	must(t, tx, err)
	result, err := q.EnqueueWithTx(tx, 8, EnqueueOptions{UniqueKey: String("k")})
	want(t, must(t, result, err).Status, StatusEnqueued)
	want(t, result.ID > 1, true)
	must(t, 0, tx.Commit())

	// A throttle outlives its job.
	throttled := EnqueueOptions{UniqueKey: String("t"), UniqueForS: 1000}
	one, err := q.EnqueueWith(ctx, 9, throttled)
	must(t, one, err)
	cancelled, err := q.Queue.Cancel(one.ID)
	want(t, must(t, cancelled, err), true)
	result, err = q.EnqueueWith(ctx, 10, throttled)
	want(t, must(t, result, err), EnqueueResult{one.ID, StatusExists})

	for word, bad := range map[string]EnqueueOptions{"unique_key": {UniqueForS: 1}, "unique_for_s": {UniqueKey: String("k"), UniqueForS: -1},
		"unique_until 7": {UniqueKey: String("k"), UniqueUntil: 7}, "on_conflict 7": {UniqueKey: String("k"), OnConflict: 7}, "max_run_s": {MaxRunS: -1},
		"NUL": {UniqueKey: String("a\x00b")}, "batch 77": {BatchID: 77}, "batch_id": {Member: &Job{ID: 1, WorkerID: "w"}}} {
		_, err := q.EnqueueWith(ctx, 1, bad)
		wantError(t, err, ErrInvalid, word)
	}
	for word, empty := range map[string]EnqueueOptions{"UniqueKey must not be empty": {UniqueKey: String("")},
		"ConcurrencyKey must not be empty": {ConcurrencyKey: String("")}} {
		_, err := q.EnqueueWith(ctx, 1, empty)
		wantError(t, err, ErrInvalid, word)
		_, err = db.EnqueueMany(ctx, []JobSpec{q.Spec(1, EnqueueOptions{}), q.Spec(2, empty)})
		wantError(t, err, ErrInvalid, word)
		_, err = db.CreateBatch(BatchOptions{OnSuccess: &JobSpec{Queue: "q", Options: empty}})
		wantError(t, err, ErrInvalid, word)
		wantError(t, db.Scheduler().Add(ScheduledTask{Name: "n", Queue: "q", Schedule: "@daily", Options: empty}), ErrInvalid, word)
	}
	_, err = q.EnqueueWith(ctx, 1, EnqueueOptions{ConcurrencyKey: String("\xff")})
	wantError(t, err, ErrUTF8)
	for _, unfit := range []EnqueueOptions{{UniqueKey: String("k")}, {ConcurrencyKey: String("k")}, {MaxRunS: 1}, {BatchID: 1}, {Metadata: map[string]string{"a": "b"}}} {
		_, err := q.EnqueueSQL(ctx, noTables{}, 1, unfit)
		wantError(t, err, ErrUnsupported, "has no column")
	}
}

func TestOptionsOfSchedules(t *testing.T) {
	db := open(t)
	s := db.Scheduler()
	task := ScheduledTask{Name: "n", Queue: "q", Schedule: "@every 1s", Overlap: OverlapSkip, Options: EnqueueOptions{ConcurrencyKey: String("c"),
		Metadata: map[string]string{"from": "schedule"}}}
	must(t, 0, s.Add(task))
	must(t, 0, s.Add(ScheduledTask{Name: "u", Queue: "q", Schedule: "@every 1s", Options: EnqueueOptions{UniqueKey: String("k")}}))
	soonest, err := s.Soonest()
	must(t, soonest, err)
	fires, err := s.TickAt(soonest + 2)
	var got []string
	for _, fire := range must(t, fires, err) {
		got = append(got, fmt.Sprint(fire.Name, " ", fire.JobID != 0, " ", fire.Status))
	}
	slices.Sort(got)
	want(t, slices.Compact(got), []string{"n false skipped", "n true enqueued", "u true enqueued", "u true exists"})
	n := 0
	for job, err := range db.Jobs(JobFilter{Metadata: map[string]string{"from": "schedule"}}).All(context.Background()) {
		want(t, *must(t, job, err).ConcurrencyKey, "c")
		n++
	}
	want(t, n, 1)
	for word, bad := range map[string]EnqueueOptions{"run_at": {RunAt: Int64(1)}, "priority": {Priority: 1},
		"member": {BatchID: 1, Member: &Job{ID: 1, WorkerID: "w"}}} {
		task.Options = bad
		wantError(t, s.Add(task), ErrInvalid, word)
	}
	task.Options, task.Overlap = EnqueueOptions{}, 7
	wantError(t, s.Add(task), ErrInvalid, "overlap")
}
