using Honker.Native;

namespace Honker;

/// <summary>The library's part of a worker. The one who runs it holds it from the first turn to the last.</summary>
internal sealed class NativeWorker : Consumer
{
    private readonly WorkerHandle handle;

    internal unsafe NativeWorker(Database database, HonkerWorker worker, string name) : base(database)
    {
        using var arena = new Arena();
        var queues = arena.Array<WorkerQueue>(worker.Handlers.Count);
        var count = 0;
        foreach (var (queue, handled) in worker.Handlers)
        {
            queues[count] = WorkerQueue.Init;
            queues[count].Name = arena.Text(Utf8.Of(queue, nameof(queue)));
            queues[count].Weight = handled.Weight;
            queues[count++].InHandMax = handled.MaxInHand ?? -1;
        }
        var options = worker.Options;
        var opts = WorkerOpts.Init;
        opts.VisibilityTimeoutS = options.VisibilityTimeoutSeconds;
        opts.FallbackMs = WorkerFallbackMs;
        opts.MaxRunS = Numbers.Optional(options.MaxRunSeconds, nameof(options.MaxRunSeconds));
        opts.RetryBaseS = options.Retry.BaseS;
        opts.RetryFactor = options.Retry.Factor;
        opts.RetryMaxS = options.Retry.MaxS;
        opts.RetryJitter = options.Retry.Jitter;
        var id = Utf8.Of(name, nameof(name));
        Check(NativeMethods.WorkerNew(database.Handle, Waiter, Signal.Token, queues, (nuint)count, id, (nuint)id.Length, &opts,
            out handle, out var error), error);
        Enter();
    }

    /// <summary>What one commit has brought.</summary>
    /// <param name="IsSomething">Whether there was anything; there may be more then.</param>
    /// <param name="Jobs">Claimed.</param>
    /// <param name="Lost">Lost, by their serials.</param>
    /// <param name="Refusal">Why settlements were refused.</param>
    internal sealed record Turned(bool IsSomething, Job[] Jobs, List<(long Serial, CancelReason Reason)> Lost, string? Refusal)
    {
        /// <summary>
        /// Whether it has all of the jobs that were asked for, and nothing else to tell: the library rests then, as after a commit that
        /// has brought nothing, and need not be asked again before it says so.
        /// </summary>
        internal bool IsAllOf(int n) => n > 0 && Jobs.Length == n && Lost.Count == 0 && Refusal is null;
    }

    private static readonly Turned Nothing = new(false, [], [], null);

    internal void Reset() => Signal.Reset();

    internal void Nudge() => Signal.Raise();

    internal ValueTask RestAsync(TimeSpan time) => Signal.WaitAsync(time, CancellationToken.None);

    /// <summary>One commit: settles, prolongs, and claims up to <paramref name="n"/>. Each verdict has its status afterwards.</summary>
    internal unsafe Turned Turn(IReadOnlyList<Verdict> verdicts, int n)
    {
        using var arena = new Arena();
        var settlements = arena.Array<Settlement>(verdicts.Count);
        for (var i = 0; i < verdicts.Count; i++)
        {
            settlements[i] = new Settlement
            {
                Kind = (uint)verdicts[i].Kind,
                Status = (int)HonkerStatus.Busy,
                Id = verdicts[i].Job.Id,
                Serial = verdicts[i].Job.Serial,
                DelayS = verdicts[i].DelayS,
                Error = verdicts[i].Error is null ? default : arena.Text(Utf8.OfError(verdicts[i].Error)),
            };
        }
        JobsHandle jobs;
        nint error;
        int status;
        try
        {
            status = NativeMethods.WorkerSettleNext(handle, settlements, (nuint)verdicts.Count, n, 0, out jobs, out error);
        }
        finally
        {
            for (var i = 0; i < verdicts.Count; i++)
            {
                verdicts[i].Status = (HonkerStatus)settlements[i].Status;
            }
        }
        using (jobs)
        {
            var refusal = status >= 0 && error != 0 ? Calls.Message(status, error) : null;
            if (!Found(status, error) || jobs.IsInvalid)
            {
                return refusal is null ? Nothing : Nothing with { Refusal = refusal };
            }
            return new Turned(true, Job.Read(Database, jobs, null, null), Job.ReadLost(jobs), refusal);
        }
    }

    /// <summary>The claim of a job is left to lapse.</summary>
    internal void PutDown(Job job)
    {
        _ = NativeMethods.WorkerSettled(handle, job.Id, job.Serial, out var error);
        NativeMethods.ErrorFree(error);
    }

    /// <summary>Nobody uses it any more.</summary>
    internal void End()
    {
        Dispose();
        Leave();
    }

    private protected override void Free() => handle.Dispose();
}
