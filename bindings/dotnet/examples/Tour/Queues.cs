using System;
using System.Threading;
using System.Threading.Tasks;
using Honker;

namespace Honker.Examples;

internal static class Queues
{
    private static int sent;

    internal static async Task RunAsync(string file)
    {
        using var db = Database.Open(file, Program.Options);
        var q = db.Queue("emails");
        db.Execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER, customer_id TEXT)");

        using (var tx = db.BeginTransaction())
        {
            tx.Execute("INSERT INTO orders (id, total, customer_id) VALUES (@p0, @p1, @p2)", 42, 9900, "alice");
            q.Enqueue(new Email("alice", "your order"), transaction: tx);
            tx.Commit();
        }

        // To have what a job does exactly once, end the job in the same transaction.
        var job = q.ClaimOne("worker-1")!;
        using (var tx = db.BeginTransaction())
        {
            tx.Execute("UPDATE orders SET total = total + 1 WHERE id = @p0", 42);
            if (job.Ack(tx))
            {
                tx.Commit(); // else the claim was lost, and all of it is rolled back
            }
        }

        using var enough = new CancellationTokenSource();
        q.EnqueueMany([new Email("bob"), new Email("carol")]);
        try
        {
            await foreach (var claimed in q.ClaimAsync("worker-1", cancellationToken: enough.Token))
            {
                try { await SendEmail(claimed.GetPayload<Email>()!); claimed.Ack(); }
                catch (Exception e) { claimed.Retry(60, e.Message); }
                if (sent == 2)
                {
                    await enough.CancelAsync();
                }
            }
        }
        catch (OperationCanceledException)
        {
            Console.WriteLine($"{sent} sent");
        }
    }

    private static Task SendEmail(Email email)
    {
        Console.WriteLine($"to {email.To}: {email.Subject}");
        sent++;
        return Task.CompletedTask;
    }
}
