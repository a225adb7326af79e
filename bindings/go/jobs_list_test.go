package honker

import (
	"context"
	"fmt"
	"slices"
	"testing"
)

func idsOf(t *testing.T, jobs *Jobs) (ids []int64) {
	t.Helper()
	for job, err := range jobs.All(context.Background()) {
		ids = append(ids, must(t, job, err).ID)
	}
	return ids
}

func TestJobsAreListed(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	q := db.Queue("q", QueueOptions{})
	payloads := make([]any, 250)
	must(t, 0, second(q.EnqueueMany(payloads, EnqueueOptions{Metadata: map[string]string{"tenant": "a", "n": "1"}})))
	must(t, 0, second(db.Queue("r", QueueOptions{}).EnqueueMany(payloads[:3], EnqueueOptions{Delay: Int64(1000)})))
	var all []int64
	for id := int64(1); id <= 250; id++ {
		all = append(all, id)
	}
	want(t, idsOf(t, db.Jobs(JobFilter{Metadata: map[string]string{"tenant": "a"}, OldestFirst: true})), all) // three pages
	want(t, idsOf(t, db.Jobs(JobFilter{Queue: "r"})), []int64{253, 252, 251})
	want(t, idsOf(t, db.Jobs(JobFilter{States: []JobState{JobDelayed, JobDead}, MinID: 252, PageSize: 1})), []int64{253, 252})
	want(t, idsOf(t, db.Jobs(JobFilter{Queue: "nobody's"})), nil)
	for job := range db.Jobs(JobFilter{}).All(ctx) { // the loop may be left
		want(t, job.ID, 253)
		break
	}
	few := db.Jobs(JobFilter{MaxID: 3, PageSize: 2})
	page, cursor, err := few.Page(0)
	want(t, []int64{must(t, page, err)[0].ID, page[1].ID}, []int64{3, 2})
	page, cursor, err = few.Page(cursor)
	want(t, must(t, page, err)[0].ID, 1)
	want(t, cursor, 0)
	want(t, page[0].Metadata, map[string]string{"tenant": "a", "n": "1"})
	want(t, page[0].State, JobDue)
	want(t, page[0].WorkerID, nil)
	now := page[0].CreatedAt
	want(t, len(idsOf(t, db.Jobs(JobFilter{CreatedTo: now - 100}))), 0)
	want(t, len(idsOf(t, db.Jobs(JobFilter{CreatedFrom: now - 100, CreatedTo: now + 100}))), 253)

	jobs, err := q.ClaimBatch("w", 5)
	must(t, jobs, err)
	want(t, idsOf(t, db.Jobs(JobFilter{WorkerID: "w", States: []JobState{JobProcessing}, OldestFirst: true})), all[:5])
	for i, job := range jobs {
		must(t, 0, second(job.Fail(fmt.Sprintf("no route to host %d", i))))
	}
	must(t, 0, second(must2job(t)(q.ClaimOne("w")).Fail("another")))
	want(t, len(idsOf(t, db.Jobs(JobFilter{Error: "no route", EndedFrom: now - 100, EndedTo: now + 100}))), 5)
	groups, err := q.DeadGroups()
	want(t, len(must(t, groups, err)), 2)
	want(t, *groups[0].Error, "no route to host #")
	want(t, groups[0].Count, 5)
	want(t, groups[0].Newest.Queue, "q")
	ofAll, err := db.DeadGroups()
	want(t, must(t, ofAll, err), groups)
	none, err := db.Queue("r", QueueOptions{}).DeadGroups()
	want(t, len(must(t, none, err)), 0)
}

// TestPagesOfJobsAreDealtWith: one page, in a transaction or by itself, and how many are left.
func TestPagesOfJobsAreDealtWith(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.EnqueueMany(make([]any, 5), EnqueueOptions{})))
	jobs := db.Jobs(JobFilter{Queue: "q", PageSize: 2})
	page, err := jobs.ApplyPage(ActionPriority(3), 0)
	want(t, must(t, page, err), AppliedPage{Applied: Applied{Changed: 2}, Cursor: 4})
	tx, err := db.Begin()
	must(t, tx, err)
	page, err = jobs.ApplyPageTx(tx, ActionCancel, page.Cursor)
	want(t, must(t, page, err), AppliedPage{Applied: Applied{Changed: 2}, Cursor: 2})
	must(t, 0, tx.Rollback())
	want(t, must2stats(t)(q.Stats()).Pending, 5)
	page, err = db.Jobs(JobFilter{Queue: "q"}).ApplyPage(ActionMove("r"), 0)
	want(t, must(t, page, err), AppliedPage{Applied: Applied{Changed: 5}, Left: Int64(0)})
	_, err = jobs.ApplyPage(JobAction{}, 0)
	wantError(t, err, ErrInvalid, "action")
}

