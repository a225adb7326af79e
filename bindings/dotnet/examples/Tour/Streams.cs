using System;
using System.Threading.Tasks;
using Honker;

namespace Honker.Examples;

internal static class Streams
{
    internal static async Task RunAsync(string file)
    {
        using var db = Database.Open(file, Program.Options);
        var events = db.Stream("orders");
        events.Publish(new Page(1), key: "alice");
        events.Publish(new Page(2));

        await foreach (var e in events.Subscribe("billing"))
        {
            Console.WriteLine($"{e.Offset}: {e.PayloadRaw}");
            if (e.Offset == 2)
            {
                break; // the second one was not finished, and comes again
            }
        }
        Console.WriteLine($"finished up to {events.GetOffset("billing")}");

        await using var news = db.Listen("news");
        db.Notify("news", "something happened");
        var notification = await news.NextAsync(TimeSpan.FromSeconds(30));
        Console.WriteLine(notification!.Payload.GetString());

        var q = db.Queue("sums");
        var id = q.Enqueue(new Page(3));
        var result = q.WaitResult<int>(id, TimeSpan.FromSeconds(30));
        var job = q.ClaimOne("worker-1")!;
        job.SaveResult(job.GetPayload<Page>()!.Number * 2, ttlSeconds: 3600);
        job.Ack();
        Console.WriteLine(await result);
    }
}
