using System.IO;

namespace Honker.Tests;

public sealed class WaitingTests : WithDatabase
{
    private static int Threads() => File.ReadLines("/proc/self/status").Where(line => line.StartsWith("Threads:", StringComparison.Ordinal))
        .Select(line => int.Parse(line.AsSpan(8).Trim(), System.Globalization.CultureInfo.InvariantCulture)).Single();

    private static int HonkerThreads() => Directory.GetDirectories("/proc/self/task")
        .Count(task => NameOf(task).StartsWith("honker", StringComparison.Ordinal));

    /// <summary>Empty if the thread, of another test perhaps, has ended meanwhile.</summary>
    private static string NameOf(string task)
    {
        try
        {
            return File.ReadAllText(Path.Combine(task, "comm"));
        }
        catch (IOException)
        {
            return "";
        }
    }

    [Fact]
    public async Task A_thousand_listeners_wait_on_one_thread()
    {
        var mine = HonkerThreads();
        var listeners = Enumerable.Range(0, 1000).Select(_ => Db.Listen("news")).ToList();
        var waits = listeners.Select(listener => listener.NextAsync(null, Limit()).AsTask()).ToList();
        // Other tests have databases of their own beside this one.
        Assert.True(HonkerThreads() <= mine + 100, $"{HonkerThreads() - mine} threads");
        Assert.True(Threads() < 500);
        Assert.DoesNotContain(waits, wait => wait.IsCompleted);
        Db.Notify("other", 0);
        Db.Notify("news", new { n = 1 });
        foreach (var wait in waits)
        {
            Assert.Equal(1, (await wait)!.Payload.GetProperty("n").GetInt32());
        }
        foreach (var listener in listeners)
        {
            await listener.DisposeAsync();
        }
    }

    /// <summary>None is lost, none comes twice, and what nobody holds any more is freed, whatever the collector does meanwhile.</summary>
    [Fact]
    public async Task A_thousand_listeners_hear_everything_under_the_collector()
    {
        const int Listeners = 1000;
        var count = Environment.GetEnvironmentVariable("HONKER_TEST_LONG") is null ? 20 : 500;
        using var end = new CancellationTokenSource();
        var collector = Task.Run(async () =>
        {
            while (!end.IsCancellationRequested)
            {
                _ = Db.Listen("news"); // and forget it
                GC.Collect();
                await Task.Delay(10);
            }
        });
        var heard = Enumerable.Range(0, Listeners).Select(_ => Db.Listen("news")).ToList().Select(listener => Task.Run(async () =>
        {
            var seen = new List<int>();
            await foreach (var one in listener)
            {
                seen.Add(one.Payload.GetInt32());
                if (seen.Count == count)
                {
                    break;
                }
            }
            return seen;
        })).ToList();
        using var other = Open();
        for (var i = 0; i < count; i++)
        {
            (i % 2 == 0 ? Db : other).Notify("news", i);
            await Task.Delay(1);
        }
        var all = Enumerable.Range(0, count).ToList();
        foreach (var one in heard)
        {
            Assert.Equal(all, await one.WaitAsync(TimeSpan.FromMinutes(5)));
        }
        await end.CancelAsync();
        await collector;
        Assert.Equal("watching", Db.Status().Watcher!.State);
    }

    [Fact]
    public async Task Jobs_come_when_they_are_due()
    {
        var q = Db.Queue("q");
        var got = Task.Run(async () =>
        {
            await foreach (var job in q.ClaimAsync("w", Timeout.InfiniteTimeSpan, Limit()))
            {
                job.Ack();
                return job.PayloadRaw;
            }
            return "";
        });
        using (var other = Open())
        {
            other.Queue("q").Enqueue("later", new EnqueueOptions(DelaySeconds: 1));
        }
        Assert.Equal("\"later\"", await got.WaitAsync(Long));
    }

