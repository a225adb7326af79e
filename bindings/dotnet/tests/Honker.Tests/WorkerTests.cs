using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.IO;

namespace Honker.Tests;

public sealed class WorkerTests : WithDatabase
{
    private static readonly WorkerOptions Quiet = new() { HandleSignals = false };

    [Fact]
    public async Task A_handler_says_what_becomes_of_its_job()
    {
        var q = Db.Queue("q");
        q.EnqueueMany(["done", "error", "retry", "discard", "snooze", "settled", "last"], new EnqueueOptions(MaxAttempts: 2));
        using var stop = new CancellationTokenSource();
        var errors = new ConcurrentQueue<string>();
        var worker = Db.Worker(Quiet with { Concurrency = 3, OnError = (e, job) => errors.Enqueue($"{job.Id} {e.Message}") })
            .Handle<string>("q", (what, job, _) => what switch
            {
                "error" => throw new IOException("no mail server"),
                "retry" => throw new RetryException(TimeSpan.FromSeconds(500), "later"),
                "discard" => throw new DiscardException("never"),
                "snooze" => throw new SnoozeException(TimeSpan.FromSeconds(600)),
                "settled" => Task.FromResult(job.Fail("by hand")),
                _ => Task.CompletedTask,
            });
        var run = worker.RunAsync(stop.Token);
        await Until(() => Db.Jobs(new JobFilter { States = ["due", "processing"] }).Page().Jobs.Count == 0);
        await stop.CancelAsync();
        await Ended(run);

        var jobs = Db.Jobs().All().ToDictionary(job => job.Id);
        Assert.Equal([2, 3, 4, 5, 6], jobs.Keys.Order());
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        Assert.InRange(jobs[2].RunAt!.Value, now - 60, now + 17);
        Assert.InRange(jobs[3].RunAt!.Value, now + 400, now + 500);
        Assert.Equal(("dead", "never"), (jobs[4].State, jobs[4].LastError));
        Assert.Equal(("delayed", 0), (jobs[5].State, jobs[5].Attempts));
        Assert.Equal(("dead", "by hand"), (jobs[6].State, jobs[6].LastError));
        Assert.Equal(3, errors.Count);
        Assert.Equal(1, Log.Count("job 2 of q failed, attempt 1 of 2, next try in about 15 s"));
        Assert.Equal(1, Log.Count("job 4 of q failed, attempt 1 of 2, it is dead now"));
        Assert.Equal(1, Log.Count("ended: 3 done, 1 snoozed, 2 retried, 1 dead, 0 released, 0 running"));
        Assert.Equal(1, Log.Count("no mail server\n"));
    }

    [Fact]
    public async Task What_is_no_payload_is_dead_with_the_reason()
    {
        var q = Db.Queue("q");
        q.Enqueue(new RawJson("{not json"));
        q.Enqueue(new { Attempt = "many" });
        q.Enqueue<object?>(null);
        Assert.Equal(3, await Db.Worker(Quiet).Handle<Email>("q", (_, _, _) => Task.CompletedTask).RunDueAsync());
        Assert.All(q.Dead(), job => Assert.Contains("Honker.Tests.Email", job.LastError, StringComparison.Ordinal));
        Assert.Equal(3, q.Dead().Count);
    }

    [Fact]
    public async Task Jobs_run_side_by_side_and_queues_by_weight()
    {
        Db.Queue("a").EnqueueMany(Enumerable.Range(0, 4));
        Db.Queue("b").EnqueueMany(Enumerable.Range(0, 4));
        using var all = new CountdownEvent(8);
        using var stop = new CancellationTokenSource();
        JobHandler handler = async (_, cancel) =>
        {
            all.Signal();
            await Until(() => all.IsSet, "eight at once");
        };
        var run = Db.Worker(Quiet with { Concurrency = 8 }).Handle("a", handler, 3).Handle("b", handler, 1).RunAsync(stop.Token);
        await Until(() => Db.Jobs().Page().Jobs.Count == 0);
        await stop.CancelAsync();
        await Ended(run);
        Assert.Equal(1, Log.Count("8 done"));
    }

