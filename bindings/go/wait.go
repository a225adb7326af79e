package honker

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// pause says until when to wait without having been woken.
type pause struct {
	// at is a second at which time alone makes something available; 0: none.
	at int64
	// after is how long to wait at most.
	after time.Duration
}

const (
	workerFallback = 5 * time.Second
	readerFallback = 15 * time.Second
	// clockCheck is how often a wait for a second of the machine's clock looks at it: somebody may set it meanwhile.
	clockCheck = time.Second
	// waitMin keeps a wait from keeping a core busy, should SQLite be told another time than this process.
	waitMin = 20 * time.Millisecond
)

// forever is the time of a year, to be added to now.
const forever = 365 * 24 * time.Hour

// waiting is what a consumer waits with: a waiter of the library's, and the consumer that was made with it.
//
// No thread sits in the library meanwhile. The waiter has a descriptor, on which a goroutine is parked like one that waits for
// a network connection; when it becomes readable, or the time is over, the consumer is asked for what there is, with no
// time to wait. Where there are no such descriptors (Windows) a thread does wait in the library.
type waiting struct {
	db           *Database
	freeConsumer func(calls, uintptr) // nil if there never is one
	file         *os.File
	raw          syscall.RawConn

	turn sync.Mutex // one goroutine waits at a time

	mu       sync.Mutex
	waiter   uintptr
	consumer uintptr
	closed   atomic.Bool
}

// newWaiting makes a waiter, and with it the consumer: new is called with the waiter's handle, and returns the consumer's.
func (db *Database) newWaiting(free func(calls, uintptr), new func(waiter uintptr) (uintptr, error)) (*waiting, error) {
	waiter, _, err := db.native().waiterNew(db.handle)
	if err != nil {
		return nil, err
	}
	w := &waiting{db: db, freeConsumer: free, waiter: waiter}
	if w.consumer, err = new(w.waiter); err == nil {
		err = w.makePollable()
	}
	if err != nil {
		w.end()
		return nil, err
	}
	if !db.keep(w) {
		w.end()
		return nil, db.isClosed()
	}
	return w, nil
}

func (w *waiting) makePollable() error {
	descriptor, status, err := w.db.native().waiterFd(w.waiter)
	if status == StatusUnsupported {
		return nil
	}
	if err != nil {
		return err
	}
	if w.file, err = pollable(int(descriptor)); err != nil {
		return newError(StatusIO, "the descriptor to wait with: %v", err)
	}
	w.raw, err = w.file.SyscallConn()
	return err
}

