using System;
using System.Threading;
using System.Threading.Tasks;
using Honker;
using Honker.Testing;

namespace Honker.Examples;

internal static class Features
{
    internal static async Task RunAsync(string file)
    {
        using var db = Database.Open(file, Program.Options);
        var mail = db.Queue("mail");
        mail.Configure(new QueueUpdate().WithConcurrency(20).WithConcurrencyPerKey(1).WithRate(new QueueRate(100, 60)));
        mail.Pause(); // in every process: what is enqueued waits

        for (var i = 0; i < 2; i++)
        {
            var digest = mail.TryEnqueue(new Email("alice", "digest"), new EnqueueOptions { UniqueKey = "digest alice" });
            Console.WriteLine(digest.Status);
        }
        mail.Resume();

        var imports = db.Queue("imports");
        imports.Configure(new QueueUpdate().WithRetry(new QueueRetry(0, 1, 0, 0)).WithKeepDone(3600));
        var batch = db.Batch((open, tx) =>
        {
            for (var n = 1; n <= 2; n++)
            {
                imports.Enqueue(new Page(n), new EnqueueOptions { BatchId = open.Id }, tx);
            }
        }, new BatchOptions { OnSuccess = new JobSpec("mail", new Email("boss", "all pages are in")) });

        var worker = db.Worker()
            .Handle<Page>("imports", async (page, job, cancel) =>
            {
                var name = await job.StepAsync("download", stop => DownloadAsync(page, stop)); // once, whatever is retried
                if (page.Number == 2 && job.Attempts == 1)
                {
                    throw new TimeoutException("disk full");
                }
                Console.WriteLine($"imported {name}");
            })
            .Handle<Email>("mail", (email, job, cancel) => Workers.SendAsync(email, cancel));
        while (await worker.RunDueAsync(throwOnError: false) > 0)
        {
            // until nothing is due
        }
        Console.WriteLine($"{batch.Status()!.Done} of {batch.Status()!.Total} done");

        mail.Enqueue(new Email("nobody"));
        mail.ClaimOne("me")!.Fail("503 from host 12");
        foreach (var group in mail.DeadGroups())
        {
            Console.WriteLine($"{group.Count} dead of {group.Error}");
        }
        var dead = db.Jobs(new JobFilter { Queue = "mail", States = ["dead"], Error = "503" });
        Console.WriteLine($"{dead.Retry().Changed} retried");
        foreach (var queue in db.Metrics().Queues)
        {
            Console.WriteLine($"{queue.Queue}: {queue.Depth.Due} due");
        }

        await using var test = new HonkerTestDatabase(Program.Options);
        test.Database.Queue("emails").Enqueue(new Email("alice"), new EnqueueOptions(DelaySeconds: 60));
        test.AssertEnqueued<Email>("emails", email => email.To == "alice");
        test.Advance(TimeSpan.FromMinutes(1));
        await test.Database.Worker().Handle<Email>("emails", (email, job, cancel) => Workers.SendAsync(email, cancel)).RunDueAsync();
        test.RefuteEnqueued("emails");
    }

    private static Task<string> DownloadAsync(Page page, CancellationToken cancel)
    {
        Console.WriteLine($"download page {page.Number}");
        return Task.FromResult($"page-{page.Number}.csv");
    }
}
