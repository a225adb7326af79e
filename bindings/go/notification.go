package honker

import (
	"context"
	"iter"
	"runtime"
)

// Notification is one notification.
type Notification struct {
	// ID increases from one to the next, over all channels.
	ID      int64
	Channel string
	Payload []byte // as it was sent
	// CreatedAt is when it was sent, in Unix seconds.
	CreatedAt int64
	// Err is set in the last value of the channel of Database.Listen, and there is no notification then, if that was
	// ended by an error.
	Err error
}

// UnmarshalPayload decodes the payload with encoding/json, as Job.UnmarshalPayload does.
func (n *Notification) UnmarshalPayload(v any) error { return decode(n.Payload, v) }

// Notify sends a notification to whoever listens on a channel at the time; its id. payload is as for Queue.Enqueue. It
// stays in the file until PruneNotifications.
func (db *Database) Notify(channel string, payload any) (int64, error) {
	return db.notify(0, channel, payload)
}

// NotifyTx is Notify as a part of a transaction.
func (db *Database) NotifyTx(tx *Transaction, channel string, payload any) (int64, error) {
	return inTx(tx, db, func(handle uintptr) (int64, error) { return db.notify(handle, channel, payload) })
}

func (db *Database) notify(tx uintptr, channel string, payload any) (int64, error) {
	encoded, err := encode("payload", payload)
	if err != nil {
		return 0, err
	}
	return valueOf(db.native().notify(db.handle, tx, view(channel), viewOf(encoded)))
}

// PruneNotifications deletes the notifications that are older than olderThanS seconds, and those that are not among the
// maxKeep newest; how many that were. nil leaves that criterion out.
func (db *Database) PruneNotifications(olderThanS, maxKeep *int64) (int64, error) {
	var is optionals
	age, keep := is.number("olderThanS", olderThanS), is.number("maxKeep", maxKeep)
	if is.err != nil {
		return 0, is.err
	}
	return valueOf(db.native().notificationsPrune(db.handle, 0, age, keep))
}

// Listener delivers the notifications of one channel, from when it was made on, in order; made by Database.Listener. One goroutine
// uses it at a time.
type Listener struct {
	*waiting
	channel string
}

// Listener makes a listener for what is sent to a channel after this returned. To be closed.
func (db *Database) Listener(channel string) (*Listener, error) {
	w, err := db.newWaiting(calls.listenerFree, func(waiter uintptr, token uint64) (uintptr, error) {
		return valueOf(db.native().listenerNew(db.handle, waiter, token, view(channel), readerFallbackMS))
	})
	if err != nil {
		return nil, err
	}
	l := &Listener{waiting: w, channel: channel}
	runtime.SetFinalizer(l, func(l *Listener) { l.end() }) // only for those who forget
	return l, nil
}

// Poll is Next that does not wait.
func (l *Listener) Poll() (*Notification, error) {
	view := newNotificationView()
	status, err := l.native().listenerNext(l.consumer, 0, view)
	if err != nil || status != statusOK {
		return nil, err
	}
	return &Notification{ID: view.id, Channel: l.channel, Payload: view.payload.bytes(), CreatedAt: view.createdAt}, nil
}

// Next is the next notification; it waits for one. It returns ctx.Err() when ctx ends.
func (l *Listener) Next(ctx context.Context) (*Notification, error) {
	return next(ctx, l.waiting, l.Poll)
}

// All gives the notifications until ctx ends or the loop is left. An error is the last thing it gives.
func (l *Listener) All(ctx context.Context) iter.Seq2[*Notification, error] {
	return each(ctx, l.Next)
}

// Listen delivers what is sent to a channel after this returned, until ctx ends or the database is closed; then Go's
// channel is closed. If it ends with an error the last value has it in Err.
func (db *Database) Listen(ctx context.Context, channel string) (<-chan Notification, error) {
	listener, err := db.Listener(channel)
	if err != nil {
		return nil, err
	}
	notifications := make(chan Notification)
	return notifications, db.start(ctx, func(ctx context.Context) {
		defer close(notifications)
		defer listener.end()
		err := send(ctx, notifications, listener.Next, func(*Notification) {})
		if err != nil {
			select {
			case notifications <- Notification{Channel: channel, Err: err}:
			case <-ctx.Done():
			}
		}
	})
}
