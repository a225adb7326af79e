package honker

import (
	"context"
	"maps"
	"reflect"
	"slices"
)

// ByQueue is a Handler that passes each job to the handler of its queue. A worker whose Queues have one without a handler
// does not start: Run and RunDue return ErrInvalid, with the queue's name. Inside a Handler or Middleware of the
// application's own, ByQueue is not seen at the start; then the first job of such a queue is released, its attempt does not
// count, and the worker stops with that error.
func ByQueue(handlers map[string]Handler) Handler { return queueHandlers(maps.Clone(handlers)).handle }

// queueHandlers are the handlers by queue.
type queueHandlers map[string]Handler

func (h queueHandlers) handle(ctx context.Context, job *Job) error {
	if ask, is := ctx.(*missingHandler); is {
		return h.check(ask.queues)
	}
	if handler := h[job.Queue]; handler != nil {
		return handler(ctx, job)
	}
	return &noHandler{h.missing(job.Queue)}
}

// check returns an error for the first queue that has no handler.
func (h queueHandlers) check(queues []WorkerQueue) error {
	for _, queue := range queues {
		if h[queue.Name] == nil {
			return h.missing(queue.Name)
		}
	}
	return nil
}

func (h queueHandlers) missing(queue string) error {
	return invalid(nil, "ByQueue has no handler for the queue %q; it has handlers for %q", queue, slices.Sorted(maps.Keys(h)))
}

// missingHandler is the context with which a worker asks a Handler of ByQueue's which of the queues has no handler.
type missingHandler struct {
	context.Context
	queues []WorkerQueue
}

// byQueueCode is the code of each Handler that ByQueue makes: such a Handler may be asked before there is a job.
var byQueueCode = codeOf(queueHandlers(nil).handle)

func codeOf(handler Handler) uintptr { return reflect.ValueOf(handler).Pointer() }

// checkQueues returns an error if handler is ByQueue's, and one of the queues has no handler.
func checkQueues(handler Handler, queues []WorkerQueue) error {
	if codeOf(handler) != byQueueCode {
		return nil
	}
	return handler(&missingHandler{context.Background(), queues}, nil)
}

// noHandler is the failure of a job of a queue without a handler. The job is released, and the worker stops.
type noHandler struct{ error }

func (e *noHandler) Unwrap() error { return e.error }
