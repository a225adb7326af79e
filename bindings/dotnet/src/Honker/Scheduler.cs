using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Honker.Native;
using Microsoft.Extensions.Logging;

namespace Honker;

/// <summary>Expressions of schedules.</summary>
public static class Schedules
{
    /// <summary>Every so many seconds, from when it is added on.</summary>
    /// <param name="seconds">At least 1.</param>
    /// <returns>The expression.</returns>
    public static string EverySeconds(long seconds) =>
        string.Create(CultureInfo.InvariantCulture, $"@every {Numbers.Positive(seconds, nameof(seconds))}s");
}

/// <summary>What becomes of a boundary while the last job that its schedule has enqueued is live.</summary>
public enum Overlap
{
    /// <summary>Another job.</summary>
    Allow = Abi.OverlapAllow,

    /// <summary>Nothing.</summary>
    Skip = Abi.OverlapSkip,
}

/// <summary>
/// A schedule: at every boundary of its expression a job is enqueued. An expression has five fields (minute, hour, day of month,
/// month, day of week), six with seconds in front, or is a macro (@daily) or an interval ("@every 5m"); "CRON_TZ=Europe/Berlin "
/// before it sets the time zone, which is the process's otherwise.
/// </summary>
/// <param name="Name">Its name.</param>
/// <param name="Queue">Where its jobs go.</param>
/// <param name="Payload">What they have; it becomes JSON.</param>
/// <param name="Schedule">The expression; or <paramref name="Cron"/>, which is the same.</param>
/// <param name="Cron">The expression.</param>
/// <param name="Priority">Larger is sooner.</param>
/// <param name="ExpiresSeconds">After how many seconds from its boundary a job may not be claimed any more.</param>
/// <param name="MaxAttempts">How often a job may be claimed; null: what is set for the queue, or else 3.</param>
public sealed record ScheduledTask(string Name, string Queue, object? Payload = null, string? Schedule = null, string? Cron = null,
    long Priority = 0, long? ExpiresSeconds = null, long? MaxAttempts = null)
{
    /// <summary>What becomes of a boundary while the last job is live.</summary>
    public Overlap Overlap { get; init; }

    /// <summary>What else there is to be said of the jobs: metadata, keys, a delay.</summary>
    public EnqueueOptions? Options { get; init; }
}

/// <summary>A boundary that was fired.</summary>
/// <param name="Name">The schedule.</param>
/// <param name="Queue">Where its job went.</param>
/// <param name="FireAt">The boundary, in Unix seconds.</param>
/// <param name="JobId">The job; null if none was enqueued.</param>
/// <param name="Status">Enqueued; Exists or Replaced if another job has its unique key; HeldBack if it was skipped.</param>
public sealed record ScheduledFire(string Name, string Queue, long FireAt, long? JobId, EnqueueStatus Status);

/// <summary>A schedule as the file has it.</summary>
public sealed record ScheduleRow
{
    /// <summary>Its name.</summary>
    public string Name { get; init; } = "";

    /// <summary>Where its jobs go.</summary>
    public string Queue { get; init; } = "";

    /// <summary>The expression.</summary>
    public string CronExpr { get; init; } = "";

    /// <summary>What the jobs have, as it is stored.</summary>
    [JsonPropertyName("payload")]
    public string PayloadRaw { get; init; } = "";

    /// <summary>What the jobs have; a string if it is no JSON.</summary>
    [JsonIgnore]
    public JsonElement Payload => Payloads.Element(PayloadRaw);

    /// <summary>Larger is sooner.</summary>
    public long Priority { get; init; }

    /// <summary>After how many seconds a job may not be claimed any more.</summary>
    public long? ExpiresS { get; init; }

    /// <summary>The next boundary, in Unix seconds.</summary>
    public long? NextFireAt { get; init; }

    /// <summary>False while it is paused.</summary>
    public bool Enabled { get; init; }

