// asynq on Redis.
package main

import (
	"context"
	"encoding/json"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"peers.test/peer"
)

type producer struct{ client *asynq.Client }

func (p *producer) Enqueue(job peer.Job) error {
	_, err := p.client.Enqueue(task(job))
	return err
}

func (p *producer) EnqueueMany([]peer.Job) error { return peer.ErrUnsupported }

func (p *producer) EnqueueLater(jobs []peer.Job) error {
	for _, job := range jobs {
		if _, err := p.client.Enqueue(task(job), asynq.ProcessIn(peer.Day)); err != nil {
			return err
		}
	}
	return nil
}

func (p *producer) Transact(peer.Job, bool) error { return peer.ErrUnsupported }

func task(job peer.Job) *asynq.Task {
	payload, err := json.Marshal(job)
	peer.Check(err)
	return asynq.NewTask("job", payload)
}

func work() error {
	options, err := asynq.ParseRedisURI(peer.URL)
	if err != nil {
		return err
	}
	redisOptions, err := redis.ParseURL(peer.URL)
	if err != nil {
		return err
	}
	application := redis.NewClient(redisOptions)
	add := func(n int) error { return application.RPush(context.Background(), "appended", n).Err() }
	server := asynq.NewServer(options, asynq.Config{Concurrency: peer.Concurrency, LogLevel: asynq.WarnLevel})
	return server.Run(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		var job peer.Job
		if err := json.Unmarshal(task.Payload(), &job); err != nil {
			return err
		}
		return peer.Handle(job, add)
	}))
}

func main() {
	peer.Main(work, func() (peer.Producer, error) {
		options, err := asynq.ParseRedisURI(peer.URL)
		if err != nil {
			return nil, err
		}
		return &producer{asynq.NewClient(options)}, nil
	})
}