func TestJobsAreDealtWith(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	q, r := db.Queue("q", QueueOptions{}), db.Queue("r", QueueOptions{})
	must(t, 0, second(q.EnqueueMany(make([]any, 10), EnqueueOptions{})))
	must(t, 0, second(r.EnqueueMany(make([]any, 3), EnqueueOptions{Delay: Int64(1000)})))
	jobs, err := q.ClaimBatch("w", 5)
	for _, job := range must(t, jobs, err) {
		must(t, 0, second(job.Fail("no route")))
	}
	retry := func(jobs *Jobs) (Applied, error) { return jobs.Retry(ctx) }
	applies := func(filter JobFilter, f func(*Jobs) (Applied, error), expected Applied) {
		t.Helper()
		applied, err := f(db.Jobs(filter))
		want(t, must(t, applied, err), expected)
	}
	applies(JobFilter{Error: "no route", PageSize: 2}, retry, Applied{Changed: 5}) // three pages
	applies(JobFilter{Everything: true}, retry, Applied{})
	want(t, must2stats(t)(q.Stats()).Pending, 10)
	applies(JobFilter{Queue: "r", MaxID: 12}, func(jobs *Jobs) (Applied, error) { return jobs.RunNow(ctx) }, Applied{Changed: 2})
	applies(JobFilter{Queue: "r"}, func(jobs *Jobs) (Applied, error) { return jobs.Move(ctx, `an "other" one`) }, Applied{Changed: 3})
	want(t, must2stats(t)(db.Queue(`an "other" one`, QueueOptions{}).Stats()).Pending, 2)
	applies(JobFilter{MinID: 12}, func(jobs *Jobs) (Applied, error) { return jobs.SetPriority(ctx, -7) }, Applied{Changed: 2})
	page, _, err := db.Jobs(JobFilter{MinID: 12}).Page(0)
	want(t, must(t, page, err)[0].Priority, -7)
	applies(JobFilter{MinID: 4}, func(jobs *Jobs) (Applied, error) { return jobs.Cancel(ctx) }, Applied{Changed: 10})
	_, err = db.Jobs(JobFilter{UniqueKey: nil, PageSize: 7}).Delete(ctx)
	wantError(t, err, ErrInvalid)
	_, err = db.Jobs(JobFilter{Queue: "q", UniqueKey: String("")}).Delete(ctx)
	wantError(t, err, ErrInvalid, "unique_key")
	applies(JobFilter{Everything: true}, func(jobs *Jobs) (Applied, error) { return jobs.Delete(ctx) }, Applied{Changed: 3})
	want(t, idsOf(t, db.Jobs(JobFilter{})), nil)

	// One that is dead cannot have its key back while another has it.
	unique := EnqueueOptions{UniqueKey: String("k")}
	id, err := q.Enqueue(1, unique)
	must(t, id, err)
	must(t, 0, second(must2job(t)(q.ClaimOne("w")).Fail("why")))
	must(t, 0, second(q.Enqueue(2, unique)))
	applies(JobFilter{UniqueKey: String("k")}, retry, Applied{Conflicts: 1})
	requeued, err := q.RequeueDead(id)
	want(t, must(t, requeued, err), false)

	// Cancelling reaches a handler.
	started, causes := make(chan struct{}), make(chan error, 1)
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}, Logger: (&logged{}).logger()}), func(ctx context.Context, _ *Job) error {
		close(started)
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return nil
	})
	<-started
	applies(JobFilter{States: []JobState{JobProcessing}}, func(jobs *Jobs) (Applied, error) { return jobs.Cancel(ctx) }, Applied{Changed: 1})
	want(t, <-causes, ErrJobGone)
	want(t, stop(), nil)
}

func TestJobsThatCannotBe(t *testing.T) {
	db := open(t)
	for word, bad := range map[string]JobFilter{"limit": {Everything: true, PageSize: 1001}, "state": {States: []JobState{"lost"}}} {
		n := 0
		for _, err := range db.Jobs(bad).All(context.Background()) {
			wantError(t, err, ErrInvalid, word)
			n++
		}
		want(t, n, 1)
		_, err := db.Jobs(bad).Retry(context.Background())
		wantError(t, err, ErrInvalid, word)
	}
	_, _, err := db.Jobs(JobFilter{Error: "\xff"}).Page(0)
	wantError(t, err, ErrUTF8)
	_, err = db.Jobs(JobFilter{Error: "\xff"}).Cancel(context.Background())
	wantError(t, err, ErrUTF8)
	_, err = db.Jobs(JobFilter{Queue: "q"}).Move(context.Background(), "\xff")
	wantError(t, err, ErrUTF8)
	must(t, 0, second(db.Queue("q", QueueOptions{}).Enqueue(1, EnqueueOptions{})))
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	errs := []error{}
	for _, err := range db.Jobs(JobFilter{}).All(ended) {
		errs = append(errs, err)
	}
	_, err = db.Jobs(JobFilter{Queue: "q"}).Delete(ended)
	want(t, append(errs, err), []error{context.Canceled, context.Canceled})
	want(t, len(idsOf(t, db.Jobs(JobFilter{}))), 1)
}

func TestMetrics(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	must(t, 0, second(q.EnqueueMany([]any{1, 2, 3}, EnqueueOptions{})))
	must(t, 0, second(must2job(t)(q.ClaimOne("w")).Ack()))
	must2job(t)(q.ClaimOne("w"))
	other := must2(t)(Open(db.Path()))
	must(t, 0, second(other.Queue("q", QueueOptions{}).Enqueue(4, EnqueueOptions{Delay: Int64(1000)})))
	must(t, 0, other.Close()) // which adds what it has counted
	metrics, err := db.Metrics()
	want(t, len(must(t, metrics, err)), 1)
	one := metrics[0]
	want(t, one.Queue, "q")
	want(t, []int64{one.Depth.Due, one.Depth.Delayed, one.Depth.Processing, one.Depth.Dead}, []int64{1, 1, 1, 0})
	want(t, one.Depth.OldestDueAgeS != nil, true)
	want(t, one.Counts.Enqueued >= 1, true)
	for _, histogram := range []Histogram{one.Wait, one.Run} {
		ends := slices.IndexFunc(histogram.Buckets, func(bucket HistogramBucket) bool { return bucket.UpToS == nil })
		want(t, ends > 0 && ends == len(histogram.Buckets)-1, true)
	}
}