// end frees what is native, and ends a wait.
func (w *waiting) end() {
	if w.closed.Swap(true) {
		return
	}
	w.db.forget(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.consumer != 0 {
		w.freeConsumer(w.db.native(), w.consumer)
	}
	w.db.native().waiterFree(w.waiter)
	if w.file != nil {
		_ = w.file.Close()
	}
}

// Close ends it, also while another goroutine waits with it: that gets ErrClosed. The same goes for later calls. It may be called
// again.
func (w *waiting) Close() error {
	w.end()
	return nil
}

// replace makes another consumer.
func (w *waiting) replace(new func(waiter uintptr) (uintptr, error)) error {
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
	w.consumer, err = new(w.waiter)
	return err
}

func (w *waiting) isClosed() error {
	if w.db.closed.Load() {
		return w.db.isClosed()
	}
	return newError(StatusClosedHandle, "it is closed")
}

// native makes the calls of the consumer.
func (w *waiting) native() calls { return calls{lib: w.db.lib, db: w.db, w: w} }

// nudge makes a goroutine that waits look whether it should.
func (w *waiting) nudge() {
	if w.file != nil {
		_ = w.file.SetReadDeadline(time.Unix(1, 0))
		return
	}
	_, _ = w.db.native().waiterWake(w.waiter)
}

// await calls look until that finds something, and in between waits for a commit, or until the pause is over that look
// asks for. False, and no error, when ctx ends.
func (w *waiting) await(ctx context.Context, look func() (bool, pause, error)) (bool, error) {
	w.turn.Lock()
	defer w.turn.Unlock()
	interrupts := w.db.interrupts.Load()
	ended := func() (bool, error) {
		switch {
		case w.closed.Load():
			return true, w.isClosed()
		case w.db.interrupts.Load() != interrupts:
			return true, newError(StatusInterrupted, "ended by Interrupt")
		}
		return ctx.Err() != nil, nil
	}
	var found bool
	var err error
	var until pause
	var deadline time.Time // the end of until.after
	due := true
	unwatch := func() bool { return true }
	defer func() { unwatch() }()
	// step looks, if there is reason to, and returns whether that was all, or how long to sleep.
	step := func(woken bool) (bool, time.Duration) {
		var done bool
		if done, err = ended(); done {
			return true, 0
		}
		// Without a reason to look, the waiter is asked at least: a wake may have come between two sleeps.
		if !due && !woken {
			status, _ := w.db.native().wait(w.waiter, 0)
			woken = status != statusTimeout
		}
		if due || woken {
			found, until, err = look()
			if found || err != nil {
				if err != nil && w.closed.Load() {
					err = w.isClosed()
				}
				return true, 0
			}
			deadline = time.Now().Add(until.after)
		}
		sleep := time.Until(deadline)
		if until.at != 0 {
			sleep = min(sleep, clockCheck, max(time.Until(time.Unix(until.at, 0)), waitMin))
		}
		return false, sleep
	}
	if done, _ := ended(); !done && ctx.Done() != nil {
		unwatch = context.AfterFunc(ctx, w.nudge)
	}
	for {
		if done := w.sleepBetween(step, ended); done {
			runtime.KeepAlive(w)
			if !found && err == nil {
				_, err = ended()
			}
			return found, err
		}
		now := time.Now()
		due = !now.Before(deadline) || until.at != 0 && !now.Before(time.Unix(until.at, 0))
	}
}

// sleepBetween makes steps, the first at once, others when there has been a commit. False when the time that the last
// one gave is over.
func (w *waiting) sleepBetween(step func(woken bool) (bool, time.Duration), ended func() (bool, error)) bool {
	if w.file == nil {
		done, sleep := step(false)
		for !done {
			status, _ := w.db.native().wait(w.waiter, max(sleep.Milliseconds(), 1))
			if status != statusOK {
				return false
			}
			done, sleep = step(true)
		}
		return true
	}
	done, woken := false, false
	// A deadline of before would end Read before its first step. What nudge sets after this stays; what it set before, the
	// first step sees the reason of.
	if err := w.file.SetReadDeadline(time.Time{}); err != nil {
		done, _ = step(true) // closed
		return done
	}
	err := w.raw.Read(func(uintptr) bool {
		var sleep time.Duration
		if done, sleep = step(woken); done {
			return true
		}
		woken = true
		_ = w.file.SetReadDeadline(time.Now().Add(sleep))
		done, _ = ended()
		return done
	})
	return done || err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// Updates waits for commits to the file, by anyone in any process; made by Database.Updates.
type Updates struct{ *waiting }

// Updates makes something to wait for commits with: everything that is committed after this returned ends a Wait. To be
// closed.
func (db *Database) Updates() (*Updates, error) {
	w, err := db.newWaiting(nil, func(uintptr) (uintptr, error) { return 0, nil })
	if err != nil {
		return nil, err
	}
	u := &Updates{w}
	runtime.SetFinalizer(u, func(u *Updates) { u.end() }) // only for those who forget
	return u, nil
}

// Wait waits until something has been committed, which may have been since the last Wait, and returns true. It is a hint:
// there may be nothing new to see. False, and no error, when ctx ends. ErrWatcher says that the file was replaced.
func (u *Updates) Wait(ctx context.Context) (bool, error) {
	defer runtime.KeepAlive(u)
	return u.await(ctx, func() (bool, pause, error) {
		status, err := u.native().wait(u.waiter, 0)
		return status == statusOK && err == nil, pause{after: forever}, err
	})
}
