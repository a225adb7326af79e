package honker

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// SQLExecer is a connection or transaction of the application's own: *sql.DB, *sql.Conn, *sql.Tx, sqlc's DBTX, or GORM's
// Statement.ConnPool, with whichever SQLite driver.
type SQLExecer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

const enqueueSQL = `INSERT INTO _honker_live (queue, payload, priority, run_at, max_attempts, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`

// EnqueueSQL adds a job with a connection of the application's own, as a part of its transaction if it has one open; its id.
// Workers are woken by the commit. It needs neither libhonker nor a Database, but honker's tables, which
// Open makes. Options.Metadata is ErrUnsupported, and OpenOptions.EnqueueMiddleware does not see the job. The clock is that
// of this process.
func EnqueueSQL(ctx context.Context, conn SQLExecer, queue string, payload any, options EnqueueOptions) (int64, error) {
	switch {
	case !utf8.ValidString(queue):
		return 0, newError(StatusUTF8, "the name of the queue is not valid UTF-8")
	case strings.ContainsRune(queue, 0):
		return 0, invalid(nil, "the name of the queue has a NUL in it: %q", queue)
	case len(options.Metadata) > 0:
		return 0, newError(StatusUnsupported, "metadata has no column: enqueue with a Database")
	}
	encoded, err := encode("payload", payload)
	if err != nil {
		return 0, err
	}
	now, maxAttempts := time.Now().Unix(), int64(3)
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
	if err != nil {
		return 0, fmt.Errorf("honker: the job was not enqueued: %w", err)
	}
	return result.LastInsertId()
}

// EnqueueSQL is the function EnqueueSQL for this queue and its options.
func (q *Queue) EnqueueSQL(ctx context.Context, conn SQLExecer, payload any, options EnqueueOptions) (int64, error) {
	job := q.spec(payload, options)
	return EnqueueSQL(ctx, conn, job.Queue, job.Payload, job.Options)
}

// after is the time in so many seconds.
func after(now int64, name string, seconds int64) (*int64, error) {
	if seconds > 0 && now > math.MaxInt64-seconds {
		return nil, invalid(nil, "%s is too large: %d", name, seconds)
	}
	return Int64(now + seconds), nil
}
