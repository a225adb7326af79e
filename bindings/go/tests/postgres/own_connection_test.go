package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	honker "github.com/russellromney/honker-go"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// DBTX is the interface that sqlc generates for pgx.
type DBTX interface {
	Exec(context.Context, string, ...interface{}) (pgconn.CommandTag, error)
	Query(context.Context, string, ...interface{}) (pgx.Rows, error)
	QueryRow(context.Context, string, ...interface{}) pgx.Row
}

type Email struct {
	To string `json:"to"`
}

// placeOrder stands in the README.
func placeOrder(ctx context.Context, db *sql.DB, name string) error {
	tx, err := db.BeginTx(ctx, nil) // of pgx's database/sql driver
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders (name) VALUES ($1)", name); err != nil {
		return err
	}
	if _, err := honker.EnqueueSQL(ctx, honker.Postgres(tx), "emails", Email{To: name}, honker.EnqueueOptions{}); err != nil {
		return err
	}
	return tx.Commit()
}

// placeOrderByPgx stands in the README.
func placeOrderByPgx(ctx context.Context, pool *pgxpool.Pool, name string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO orders (name) VALUES ($1)", name); err != nil {
			return err
		}
		_, err := honker.EnqueueSQL(ctx, honker.Pgx(tx), "emails", Email{To: name}, honker.EnqueueOptions{UniqueKey: &name})
		return err
	})
}

// sendEmails stands in the README.
func sendEmails(ctx context.Context, address string, send honker.Handler) error {
	db, err := honker.Open(address) // "postgres://app@db.example.com/app"
	if err != nil {
		return err
	}
	defer db.Close()
	worker := db.NewWorker(honker.WorkerOptions{Queues: []honker.WorkerQueue{{Name: "emails", Handler: send}}})
	return worker.Run(ctx)
}

var errRollback = errors.New("roll back")

type transaction func(f func(conn honker.SQLExecer) error) error

// transactions run f in a transaction of a driver, with what it is to execute statements with, and roll back if it returns an error.
func transactions(t *testing.T) map[string]transaction {
	t.Helper()
	ctx, all := context.Background(), map[string]transaction{}
	for _, driver := range []string{"pgx", "postgres"} {
		db := connect(t, driver)
		all[driver+" Tx"] = func(f func(honker.SQLExecer) error) error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if err := f(honker.Postgres(tx)); err != nil {
				return err
			}
			return tx.Commit()
		}
		all[driver+" Conn"] = func(f func(honker.SQLExecer) error) error {
			conn, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
				return err
			}
			if err := f(honker.Postgres(conn)); err != nil {
				_, err2 := conn.ExecContext(ctx, "ROLLBACK")
				return errors.Join(err, err2)
			}
			_, err = conn.ExecContext(ctx, "COMMIT")
			return err
		}
	}
	pool := connectPgx(t)
	all["pgx.Tx"] = func(f func(honker.SQLExecer) error) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return f(honker.Pgx(tx)) })
	}
	all["pgx sqlc"] = func(f func(honker.SQLExecer) error) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			var queries DBTX = tx
			return f(honker.Pgx(queries))
		})
	}
	config, err := pgx.ParseConfig(server(t))
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // as behind a pooler of transactions
	simple, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { simple.Close(ctx) })
	all["pgx simple protocol"] = func(f func(honker.SQLExecer) error) error {
		return pgx.BeginFunc(ctx, simple, func(pgx.Tx) error { return f(honker.Pgx(simple)) })
	}
	orm, err := gorm.Open(postgres.Open(server(t)), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if pool, err := orm.DB(); err == nil {
		t.Cleanup(func() { pool.Close() })
	}
	all["gorm"] = func(f func(honker.SQLExecer) error) error {
		return orm.Transaction(func(tx *gorm.DB) error { return f(honker.Postgres(tx.Statement.ConnPool)) })
	}
	return all
}

