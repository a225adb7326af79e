package honker

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
)

// PostgresConn is a connection or transaction of the application's own to a Postgres server, for EnqueueSQL and Job.AckSQL; made by
// Postgres or Pgx.
type PostgresConn struct {
	exec     func(ctx context.Context, query string, args []any) (sql.Result, error)
	queryRow func(ctx context.Context, query string, args []any) postgresRow // nil if there is no such method
}

type postgresRow interface{ Scan(dest ...any) error }

// Postgres says that a connection of database/sql is one to a Postgres server, by pgx's stdlib or another driver. It is a *sql.DB,
// *sql.Conn or *sql.Tx, or has their QueryRowContext as well, as sqlc's DBTX and GORM's Statement.ConnPool have. The methods of a
// queue and a job know it by their Database, and need no Postgres.
func Postgres(conn SQLExecer) PostgresConn {
	wrapped := PostgresConn{exec: func(ctx context.Context, query string, args []any) (sql.Result, error) {
		return conn.ExecContext(ctx, query, args...)
	}}
	if querier, is := conn.(interface {
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}); is {
		wrapped.queryRow = func(ctx context.Context, query string, args []any) postgresRow {
			return querier.QueryRowContext(ctx, query, args...)
		}
	}
	return wrapped
}

// Pgx is a connection of pgx itself, without database/sql: a pgx.Tx, *pgx.Conn, *pgxpool.Pool, or sqlc's DBTX for pgx.
func Pgx[Tag interface{ RowsAffected() int64 }, Row interface{ Scan(dest ...any) error }](conn interface {
	Exec(ctx context.Context, query string, args ...any) (Tag, error)
	QueryRow(ctx context.Context, query string, args ...any) Row
}) PostgresConn {
	return PostgresConn{
		exec: func(ctx context.Context, query string, args []any) (sql.Result, error) {
			tag, err := conn.Exec(ctx, query, args...)
			if err != nil {
				return nil, err
			}
			return driver.RowsAffected(tag.RowsAffected()), nil
		},
		queryRow: func(ctx context.Context, query string, args []any) postgresRow {
			return conn.QueryRow(ctx, query, args...)
		},
	}
}

// ExecContext makes it an SQLExecer.
func (c PostgresConn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return c.exec(ctx, query, args)
}

// on is the connection as one to a server, if this database, which may be nil, is on one.
func (db *Database) on(conn SQLExecer) SQLExecer {
	if _, is := conn.(PostgresConn); is || db == nil || !isURL(db.path) {
		return conn
	}
	return Postgres(conn)
}

// isURL tells the URL of a server from the name of a file.
func isURL(path string) bool {
	return strings.HasPrefix(path, "postgres://") || strings.HasPrefix(path, "postgresql://")
}

// enqueue calls honker's function: the one that has an argument for each option of a plain job, or else the one that takes all options.
func (c PostgresConn) enqueue(ctx context.Context, queue, payload string, options EnqueueOptions) (id int64, err error) {
	plain := options.beyondColumns() == "" && options.Member == nil && options.UniqueForS == 0 &&
		options.UniqueUntil == UniqueUntilSettled && options.OnConflict == ConflictKeep
	if plain {
		err = c.call(ctx, &id, "enqueued", enqueuePostgres, queue, payload, options.RunAt, options.Delay, options.Priority, options.MaxAttempts, options.Expires)
		return id, err
	}
	encoded, err := encode("options", options.json())
	if err != nil {
		return 0, err
	}
	err = c.call(ctx, &id, "enqueued", enqueueWithPostgres, queue, payload, string(encoded))
	return id, err
}

// The types are said, for drivers that do not ask the server.
const (
	enqueuePostgres = `SELECT honker.honker_enqueue($1::text, $2::text, $3::bigint, $4::bigint, $5::bigint, $6::bigint, $7::bigint)`

	enqueueWithPostgres = `SELECT (honker.honker_enqueue_with($1::text, $2::text, $3::text)::json ->> 'id')::bigint`

	// This claim of the job, and no later one of the same worker.
	ackPostgres = `SELECT CASE WHEN EXISTS (SELECT FROM honker._honker_live WHERE id = $1::bigint AND attempts = $3::bigint)
  THEN honker.honker_ack($1::bigint, $2::text) ELSE 0 END`
)

func (c PostgresConn) ack(ctx context.Context, job *Job) (bool, error) {
	var acked int64
	err := c.call(ctx, &acked, "acked", ackPostgres, job.ID, job.WorkerID, job.Attempts)
	return acked != 0, err
}

func (c PostgresConn) call(ctx context.Context, answer *int64, done, query string, args ...any) error {
	if c.queryRow == nil {
		return newError(StatusMisuse, "the job was not %s: the connection has no QueryRowContext", done)
	}
	err := c.queryRow(ctx, query, args).Scan(answer)
	if err == nil {
		return nil
	}
	if state, is := sqlState(err); is {
		if state == "3F000" {
			return fmt.Errorf("honker: the job was not %s: the database has no schema honker: install it with honker migrate, "+
				"or open the URL once with honker_migrate=on: %w", done, err)
		}
		if status, is := postgresStatus[state]; is {
			return &Error{Status: status, Message: fmt.Sprintf("the job was not %s: %v", done, err), cause: err}
		}
	}
	return fmt.Errorf("honker: the job was not %s: %w", done, err)
}

// sqlState is the SQLSTATE of an error of a Postgres driver, pgx and lib/pq among them.
func sqlState(err error) (string, bool) {
	var failed interface{ SQLState() string }
	if !errors.As(err, &failed) {
		return "", false
	}
	return failed.SQLState(), true
}

// postgresStatus has the errors that are honker's own.
var postgresStatus = map[string]Status{
	"HK001": StatusInvalid,
	"HK002": StatusMisuse,
	"HK003": StatusTooOld,
	"HK004": StatusTooBig,
	"HK005": StatusMoved,
}
