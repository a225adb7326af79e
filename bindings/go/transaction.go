package honker

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// Transaction is an open transaction: the application's own SQL and honker's operations (the methods that end in Tx),
// committed together or not at all. One goroutine uses it at a time.
//
// It holds the database's only writer: until it is over everything else that writes waits, for as long as the busy timeout,
// and is ErrBusy then. That includes calls without Tx, and another Begin, of the goroutine that has it open: they
// would wait for themselves. Should the process die, the transaction never happened.
type Transaction struct {
	*txState // nothing but the user holds the Transaction, so that it is seen when it is forgotten
}

type txState struct {
	db     *Database
	handle uintptr
	over   atomic.Bool
	ctx    context.Context

	mu   sync.Mutex
	stop func() bool
}

// Begin begins a transaction that may write. It waits, for as long as the busy timeout, for one that somebody else has
// open; then it is ErrBusy. Transactions do not nest.
func (db *Database) Begin() (*Transaction, error) { return db.begin(context.Background()) }

// Transaction is Begin with a context: when that ends the waiting ends at once, and a transaction that is still open is
// rolled back. The errors are the context's then.
func (db *Database) Transaction(ctx context.Context) (*Transaction, error) {
	return db.beginWithin(ctx, "honker: no transaction was begun: %w")
}

// beginWithin is Transaction; over is the format of the error of a context that has ended.
func (db *Database) beginWithin(ctx context.Context, over string) (*Transaction, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf(over, err)
	}
	type begun struct {
		tx  *Transaction
		err error
	}
	result := make(chan begun)
	err := db.start(ctx, func(either context.Context) {
		tx, err := db.begin(ctx)
		select {
		case result <- begun{tx, err}:
		case <-either.Done():
			if tx != nil {
				tx.end()
			}
		}
	})
	if err != nil {
		return nil, err
	}
	select {
	case begun := <-result:
		return begun.tx, begun.err
	case <-ctx.Done():
		return nil, fmt.Errorf(over, ctx.Err())
	case <-db.context.Done():
		return nil, db.isClosed()
	}
}

func (db *Database) begin(ctx context.Context) (*Transaction, error) {
	handle, _, err := db.native().txBegin(db.handle)
	if err != nil {
		return nil, err
	}
	state := &txState{db: db, handle: handle, ctx: ctx}
	if !db.keep(state) {
		state.end()
		return nil, db.isClosed()
	}
	state.mu.Lock()
	state.stop = context.AfterFunc(ctx, state.end)
	state.mu.Unlock()
	tx := &Transaction{state}
	runtime.SetFinalizer(tx, func(tx *Transaction) { tx.end() }) // only for those who forget
	return tx, nil
}

// end rolls back, unless the transaction is over.
func (tx *txState) end() {
	if tx.over.CompareAndSwap(false, true) {
		tx.free()
	}
}

func (tx *txState) free() {
	tx.mu.Lock()
	if tx.stop != nil {
		tx.stop()
	}
	tx.mu.Unlock()
	tx.db.native().txFree(tx.handle)
	tx.db.forget(tx)
}

// use is the handle for a call in this transaction. nil stands for no transaction nowhere: what was to be part of one
// would be committed by itself.
func (tx *Transaction) use(db *Database) (uintptr, error) {
	switch {
	case tx == nil || tx.txState == nil:
		return 0, newError(StatusMisuse, "the transaction is nil")
	case db != nil && tx.db != db:
		return 0, newError(StatusMisuse, "the transaction is one of another database")
	case tx.over.Load():
		return 0, tx.why(newError(StatusMisuse, "the transaction is over"))
	}
	return tx.handle, nil
}

// why is the reason of an error: that the context or the database has ended the transaction.
func (tx *Transaction) why(err error) error {
	if tx.db.closed.Load() {
		return tx.db.isClosed()
	}
	if cause := tx.ctx.Err(); cause != nil && tx.over.Load() {
		return fmt.Errorf("honker: the transaction was rolled back: %w", cause)
	}
	return err
}

// Commit commits. On an error nothing of the transaction has happened; either way it is over.
func (tx *Transaction) Commit() error { return tx.finish(calls.txCommit) }

// Rollback rolls back. It may be deferred as in database/sql: once the transaction is over it is ErrMisuse, and does nothing.
func (tx *Transaction) Rollback() error { return tx.finish(calls.txRollback) }

func (tx *Transaction) finish(how func(c calls, tx uintptr) (Status, error)) error {
	handle, err := tx.use(nil)
	if err != nil {
		return err
	}
	if !tx.over.CompareAndSwap(false, true) {
		_, err := tx.use(nil)
		return err
	}
	defer tx.free()
	_, err = how(tx.db.native(), handle)
	return err
}

// Exec runs one statement of SQL; how many rows it inserted, updated or deleted. All of honker's SQL functions are there.
// args are as for Database.Query.
func (tx *Transaction) Exec(sql string, args ...any) (int64, error) {
	handle, values, err := tx.statement(args)
	if err != nil {
		return 0, err
	}
	changes, _, err := tx.db.native().txExecute(handle, view(sql), values)
	if err != nil {
		return 0, tx.why(err)
	}
	return changes, nil
}

// Query runs one statement of SQL; its rows, which see what the transaction has done so far. args are as for
// Database.Query.
func (tx *Transaction) Query(sql string, args ...any) ([]Row, error) {
	handle, values, err := tx.statement(args)
	if err != nil {
		return nil, err
	}
	rows, _, err := tx.db.native().txQuery(handle, view(sql), values)
	if err != nil {
		return nil, tx.why(err)
	}
	return tx.db.takeRows(rows)
}

// QueryRow is the first row of Query; the error, also that there is none (sql.ErrNoRows), is that of its Scan.
func (tx *Transaction) QueryRow(sql string, args ...any) *Row {
	return firstRow(tx.Query(sql, args...))
}

func (tx *Transaction) statement(args []any) (uintptr, []value, error) {
	handle, err := tx.use(nil)
	if err != nil {
		return 0, nil, err
	}
	values, err := toValues(args)
	return handle, values, err
}

// inTx makes a call in a transaction.
func inTx[T any](tx *Transaction, db *Database, call func(tx uintptr) (T, error)) (result T, err error) {
	handle, err := tx.use(db)
	if err != nil {
		return result, err
	}
	if result, err = call(handle); err != nil {
		err = tx.why(err)
	}
	return result, err
}
