package honker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
)

func statusOf(t *testing.T, b *Batch) BatchStatus {
	t.Helper()
	status, err := b.Status()
	return *must(t, status, err)
}

func TestBatch(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	q := db.Queue("q", QueueOptions{})
	options := BatchOptions{KeepS: Int64(60), OnSuccess: &JobSpec{Queue: "success"}, OnFinished: &JobSpec{Queue: "finished", Payload: []string{"é"},
		Options: EnqueueOptions{Priority: 5, Delay: Int64(-1), MaxAttempts: Int64(9), RunAt: Int64(7), Expires: Int64(1000), MaxRunS: 8, UniqueKey: String("u"),
			UniqueUntil: UniqueUntilClaimed, UniqueForS: 3, OnConflict: ConflictReplace, ConcurrencyKey: String("c"), Metadata: map[string]string{"a": "b"}}}}
	batch, err := db.Batch(options, func(b *Batch) error {
		for i := range 2 {
			if _, err := q.Enqueue(i, EnqueueOptions{BatchID: b.ID}); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, batch, err)
	want(t, statusOf(t, batch), BatchStatus{Total: 2, Pending: 2, Sealed: true})
	sealed, err := batch.Seal()
	want(t, must(t, sealed, err), false)
	_, err = q.Enqueue(3, EnqueueOptions{BatchID: batch.ID})
	wantError(t, err, ErrInvalid, "sealed")

	// A member that runs adds another one, in the transaction that ends it.
	ran, err := db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}}).RunDue(ctx, func(ctx context.Context, job *Job) error {
		of, err := job.Batch()
		if err != nil || string(job.Payload) != "0" {
			return err
		}
		want(t, of.ID, batch.ID)
		tx, err := db.Transaction(ctx)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := q.EnqueueTx(tx, "more", EnqueueOptions{BatchID: of.ID, Member: job}); err != nil {
			return err
		}
		if _, err := job.AckTx(tx); err != nil {
			return err
		}
		return tx.Commit()
	})
	want(t, must(t, ran, err), 3)
	done := statusOf(t, batch)
	want(t, done.FinishedAt != nil, true)
	done.FinishedAt = nil
	want(t, done, BatchStatus{Total: 3, Done: 3, Sealed: true})
	callback := must2job(t)(db.Queue("finished", QueueOptions{}).ClaimOne("w"))
	want(t, string(callback.Payload), `["é"]`)
	want(t, callback.Metadata, map[string]string{"a": "b", "batch_id": fmt.Sprint(batch.ID)})
	want(t, callback.MaxAttempts, 9)
	listed, _, err := db.Jobs(JobFilter{Queue: "finished"}).Page(0)
	must(t, listed, err)
	want(t, []string{*listed[0].UniqueKey, *listed[0].ConcurrencyKey}, []string{"u", "c"})
	want(t, listed[0].Priority, 5)
	none, err := callback.Batch()
	want(t, must(t, none, err), nil)
	want(t, must2job(t)(db.Queue("success", QueueOptions{}).ClaimOne("w")).Metadata["batch_id"], fmt.Sprint(batch.ID))
}

func TestBatchThatIsNotFilled(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	failure := errors.New("no more paper")
	batch, err := db.Batch(BatchOptions{}, func(b *Batch) error {
		must(t, 0, second(q.Enqueue(1, EnqueueOptions{BatchID: b.ID})))
		return failure
	})
	want(t, err, failure)
	want(t, statusOf(t, batch), BatchStatus{Total: 1, Pending: 1})
	sealed, err := db.BatchByID(batch.ID).Seal()
	want(t, must(t, sealed, err), true)
	func() {
		defer func() { want(t, recover(), any("a mess")) }()
		_, _ = db.Batch(BatchOptions{}, func(b *Batch) error {
			batch = b
			panic("a mess")
		})
	}()
	want(t, statusOf(t, batch), BatchStatus{})

	// In a transaction there is nothing of it when that is rolled back.
	before := must2stats(t)(q.Stats())
	for _, failure := range []error{failure, nil} {
		tx, err := db.Begin()
		must(t, tx, err)
		batch, err := db.BatchTx(tx, BatchOptions{}, func(b *Batch) error {
			must(t, 0, second(q.EnqueueTx(tx, 1, EnqueueOptions{BatchID: b.ID})))
			return failure
		})
		want(t, err, failure)
		sealed, err := batch.SealTx(tx)
		want(t, must(t, sealed, err), failure != nil)
		must(t, 0, tx.Rollback())
		gone, err := batch.Status()
		want(t, must(t, gone, err), nil)
	}
	want(t, must2stats(t)(q.Stats()), before)
}

