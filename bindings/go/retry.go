package honker

import (
	"errors"
	"log/slog"
	"time"
)

// isTransient is true for an error that may pass by itself: a locked file, a full disk, no file yet.
func isTransient(err error) bool {
	var failed *Error
	return errors.As(err, &failed) && failed.Status.isTransient() && failed.Status != StatusInterrupted
}

// pauses says how long to wait between tries while such an error lasts, and logs its beginning and its end.
type pauses struct {
	log    *slog.Logger
	who    string               // cannot go on
	passes func(err error) bool // whether it may pass by itself
	last   time.Duration        // 0: there is no such error now
}

// after tells when to try again, at most longest from now. nil: the error does not pass.
func (p *pauses) after(err error, longest time.Duration) <-chan time.Time {
	if err == nil || !p.passes(err) {
		return nil
	}
	if p.last == 0 {
		p.log.Warn("honker: "+p.who+" cannot go on now, and tries again", "error", err)
	}
	p.last = min(max(2*p.last, 100*time.Millisecond), longest)
	return time.After(p.last)
}

// over says that there is no such error any more.
func (p *pauses) over() {
	if p.last > 0 {
		p.last = 0
		p.log.Info("honker: " + p.who + " goes on")
	}
}
