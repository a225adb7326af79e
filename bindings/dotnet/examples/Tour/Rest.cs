using System;
using System.Collections.Generic;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Honker;

namespace Honker.Examples;

internal static class Rest
{
    internal static async Task RunAsync(string file)
    {
        using var db = Database.Open(file, Program.Options with
        {
            OnEnqueue = (job, next) =>
            {
                job.AddMetadata("tenant", "acme");
                next();
            },
        });
        db.EnqueueMany(
        [
            new JobSpec("emails", new Email("alice")),
            new JobSpec("reports", 7, new EnqueueOptions(Priority: 1, DelaySeconds: 60)),
        ]);
        Console.WriteLine(db.Queue("emails").ClaimOne("worker-1")!.Metadata["tenant"]);

        using (var backup = db.TryLock("backup", "host-1", ttlSeconds: 60))
        {
            Console.WriteLine(backup is null ? "somebody else has it" : "locked");
        }

        Console.WriteLine(db.TryRateLimit("api", limit: 100, perSeconds: 60));

        db.Scheduler.Add(new ScheduledTask("report", "reports", 7, Cron: "CRON_TZ=Europe/Berlin 0 7 * * 1-5") { Overlap = Overlap.Skip });
        db.Scheduler.Add(new ScheduledTask("poll", "reports", Schedule: Schedules.EverySeconds(1)));
        using var stop = new CancellationTokenSource();
        var running = db.Scheduler.RunAsync(cancellationToken: stop.Token);
        await foreach (var job in db.Queue("reports").ClaimAsync("worker-1"))
        {
            Console.WriteLine(job.PayloadRaw);
            job.Ack();
            break;
        }
        await stop.CancelAsync();
        await running;

        var outbox = db.Outbox("webhooks", (JsonElement payload, CancellationToken cancel) => PostAsync(payload, cancel));
        outbox.Enqueue(new Email("https://example.com"));
        await outbox.RunOnceAsync("worker-1"); // or RunWorkerAsync, until its token is cancelled

        var around = new List<string>();
        var worker = db.Worker(new WorkerOptions
        {
            Around = async (job, next) =>
            {
                around.Add($"before {job.Id}");
                await next();
                around.Add("after");
            },
            OnError = (error, job) => Console.WriteLine($"tell an error tracker: {error.Message}"),
        });
        db.Queue("around").Enqueue(1, new EnqueueOptions(MaxAttempts: 1));
        await worker.Handle("around", (job, cancel) => throw new DiscardException("never")).RunDueAsync();
    }

    private static Task PostAsync(JsonElement payload, CancellationToken cancel)
    {
        Console.WriteLine($"post {payload}");
        return Task.CompletedTask;
    }
}