func connect(t *testing.T, driver string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, server(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func connectPgx(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), server(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// TestOwnConnection enqueues and acks in transactions of drivers, while a worker waits on the URL.
func TestOwnConnection(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	if _, err := connectPgx(t).Exec(ctx, "DROP TABLE IF EXISTS own; CREATE TABLE own (name text)"); err != nil {
		t.Fatal(err)
	}
	done := start(t, db.NewWorker(honker.WorkerOptions{Queues: []honker.WorkerQueue{{Name: "own"}}, NoSignals: true}), nothing)
	q, committed := db.Queue("own", honker.QueueOptions{}), 0
	for name, transaction := range transactions(t) {
		t.Run(name, func(t *testing.T) {
			order := func(payload string, options honker.EnqueueOptions, failure error) (id int64, err error) {
				err = transaction(func(conn honker.SQLExecer) error {
					if result, err := conn.ExecContext(ctx, "INSERT INTO own (name) VALUES ($1)", payload); err != nil {
						return err
					} else if n, err := result.RowsAffected(); n != 1 || err != nil {
						t.Error(n, err)
					}
					id, err = honker.EnqueueSQL(ctx, conn, "own", payload, options)
					return errors.Join(err, failure)
				})
				return id, err
			}
			if _, err := order("rolled back", honker.EnqueueOptions{}, errRollback); !errors.Is(err, errRollback) {
				t.Fatal(err)
			}
			for _, options := range []honker.EnqueueOptions{
				{Delay: honker.Int64(1000), Expires: honker.Int64(2000), MaxAttempts: honker.Int64(7), Priority: -3},
				{Delay: honker.Int64(1000), Expires: honker.Int64(2000), MaxAttempts: honker.Int64(7), Priority: -3,
					Metadata: map[string]string{"trace": name}, UniqueKey: &name, UniqueForS: 1, MaxRunS: 60},
			} {
				id, err := order("later", options, nil)
				if err != nil {
					t.Fatal(err)
				}
				committed++
				row, err := q.GetJob(id)
				if err != nil || row == nil {
					t.Fatal(row, err)
				}
				if now := row.CreatedAt; row.Payload != `"later"` || row.MaxAttempts != 7 || row.Priority != -3 || row.RunAt != now+1000 ||
					*row.ExpiresAt != now+2000 || row.Metadata["trace"] != options.Metadata["trace"] {
					t.Errorf("%+v", row)
				}
				if options.UniqueKey != nil {
					again, err := order("later", options, nil)
					if again != id || err != nil {
						t.Error("the key is taken: ", again, id, err)
					}
					committed++
				}
			}
			if _, err := order(name, honker.EnqueueOptions{}, nil); err != nil {
				t.Fatal(err)
			}
			committed++
			if payload := next(t, done); payload != `"`+name+`"` {
				t.Errorf("the worker did %s", payload)
			}
			acks(t, db, transaction)
			refusals(t, transaction)
		})
	}
	var orders int
	if err := db.QueryRow("SELECT count(*) FROM own").Scan(&orders); err != nil || orders != committed {
		t.Errorf("%d orders of %d: %v", orders, committed, err)
	}
}

// acks acks a job in a transaction that is rolled back, and in one that is committed.
func acks(t *testing.T, db *honker.Database, transaction transaction) {
	t.Helper()
	q := db.Queue("acks", honker.QueueOptions{})
	id, err := q.Enqueue(1, honker.EnqueueOptions{Metadata: map[string]string{"a": "b"}, ConcurrencyKey: honker.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	job, err := q.ClaimOne("w")
	if err != nil || job == nil || job.ID != id {
		t.Fatal(job, err)
	}
	earlier := *job
	earlier.Attempts-- // as if the same worker had claimed it anew
	for _, c := range []struct {
		job     *honker.Job
		held    bool
		failure error
	}{{job, true, errRollback}, {&earlier, false, nil}, {job, true, nil}, {job, false, nil}} {
		err = transaction(func(conn honker.SQLExecer) error {
			held, err := c.job.AckSQL(context.Background(), conn)
			if held != c.held {
				t.Errorf("held: %v, not %v", held, c.held)
			}
			return errors.Join(err, c.failure)
		})
		if !errors.Is(err, c.failure) {
			t.Fatal(err)
		}
	}
	if row, err := q.GetJob(id); row != nil || err != nil {
		t.Error(row, err)
	}
}

// refusals are typed errors, of honker's, with the driver's within; what is the driver's alone stays so.
func refusals(t *testing.T, transaction transaction) {
	t.Helper()
	ctx := context.Background()
	err := transaction(func(conn honker.SQLExecer) error {
		_, err := honker.EnqueueSQL(ctx, conn, "own", 1, honker.EnqueueOptions{UniqueKey: honker.String("")})
		return err
	})
	var state interface{ SQLState() string }
	if !errors.Is(err, honker.ErrInvalid) || !errors.As(err, &state) || state.SQLState() != "HK001" || !strings.Contains(err.Error(), "unique_key") {
		t.Error(err)
	}
	err = transaction(func(conn honker.SQLExecer) error {
		if _, err := conn.ExecContext(ctx, "SELECT honker._move_begin('6d', 'postgres://db.example/app')"); err != nil {
			return err
		}
		_, err := honker.EnqueueSQL(ctx, conn, "own", 1, honker.EnqueueOptions{})
		return err
	})
	if !errors.Is(err, honker.ErrMoved) || !strings.Contains(err.Error(), "db.example/app") {
		t.Error(err)
	}
	err = transaction(func(conn honker.SQLExecer) error {
		_, _ = conn.ExecContext(ctx, "SELECT 1/0")
		_, err := honker.EnqueueSQL(ctx, conn, "own", 1, honker.EnqueueOptions{})
		return err
	})
	var failed *honker.Error
	if !errors.As(err, &state) || state.SQLState() != "25P02" || errors.As(err, &failed) {
		t.Error(err)
	}
}

// TestEngineIsKnownByTheDatabase needs no Postgres() where a database says it; and what forgets it is told.
func TestEngineIsKnownByTheDatabase(t *testing.T) {
	db, ctx := open(t), context.Background()
	own := connect(t, "pgx")
	queue := honker.NewTypedQueue[string](db, "known", honker.QueueOptions{MaxAttempts: 9})
	if _, err := queue.EnqueueSQL(ctx, own, "by itself", honker.EnqueueOptions{}); err != nil {
		t.Fatal(err)
	}
	handled := start(t, db.NewWorker(honker.WorkerOptions{Queues: []honker.WorkerQueue{{Name: "known"}}, NoSignals: true}),
		func(ctx context.Context, job *honker.Job) error {
			held, err := job.AckSQL(ctx, own)
			if !held || job.MaxAttempts != 9 {
				t.Error(job, held)
			}
			return err
		})
	if payload := next(t, handled); payload != `"by itself"` {
		t.Error(payload)
	}
	_, err := honker.EnqueueSQL(ctx, own, "known", 1, honker.EnqueueOptions{})
	if err == nil || !strings.Contains(err.Error(), "honker.Postgres(conn)") {
		t.Error(err)
	}
}

// TestDatabaseWithoutASchema says how to install it.
func TestDatabaseWithoutASchema(t *testing.T) {
	open(t)
	ctx, pool := context.Background(), connectPgx(t)
	if _, err := pool.Exec(ctx, "DROP DATABASE IF EXISTS without_honker"); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, "CREATE DATABASE without_honker"); err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(server(t))
	if err != nil {
		t.Fatal(err)
	}
	config.Database = "without_honker"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := honker.EnqueueSQL(ctx, honker.Pgx(conn), "q", 1, honker.EnqueueOptions{}); err == nil || !strings.Contains(err.Error(), "honker migrate") {
		t.Error(err)
	}
}

// TestReadme runs the programs of the README.
func TestReadme(t *testing.T) {
	db := open(t)
	if _, err := connectPgx(t).Exec(context.Background(), "DROP TABLE IF EXISTS orders; CREATE TABLE orders (name text)"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	sent, ended := make(chan string, 10), make(chan error)
	go func() {
		ended <- sendEmails(ctx, server(t), func(_ context.Context, job *honker.Job) error {
			sent <- string(job.Payload)
			return nil
		})
	}()
	if err := placeOrder(ctx, connect(t, "pgx"), "alice"); err != nil {
		t.Fatal(err)
	}
	if payload := next(t, sent); payload != `{"to":"alice"}` {
		t.Error(payload)
	}
	if err := placeOrderByPgx(ctx, connectPgx(t), "bob"); err != nil {
		t.Fatal(err)
	}
	if payload := next(t, sent); payload != `{"to":"bob"}` {
		t.Error(payload)
	}
	cancel()
	if err := next(t, ended); err != nil {
		t.Error(err)
	}
	var orders int
	if err := db.QueryRow("SELECT count(*) FROM orders").Scan(&orders); err != nil || orders != 2 {
		t.Error(orders, err)
	}
}
