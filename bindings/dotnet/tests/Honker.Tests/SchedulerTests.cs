using System.Text.Json;

namespace Honker.Tests;

public sealed class SchedulerTests : WithDatabase
{
    [Fact]
    public void Schedules_come_and_go()
    {
        var s = Db.Scheduler;
        Assert.Null(s.Soonest());
        s.Add(new ScheduledTask("nightly", "q", new { n = 1 }, Cron: "0 3 * * *", Priority: 2, ExpiresSeconds: 60)
        {
            Overlap = Overlap.Skip,
            Options = new EnqueueOptions { Metadata = new Dictionary<string, string> { ["a"] = "b" } },
        });
        var row = Assert.Single(s.List());
        Assert.Equal(("nightly", "q", "0 3 * * *", 2, 60L, true), (row.Name, row.Queue, row.CronExpr, row.Priority, row.ExpiresS, row.Enabled));
        Assert.Equal((Overlap.Skip, "b"), (row.Overlap, Assert.Single(row.Options).Value.GetProperty("a").GetString()));
        Assert.Equal(row.NextFireAt, s.Soonest());
        Assert.Equal(row.NextFireAt, s.NextAfter("0 3 * * *", row.NextFireAt!.Value - 1));
        var fire = Assert.Single(s.Tick(row.NextFireAt));
        Assert.Equal(new ScheduledFire("nightly", "q", row.NextFireAt!.Value, 1, EnqueueStatus.Enqueued), fire);
        Assert.Empty(s.Tick(row.NextFireAt));
        Assert.True(s.Update("nightly", new ScheduleUpdate().WithCron("@every 5m").WithPayload(2).WithExpiresSeconds(null).WithMaxAttempts(9)));
        row = Assert.Single(s.List());
        Assert.Equal(("@every 5m", "2", null, 9L), (row.CronExpr, row.PayloadRaw, row.ExpiresS, row.MaxAttempts));
        Assert.True(s.Pause("nightly"));
        Assert.False(s.Pause("nightly"));
        Assert.True(s.Resume("nightly"));
        Assert.Equal(1, s.Remove("nightly"));
        Assert.Equal(0, s.Remove("nightly"));
        Assert.False(s.Update("nightly", new ScheduleUpdate().WithPriority(1)));
        s.Add(new ScheduledTask("plain", "q", Cron: "@daily"));
        Assert.Equal((Overlap.Allow, 0), (Assert.Single(s.List()).Overlap, Assert.Single(s.List()).Options.Count));
        Assert.Contains("5 or 6 cron fields",
            Assert.Throws<ArgumentException>(() => s.Add(new ScheduledTask("x", "q", Cron: "* *"))).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => s.Add(new ScheduledTask("x", "q")));
        Assert.Throws<ArgumentOutOfRangeException>(() => Schedules.EverySeconds(0));
    }

    [Fact]
    public async Task A_runner_fires_and_hands_over()
    {
        Db.Scheduler.Add(new ScheduledTask("tick", "q", Schedule: "@every 1s"));
        using var first = new CancellationTokenSource();
        using var second = new CancellationTokenSource();
        using var other = Open();
        var runs = new[] { Db.Scheduler.RunAsync("one", first.Token), other.Scheduler.RunAsync("two", second.Token) };
        await Until(() => Db.Queue("q").ClaimOne("w") is not null);
        await first.CancelAsync();
        await Ended(runs[0]);
        await Until(() => Db.Queue("q").ClaimOne("w") is not null);
        await second.CancelAsync();
        await Ended(runs[1]);
    }

    [Fact]
    public async Task An_outbox_delivers_and_tries_again()
    {
        var calls = new List<int>();
        void Deliver(JsonElement payload)
        {
            calls.Add(payload.GetInt32());
            if (calls.Count < 3)
            {
                throw new InvalidOperationException("down");
            }
        }
        var outbox = Db.Outbox("hooks", Deliver, new OutboxOptions(BaseBackoffSeconds: 0));
        Assert.Same(outbox, Db.Outbox("hooks", Deliver, new OutboxOptions(BaseBackoffSeconds: 0)));
        Assert.Throws<InvalidOperationException>(() => Db.Outbox("hooks", Deliver));
        Assert.Throws<InvalidOperationException>(() => Db.Outbox("hooks", (JsonElement _) => Task.CompletedTask, new OutboxOptions(BaseBackoffSeconds: 0)));
        Assert.Equal("_outbox:hooks", outbox.QueueName);
        using (var tx = Db.BeginTransaction())
        {
            outbox.Enqueue(7, tx);
            tx.Commit();
        }
        Assert.True(await outbox.RunOnceAsync("w"));
        using var stop = new CancellationTokenSource();
        var run = outbox.RunWorker("w", stop.Token);
        await Until(() => Db.Jobs().Page().Jobs.Count == 0);
        await stop.CancelAsync();
        await Ended(run);
        Assert.Equal([7, 7, 7], calls);
        Assert.False(await outbox.RunOnceAsync("w"));
    }

    [Fact]
    public async Task A_delivery_that_never_works_is_dead_with_its_text()
    {
        var outbox = Db.Outbox("hooks", async (JsonElement _, CancellationToken cancel) =>
        {
            await Task.Yield();
            throw new InvalidOperationException("down");
        }, new OutboxOptions(MaxAttempts: 1));
        outbox.Enqueue(1);
        Assert.True(await outbox.RunOnceAsync("w"));
        Assert.Contains("down", Assert.Single(Db.Queue("_outbox:hooks").Dead()).LastError, StringComparison.Ordinal);
    }
}