    [Fact]
    public async Task A_queue_has_no_more_in_hand_than_it_may()
    {
        Db.Queue("a").EnqueueMany(Enumerable.Range(0, 5));
        Db.Queue("b").EnqueueMany(Enumerable.Range(0, 5));
        var (begun, ofA) = (0, 0);
        var inHand = new ConcurrentQueue<int>();
        using var stop = new CancellationTokenSource();
        JobHandler handler = async (job, _) =>
        {
            if (job.QueueName == "a")
            {
                inHand.Enqueue(Interlocked.Increment(ref ofA));
            }
            Interlocked.Increment(ref begun);
            await Until(() => Volatile.Read(ref begun) >= 4, "four at once");
            if (job.QueueName == "a")
            {
                Interlocked.Decrement(ref ofA);
            }
        };
        var worker = Db.Worker(Quiet with { Concurrency = 4 });
        Assert.ThrowsAny<ArgumentException>(() => worker.Handle("a", handler, maxInHand: 0));
        var run = worker.Handle("a", handler, maxInHand: 1).Handle("b", handler).RunAsync(stop.Token);
        await Until(() => Db.Jobs().Page().Jobs.Count == 0);
        await stop.CancelAsync();
        await Ended(run);
        Assert.Equal([1, 1, 1, 1, 1], inHand);
    }

    [Fact]
    public async Task A_cancelled_job_cancels_its_handler()
    {
        var id = Db.Queue("q").Enqueue(1);
        var reason = new TaskCompletionSource<CancelReason>();
        using var stop = new CancellationTokenSource();
        var began = new TaskCompletionSource();
        var run = Db.Worker(Quiet).Handle("q", async (job, cancel) =>
        {
            began.SetResult();
            try
            {
                await Task.Delay(Timeout.Infinite, cancel);
            }
            finally
            {
                reason.SetResult(job.CancelReason);
            }
        }).RunAsync(stop.Token);
        await began.Task.WaitAsync(Long);
        using (var other = Open())
        {
            Assert.True(other.Queue("q").Cancel(id));
        }
        Assert.Equal(CancelReason.Gone, await reason.Task.WaitAsync(Long));
        await stop.CancelAsync();
        await Ended(run);
    }

    [Fact]
    public async Task A_job_that_runs_too_long_is_retried()
    {
        Db.Queue("q").Configure(new QueueUpdate().WithRetry(new QueueRetry(0, 1, 0, 0)));
        Db.Queue("q").Enqueue(1, new EnqueueOptions(MaxAttempts: 1) { MaxRunSeconds = 1 });
        var reason = new TaskCompletionSource<CancelReason>();
        using var stop = new CancellationTokenSource();
        var run = Db.Worker(Quiet).Handle("q", async (job, cancel) =>
        {
            try
            {
                await Task.Delay(Timeout.Infinite, cancel);
            }
            finally
            {
                reason.TrySetResult(job.CancelReason);
            }
        }).RunAsync(stop.Token);
        Assert.Equal(CancelReason.Timeout, await reason.Task.WaitAsync(Long));
        Assert.Equal("timeout after 1 s", Assert.Single(Db.Queue("q").Dead()).LastError);
        await stop.CancelAsync();
        await Ended(run);
    }