    /// <summary>How often a job may be claimed.</summary>
    public long? MaxAttempts { get; init; }

    /// <summary>Why it does not fire, if it does not.</summary>
    public string? Error { get; init; }

    /// <summary>What becomes of a boundary while the last job is live.</summary>
    [JsonConverter(typeof(JsonStringEnumConverter<Overlap>))]
    public Overlap Overlap { get; init; }

    /// <summary>What else its jobs are enqueued with, by the names of the options of honker's SQL function honker_enqueue_with.</summary>
    public IReadOnlyDictionary<string, JsonElement> Options { get; init; } = new Dictionary<string, JsonElement>();
}

/// <summary>What to change of a schedule (<see cref="Scheduler.Update"/>).</summary>
public sealed record ScheduleUpdate
{
    internal int Fields { get; private init; }

    internal string? Expression { get; private init; }

    internal object? Payload { get; private init; }

    internal long Priority { get; private init; }

    internal long? ExpiresSeconds { get; private init; }

    internal long? MaxAttempts { get; private init; }

    /// <summary>Another expression; the next boundary is computed from now.</summary>
    /// <param name="expression">The new expression.</param>
    /// <returns>A copy with this change.</returns>
    public ScheduleUpdate WithCron(string expression) => this with { Fields = Fields | Abi.UpdateExpression, Expression = expression };

    /// <summary>Another payload.</summary>
    /// <param name="payload">It becomes JSON.</param>
    /// <returns>A copy with this change.</returns>
    public ScheduleUpdate WithPayload(object? payload) => this with { Fields = Fields | Abi.UpdatePayload, Payload = payload };

    /// <summary>Another priority.</summary>
    /// <param name="priority">Larger is sooner.</param>
    /// <returns>A copy with this change.</returns>
    public ScheduleUpdate WithPriority(long priority) => this with { Fields = Fields | Abi.UpdatePriority, Priority = priority };

    /// <summary>Another expiry.</summary>
    /// <param name="seconds">null for none.</param>
    /// <returns>A copy with this change.</returns>
    public ScheduleUpdate WithExpiresSeconds(long? seconds) =>
        this with { Fields = Fields | Abi.UpdateExpires, ExpiresSeconds = seconds };

    /// <summary>Another number of attempts.</summary>
    /// <param name="maxAttempts">null: what is set for the queue, or else 3.</param>
    /// <returns>A copy with this change.</returns>
    public ScheduleUpdate WithMaxAttempts(long? maxAttempts) =>
        this with { Fields = Fields | Abi.UpdateMaxAttempts, MaxAttempts = maxAttempts };
}

/// <summary>The schedules of a file (<see cref="Database.Scheduler"/>), which all processes share. Any thread.</summary>
public sealed class Scheduler
{
    private readonly Database database;

    internal Scheduler(Database database) => this.database = database;

    /// <summary>
    /// Adds a schedule, or replaces the one of its name; the next boundary stays if the expression is the same. Somebody has to
    /// fire it: <see cref="RunAsync"/>, or a worker with <see cref="WorkerOptions.RunSchedules"/>.
    /// </summary>
    /// <param name="task">The schedule.</param>
    /// <param name="transaction">It is there if and only if this is committed.</param>
    /// <exception cref="ArgumentException">The expression cannot be parsed, or never comes.</exception>
    public unsafe void Add(ScheduledTask task, HonkerTransaction? transaction = null)
    {
        ArgumentNullException.ThrowIfNull(task);
        if (task.Schedule is null == task.Cron is null)
        {
            throw new ArgumentException("give Schedule or Cron, one of them", nameof(task));
        }
        using var arena = new Arena();
        var opts = ScheduleOpts.Init;
        opts.Priority = task.Priority;
        opts.ExpiresS = Numbers.Optional(task.ExpiresSeconds, nameof(task.ExpiresSeconds));
        opts.MaxAttempts = Numbers.Optional(task.MaxAttempts, nameof(task.MaxAttempts));
        opts.Overlap = (uint)task.Overlap;
        opts.Job = task.Options is null ? null : arena.Copy(task.Options.ToNative(arena, null));
        var (name, queue, payload) = (Utf8.Of(task.Name, nameof(task.Name)), Utf8.Of(task.Queue, nameof(task.Queue)),
            database.Payloads.Encode(task.Payload, null));
        var expression = Utf8.Of(task.Schedule ?? task.Cron!, nameof(task.Schedule));
        database.Check(NativeMethods.SchedulerRegister(database.Handle, database.Within(transaction), name, (nuint)name.Length, queue,
            (nuint)queue.Length, expression, (nuint)expression.Length, payload, (nuint)payload.Length, &opts, out var error), error);
    }

