package honker

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// SQLExecer is a connection or transaction of the application's own: *sql.DB, *sql.Conn, *sql.Tx, sqlc's DBTX, or GORM's
// Statement.ConnPool, with whichever SQLite driver. One to a Postgres server is wrapped with Postgres or Pgx.
type SQLExecer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

const enqueueSQL = `INSERT INTO _honker_live (queue, payload, priority, run_at, max_attempts, created_at, expires_at)
SELECT queue, payload, priority, run_at, coalesce(max_attempts,
  (SELECT json_extract(settings, '$.max_attempts') FROM _honker_queues WHERE name = queue), 3), created_at, expires_at
FROM (SELECT ? AS queue, ? AS payload, ? AS priority, ? AS run_at, ? AS max_attempts, ? AS created_at, ? AS expires_at)`

// EnqueueSQL adds a job with a connection of the application's own, as a part of its transaction if it has one open; its id.
// Workers are woken by the commit. It needs neither libhonker nor a Database, but honker's tables, which
// Open makes. Metadata, MaxRunS, keys and batches are ErrUnsupported, and OpenOptions.EnqueueMiddleware does not see the job. The clock
// is that of this process.
//
// On Postgres it calls honker's function there, which takes all options, and the clock is the server's. Errors of the function are
// *Error; those of the driver it returns as they are, with a text before them.
func EnqueueSQL(ctx context.Context, conn SQLExecer, queue string, payload any, options EnqueueOptions) (int64, error) {
	switch {
	case !utf8.ValidString(queue):
		return 0, newError(StatusUTF8, "the name of the queue is not valid UTF-8")
	case strings.ContainsRune(queue, 0):
		return 0, invalid(nil, "the name of the queue has a NUL in it: %q", queue)
	}
	encoded, err := encode("payload", payload)
	if err != nil {
		return 0, err
	}
	if server, is := conn.(PostgresConn); is {
		return server.enqueue(ctx, queue, string(encoded), options)
	}
	if what := options.beyondColumns(); what != "" {
		return 0, newError(StatusUnsupported, "%s has no column: enqueue with a Database", what)
	}
	now, maxAttempts := time.Now().Unix(), any(nil)
	runAt, expiresAt := options.RunAt, any(nil)
	if options.Delay != nil {
		if runAt, err = after(now, "Delay", *options.Delay); err != nil {
			return 0, err
		}
	}
	if options.Expires != nil {
		if expiresAt, err = after(now, "Expires", *options.Expires); err != nil {
			return 0, err
		}
	}
	if options.MaxAttempts != nil {
		maxAttempts = *options.MaxAttempts
	}
	result, err := conn.ExecContext(ctx, enqueueSQL, queue, string(encoded), options.Priority, *orDefault(runAt, &now), maxAttempts, now, expiresAt)
	if err != nil && strings.Contains(err.Error(), "no such table: _honker_live") { // drivers have errors of their own, and no code for it
		return 0, fmt.Errorf("honker: the job was not enqueued: the file has no tables of honker's: open it once with honker.Open, "+
			"or run SELECT honker_bootstrap() with the extension: %w", err)
	}
	if _, is := sqlState(err); is {
		return 0, fmt.Errorf("honker: the job was not enqueued: the connection is one to a Postgres server: say so with honker.Postgres(conn): %w", err)
	}
	if err != nil {
		return 0, fmt.Errorf("honker: the job was not enqueued: %w", err)
	}
	return result.LastInsertId()
}

// beyondColumns names an option for which the table of jobs has no column, if there is one.
func (o *EnqueueOptions) beyondColumns() string {
	switch {
	case len(o.Metadata) > 0:
		return "Metadata"
	case o.MaxRunS != 0:
		return "MaxRunS"
	case o.UniqueKey != nil:
		return "UniqueKey"
	case o.ConcurrencyKey != nil:
		return "ConcurrencyKey"
	case o.BatchID != 0:
		return "BatchID"
	}
	return ""
}

// EnqueueSQL is the function EnqueueSQL for this queue and its options. Whether conn is one to a Postgres server, the queue's Database
// says.
func (q *Queue) EnqueueSQL(ctx context.Context, conn SQLExecer, payload any, options EnqueueOptions) (int64, error) {
	job := q.spec(payload, options)
	return EnqueueSQL(ctx, q.db.on(conn), job.Queue, job.Payload, job.Options)
}

// AckSQL is Ack with a connection of the application's own, as a part of its transaction: what the job did there is done exactly
// once. It needs no extension; the clock is that of this process. False if the claim was lost: then roll back.
//
// What else the job had, workers let go of within a minute: its place in a batch, its steps, and its slot of the concurrency key.
// Its unique key is free at once. It is not kept as done, and no metric counts it.
//
// On Postgres it is Ack itself: honker's function does all of that at once, by the server's clock.
//
// A worker leaves the rest to the transaction. If the handler returns nil afterwards, the job is gone if that was committed, and
// run again when its claim is over if it was not; a handler that fails, to commit for instance, is settled as ever.
func (j *Job) AckSQL(ctx context.Context, conn SQLExecer) (bool, error) {
	if j.shared != nil && j.shared.lost.Load() { // in a file that has replaced its own, another job may have its id
		return false, nil
	}
	if server, is := j.db.on(conn).(PostgresConn); is {
		acked, err := server.ack(ctx, j)
		if acked && j.shared != nil {
			j.shared.ackedSQL.Store(true)
		}
		return acked, err
	}
	result, err := conn.ExecContext(ctx, "DELETE FROM _honker_live WHERE id = ? AND worker_id = ? AND attempts = ? AND claim_expires_at >= ?",
		j.ID, j.WorkerID, j.Attempts, time.Now().Unix())
	if err != nil {
		return false, fmt.Errorf("honker: the job was not acked: %w", err)
	}
	deleted, err := result.RowsAffected()
	if err != nil || deleted == 0 {
		return false, err
	}
	if j.shared != nil {
		j.shared.ackedSQL.Store(true)
	}
	// Of a member of a batch they say so, to whoever counts it.
	if _, err := conn.ExecContext(ctx, "DELETE FROM _honker_job_options WHERE job_id = ? AND batch_id IS NULL", j.ID); err != nil {
		return false, fmt.Errorf("honker: the job was not acked: %w", err)
	}
	return true, nil
}

// SchemaSQL makes honker's tables and indexes, where they are not there yet: for the migrations of an application, or a
// database in memory for its tests. A file that has them is left as Open would have made it. Open does the same by itself, and brings older
// files up to date, which this does not.
//
//go:embed schema.sql
var SchemaSQL string

// after is the time in so many seconds.
func after(now int64, name string, seconds int64) (*int64, error) {
	if seconds > 0 && now > math.MaxInt64-seconds {
		return nil, invalid(nil, "%s is too large: %d", name, seconds)
	}
	return Int64(now + seconds), nil
}