    [Fact]
    public async Task A_wait_ends_with_its_token_and_its_time()
    {
        await using var claimer = Db.Queue("q").Claimer("w");
        Assert.Null(await claimer.NextAsync(TimeSpan.Zero));
        Assert.Null(await claimer.NextAsync(TimeSpan.FromMilliseconds(20)));
        using var source = new CancellationTokenSource();
        var wait = claimer.NextAsync(null, source.Token).AsTask();
        await Assert.ThrowsAsync<InvalidOperationException>(() => claimer.NextAsync().AsTask());
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => wait);
        Db.Queue("q").Enqueue(1);
        Assert.NotNull(await claimer.NextAsync(Long));
    }

    [Fact]
    public async Task Closing_and_interrupting_end_waits()
    {
        var listener = Db.Listen("c");
        var wait = listener.NextAsync().AsTask();
        listener.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => wait.WaitAsync(Long));
        var updates = Db.Updates();
        var interrupted = updates.NextAsync().AsTask();
        Db.Interrupt();
        Assert.Equal(HonkerStatus.Interrupted, (await Assert.ThrowsAsync<HonkerException>(() => interrupted.WaitAsync(Long))).Status);
        var closed = updates.NextAsync().AsTask();
        await Db.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => closed.WaitAsync(Long));
        Assert.Throws<ObjectDisposedException>(() => Db.Queue("q").Enqueue(1));
        Assert.Throws<ObjectDisposedException>(() => Db.BeginTransaction());
        Assert.Throws<ObjectDisposedException>(() => Db.Listen("c"));
        updates.Dispose();
        Db.Dispose();
    }

    [Fact]
    public async Task A_result_is_waited_for()
    {
        var q = Db.Queue("q");
        var wait = q.WaitResult(1, Long);
        q.SaveResult(1, new { ok = true });
        Assert.True((await wait).GetProperty("ok").GetBoolean());
        var late = await Assert.ThrowsAsync<TimeoutException>(() => q.WaitResult(2, TimeSpan.FromMilliseconds(10)));
        Assert.Contains("wait_result(2) timed out", late.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_synchronization_context_is_not_blocked_and_not_needed()
    {
        using var context = new OneThread();
        var done = new TaskCompletionSource<int>();
#pragma warning disable VSTHRD101 // it is caught
        context.Post(async _ =>
        {
            try
            {
                var before = Environment.CurrentManagedThreadId;
                var news = Db.Listen("c").NextAsync(Long).AsTask();
                Db.Notify("c", 1);
                await news;
                done.SetResult(Environment.CurrentManagedThreadId == before ? 1 : 0);
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        }, null);
#pragma warning restore VSTHRD101
        Assert.Equal(1, await done.Task.WaitAsync(Long));
        // Blocked by whoever likes to, a wait comes to its end all the same.
        var blocked = new TaskCompletionSource();
        context.Post(_ =>
        {
            var wait = Db.Queue("q").WaitResult(5, Long);
            Db.Queue("q").SaveResult(5, 1);
#pragma warning disable VSTHRD002, xUnit1031
            wait.Wait(Long);
#pragma warning restore VSTHRD002, xUnit1031
            blocked.SetResult();
        }, null);
        await blocked.Task.WaitAsync(Long);
    }

    [Fact]
    public async Task A_stream_is_read_from_the_consumers_place()
    {
        var s = Db.Stream("events");
        for (var i = 1; i <= 5; i++)
        {
            s.Publish(new { i }, $"k{i}");
        }
        Assert.Equal([4, 5], s.ReadSince(3).Select(one => one.Payload.GetProperty("i").GetInt32()));
        var seen = new List<long>();
        await foreach (var one in s.Subscribe("c", cancellationToken: Limit()))
        {
            seen.Add(one.Offset);
            if (one.Offset == 3)
            {
                break;
            }
        }
        Assert.Equal([1, 2, 3], seen);
        Assert.Equal(2, s.GetOffset("c"));
        await using (var again = s.Subscribe("c"))
        {
            Assert.Equal(("k3", 3), ((await again.NextAsync(Long))!.Key, again.Offset));
            again.Ack();
            again.Save();
            Assert.Equal(3, s.GetOffset("c"));
        }
        Assert.False(s.SaveOffset("c", 1));
        Assert.Equal(2, s.ReadFromConsumer("c").Count);
        s.Configure(new StreamUpdate().WithKeepN(1));
        Assert.Equal(4, s.Trim(new StreamUpdate().WithPastConsumers(true)));
    }

    [Fact]
    public async Task Forgotten_consumers_are_collected()
    {
        var weak = Forget();
        await Until(() =>
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return !weak.TryGetTarget(out _);
        }, "collected");

        WeakReference<Listener> Forget() => new(Db.Listen("c"));
    }

    private sealed class OneThread : SynchronizationContext, IDisposable
    {
        private readonly BlockingCollection<(SendOrPostCallback Call, object? State)> calls = [];

        internal OneThread() => new Thread(() =>
        {
            SetSynchronizationContext(this);
            foreach (var (call, state) in calls.GetConsumingEnumerable())
            {
                call(state);
            }
        })
        { IsBackground = true }.Start();

        public override void Post(SendOrPostCallback d, object? state) => calls.Add((d, state));

        public void Dispose() => calls.CompleteAdding();
    }
}