    /// <summary>Removes a schedule; jobs that it has enqueued stay.</summary>
    /// <param name="name">The schedule's name.</param>
    /// <returns>How many there were, 1 or 0.</returns>
    public int Remove(string name)
    {
        var text = Utf8.Of(name, nameof(name));
        return database.Done(NativeMethods.SchedulerUnregister(database.Handle, database.Within(null), text, (nuint)text.Length,
            out var error), error) ? 1 : 0;
    }

    /// <summary>Pauses a schedule.</summary>
    /// <param name="name">The schedule's name.</param>
    /// <returns>False if there is none, or it is paused already.</returns>
    public bool Pause(string name)
    {
        var text = Utf8.Of(name, nameof(name));
        return database.Done(NativeMethods.SchedulerPause(database.Handle, database.Within(null), text, (nuint)text.Length,
            out var error), error);
    }

    /// <summary>Resumes a schedule; the boundaries that it missed are fired, 64 at most.</summary>
    /// <param name="name">The schedule's name.</param>
    /// <returns>False if there is none, or it is not paused.</returns>
    public bool Resume(string name)
    {
        var text = Utf8.Of(name, nameof(name));
        return database.Done(NativeMethods.SchedulerResume(database.Handle, database.Within(null), text, (nuint)text.Length,
            out var error), error);
    }

    /// <summary>Changes parts of a schedule.</summary>
    /// <param name="name">The schedule's name.</param>
    /// <param name="update">What to change.</param>
    /// <returns>False if there is none, or nothing was to be changed.</returns>
    public unsafe bool Update(string name, ScheduleUpdate update)
    {
        ArgumentNullException.ThrowIfNull(update);
        using var arena = new Arena();
        var changes = Native.ScheduleUpdate.Init;
        changes.Fields = (ulong)update.Fields;
        changes.Expression = arena.Text(Utf8.OfOptional(update.Expression, nameof(update)));
        changes.Payload = arena.Text((update.Fields & Abi.UpdatePayload) == 0 ? null : database.Payloads.Encode(update.Payload, null));
        changes.Priority = update.Priority;
        changes.ExpiresS = Numbers.Optional(update.ExpiresSeconds, nameof(update));
        changes.MaxAttempts = Numbers.Optional(update.MaxAttempts, nameof(update));
        var text = Utf8.Of(name, nameof(name));
        return database.Done(NativeMethods.SchedulerUpdate(database.Handle, database.Within(null), text, (nuint)text.Length, &changes,
            out var error), error);
    }

    /// <summary>All schedules, by name.</summary>
    /// <returns>The schedules.</returns>
    public IReadOnlyList<ScheduleRow> List()
    {
        database.Check(NativeMethods.SchedulerList(database.Handle, TransactionHandle.None, out var text, out var error), error);
        return Database.Json(text, RowJson.Default.ScheduleRowArray);
    }

    /// <summary>The next boundary of any schedule that is not paused; it may lie in the past.</summary>
    /// <returns>Unix seconds; null if there is none.</returns>
    public long? Soonest() =>
        database.Done(NativeMethods.SchedulerSoonest(database.Handle, TransactionHandle.None, out var at, out var error), error) ? at : null;

