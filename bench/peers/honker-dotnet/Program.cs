// honker for .NET, with its worker. The lines that it speaks with the driver are in bench/peers/README.md.
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Honker;
using Microsoft.Win32.SafeHandles;

if (args is ["smallest"])
{
    await Smallest.RunAsync();
    return;
}

var synced = Environment.GetEnvironmentVariable("PEER_DURABILITY") == "synced";
var options = new OpenOptions { Durability = synced ? Durability.Full : Durability.Normal };
using var db = Database.Open(Environment.GetEnvironmentVariable("PEER_URL")!, options);
if (args is ["work"])
{
    await WorkAsync(db);
}
else
{
    new Producer(db).Run();
}

static async Task WorkAsync(Database db)
{
    var concurrency = int.Parse(Environment.GetEnvironmentVariable("PEER_CONCURRENCY") ?? "1");
    using var events = Events.Open(Environment.GetEnvironmentVariable("PEER_EVENTS")!);
    var worker = db.Worker(new WorkerOptions { Concurrency = concurrency })
        .Handle<Work>("bench", async (work, _, cancel) =>
        {
            if (work.Kind == "append")
            {
                await Task.Delay(2, cancel);
                using (var tx = db.BeginTransaction())
                {
                    tx.Execute("INSERT INTO appended (n) VALUES (?)", work.N);
                    tx.Commit();
                }
                await Task.Delay(2, cancel);
            }
            var line = Encoding.ASCII.GetBytes($"{work.Kind} {work.N} {Time.Nanoseconds()} {Environment.ProcessId}\n");
            lock (events)
            {
                events.Write(line);
            }
            if (work.Kind == "hold")
            {
                await Task.Delay(TimeSpan.FromHours(1), cancel);
            }
        });
    await worker.RunAsync();
}

/// <summary>What a job is, and its number.</summary>
internal sealed record Work(string Kind, int N);

internal sealed record Request(
    [property: JsonPropertyName("kind")] string Kind,
    [property: JsonPropertyName("first")] int First,
    [property: JsonPropertyName("count")] int Count,
    [property: JsonPropertyName("batch")] int Batch = 1,
    [property: JsonPropertyName("cap_s")] double CapS = 3600,
    [property: JsonPropertyName("way")] string Way = "plain",
    [property: JsonPropertyName("commit")] bool Commit = true);

/// <summary>
/// The file of events. Each is one write at the file's end, wherever that is by then: FileMode.Append remembers where it was,
/// and would write over the lines of other processes.
/// </summary>
internal static class Events
{
    private const int WriteOnlyAndAppend = 0x401;

    public static FileStream Open(string path) =>
        new(new SafeFileHandle(open(path, WriteOnlyAndAppend), ownsHandle: true), FileAccess.Write, bufferSize: 0);

    [DllImport("libc", CharSet = CharSet.Ansi, BestFitMapping = false)]
    private static extern int open(string path, int flags);
}

internal static class Time
{
    public static long Nanoseconds() => (DateTime.UtcNow - DateTime.UnixEpoch).Ticks * 100;
}

internal sealed class Producer(Database db)
{
    private readonly Queue queue = db.Queue("bench");

    public void Run()
    {
        Answer(new { ready = true });
        while (Console.ReadLine() is { } line)
        {
            try
            {
                Answer(Act(JsonSerializer.Deserialize<Request>(line)!));
            }
            catch (HonkerException error)
            {
                Answer(new { error = error.Message });
            }
        }
    }

    private static void Answer<T>(T value) => Console.WriteLine(JsonSerializer.Serialize(value));

    private object Act(Request request)
    {
        var at = Time.Nanoseconds();
        var watch = Stopwatch.StartNew();
        var done = 0;
        while (done < request.Count && watch.Elapsed.TotalSeconds < request.CapS)
        {
            var size = Math.Min(request.Batch, request.Count - done);
            var jobs = Enumerable.Range(request.First + done, size).Select(n => new Work(request.Kind, n)).ToList();
            Enqueue(request, jobs);
            done += size;
        }
        return new { at, count = done, seconds = watch.Elapsed.TotalSeconds };
    }

    private void Enqueue(Request request, List<Work> jobs)
    {
        switch (request.Way)
        {
            case "transact":
                Transact(jobs[0], request.Commit);
                break;
            case "later":
                queue.EnqueueMany(jobs, new EnqueueOptions(DelaySeconds: 86_400));
                break;
            default:
                if (jobs.Count == 1)
                {
                    queue.Enqueue(jobs[0]);
                }
                else
                {
                    queue.EnqueueMany(jobs);
                }
                break;
        }
    }

    private void Transact(Work job, bool commit)
    {
        using var tx = db.BeginTransaction();
        tx.Execute("INSERT INTO orders (n) VALUES (?)", job.N);
        queue.Enqueue(job, transaction: tx);
        if (commit)
        {
            tx.Commit(); // else it is rolled back
        }
    }
}
