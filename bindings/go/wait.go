package honker

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
)

// How often consumers look without having been woken; the library does that.
const (
	workerFallbackMS = 5000
	readerFallbackMS = 15000
)

// forever is a timeout without end, for the library.
const forever = -1

// dispatcher wakes the consumers of a database that have work. There is one for each database, from its first consumer on.
//
// A goroutine is parked in Go's poller on the descriptor of the library's waiter, like one that reads from a network
// connection. When that becomes readable, for a commit or for a deadline of a consumer, the library names the consumers
// that have work, and the goroutine wakes whoever waits for them. The library keeps all deadlines. Where there are no such
// descriptors (Windows) the goroutine waits in the library, and is a thread meanwhile.
//
// It holds neither the database nor the consumers, so that those can be forgotten.
type dispatcher struct {
	lib    *library
	waiter uintptr
	file   *os.File // nil where there are no descriptors
	raw    syscall.RawConn
	done   chan struct{} // closed when nobody will be woken any more
	err    error         // why, if that was an error; to be read after done

	stopped atomic.Bool // set by stop: whatever the goroutine is told from then on is because of that

	mu     sync.Mutex
	tokens uint64
	wakes  map[uint64]chan<- struct{}
}

// dispatch is the dispatcher of the database.
func (db *Database) dispatch() (*dispatcher, error) {
	db.dispatching.Lock()
	defer db.dispatching.Unlock()
	if db.closed.Load() {
		return nil, db.isClosed()
	}
	if db.dispatcher != nil {
		return db.dispatcher, nil
	}
	waiter, status, err := db.native().waiterNew(db.handle)
	if status != statusOK {
		return nil, err
	}
	db.warn(err)
	d := &dispatcher{lib: db.lib, waiter: waiter, done: make(chan struct{}), wakes: map[uint64]chan<- struct{}{}}
	if !db.noDescriptors {
		if err := d.makePollable(); err != nil {
			d.lib.native().waiterFree(waiter)
			return nil, err
		}
	}
	db.dispatcher = d
	go d.run()
	return d, nil
}

func (d *dispatcher) makePollable() error {
	descriptor, status, err := d.lib.native().waiterFd(d.waiter)
	if status == StatusUnsupported {
		return nil
	}
	if err != nil {
		return err
	}
	if d.file, err = pollable(int(descriptor)); err == nil {
		d.raw, err = d.file.SyscallConn()
	}
	if err != nil {
		return newError(StatusSystem, "the descriptor to wait with: %v", err)
	}
	return nil
}

// run wakes consumers until the waiter is freed or the file was replaced.
func (d *dispatcher) run() {
	defer close(d.done)
	tokens := make([]uint64, 64)
	if d.file == nil {
		for d.wake(tokens) {
			_, _ = d.lib.native().wait(d.waiter, forever) // what that ends with, wake is told as well
		}
		return
	}
	if err := d.raw.Read(func(uintptr) bool { return !d.wake(tokens) }); err != nil && !d.stopped.Load() {
		d.err = newError(StatusSystem, "the descriptor to wait with: %v", err)
	}
}

// wake wakes the consumers that are named. False if there will be no more.
func (d *dispatcher) wake(tokens []uint64) bool {
	for {
		n, status, err := d.lib.native().waiterReady(d.waiter, tokens)
		switch {
		case d.stopped.Load() || status == statusClosed:
			return false
		case status < 0 && status != StatusInterrupted:
			d.err = err
			return false
		}
		d.mu.Lock()
		for _, token := range tokens[:n] {
			select {
			case d.wakes[token] <- struct{}{}: // not for one that is gone: nil blocks
			default:
			}
		}
		d.mu.Unlock()
		// The poller tells only that the descriptor has become readable, so it has to be drained.
		if n < len(tokens) && status >= 0 {
			return true
		}
	}
}

func (d *dispatcher) enter(wake chan<- struct{}) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tokens++
	d.wakes[d.tokens] = wake
	return d.tokens
}

func (d *dispatcher) leave(token uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.wakes, token)
}

// stop ends the dispatcher's goroutine, and frees what is native.
func (d *dispatcher) stop() {
	d.stopped.Store(true)
	d.lib.native().waiterFree(d.waiter)
	if d.file != nil {
		_ = d.file.Close()
	}
	<-d.done
}

// turn is a mutex. To wait for it ends with a context.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) leave() { <-t }

// waiting is a consumer of the library's, and what waits for it.
type waiting struct {
	db           *Database
	dispatcher   *dispatcher
	freeConsumer func(calls, uintptr)
	token        uint64
	woken        chan struct{} // the consumer may have work
	ended        chan struct{} // closed by end

	turn turn // one goroutine waits at a time

	mu       sync.Mutex
	consumer uintptr
	closed   atomic.Bool
}

