using System;
using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using System.Threading;
using System.Threading.Tasks;

namespace Honker.Testee;

/// <summary>A worker whose handler does what the script says, and what has happened to that.</summary>
internal sealed class HandlerRun : IDisposable
{
    private readonly BlockingCollection<JsonObject> seen = [];
    private readonly string[] script;
    private readonly Runner runner;
    private int calls; // one at a time

    internal HandlerRun(Database database, string queue, string name, string[] script)
    {
        this.script = script;
        var worker = database.Worker(new WorkerOptions { Name = name, HandleSignals = false, StopTimeout = TimeSpan.Zero })
            .Handle(queue, HandleAsync);
        runner = new Runner(worker.RunAsync).Start();
    }

    internal JsonObject? Next(TimeSpan timeout) => seen.TryTake(out var one, timeout) ? one : null;

    public void Dispose() => runner.Dispose();

    private async Task HandleAsync(Job job, CancellationToken cancel)
    {
        Say("called", job);
        var what = script[Math.Min(calls++, script.Length - 1)];
        if (what == "wait")
        {
            await Task.Delay(Timeout.Infinite, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Say("told", job);
            cancel.ThrowIfCancellationRequested();
        }
        if (what != "ok")
        {
            throw new InvalidOperationException(what);
        }
    }

    private void Say(string what, Job job)
    {
        var one = new JsonObject
        {
            ["what"] = what,
            ["id"] = job.Id,
            ["attempts"] = job.Attempts,
            ["worker"] = job.WorkerId,
            ["at_us"] = (DateTimeOffset.UtcNow - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond,
        };
        if (job.CancelReason != CancelReason.None)
        {
            one["reason"] = job.CancelReason.ToString().ToLowerInvariant();
        }
        seen.Add(one);
    }
}