    [Fact]
    public async Task A_worker_that_stops_gives_back_what_does_not_end()
    {
        Db.Queue("q").EnqueueMany([1, 2]);
        using var began = new CountdownEvent(2);
        using var stop = new CancellationTokenSource();
        var release = new TaskCompletionSource();
        var run = Db.Worker(Quiet with { Concurrency = 2, StopTimeout = TimeSpan.FromMilliseconds(50) }).Handle<int>("q", async (n, job, cancel) =>
        {
            began.Signal();
            await (n == 1 ? Task.Delay(Timeout.Infinite, cancel) : release.Task);
        }).RunAsync(stop.Token);
        await Until(() => began.IsSet);
        await stop.CancelAsync();
        var unfinished = await Assert.ThrowsAsync<HonkerUnfinishedException>(() => run.WaitAsync(Long));
        Assert.Equal(1, unfinished.Running);
        Assert.Equal([0L, 0L], Db.Queue("q").ClaimBatch("w", 9).Select(job => job.Attempts - 1));
        Assert.Equal(1, Log.Count("2 released, 1 running"));
        release.SetResult();
    }

    [Fact]
    public async Task It_waits_for_its_file()
    {
        using var stop = new CancellationTokenSource();
        var done = new ConcurrentQueue<long>();
        var worker = new HonkerWorker(FilePath, Quiet,
            new OpenOptions { LoggerFactory = Log }).Handle("q", (job, _) =>
            {
                done.Enqueue(job.Id);
                return Task.CompletedTask;
            });
        var run = worker.RunAsync(stop.Token);
        await Until(() => Log.Count("does not exist yet") == 1);
        Db.Queue("q").Enqueue(1);
        await Until(() => done.Count == 1 && Db.Jobs().Page().Jobs.Count == 0);
        Assert.Equal(1, Log.Count("works again"));
        await stop.CancelAsync();
        await Ended(run);
    }

    [Fact]
    public async Task A_lock_is_said_once_and_waited_out()
    {
        var q = Db.Queue("q");
        q.EnqueueMany(Enumerable.Range(0, 3));
        using var stop = new CancellationTokenSource();
        var begun = new TaskCompletionSource();
        var locked = new TaskCompletionSource();
        using var db = Database.Open(FilePath, new OpenOptions { LoggerFactory = Log, BusyTimeout = TimeSpan.FromMilliseconds(10) });
        var run = db.Worker(Quiet).Handle("q", async (_, _) =>
        {
            begun.TrySetResult();
            await locked.Task;
        }).RunAsync(stop.Token);
        await begun.Task.WaitAsync(Long);
        using (var tx = Db.BeginTransaction())
        {
            locked.SetResult();
            await Until(() => Log.Count("waits and tries again") == 1);
            tx.Rollback();
        }
        await Until(() => Db.Jobs().Page().Jobs.Count == 0);
        await stop.CancelAsync();
        await Ended(run);
        Assert.Equal(1, Log.Count("waits and tries again"));
        Assert.Equal(1, Log.Count("works again"));
        Assert.Equal(1, Log.Count("3 done"));
    }

    [Fact]
    public async Task A_replaced_file_is_opened_anew()
    {
        Db.Queue("q").Enqueue("old");
        using var stop = new CancellationTokenSource();
        var reason = new TaskCompletionSource<CancelReason>();
        var fresh = new TaskCompletionSource<long>();
        var run = Db.Worker(Quiet with { Concurrency = 2 }).Handle<string>("q", async (what, job, cancel) =>
        {
            if (what == "new")
            {
                fresh.SetResult(job.Database.Query("SELECT count(*) FROM _honker_live")[0].Get<long>(0));
                return;
            }
            try
            {
                await Task.Delay(Timeout.Infinite, cancel);
            }
            finally
            {
                reason.SetResult(job.CancelReason);
            }
        }).RunAsync(stop.Token);
        await Until(() => Db.Query("SELECT 1 FROM _honker_live WHERE state = 'processing'").Count == 1);
        File.Move(FilePath, FilePath + ".old");
        File.Delete(FilePath + "-wal");
        File.Delete(FilePath + "-shm");
        using (var other = Open())
        {
            other.Queue("q").Enqueue("new");
            Assert.Equal(CancelReason.Replaced, await reason.Task.WaitAsync(Long));
            Assert.Equal(1, await fresh.Task.WaitAsync(Long));
        }
        await stop.CancelAsync();
        await Ended(run);
        Assert.Equal(1, Log.Count("opens the file anew"));
    }

