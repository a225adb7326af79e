package honker

// StreamUpdate says what to change of what is kept of a topic; nil leaves a part as it is.
type StreamUpdate struct {
	// KeepS is for how many seconds an event is kept; negative: for ever.
	KeepS *int64
	// KeepN is how many events are kept, the newest ones; negative: all.
	KeepN *int64
}

// TrimOptions says what Stream.Trim leaves. What is nil is as Configure has set.
type TrimOptions struct {
	KeepS *int64
	KeepN *int64
	// PastConsumers removes also what a consumer that has saved an offset has not finished.
	PastConsumers bool
}

// Configure sets what is kept of the topic, for all processes: workers and schedulers remove the rest within a minute, but nothing that
// a consumer which has saved an offset has not finished.
func (s *Stream) Configure(update StreamUpdate) error {
	options := map[string]any{}
	for key, value := range map[string]*int64{"keep_s": update.KeepS, "keep_n": update.KeepN} {
		switch {
		case value != nil && *value < 0:
			options[key] = nil
		case value != nil:
			options[key] = *value
		}
	}
	encoded, err := encode("options", options)
	if err != nil {
		return err
	}
	_, err = s.db.native().streamConfigure(s.db.handle, 0, view(s.topic), viewOf(encoded))
	return err
}

// Trim removes the events that are not kept any more now, oldest first; how many those were.
func (s *Stream) Trim(options TrimOptions) (int64, error) {
	trim := map[string]any{}
	for key, value := range map[string]*int64{"keep_s": options.KeepS, "keep_n": options.KeepN} {
		if value != nil {
			trim[key] = *value
		}
	}
	if options.PastConsumers {
		trim["past_consumers"] = true
	}
	encoded, err := encode("options", trim)
	if err != nil {
		return 0, err
	}
	return valueOf(s.db.native().streamTrim(s.db.handle, 0, view(s.topic), viewOf(encoded)))
}

// KeepNotifications says for how many seconds notifications are kept, for all processes: workers and schedulers remove the others
// within a minute. 0: until PruneNotifications.
func (db *Database) KeepNotifications(keepS int64) error {
	options := map[string]any{"keep_s": nil}
	if keepS != 0 {
		options["keep_s"] = keepS
	}
	encoded, err := encode("options", options)
	if err != nil {
		return err
	}
	_, err = db.native().notificationsConfigure(db.handle, 0, viewOf(encoded))
	return err
}