// newWaiting makes a consumer: new is called with the waiter's handle and the consumer's token, and returns the consumer's
// handle. It may be nil; then the consumer comes with replace.
func (db *Database) newWaiting(free func(calls, uintptr), new func(waiter uintptr, token uint64) (uintptr, error)) (*waiting, error) {
	d, err := db.dispatch()
	if err != nil {
		return nil, err
	}
	w := &waiting{db: db, dispatcher: d, freeConsumer: free, woken: make(chan struct{}, 1), ended: make(chan struct{}), turn: make(turn, 1)}
	w.token = d.enter(w.woken)
	if new != nil {
		if err = w.replace(new); err != nil {
			w.end()
			return nil, err
		}
	}
	if !db.keep(w) {
		w.end()
		return nil, db.isClosed()
	}
	return w, nil
}

// end frees what is native, and ends a wait.
func (w *waiting) end() {
	if w.closed.Swap(true) {
		return
	}
	w.db.forget(w)
	w.dispatcher.leave(w.token)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.consumer != 0 {
		w.freeConsumer(w.db.native(), w.consumer)
	}
	close(w.ended)
}

// Close ends it, also while another goroutine waits with it: that gets ErrClosed. The same goes for later calls. It may be called
// again.
func (w *waiting) Close() error {
	w.end()
	return nil
}

// replace makes another consumer.
func (w *waiting) replace(new func(waiter uintptr, token uint64) (uintptr, error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed.Load() {
		return w.isClosed()
	}
	if w.consumer != 0 {
		w.freeConsumer(w.db.native(), w.consumer)
		w.consumer = 0
	}
	var err error
	w.consumer, err = new(w.dispatcher.waiter, w.token)
	return err
}

func (w *waiting) isClosed() error {
	if w.db.closed.Load() {
		return w.db.isClosed()
	}
	return newError(StatusClosedHandle, "it is closed")
}

func (d *dispatcher) isOver() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// isOver is why nobody wakes this any more.
func (w *waiting) isOver() error {
	if err := w.dispatcher.err; err != nil {
		return err
	}
	return w.isClosed()
}

// native makes the calls of the consumer.
func (w *waiting) native() calls { return calls{lib: w.db.lib, db: w.db, w: w} }

// wake makes a goroutine that waits look again.
func (w *waiting) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// await calls look, which asks the consumer without waiting, until that finds something, and in between waits until the
// consumer may have work. When ctx ends it is the error of that.
func (w *waiting) await(ctx context.Context, look func() (bool, error)) error {
	interrupts := w.db.interrupts.Load()
	if err := w.turn.take(ctx); err != nil {
		return err
	}
	defer w.turn.leave()
	defer runtime.KeepAlive(w)
	for {
		switch {
		case w.closed.Load():
			return w.isClosed()
		case w.db.interrupts.Load() != interrupts:
			return newError(StatusInterrupted, "ended by Interrupt")
		case ctx.Err() != nil:
			return ctx.Err()
		}
		found, err := look()
		if err != nil && w.closed.Load() {
			err = w.isClosed()
		}
		if found || err != nil {
			return err
		}
		select {
		case <-w.woken:
		case <-ctx.Done():
		case <-w.ended:
		case <-w.dispatcher.done:
			// Mostly because of what the next look finds out as well.
			if found, err := look(); found || err != nil {
				return err
			}
			return w.isOver()
		}
	}
}

// next waits for what poll finds.
func next[T any](ctx context.Context, w *waiting, poll func() (*T, error)) (one *T, err error) {
	defer runtime.KeepAlive(poll) // and with it whose method that is
	err = w.await(ctx, func() (found bool, err error) {
		one, err = poll()
		return one != nil, err
	})
	return one, err
}

// awaitThroughLocks is await, but goes on while somebody keeps the file locked. The library says when to look again.
func (w *waiting) awaitThroughLocks(ctx context.Context, look func() (bool, error)) error {
	return w.await(ctx, func() (bool, error) {
		found, err := look()
		if isBusy(err) {
			return false, nil
		}
		return found, err
	})
}

// Updates waits for commits to the file, by anyone in any process; made by Database.Updates.
type Updates struct{ *waiting }

// Updates makes something to wait for commits with: everything that is committed after this returned ends a Wait. To be
// closed.
func (db *Database) Updates() (*Updates, error) {
	w, err := db.newWaiting(calls.updatesFree, func(waiter uintptr, token uint64) (uintptr, error) {
		return valueOf(db.native().updatesNew(db.handle, waiter, token))
	})
	if err != nil {
		return nil, err
	}
	u := &Updates{w}
	runtime.SetFinalizer(u, func(u *Updates) { u.end() }) // only for those who forget
	return u, nil
}

// Wait waits until something has been committed, which may have been since the last Wait. It is a hint: there may be nothing
// new to see. When ctx ends it is the error of that. ErrWatcher says that the file was replaced.
func (u *Updates) Wait(ctx context.Context) error {
	defer runtime.KeepAlive(u)
	return u.await(ctx, func() (bool, error) {
		return did(u.native().updatesNext(u.consumer, 0))
	})
}
