package honker

// StreamEvent is one event of a stream.
type StreamEvent struct {
	// Offset is its place. Offsets increase within a topic, with gaps, and begin at 1.
	Offset int64
	Topic  string
	// Key is the publisher's; nil if there is none.
	Key     *string
	Payload []byte // as it was published
	// CreatedAt is when it was published, in Unix seconds.
	CreatedAt int64
	// Err is set in the last value of the channel of Stream.Subscribe, and there is no event then, if that was ended by
	// an error.
	Err error
}

// UnmarshalPayload decodes the payload with encoding/json, as Job.UnmarshalPayload does.
func (e *StreamEvent) UnmarshalPayload(v any) error { return decode(e.Payload, v) }

func (v *eventView) event(topic string) StreamEvent {
	event := StreamEvent{Offset: v.offset, Topic: topic, Payload: v.payload.bytes(), CreatedAt: v.createdAt}
	if v.key.data != nil {
		key := v.key.text()
		event.Key = &key
	}
	return event
}

// Stream is the events of a topic, which stay. It is only a name: make as many as you like, and use them from any
// goroutine.
//
// A consumer that saves its offset in the transaction of what it makes of the events (SaveOffsetTx) has each exactly
// once.
type Stream struct {
	db    *Database
	topic string
}

// Stream is the stream of that topic, which need not exist: it is there with its first event.
func (db *Database) Stream(topic string) *Stream { return &Stream{db: db, topic: topic} }

// Topic is the topic.
func (s *Stream) Topic() string { return s.topic }

// Publish appends an event; its offset. payload is as for Queue.Enqueue.
func (s *Stream) Publish(payload any) (int64, error) { return s.publish(0, nil, payload) }

// PublishWithKey appends an event with a key, which may be empty.
func (s *Stream) PublishWithKey(key string, payload any) (int64, error) {
	return s.publish(0, &key, payload)
}

// PublishTx is Publish as a part of a transaction.
func (s *Stream) PublishTx(tx *Transaction, payload any) (int64, error) {
	return s.publishTx(tx, nil, payload)
}

// PublishWithKeyTx is PublishWithKey as a part of a transaction.
func (s *Stream) PublishWithKeyTx(tx *Transaction, key string, payload any) (int64, error) {
	return s.publishTx(tx, &key, payload)
}

func (s *Stream) publishTx(tx *Transaction, key *string, payload any) (int64, error) {
	return inTx(tx, s.db, func(handle uintptr) (int64, error) { return s.publish(handle, key, payload) })
}

func (s *Stream) publish(tx uintptr, key *string, payload any) (int64, error) {
	encoded, err := encode("payload", payload)
	if err != nil {
		return 0, err
	}
	var keyView bytesView
	if key != nil {
		keyView = view(*key)
	}
	return valueOf(s.db.native().streamPublish(s.db.handle, tx, view(s.topic), keyView, viewOf(encoded)))
}

// ReadSince reads the events after offset, oldest first, at most limit unless that is negative.
func (s *Stream) ReadSince(offset, limit int64) ([]StreamEvent, error) {
	native := s.db.native()
	handle, status, err := native.streamReadSince(s.db.handle, 0, view(s.topic), offset, limit)
	if err != nil || status != statusOK {
		return nil, err
	}
	defer native.eventsFree(handle)
	length, _, err := native.eventsLen(handle)
	if err != nil {
		return nil, err
	}
	one := newEventView()
	events := make([]StreamEvent, length)
	for i := range events {
		if _, err := native.eventsGet(handle, i, one); err != nil {
			return nil, err
		}
		events[i] = one.event(s.topic)
	}
	return events, nil
}

// ReadFromConsumer reads the events after the offset that consumer has saved. Reading does not move that: SaveOffset
// does.
func (s *Stream) ReadFromConsumer(consumer string, limit int64) ([]StreamEvent, error) {
	offset, err := s.GetOffset(consumer)
	if err != nil {
		return nil, err
	}
	return s.ReadSince(offset, limit)
}

// SaveOffset records that consumer has finished everything up to offset. False, and nothing changed, if it was that far
// already: an offset never goes back.
func (s *Stream) SaveOffset(consumer string, offset int64) (bool, error) {
	return s.saveOffset(0, consumer, offset)
}

// SaveOffsetTx is SaveOffset as a part of a transaction.
func (s *Stream) SaveOffsetTx(tx *Transaction, consumer string, offset int64) (bool, error) {
	return inTx(tx, s.db, func(handle uintptr) (bool, error) { return s.saveOffset(handle, consumer, offset) })
}

func (s *Stream) saveOffset(tx uintptr, consumer string, offset int64) (bool, error) {
	return did(s.db.native().streamSaveOffset(s.db.handle, tx, view(consumer), view(s.topic), offset))
}

// GetOffset is the offset that consumer last saved; 0 if it never did.
func (s *Stream) GetOffset(consumer string) (int64, error) {
	return valueOf(s.db.native().streamGetOffset(s.db.handle, 0, view(consumer), view(s.topic)))
}
