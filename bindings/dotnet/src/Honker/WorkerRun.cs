using System.Collections.Concurrent;
using System.Diagnostics;
using System.IO;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Honker;

/// <summary>
/// One call of <see cref="HonkerWorker.RunAsync"/>, from the first claim to the line in the log that says how it ended.
///
/// It is running, then stopping (what runs may finish), then cancelled (what runs has been told), then released (what still runs
/// is given back). A second signal jumps to the last. One flow of control does all of this; handlers run beside it, and put what
/// became of their jobs into <see cref="returned"/>. A handler's place is taken until it has returned, also if its job was lost or
/// given back before: no handler is ended from outside.
/// </summary>
internal sealed class WorkerRun : IDisposable
{
    /// <summary>For how long handlers may take to notice that they are cancelled, and the last settlements are tried.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1.5);

    private readonly HonkerWorker worker;
    private readonly string name;
    private readonly ILogger log;
    private readonly Trouble trouble;
    private readonly ConcurrentQueue<(Execution Execution, Verdict Verdict)> returned = new();
    private readonly Dictionary<long, Execution> running = [];
    private readonly Dictionary<string, long> counts = new()
    {
        ["done"] = 0,
        ["snoozed"] = 0,
        ["retried"] = 0,
        ["dead"] = 0,
        ["released"] = 0,
    };

    private readonly TaskCompletionSource told = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource stopping = new();
    private List<Verdict> finished = [];
    private NativeWorker? native;
    private Database? own;
    private Phase phase;
    private long phaseBegan;
    private TimeSpan phaseLimit = Timeout.InfiniteTimeSpan;
    private Exception? lastTrouble;
    private int busy;
    private int signals;

    internal WorkerRun(HonkerWorker worker)
    {
        this.worker = worker;
        name = worker.Options.Name ?? HonkerWorker.SomeName();
        log = worker.Given?.Logger ?? (worker.OpenOptions.LoggerFactory ?? NullLoggerFactory.Instance).CreateLogger("Honker");
        trouble = new Trouble(log, name);
    }

    public void Dispose() => stopping.Dispose();

    private enum Phase
    {
        Running,
        Stopping,
        Cancelled,
        Released,
    }

    private bool IsTold => told.Task.IsCompleted;

    internal async Task RunAsync(CancellationToken stop)
    {
        using var registration = stop.UnsafeRegister(static run => ((WorkerRun)run!).Stop(), this);
        using var term = worker.Options.HandleSignals ? PosixSignalRegistration.Create(PosixSignal.SIGTERM, Signalled) : null;
        using var interrupt = worker.Options.HandleSignals ? PosixSignalRegistration.Create(PosixSignal.SIGINT, Signalled) : null;
        try
        {
            await ServeAsync().ConfigureAwait(false);
        }
        finally
        {
            CancelAll(CancelReason.Stop);
            TakeReturned();
            log.LogInformation(
                "{Name} ended: {Done} done, {Snoozed} snoozed, {Retried} retried, {Dead} dead, {Released} released, {Running} running", name,
                counts["done"], counts["snoozed"], counts["retried"], counts["dead"], counts["released"], busy);
            if (own is not null)
            {
                await own.DisposeAsync().ConfigureAwait(false);
            }
        }
        if (busy > 0)
        {
            throw new HonkerUnfinishedException($"{name}: {busy} handlers have not returned", busy);
        }
    }

    private void Stop()
    {
        told.TrySetResult();
        native?.Nudge();
    }

    private void Signalled(PosixSignalContext context)
    {
        context.Cancel = true;
        Interlocked.Increment(ref signals);
        Stop();
    }

    /// <summary>With the file that is at the path now, again and again if it is replaced.</summary>
    private async Task ServeAsync()
    {
        while (true)
        {
            var database = own ?? worker.Given ?? await OpenedAsync().ConfigureAwait(false);
            if (database is null || !await StartAsync(database).ConfigureAwait(false))
            {
                return; // told to stop before it began
            }
            using var firing = new CancellationTokenSource();
            var fired = FireAsync(database, firing.Token);
            try
            {
                await WorkAsync(database).ConfigureAwait(false);
                return;
            }
            catch (HonkerFileReplacedException e)
            {
                await ReplacedAsync(e).ConfigureAwait(false);
            }
            finally
            {
                await GiveBackAsync().ConfigureAwait(false);
                native?.End();
                native = null;
                await firing.CancelAsync().ConfigureAwait(false);
                await Task.WhenAny(fired, Task.Delay(Grace)).ConfigureAwait(false);
            }
            if (worker.Given is not null && own is null && !IsTold)
            {
                own = await OpenedAsync().ConfigureAwait(false);
                if (own is null)
                {
                    return;
                }
            }
        }
    }

