// The conformance adapter of the Go package: does what conformance/PROTOCOL.md says with the package, and answers what that answered.
//
// main reads requests and gives them to lanes, which are goroutines; reset and bye it does itself. A function of the table
// in operations.go answers by returning, and by panicking: with an outcome, or with what the package failed with.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	honker "github.com/russellromney/honker-go"
)

type object = map[string]any

type (
	outcome     string
	unsupported string
)

var (
	stdout = json.NewEncoder(os.Stdout)
	saying sync.Mutex
	lanes  = map[string]chan *request{}
	ending sync.WaitGroup
)

func main() {
	startThreads()
	stdout.SetEscapeHTML(false)
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			reset()
			return
		}
		r := &request{}
		if err := json.Unmarshal(line, &r.args); err != nil {
			fmt.Fprintf(os.Stderr, "not a request: %v\n%s", err, line)
			os.Exit(1)
		}
		switch op := r.str("op"); op {
		case "reset", "bye":
			reset()
			say(r, object{"ok": object{}})
			if op == "bye" {
				return
			}
		default:
			handOver(r)
		}
	}
}

// startThreads has Go's runtime start the threads that calls of the library occupy. It keeps them, and the suite looks
// whether there are more at the end of a case than before.
func startThreads() {
	var all, started sync.WaitGroup
	hold := make(chan struct{})
	for range 48 {
		all.Add(1)
		started.Add(1)
		go func() {
			defer all.Done()
			runtime.LockOSThread() // a thread of its own, until the end of the lock
			defer runtime.UnlockOSThread()
			started.Done()
			<-hold
		}()
	}
	started.Wait()
	close(hold)
	all.Wait()
}

func handOver(r *request) {
	name := ""
	if r.has("lane") {
		name = r.str("lane")
	}
	lane := lanes[name]
	if lane == nil {
		lane = make(chan *request, 1000)
		lanes[name] = lane
		ending.Add(1)
		go func() {
			defer ending.Done()
			for r := range lane {
				say(r, perform(r))
			}
		}()
	}
	lane <- r
}

// reset closes everything, which ends what the lanes wait for; then they do what they were given, and end.
func reset() {
	closeAll()
	for _, lane := range lanes {
		close(lane)
	}
	ending.Wait()
	closeAll() // what was made meanwhile
	clear(lanes)
	clear(handles.byName)
	clear(handles.jobs)
}

func say(r *request, answer object) {
	saying.Lock()
	defer saying.Unlock()
	answer["seq"] = r.args["seq"]
	if err := stdout.Encode(answer); err != nil {
		os.Exit(1)
	}
}

func perform(r *request) (answer object) {
	defer func() {
		switch why := recover().(type) {
		case nil:
		case outcome:
			answer = object{"outcome": why}
		case unsupported:
			answer = object{"unsupported": why}
		case error:
			var failed *honker.Error
			if errors.As(why, &failed) {
				answer = object{"error": object{"name": strings.TrimPrefix(failed.Name(), "HONKER_"),
					"type": fmt.Sprintf("%T", failed), "message": failed.Error()}}
				return
			}
			answer = object{"crashed": object{"message": why.Error(), "trace": string(debug.Stack())}}
		default:
			answer = object{"crashed": object{"message": fmt.Sprint(why), "trace": string(debug.Stack())}}
		}
	}()
	operation := operations[r.str("op")]
	if operation == nil {
		panic(fmt.Errorf("there is no operation %s", r.args["op"]))
	}
	return object{"ok": operation(r)}
}

// must is the value of a call that did not fail.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// or is the outcome of a call that answers whether it did something.
func or(otherwise outcome) func(did bool, err error) object {
	return func(did bool, err error) object {
		if !must(did, err) {
			panic(otherwise)
		}
		return object{}
	}
}

// handles are what requests have made, which all lanes share.
var handles = struct {
	sync.Mutex
	byName map[string]any
	jobs   map[string]*honker.Job // the last that was given, by id and worker
}{byName: map[string]any{}, jobs: map[string]*honker.Job{}}

// keep makes a handle; one of that name is dropped first.
func keep[T any](r *request, make func() T) object {
	name := r.str("as")
	handles.Lock()
	old := handles.byName[name]
	delete(handles.byName, name)
	handles.Unlock()
	_ = closeHandle(old)
	made := make()
	handles.Lock()
	defer handles.Unlock()
	handles.byName[name] = made
	return object{}
}

func use[T any](r *request, key string) T {
	handles.Lock()
	defer handles.Unlock()
	handle, is := handles.byName[r.str(key)].(T)
	if !is {
		panic(fmt.Errorf("%s is no %T", r.str(key), handle))
	}
	return handle
}

// closeHandle does what the end of a scope does in Go programs.
func closeHandle(handle any) error {
	switch handle := handle.(type) {
	case *honker.Transaction:
		if err := handle.Rollback(); !errors.Is(err, honker.ErrMisuse) {
			return err
		}
	case *honker.Lock:
		_, err := handle.Release()
		return err
	case interface{ Close() error }:
		return handle.Close()
	}
	return nil
}

// closeAll closes the innermost first.
func closeAll() {
	handles.Lock()
	var all []any
	for _, handle := range handles.byName {
		all = append(all, handle)
	}
	handles.Unlock()
	order := func(handle any) int {
		switch handle.(type) {
		case *honker.Transaction:
			return 0
		case *honker.Database:
			return 3
		case *honker.Lock:
			return 2
		}
		return 1
	}
	slices.SortFunc(all, func(a, b any) int { return order(a) - order(b) })
	for _, handle := range all {
		if db, is := handle.(*honker.Database); is {
			_ = db.Interrupt() // what waits for a lock
		}
	}
	for _, handle := range all {
		_ = closeHandle(handle)
	}
}
