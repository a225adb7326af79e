package honker

// QueueMetrics is what is known of a queue, for people and monitoring. All times are in seconds.
type QueueMetrics struct {
	Queue string `json:"queue"`
	// Counts are of what processes have done, and committed. They only grow, and are late by up to ten seconds: each process adds its
	// own then, and when it closes the database. What SQL of the application's own does, AckSQL and EnqueueSQL too, is not
	// counted.
	Counts struct {
		Enqueued  int64 `json:"enqueued"`
		Claimed   int64 `json:"claimed"`
		Done      int64 `json:"done"`
		Retried   int64 `json:"retried"`
		Released  int64 `json:"released"`
		Dead      int64 `json:"dead"`
		Cancelled int64 `json:"cancelled"`
	} `json:"counts"`
	// Wait is how long jobs that were claimed had been due, and Run how long they were then held.
	Wait Histogram `json:"wait"`
	Run  Histogram `json:"run"`
	// Depth is how many jobs there are now.
	Depth struct {
		Due        int64 `json:"due"`
		Delayed    int64 `json:"delayed"`
		Processing int64 `json:"processing"`
		Blocked    int64 `json:"blocked"`
		Expired    int64 `json:"expired"`
		Dead       int64 `json:"dead"`
		// OldestDueAgeS is for how long the oldest of those that are due has been; nil if none is.
		OldestDueAgeS *int64 `json:"oldest_due_age_s"`
	} `json:"depth"`
}

// Histogram says how often something took how long.
type Histogram struct {
	SumS float64 `json:"sum_s"`
	// Buckets are in ascending order. Each counts what no earlier one does.
	Buckets []HistogramBucket `json:"buckets"`
}

// HistogramBucket is a part of a Histogram.
type HistogramBucket struct {
	// UpToS is the longest; nil in the last one, which has no end.
	UpToS *float64 `json:"up_to_s"`
	Count int64    `json:"count"`
}

// Metrics is what is known of each queue, by name. It reads the indexes of all jobs: for people, and for programs that ask every few
// seconds.
func (db *Database) Metrics() ([]QueueMetrics, error) {
	text, _, err := db.lib.textOf(db.native().metrics(db.handle, 0))
	metrics, err := decodeList[struct {
		Queues []QueueMetrics `json:"queues"`
	}](text, err)
	return metrics.Queues, err
}