    /// <summary>Enqueues a job for every boundary that nobody has fired yet.</summary>
    /// <param name="nowUnix">Up to then; now by default.</param>
    /// <returns>What was fired.</returns>
    public IReadOnlyList<ScheduledFire> Tick(long? nowUnix = null)
    {
        var status = NativeMethods.SchedulerTick(database.Handle, database.Within(null), Numbers.Optional(nowUnix, nameof(nowUnix)),
            out var fires, out var error);
        using (fires)
        {
            return database.Done(status, error) ? Read(database, fires) : [];
        }
    }

    /// <summary>The first boundary of an expression after a time. It needs no schedule.</summary>
    /// <param name="expression">The expression.</param>
    /// <param name="fromUnix">That time, in Unix seconds.</param>
    /// <returns>Unix seconds.</returns>
    public long NextAfter(string expression, long fromUnix)
    {
        var text = Utf8.Of(expression, nameof(expression));
        database.Check(NativeMethods.CronNextAfter(text, (nuint)text.Length, fromUnix, out var at, out var error), error);
        return at;
    }

    /// <summary>
    /// Fires the schedules of the file, or stands by while somebody else does. Errors that pass by themselves are logged and waited
    /// out.
    /// </summary>
    /// <param name="owner">A name that nobody else has; made up if it is null.</param>
    /// <param name="cancellationToken">Ends it, normally; who stands by takes over at once.</param>
    /// <returns>When it was ended.</returns>
    public async Task RunAsync(string? owner = null, CancellationToken cancellationToken = default)
    {
        await using var leader = new Leader(database, owner ?? Guid.NewGuid().ToString("N"));
        await leader.RunAsync(database.Logger, cancellationToken).ConfigureAwait(false);
    }

    internal static unsafe IReadOnlyList<ScheduledFire> Read(Database database, FiresHandle fires)
    {
        database.Check(NativeMethods.FiresLen(fires, out var count, out var error), error);
        var read = new ScheduledFire[count];
        for (nuint i = 0; i < count; i++)
        {
            var view = FireView.Init;
            database.Check(NativeMethods.FiresGet(fires, i, &view, out error), error);
            read[i] = new ScheduledFire(Utf8.Text(view.Name), Utf8.Text(view.Queue), view.FireAt, view.JobId == 0 ? null : view.JobId,
                view.Status == (int)HonkerStatus.Empty ? EnqueueStatus.HeldBack : (EnqueueStatus)view.Status);
        }
        return read;
    }
}

/// <summary>One of those who may fire the schedules.</summary>
internal sealed class Leader : Consumer
{
    private readonly LeaderHandle handle;

    internal Leader(Database database, string owner) : base(database)
    {
        var name = Utf8.Of(owner, nameof(owner));
        Check(NativeMethods.LeaderNew(database.Handle, Waiter, Signal.Token, name, (nuint)name.Length, out handle, out var error), error);
    }

    internal async Task RunAsync(ILogger log, CancellationToken cancel)
    {
        var trouble = new Trouble(log, "the scheduler");
        while (!cancel.IsCancellationRequested)
        {
            try
            {
                await AwaitAsync(Look, Timeout.InfiniteTimeSpan, cancel).ConfigureAwait(false);
                trouble.Over();
            }
            catch (OperationCanceledException) when (cancel.IsCancellationRequested)
            {
                return;
            }
            catch (HonkerException e) when (e.IsTransient)
            {
                await Trouble.PauseAsync(trouble.Met(e), cancel).ConfigureAwait(false);
            }
        }
    }

    private object? Look()
    {
        var status = NativeMethods.LeaderNext(handle, 0, out var fires, out var error);
        using (fires)
        {
            return Found(status, error) ? this : null;
        }
    }

    private protected override void Part()
    {
        _ = NativeMethods.LeaderResign(handle, out var error);
        NativeMethods.ErrorFree(error);
    }

    private protected override void Free() => handle.Dispose();
}