    [Fact]
    public async Task Middleware_and_telemetry_are_around_each_job()
    {
        var queue = $"traced-{Guid.NewGuid():N}";
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == HonkerTelemetry.Name,
            // What is traced has metadata: other tests that enqueue meanwhile are to have none.
            Sample = (ref ActivityCreationOptions<ActivityContext> options) =>
                options.Tags?.Any(tag => Equals(tag.Value, queue)) == true
                    ? ActivitySamplingResult.AllDataAndRecorded : ActivitySamplingResult.None,
        };
        var activities = new ConcurrentQueue<Activity>();
        listener.ActivityStopped = activities.Enqueue;
        var consumed = new ConcurrentQueue<string>();
        using var meters = new MeterListener
        {
            InstrumentPublished = (instrument, it) =>
            {
                if (instrument.Meter.Name == HonkerTelemetry.Name)
                {
                    it.EnableMeasurementEvents(instrument);
                }
            },
        };
        void Measured<T>(Instrument instrument, T value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state)
        {
            foreach (var tag in tags)
            {
                if (Equals(tag.Value, queue))
                {
                    consumed.Enqueue(instrument.Name);
                }
            }
        }
        meters.SetMeasurementEventCallback<long>(Measured);
        meters.SetMeasurementEventCallback<double>(Measured);
        meters.Start();
        ActivitySource.AddActivityListener(listener);
        Db.Queue(queue).Enqueue(1);
        var around = new List<string>();
        var worker = Db.Worker(Quiet with
        {
            Around = async (job, next) =>
            {
                around.Add($"before {job.Id}");
                await next();
                around.Add("after");
            },
        }).Handle(queue, (_, _) =>
        {
            around.Add("handler");
            return Task.CompletedTask;
        });
        Assert.Equal(1, await worker.RunDueAsync());
        Assert.Equal(["before 1", "handler", "after"], around);
        var mine = activities.Where(one => Equals(one.GetTagItem("messaging.destination.name"), queue)).ToList();
        var send = Assert.Single(mine, one => one.Kind == ActivityKind.Producer);
        var process = Assert.Single(mine, one => one.Kind == ActivityKind.Consumer);
        Assert.Equal((send.TraceId, send.SpanId), (process.TraceId, process.ParentSpanId));
        Assert.Equal("1", process.GetTagItem("messaging.message.id"));
        Assert.NotNull(process.GetTagItem("honker.job.wait_s"));
        Assert.Equal(["honker.job.wait", "messaging.client.consumed.messages", "messaging.client.sent.messages", "messaging.process.duration"],
            consumed.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_handler_may_do_what_it_likes()
    {
        var q = Db.Queue("q");
        q.EnqueueMany(["twice", "blocks", "throws", "fine"], new EnqueueOptions(MaxAttempts: 1));
        using var stop = new CancellationTokenSource();
        using var gate = new ManualResetEventSlim();
        var run = Db.Worker(Quiet with { Concurrency = 4, OnError = (_, _) => throw new InvalidOperationException("reporter") })
            .Handle<string>("q", (what, job, _) =>
            {
                switch (what)
                {
                    case "twice":
                        job.Ack();
                        job.Ack();
                        break;
                    case "blocks":
                        gate.Wait(CancellationToken.None); // whatever it is told
                        break;
                    case "throws":
                        throw new AggregateException("boom", new InvalidOperationException(new string('x', 100_000) + "\0\ud800"));
                }
                return Task.CompletedTask;
            }).RunAsync(stop.Token);
        await Until(() => Db.Jobs(new JobFilter { States = ["due", "processing"] }).Page().Jobs.Count == 1);
        gate.Set();
        await Until(() => Db.Jobs(new JobFilter { States = ["due", "processing"] }).Page().Jobs.Count == 0);
        await stop.CancelAsync();
        await Ended(run);
        Assert.Equal(1, Log.Count("WorkerOptions.OnError has failed"));
        Assert.StartsWith("System.AggregateException: boom", Assert.Single(q.Dead()).LastError, StringComparison.Ordinal);
    }

    /// <summary>An exception that throws whatever is asked of it.</summary>
    private sealed class Unreadable : Exception
    {
        public override string Message => throw new InvalidOperationException("no message");

        public override string ToString() => throw new InvalidOperationException("no text");
    }

    [Fact]
    public async Task An_exception_that_cannot_be_read_is_a_failure_like_any_other()
    {
        var q = Db.Queue("q");
        q.EnqueueMany(["unreadable", "fine"], new EnqueueOptions(MaxAttempts: 1));
        using var stop = new CancellationTokenSource();
        var run = Db.Worker(Quiet).Handle<string>("q", (what, _, _) => what == "fine" ? Task.CompletedTask : throw new Unreadable())
            .RunAsync(stop.Token);
        await Until(() => Db.Jobs(new JobFilter { States = ["due", "processing"] }).Page().Jobs.Count == 0);
        await stop.CancelAsync();
        await Ended(run);
        Assert.Contains(nameof(Unreadable), Assert.Single(q.Dead()).LastError, StringComparison.Ordinal);
        Assert.Equal(1, Log.Count("job 1 of q failed, attempt 1 of 1, it is dead now"));

        var outbox = Db.Outbox("hooks", (System.Text.Json.JsonElement _) => throw new Unreadable(), new OutboxOptions(MaxAttempts: 1));
        outbox.Enqueue(1);
        Assert.True(await outbox.RunOnceAsync("w"));
        Assert.Contains(nameof(Unreadable), Assert.Single(Db.Queue(outbox.QueueName).Dead()).LastError, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Metadata_that_are_no_texts_do_not_keep_a_job_from_its_handler()
    {
        var id = Db.Queue("q").Enqueue(1, new EnqueueOptions { Metadata = new Dictionary<string, string> { ["a"] = "b" } });
        Db.Execute("UPDATE _honker_job_options SET metadata = '{\"a\": 1}' WHERE job_id = @p0", id);
        using var stop = new CancellationTokenSource();
        var run = Db.Worker(Quiet).Handle("q", (_, _) => Task.CompletedTask).RunAsync(stop.Token);
        await Until(() => Db.Jobs().Page().Jobs.Count == 0);
        await stop.CancelAsync();
        await Ended(run);
        Assert.Equal(1, Log.Count("1 done"));
    }

    [Fact]
    public async Task A_handler_that_fails_while_the_worker_stops_is_logged()
    {
        Db.Queue("q").Enqueue(1);
        using var stop = new CancellationTokenSource();
        var began = new TaskCompletionSource();
        var run = Db.Worker(Quiet with { StopTimeout = TimeSpan.Zero }).Handle("q", async (_, cancel) =>
        {
            began.SetResult();
            await Task.Delay(Timeout.Infinite, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw new IOException("half written");
        }).RunAsync(stop.Token);
        await began.Task.WaitAsync(Long);
        await stop.CancelAsync();
        await Ended(run);
        Assert.Equal(1, Log.Count("job 1 of q failed, attempt 1 of 3, next try in about 15 s"));
        Assert.Equal(1, Log.Count("1 retried"));
    }

    [Fact]
    public async Task A_full_disk_is_said_once_and_waited_out()
    {
        using (var mount = System.Diagnostics.Process.Start("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", Folder]))
        {
            await mount.WaitForExitAsync(Limit());
            if (mount.ExitCode != 0)
            {
                Console.WriteLine("SKIPPED a full disk in .NET: nothing can be mounted");
                Assert.Skip("nothing can be mounted");
            }
        }
        try
        {
            using var db = Open();
            db.Queue("q").EnqueueMany([1, 2, 3]);
            using var stop = new CancellationTokenSource();
            using var began = new CountdownEvent(3);
            var full = new TaskCompletionSource();
            var calls = 0;
            var run = db.Worker(Quiet with { Concurrency = 3 }).Handle("q", async (_, _) =>
            {
                Interlocked.Increment(ref calls);
                began.Signal();
                await full.Task;
                throw new InvalidOperationException(new string('x', 130_000)); // more than what is left of a page
            }).RunAsync(stop.Token);
            await Until(() => began.IsSet);
            var ballast = Path.Combine(Folder, "ballast");
            using (var file = File.OpenHandle(ballast, FileMode.CreateNew, FileAccess.Write))
            {
                var (at, block) = (0L, new byte[512]);
                try
                {
                    while (true)
                    {
                        RandomAccess.Write(file, block, at);
                        at += block.Length;
                    }
                }
                catch (IOException)
                {
                    // no space is left
                }
            }
            full.SetResult();
            await Until(() => Log.Count("waits and tries again") == 1);
            Assert.Equal(3, db.Query("SELECT id FROM _honker_live WHERE state = 'processing'").Count);
            File.Delete(ballast);
            await Until(() => db.Query("SELECT id FROM _honker_live WHERE state = 'pending'").Count == 3);
            await Until(() => Log.Count("works again") == 1);
            await stop.CancelAsync();
            await Ended(run);
            Assert.Equal((3, 1), (calls, Log.Count("waits and tries again")));
            Assert.Equal(1, Log.Count("3 retried"));
        }
        finally
        {
            using var unmount = System.Diagnostics.Process.Start("umount", ["-l", Folder]); // honker keeps descriptors, for its locks
            await unmount.WaitForExitAsync(Limit());
            Assert.Equal(0, unmount.ExitCode);
        }
    }

    [Fact]
    public async Task A_handler_that_closes_its_database_ends_the_worker_with_an_error()
    {
        Db.Queue("q").Enqueue(1);
        var run = Db.Worker(Quiet).Handle("q", (job, _) =>
        {
            job.Database.Dispose();
            return Task.CompletedTask;
        }).RunAsync(TestContext.Current.CancellationToken);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => run.WaitAsync(Long));
    }

    [Fact]
    public void What_cannot_work_is_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => Db.Worker(new WorkerOptions { Concurrency = 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => Db.Worker(new WorkerOptions { MaxRunSeconds = 0 }));
        Assert.Throws<InvalidOperationException>(() => { _ = Db.Worker().RunAsync(TestContext.Current.CancellationToken); });
        var worker = Db.Worker().Handle("q", (_, _) => Task.CompletedTask);
        Assert.Throws<ArgumentException>(() => worker.Handle("q", (_, _) => Task.CompletedTask));
        Assert.Throws<ArgumentOutOfRangeException>(() => worker.Handle("p", (_, _) => Task.CompletedTask, -1));
    }

    [Fact]
    public async Task Ten_thousand_at_once()
    {
        Db.Queue("q").EnqueueMany(Enumerable.Range(0, 500));
        using var stop = new CancellationTokenSource();
        var run = Db.Worker(Quiet with { Concurrency = 10_000 }).Handle("q", async (_, cancel) => await Task.Delay(20, cancel)).RunAsync(stop.Token);
        await Until(() => Db.Jobs().Page().Jobs.Count == 0);
        await stop.CancelAsync();
        await Ended(run);
        Assert.Equal(1, Log.Count("500 done"));
    }

    [Fact]
    public async Task Schedules_fire_beside_the_worker()
    {
        using var stop = new CancellationTokenSource();
        var fired = new TaskCompletionSource<int>();
        var run = Db.Worker(Quiet with { Schedules = [new ScheduledTask("tick", "q", 7, Schedule: Schedules.EverySeconds(1))] })
            .Handle<int>("q", (n, _, _) =>
            {
                fired.TrySetResult(n);
                return Task.CompletedTask;
            }).RunAsync(stop.Token);
        Assert.Equal(7, await fired.Task.WaitAsync(Long));
        await stop.CancelAsync();
        await Ended(run);
    }
}
