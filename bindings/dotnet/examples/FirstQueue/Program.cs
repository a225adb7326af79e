// The snippets that the documentation shows, as printed.
using Honker;
using var db = Database.Open("app.db");
var q = db.Queue("greetings");
q.Enqueue(new { name = "world" });
var job = q.ClaimOne("worker-1");
Console.WriteLine($"hello, {job!.Payload.GetProperty("name").GetString()}!");
job.Ack();

db.Execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER, total INTEGER, customer_id TEXT)");
using (var tx = db.BeginTransaction())
{
    tx.Execute("INSERT INTO orders (id, total, customer_id) VALUES (@p0, @p1, @p2)", 42, 9900, "alice");
    q.Enqueue(new { order_id = 42, email_type = "confirmation" }, transaction: tx);
    tx.Commit();
}

var working = Snippet.WorkAsync(q);
while (db.Jobs().Page().Jobs.Count > 0)
{
    await Task.Delay(10);
}
db.Dispose();
try
{
    await working;
}
catch (ObjectDisposedException)
{
    Console.WriteLine($"{Snippet.Sent} sent");
}

internal static class Snippet
{
    internal static int Sent { get; private set; }

    /// <summary>Until the database is closed.</summary>
    internal static async Task WorkAsync(Queue q)
    {
        await foreach (var job in q.ClaimAsync("worker-1"))
        {
            try { await SendEmail(job.Payload); job.Ack(); }
            catch (Exception e) { job.Retry(60, e.Message); }
        }
    }

    private static Task SendEmail(System.Text.Json.JsonElement payload)
    {
        Console.WriteLine($"e-mail {payload}");
        Sent++;
        return Task.CompletedTask;
    }
}
