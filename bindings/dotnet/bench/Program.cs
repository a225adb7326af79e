// What the package costs beside the C ABI: reads lines from standard input, each a workload and a number, and answers each with
// a line of JSON. Each has a queue of its own.
using System;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading.Channels;
using System.Threading.Tasks;
using Honker;

using var db = Database.Open(Path.Combine(args[0], "bench.db"));
for (var line = 0; Console.ReadLine() is { } request; line++)
{
    var words = request.Split(' ');
    var count = int.Parse(words[1], CultureInfo.InvariantCulture);
    var queue = db.Queue($"bench-{line}");
    var answer = words[0] switch
    {
        "enqueue" => Seconds(() => Enqueue(queue, count)),
        "claim_ack" => ClaimAck(queue, count),
        "batch" => Batch(queue, count),
        "wake" => await WakeAsync(queue, count),
        _ => throw new InvalidOperationException($"unknown workload: {words[0]}"),
    };
    Console.WriteLine(answer);
}

static void Enqueue(Queue queue, int count)
{
    for (var i = 0; i < count; i++)
    {
        queue.Enqueue(new Payload(i));
    }
}

static string ClaimAck(Queue queue, int count)
{
    queue.EnqueueMany(Enumerable.Range(0, count).Select(i => new Payload(i)));
    return Seconds(() =>
    {
        for (var i = 0; i < count; i++)
        {
            if (!queue.ClaimOne("w")!.Ack())
            {
                throw new InvalidOperationException("lost");
            }
        }
    });
}

static string Batch(Queue queue, int count)
{
    queue.EnqueueMany(Enumerable.Range(0, count).Select(i => new Payload(i)));
    return Seconds(() =>
    {
        while (queue.ClaimBatch("w", 100) is { Count: > 0 } jobs)
        {
            queue.AckBatch(jobs.Select(job => job.Id), "w");
        }
    });
}

static async Task<string> WakeAsync(Queue queue, int count)
{
    var got = Channel.CreateUnbounded<long>();
    var consumer = Task.Run(async () =>
    {
        await foreach (var job in queue.ClaimAsync("w"))
        {
            got.Writer.TryWrite(Stopwatch.GetTimestamp());
            job.Ack();
            if (job.GetPayload<Payload>()!.N == count - 1)
            {
                return;
            }
        }
    });
    var times = new double[count];
    for (var i = 0; i < count; i++)
    {
        await Task.Delay(2);
        var sent = Stopwatch.GetTimestamp();
        queue.Enqueue(new Payload(i));
        times[i] = Stopwatch.GetElapsedTime(sent, await got.Reader.ReadAsync()).TotalMicroseconds;
    }
    await consumer;
    Array.Sort(times);
    return string.Create(CultureInfo.InvariantCulture, $"{{\"p50_us\":{times[count / 2]}}}");
}

static string Seconds(Action work)
{
    var begun = Stopwatch.GetTimestamp();
    work();
    return string.Create(CultureInfo.InvariantCulture, $"{{\"seconds\":{Stopwatch.GetElapsedTime(begun).TotalSeconds}}}");
}

internal sealed record Payload(int N);