// TestBatchOfSeveral: one makes it, others fill and seal it.
func TestBatchOfSeveral(t *testing.T) {
	db := open(t)
	other := must2(t)(Open(db.path, ""))
	defer other.Close()
	batch, err := db.CreateBatch(BatchOptions{OnFinished: &JobSpec{Queue: "after"}})
	must(t, batch, err)
	must(t, 0, second(other.Queue("q", QueueOptions{}).Enqueue(1, EnqueueOptions{BatchID: batch.ID})))
	want(t, statusOf(t, batch), BatchStatus{Total: 1, Pending: 1})
	must(t, 0, second(must2job(t)(db.Queue("q", QueueOptions{}).ClaimOne("w")).Ack()))
	want(t, statusOf(t, batch), BatchStatus{Total: 1, Done: 1})
	sealed, err := other.BatchByID(batch.ID).Seal()
	want(t, must(t, sealed, err), true)
	want(t, must2job(t)(other.Queue("after", QueueOptions{}).ClaimOne("w")).Metadata["batch_id"], fmt.Sprint(batch.ID))

	tx, err := db.Begin()
	must(t, tx, err)
	gone, err := db.CreateBatchTx(tx, BatchOptions{})
	must(t, gone, err)
	must(t, 0, tx.Rollback())
	status, err := gone.Status()
	want(t, must(t, status, err), nil)
	_, err = db.CreateBatch(BatchOptions{KeepS: Int64(-1)})
	wantError(t, err, ErrInvalid, "keep_s")
}

func TestBatchThatCannotBe(t *testing.T) {
	db := open(t)
	_, err := db.BatchByID(77).Seal()
	wantError(t, err, ErrInvalid, "no batch 77")
	unknown, err := db.BatchByID(77).Status()
	want(t, must(t, unknown, err), nil)
	callback := func(options EnqueueOptions) *JobSpec { return &JobSpec{Queue: "q", Options: options} }
	for word, bad := range map[string]BatchOptions{"keep_s": {KeepS: Int64(-1)}, "unique_until": {OnSuccess: callback(EnqueueOptions{UniqueKey: String("k"), UniqueUntil: 7})},
		"payload": {OnFinished: &JobSpec{Payload: math.NaN()}}, "member": {OnFinished: callback(EnqueueOptions{Member: &Job{}})},
		"batch_id": {OnSuccess: callback(EnqueueOptions{BatchID: 1})}, "max_run_s": {OnSuccess: callback(EnqueueOptions{MaxRunS: -1})}} {
		_, err := db.Batch(bad, func(*Batch) error { t.Error("it was made"); return nil })
		wantError(t, err, ErrInvalid, word)
	}
	_, err = db.Batch(BatchOptions{OnSuccess: &JobSpec{Queue: "\xff"}}, nil)
	wantError(t, err, ErrUTF8)
	_, err = (&Job{}).Batch()
	wantError(t, err, ErrMisuse)
	_, err = db.BatchTx(nil, BatchOptions{}, nil)
	wantError(t, err, ErrMisuse)
}

// TestAckSQLOfABatchsMember: what AckSQL leaves tells whoever counts.
func TestAckSQLOfABatchsMember(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	batch, err := db.Batch(BatchOptions{}, func(b *Batch) error { return second(q.Enqueue(1, EnqueueOptions{BatchID: b.ID})) })
	must(t, batch, err)
	job := must2job(t)(q.ClaimOne("w"))
	tx, err := db.Begin()
	must(t, tx, err)
	held, err := job.AckSQL(context.Background(), foreign{tx})
	want(t, must(t, held, err), true)
	must(t, 0, tx.Commit())
	stop := runs(t, db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: "q"}}}), func(context.Context, *Job) error { return nil })
	eventually(t, "it has finished", func() bool {
		status := statusOf(t, batch)
		return status.Done == 1 && status.FinishedAt != nil
	})
	want(t, stop(), nil)
}
