package honker

import (
	"context"
	"iter"
	"runtime"
	"time"
)

// SubscribeOptions says how a subscription reads and saves. The zero value reads from the beginning and saves nothing.
type SubscribeOptions struct {
	// Consumer is whose offset is read and saved; nil: nobody's.
	Consumer *string
	// FromOffset is where to begin: after this offset. Default: after the consumer's saved offset, or from the beginning.
	FromOffset *int64
	// SaveEveryN is after how many finished events the offset is saved. Default 1000; 0: never because of a number.
	SaveEveryN *int64
	// SaveEveryMS is after how many milliseconds the offset is saved, if there is something to save. Default 1000; 0:
	// never because of the time. With both at 0 only SaveOffset saves, not Close.
	SaveEveryMS *int64
}

// Subscription delivers the events of one topic in order, those that are there and those to come; made by Stream.Subscription.
//
// An event is finished when the next one is asked for, or with Ack. Only the offset of finished events is saved, now and
// then and by Close: a consumer that dies in the middle of one, or leaves its loop, sees that one again. One goroutine uses it at a
// time.
type Subscription struct {
	*waiting
	topic string
}

// Subscription makes a subscription. To be closed.
func (s *Stream) Subscription(options SubscribeOptions) (*Subscription, error) {
	opts := newSubscriptionOpts()
	var is optionals
	if opts.fromOffset = is.number("FromOffset", options.FromOffset); is.err != nil {
		return nil, is.err
	}
	if options.SaveEveryN != nil {
		opts.saveEveryN = *options.SaveEveryN
	}
	if options.SaveEveryMS != nil {
		opts.saveEveryMS = *options.SaveEveryMS
	}
	sub := &Subscription{topic: s.topic}
	if options.Consumer != nil {
		opts.consumer = view(*options.Consumer)
	}
	var err error
	sub.waiting, err = s.db.newWaiting(calls.subscriptionFree, func(waiter uintptr, token uint64) (uintptr, error) {
		return valueOf(s.db.native().subscriptionNew(s.db.handle, waiter, token, view(s.topic), opts))
	})
	if err != nil {
		return nil, err
	}
	runtime.SetFinalizer(sub, func(sub *Subscription) { sub.end() }) // only for those who forget
	return sub, nil
}

// Next is the next event, which finishes the one before; it waits for one. It returns ctx.Err() when ctx ends.
func (s *Subscription) Next(ctx context.Context) (*StreamEvent, error) {
	return next(ctx, s.waiting, s.Poll)
}

// Poll is Next that does not wait.
func (s *Subscription) Poll() (*StreamEvent, error) {
	view := newEventView()
	status, err := s.native().subscriptionNext(s.consumer, 0, view)
	if err != nil || status != statusOK {
		return nil, err
	}
	event := view.event(s.topic)
	return &event, nil
}

// All gives the events until ctx ends or the loop is left. An error is the last thing it gives. The event with which the
// loop is left is not finished: call Ack if it is.
func (s *Subscription) All(ctx context.Context) iter.Seq2[*StreamEvent, error] {
	return each(ctx, s.Next)
}

// Ack says that the event in hand is finished. It does nothing if there is none.
func (s *Subscription) Ack() error {
	_, err := s.native().subscriptionAck(s.consumer)
	return err
}

// SaveOffset saves the offset of the last finished event now. It does nothing if that is saved, or if there is no
// consumer.
func (s *Subscription) SaveOffset() error {
	_, err := s.native().subscriptionSave(s.consumer)
	return err
}

// Offset is the offset of the last event that was delivered; where it began if there was none.
func (s *Subscription) Offset() (int64, error) {
	return valueOf(s.native().subscriptionOffset(s.consumer))
}

// Subscribe delivers the events after those that consumer has finished, and those to come, until ctx ends or the
// database is closed; then the channel is closed. An empty consumer is nobody: from the beginning, and nothing is saved.
//
// An event is finished when the next one has been taken from the channel: nobody can see that a receiver waits. Its offset is saved after
// 1000 events, every second, and at the end; while that cannot be written it is tried again then. So the last event that was taken is delivered again the next time; where that
// matters use Subscription, which has Ack. If it ends with an error the last value has it in Err.
func (s *Stream) Subscribe(ctx context.Context, consumer string) (<-chan StreamEvent, error) {
	const saveEveryN, saveEvery = 1000, time.Second
	var from int64
	if consumer != "" {
		var err error
		if from, err = s.GetOffset(consumer); err != nil {
			return nil, err
		}
	}
	sub, err := s.Subscription(SubscribeOptions{FromOffset: &from})
	if err != nil {
		return nil, err
	}
	events := make(chan StreamEvent)
	var n int
	finished, saved, savedAt := from, from, time.Now()
	save := func() error {
		n, savedAt = 0, time.Now()
		if consumer == "" || finished == saved {
			return nil
		}
		_, err := s.SaveOffset(consumer, finished)
		switch {
		case err == nil:
			saved = finished
		case isTransient(err): // the next time will do
			err = nil
		}
		return err
	}
	next := func(ctx context.Context) (*StreamEvent, error) {
		for {
			if n >= saveEveryN || finished > saved && time.Since(savedAt) >= saveEvery {
				if err := save(); err != nil {
					return nil, err
				}
			}
			if consumer == "" || finished == saved {
				return sub.Next(ctx)
			}
			within, cancel := context.WithDeadline(ctx, savedAt.Add(saveEvery))
			event, err := sub.Next(within)
			cancel()
			switch {
			case !isEndOf(within, err):
				return event, err
			case ctx.Err() != nil:
				return nil, ctx.Err()
			}
		}
	}
	return events, s.db.start(ctx, func(ctx context.Context) {
		defer close(events)
		defer sub.end()
		taken := from
		err := send(ctx, events, next, func(event *StreamEvent) { finished, taken, n = taken, event.Offset, n+1 })
		if err == nil {
			err = save()
		}
		if err != nil {
			select {
			case events <- StreamEvent{Topic: s.topic, Err: err}:
			case <-ctx.Done():
			}
		}
	})
}

// send puts what next returns into a channel until that is an error, or ctx ends, which is none.
func send[T any](ctx context.Context, to chan<- T, next func(ctx context.Context) (*T, error), sent func(*T)) error {
	for {
		one, err := next(ctx)
		if isEndOf(ctx, err) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case to <- *one:
			sent(one)
		case <-ctx.Done():
			return nil
		}
	}
}