    /// <summary>A database of its own; null if it is told to stop before there is one.</summary>
    private async Task<Database?> OpenedAsync()
    {
        while (!IsTold)
        {
            try
            {
                if (!Database.IsUrl(worker.Path) && !worker.Path.StartsWith("file:", StringComparison.Ordinal) && !File.Exists(worker.Path))
                {
                    throw new HonkerException(HonkerStatus.CannotOpen, $"{worker.Path} does not exist yet");
                }
                own = Database.Open(worker.Path, worker.OpenOptions);
                trouble.Over();
                return own;
            }
            catch (HonkerException e) when (e.IsTransient || e is HonkerFileReplacedException)
            {
                await PauseAsync(trouble.Met(e)).ConfigureAwait(false);
            }
        }
        return null;
    }

    private async Task<bool> StartAsync(Database database)
    {
        while (!IsTold)
        {
            try
            {
                foreach (var schedule in worker.Options.Schedules)
                {
                    database.Scheduler.Add(schedule);
                }
                native = new NativeWorker(database, worker, name);
                return true;
            }
            catch (HonkerException e) when (e.IsTransient)
            {
                await PauseAsync(trouble.Met(e)).ConfigureAwait(false);
            }
        }
        return false;
    }

    private async Task FireAsync(Database database, CancellationToken stop)
    {
        if (!worker.Options.RunSchedules && worker.Options.Schedules.Count == 0)
        {
            return;
        }
        using var both = CancellationTokenSource.CreateLinkedTokenSource(stop, stopping.Token);
        try
        {
            await database.Scheduler.RunAsync(null, both.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is ObjectDisposedException or HonkerFileReplacedException)
        {
            // the worker meets that as well
        }
        catch (Exception e)
        {
            log.LogError(e, "{Name} fires no schedules any more", name);
        }
    }

    private async Task WorkAsync(Database database)
    {
        var interrupts = database.Interrupts;
        while (true)
        {
            native!.Reset(); // before it is looked for what raises it
            if (IsOver())
            {
                return;
            }
            var more = await TurnAsync().ConfigureAwait(false);
            if (database.IsClosed)
            {
                throw database.Closed();
            }
            if (interrupts != database.Interrupts)
            {
                throw Errors.Interrupted();
            }
            if (!more)
            {
                await native.RestAsync(Left()).ConfigureAwait(false);
            }
        }
    }

    private bool IsOver()
    {
        TakeReturned();
        Advance();
        if (phase == Phase.Released && Left() == TimeSpan.Zero && finished.Count > 0)
        {
            return true; // they could not be given back, and lapse
        }
        return phase != Phase.Running && finished.Count == 0 && running.Count == 0;
    }

    private void Advance()
    {
        if (phase == Phase.Running)
        {
            if (!IsTold)
            {
                return;
            }
            stopping.Cancel(); // nobody's callbacks but those of the schedules
            Enter(Phase.Stopping, worker.Options.StopTimeout);
        }
        var again = Volatile.Read(ref signals) > 1;
        if (phase == Phase.Stopping && (again || Left() == TimeSpan.Zero))
        {
            CancelAll(CancelReason.Stop);
            Enter(Phase.Cancelled, Grace);
        }
        if (phase == Phase.Cancelled && (again || Left() == TimeSpan.Zero))
        {
            ReleaseAll();
            Enter(Phase.Released, Grace);
        }
    }

    private void Enter(Phase next, TimeSpan limit) => (phase, phaseBegan, phaseLimit) = (next, Stopwatch.GetTimestamp(), limit);

    /// <summary>What is left of the phase.</summary>
    private TimeSpan Left()
    {
        if (phaseLimit == Timeout.InfiniteTimeSpan)
        {
            return phaseLimit;
        }
        var left = phaseLimit - Stopwatch.GetElapsedTime(phaseBegan);
        return left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }

    /// <summary>One commit of what is finished and of new claims: whether there may be more at once, or more has to be done.</summary>
    private async Task<bool> TurnAsync()
    {
        var settles = finished.Count > 0;
        try
        {
            var free = phase == Phase.Running ? worker.Options.Concurrency - busy : 0;
            var turned = native!.Turn(finished, free);
            foreach (var (serial, reason) in turned.Lost)
            {
                Lost(serial, reason);
            }
            var wrong = Settled(turned.Refusal);
            foreach (var job in turned.Jobs)
            {
                Start(job);
            }
            if (wrong is not null)
            {
                await PauseAsync(trouble.Met(wrong)).ConfigureAwait(false);
            }
            else
            {
                trouble.Over();
            }
            if (phase != Phase.Running)
            {
                return settles || turned.IsSomething;
            }
            return finished.Count > 0 || (turned.IsSomething && !turned.IsAllOf(free));
        }
        catch (HonkerException e) when (e.IsTransient && e.Status != HonkerStatus.Interrupted)
        {
            lastTrouble = e;
            Settled(null);
            await PauseAsync(trouble.Met(e)).ConfigureAwait(false);
            return true;
        }
    }

    /// <summary>
    /// Counts what is settled and keeps what may be, later; an error of those. What the file refuses for good is let go of: it lapses,
    /// and must not keep the others waiting.
    /// </summary>
    private HonkerException? Settled(string? refusal)
    {
        var kept = new List<Verdict>();
        HonkerException? wrong = null;
        foreach (var verdict in finished)
        {
            if (verdict.Status >= 0)
            {
                counts[verdict.Outcome]++;
            }
            else if (Native.Abi.IsTransient(verdict.Status))
            {
                kept.Add(verdict);
                wrong = new HonkerException(verdict.Status, refusal ?? "a job could not be settled");
            }
            else
            {
                log.LogError("job {Id} of {Queue} could not be settled, its claim lapses, and it will be tried again: {Refusal}",
                    verdict.Job.Id, verdict.Job.QueueName, refusal ?? verdict.Status.ToString());
                native?.PutDown(verdict.Job);
            }
        }
        finished = kept;
        return wrong;
    }

    private void Start(Job job)
    {
        var execution = new Execution(job);
        running[job.Serial] = execution;
        busy++;
        _ = Task.Run(async () =>
        {
            var (verdict, _) = await worker.HandleAsync(job, worker.Handlers[job.QueueName].Handler, log).ConfigureAwait(false);
            returned.Enqueue((execution, verdict));
            native?.Nudge();
        });
    }

    private void TakeReturned()
    {
        while (returned.TryDequeue(out var one))
        {
            busy--;
            // Unless it was given back already, or is of a file that was replaced.
            if (running.TryGetValue(one.Execution.Job.Serial, out var current) && ReferenceEquals(current, one.Execution))
            {
                running.Remove(one.Execution.Job.Serial);
                if (one.Verdict.IsLeft)
                {
                    native?.PutDown(one.Verdict.Job);
                    counts[one.Verdict.Outcome]++;
                }
                else
                {
                    finished.Add(one.Verdict);
                }
            }
            one.Execution.Dispose();
        }
    }

    private void Lost(long serial, CancelReason reason)
    {
        if (running.TryGetValue(serial, out var execution) && !execution.Job.IsAckedElsewhere)
        {
            var job = execution.Job;
            log.LogWarning("job {Id} of {Queue}, attempt {Attempt} of {MaxAttempts}, {What}; its handler is told", job.Id, job.QueueName,
                job.Attempts, job.MaxAttempts, reason == CancelReason.Timeout
                    ? "ran for too long and is retried"
                    : $"is not this worker's any more ({reason})");
            execution.Cancel(reason);
        }
    }

    private void CancelAll(CancelReason reason)
    {
        foreach (var execution in running.Values)
        {
            execution.Cancel(reason);
        }
    }

    /// <summary>Gives up all that still runs.</summary>
    private void ReleaseAll()
    {
        foreach (var execution in running.Values)
        {
            var verdict = Verdict.Released(execution.Job);
            if (verdict.IsDead)
            {
                log.LogError("job {Id} of {Queue} is not given back, it is dead now: {Why}", verdict.Job.Id, verdict.Job.QueueName,
                    verdict.Error);
            }
            finished.Add(verdict);
        }
        running.Clear();
    }

    /// <summary>What it has in hand cannot be settled any more.</summary>
    private async Task ReplacedAsync(HonkerFileReplacedException e)
    {
        CancelAll(CancelReason.Replaced);
        running.Clear();
        finished.Clear();
        log.LogWarning("{Name} cancels the {Busy} jobs that run and opens the file anew: {Message}", name, busy, e.Message);
        if (own is not null)
        {
            await own.DisposeAsync().ConfigureAwait(false);
            own = null;
        }
        await PauseAsync(TimeSpan.FromSeconds(0.1)).ConfigureAwait(false);
    }

    /// <summary>When it is left otherwise than by being told to, as well.</summary>
    private async Task GiveBackAsync()
    {
        CancelAll(CancelReason.Stop);
        TakeReturned();
        ReleaseAll();
        var begun = Stopwatch.GetTimestamp();
        while (native is not null && finished.Count > 0 && Stopwatch.GetElapsedTime(begun) < Grace)
        {
            try
            {
                native.Turn(finished, 0);
                Settled(null);
            }
            catch (HonkerException e) when (e.IsTransient)
            {
                Settled(null);
                await Task.Delay(50).ConfigureAwait(false);
            }
            catch (Exception e) when (e is ObjectDisposedException or HonkerException)
            {
                break;
            }
        }
        finished.Clear();
    }

    /// <summary>Waits; less if it is told to stop, or the phase ends.</summary>
    private async Task PauseAsync(TimeSpan time)
    {
        var left = Left();
        var pause = Task.Delay(left != Timeout.InfiniteTimeSpan && left < time ? left : time);
        await (IsTold ? pause : Task.WhenAny(pause, told.Task)).ConfigureAwait(false);
    }

    /// <summary>A handler that runs.</summary>
    private sealed class Execution : IDisposable
    {
        private readonly CancellationTokenSource source = new();

        internal Execution(Job job)
        {
            Job = job;
            job.CancellationToken = source.Token;
        }

        internal Job Job { get; }

        /// <summary>The first reason counts. What the handler has registered runs on the thread pool.</summary>
        internal void Cancel(CancelReason reason)
        {
            if (Job.CancelReason == CancelReason.None)
            {
                Job.CancelReason = reason;
                _ = source.CancelAsync();
            }
        }

        public void Dispose() => source.Dispose();
    }
}
