package honker

// DatabaseStatus is the state of a database, for people and monitoring.
type DatabaseStatus struct {
	File        string `json:"file"` // or the URL of the server, without a password
	Connections struct {
		Writers      int64 `json:"writers"`
		Readers      int64 `json:"readers"`
		ReadersInUse int64 `json:"readers_in_use"`
		ReadersMax   int64 `json:"readers_max"`
	} `json:"connections"`
	Versions struct {
		Honker   string `json:"honker"`
		SQLite   string `json:"sqlite"`
		Postgres string `json:"postgres"` // of the server, if the database is on one
	} `json:"versions"`
	// Watcher says how commits are noticed; nil before anything has waited.
	Watcher *WatcherStatus `json:"watcher"`
	// Warnings are about schedules that a leader of this database could not fire, and jobs that a worker has passed over.
	Warnings []StatusWarning `json:"warnings"`
}

// StatusWarning is something that went wrong and is no call's error. The same text is one warning.
type StatusWarning struct {
	Text   string `json:"text"`
	Count  int64  `json:"count"`
	LastAt int64  `json:"last_at"` // Unix seconds
}

// WatcherStatus says how commits to the file are noticed.
type WatcherStatus struct {
	Backend string `json:"backend"` // what was asked for
	Method  string `json:"method"`  // "events" or "polling"
	State   string `json:"state"`   // "watching", "unreadable" or "died"
	Demoted bool   `json:"demoted"` // it went over from events to polling
	// Counters: looks at the file, wakes, and those of them that the system had not announced.
	Checks      int64           `json:"checks"`
	Wakes       int64           `json:"wakes"`
	Unannounced int64           `json:"unannounced"`
	Warnings    []StatusWarning `json:"warnings"`
}

// Status is the state of the database. It waits for nobody.
func (db *Database) Status() (DatabaseStatus, error) {
	text, _, err := db.lib.textOf(db.native().status(db.handle))
	return decodeList[DatabaseStatus](text, err)
}
