using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Linq;
using System.Text.Json;
using Honker.Native;

namespace Honker;

/// <summary>Why a handler should end (<see cref="Job.CancelReason"/>).</summary>
public enum CancelReason
{
    /// <summary>It need not.</summary>
    None,

    /// <summary>The job was cancelled, or settled by somebody else.</summary>
    Gone = Abi.LostGone,

    /// <summary>Its claim is over, and nobody has it yet.</summary>
    Lapsed = Abi.LostLapsed,

    /// <summary>Somebody has claimed it again.</summary>
    Taken = Abi.LostTaken,

    /// <summary>It ran longer than it may, and is retried.</summary>
    Timeout = Abi.LostTimeout,

    /// <summary>The worker stops.</summary>
    Stop = 100,

    /// <summary>The file was replaced: nothing of the job can be settled any more.</summary>
    Replaced = 101,
}

/// <summary>
/// A claimed job: its worker's until it is settled, or the visibility timeout is over. Settling answers true if and only if it
/// changed the file, and false if the claim was lost. Any thread.
/// </summary>
public sealed class Job
{
    private static readonly IReadOnlyDictionary<string, string> NoMetadata = FrozenDictionary<string, string>.Empty;

    private readonly Queue queue;
    private readonly string metadataText;
    private IReadOnlyDictionary<string, string>? metadata;
    private JsonElement? payload;
    private ConcurrentDictionary<string, string>? unsaved;

    private unsafe Job(Queue queue, in JobView view, string? workerId)
    {
        this.queue = queue;
        Id = view.Id;
        PayloadRaw = Utf8.Text(view.Payload);
        WorkerId = workerId ?? Utf8.Text(view.WorkerId);
        Attempts = view.Attempts;
        MaxAttempts = view.MaxAttempts;
        ClaimExpiresAt = view.ClaimExpiresAt;
        Serial = view.Serial;
        metadataText = view.Metadata.Len == 0 ? "" : Utf8.Text(view.Metadata);
    }

    /// <summary>The job.</summary>
    public long Id { get; }

    /// <summary>Its queue.</summary>
    public string QueueName => queue.Name;

    /// <summary>Its queue's database.</summary>
    public Database Database => queue.Database;

    /// <summary>The payload as it is stored.</summary>
    public string PayloadRaw { get; }

    /// <summary>The payload; a string if it is no JSON.</summary>
    public JsonElement Payload => payload ??= Payloads.Element(PayloadRaw);

    /// <summary>Who holds it.</summary>
    public string WorkerId { get; }

    /// <summary>How often it has been claimed, this time included.</summary>
    public long Attempts { get; }

    /// <summary>How often it may be.</summary>
    public long MaxAttempts { get; }

    /// <summary>The last second, in Unix time, in which this claim is valid, unless it was prolonged.</summary>
    public long ClaimExpiresAt { get; }

    /// <summary>"processing".</summary>
    public string State { get; } = "processing";

    /// <summary>The texts that it was enqueued with.</summary>
    public IReadOnlyDictionary<string, string> Metadata => metadata ??= metadataText.Length == 0
        ? NoMetadata
        : JsonSerializer.Deserialize(metadataText, RowJson.Default.DictionaryStringString)!;

    /// <summary>Is cancelled when the handler should end: its worker has lost the job, or stops. Of workers with handlers.</summary>
    public CancellationToken CancellationToken { get; internal set; }

    /// <summary>Why that is.</summary>
    public CancelReason CancelReason { get; internal set; }

    /// <summary>Acked in a transaction of the user's own connection, which decides what becomes of it.</summary>
    internal bool IsAckedElsewhere { get; set; }

    /// <summary>Names this claim for a worker.</summary>
    internal long Serial { get; }

    /// <summary>Whether an error now is the last.</summary>
    internal bool IsLastAttempt => Attempts >= MaxAttempts;

    /// <summary>Why a step that has run is not saved: no other attempt may run it again. null if there is none.</summary>
    internal string? UnsavedStep => unsaved?.Select(one => one.Value).FirstOrDefault();

    /// <summary>The payload as a T.</summary>
    /// <typeparam name="T">What it is to become.</typeparam>
    /// <returns>The payload; null if it is the JSON null.</returns>
    /// <exception cref="JsonException">It is none.</exception>
    public T? GetPayload<T>() => Database.Payloads.Decode<T>(PayloadRaw);

    /// <summary>The job is done: removes it.</summary>
    /// <param name="transaction">It is done if and only if this is committed.</param>
    /// <returns>Whether it was; false if the claim was lost.</returns>
    public bool Ack(HonkerTransaction? transaction = null) => Database.Ack(Id, WorkerId, transaction);

    /// <summary>The job could not be done now: it becomes due again, or dead if its attempts are used up.</summary>
    /// <param name="delaySeconds">In how many seconds.</param>
    /// <param name="error">The reason, kept with the job if it dies of it.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>Whether it was; false if the claim was lost.</returns>
    public bool Retry(long delaySeconds = 60, string error = "", HonkerTransaction? transaction = null) =>
        Database.Retry(Id, WorkerId, delaySeconds, error, transaction);

    /// <summary>The job can never be done: it is dead.</summary>
    /// <param name="error">The reason, kept with the dead job.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>Whether it was; false if the claim was lost.</returns>
    public bool Fail(string error = "", HonkerTransaction? transaction = null) => Database.Fail(Id, WorkerId, error, transaction);

    /// <summary>Not yet: it becomes due again, and this attempt does not count.</summary>
    /// <param name="delaySeconds">In how many seconds.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>Whether it was; false if the claim was lost.</returns>
    public bool Snooze(long delaySeconds, HonkerTransaction? transaction = null) =>
        Database.Release(Id, WorkerId, delaySeconds, transaction);

    /// <summary>It is due again at once, and this attempt does not count.</summary>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>Whether it was; false if the claim was lost.</returns>
    public bool Release(HonkerTransaction? transaction = null) => Snooze(0, transaction);

    /// <summary>It takes longer. A <see cref="HonkerWorker"/> does that by itself.</summary>
    /// <param name="extendSeconds">Its claim is valid for so many seconds from now; its queue's visibility timeout by default.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>Whether it was; false if the claim was lost.</returns>
    public bool Heartbeat(long? extendSeconds = null, HonkerTransaction? transaction = null) =>
        Database.Heartbeat(Id, WorkerId, extendSeconds ?? queue.Options.VisibilityTimeoutSeconds, transaction);

    /// <summary>Saves its result, for who waits for it (<see cref="Queue.WaitResult"/>). It does not ack.</summary>
    /// <typeparam name="T">The type of the result.</typeparam>
    /// <param name="value">It becomes JSON.</param>
    /// <param name="ttlSeconds">For how many seconds it is kept; 0 for ever.</param>
    /// <param name="transaction">What it is part of.</param>
    public void SaveResult<T>(T value, long ttlSeconds = 0, HonkerTransaction? transaction = null) =>
        Database.SaveResult(Id, value, ttlSeconds, transaction);

    /// <summary>
    /// A part of a job that is done once, whatever is retried: what it came to is saved, and comes back from there in later
    /// attempts. A crash between the two does the step again.
    /// </summary>
    /// <remarks>
    /// What has no JSON, or more than SQLite takes (a gigabyte), cannot be saved. The step has run then, and another attempt would run
    /// it again: whatever its handler throws, but a <see cref="SnoozeException"/>, the job is dead at once. Without a worker the
    /// caller decides.
    /// </remarks>
    /// <typeparam name="T">What the step comes to.</typeparam>
    /// <param name="name">Names belong to the job: a step in a loop needs one for each time.</param>
    /// <param name="step">Does it.</param>
    /// <returns>What is saved.</returns>
    /// <exception cref="DiscardException">The step has run, and what it came to cannot be saved.</exception>
    /// <exception cref="OperationCanceledException">The worker does not hold the job any more; nothing was saved.</exception>
    public async Task<T?> StepAsync<T>(string name, Func<CancellationToken, Task<T>> step)
    {
        ArgumentNullException.ThrowIfNull(step);
        if (Database.GetStep(Id, name, null) is { } saved)
        {
            return Database.Payloads.Decode<T>(saved);
        }
        CancellationToken.ThrowIfCancellationRequested();
        return Saved<T>(name, await step(CancellationToken).ConfigureAwait(false), null);
    }

    /// <summary>The same for a step that writes to the file: exactly once, since both are committed together.</summary>
    /// <remarks>The transaction is to be rolled back, which its disposal does, if the step is not saved.</remarks>
    /// <typeparam name="T">What the step comes to.</typeparam>
    /// <param name="name">Of the step.</param>
    /// <param name="transaction">What the step writes in.</param>
    /// <param name="step">Does it.</param>
    /// <returns>What is saved.</returns>
    /// <exception cref="DiscardException">The step has run, and what it came to cannot be saved.</exception>
    /// <exception cref="OperationCanceledException">The worker does not hold the job any more; nothing was saved.</exception>
    public T? Step<T>(string name, HonkerTransaction transaction, Func<T> step)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        ArgumentNullException.ThrowIfNull(step);
        if (Database.GetStep(Id, name, transaction) is { } saved)
        {
            return Database.Payloads.Decode<T>(saved);
        }
        CancellationToken.ThrowIfCancellationRequested();
        return Saved<T>(name, step(), transaction);
    }

    private T? Saved<T>(string name, T value, HonkerTransaction? transaction)
    {
        string? saved;
        try
        {
            saved = Database.SaveStep(Id, WorkerId, name, Encoded(name, value), transaction);
        }
        catch (ArgumentException e)
        {
            throw NotSaved(name, e); // a converter may write what is no UTF-8
        }
        catch (HonkerException e) when (e.Status == HonkerStatus.TooBig)
        {
            throw NotSaved(name, e);
        }
        if (saved is null)
        {
            throw new OperationCanceledException($"job {Id} is lost, and the step {name} not saved");
        }
        T? stored;
        try
        {
            stored = Database.Payloads.Decode<T>(saved);
        }
        catch (Exception e) when (transaction is not null)
        {
            throw NotSaved(name, e); // it is rolled back
        }
        unsaved?.TryRemove(name, out _);
        return stored;
    }

    /// <summary>The application's types and converters may throw anything.</summary>
    private byte[] Encoded<T>(string name, T value)
    {
        try
        {
            return Database.Payloads.Encode(value);
        }
        catch (Exception e)
        {
            throw NotSaved(name, e);
        }
    }

    private DiscardException NotSaved(string name, Exception cause)
    {
        var error = new DiscardException($"step {name} has run, and is not saved: {Errors.MessageOf(cause)}", cause);
        LazyInitializer.EnsureInitialized(ref unsaved, static () => new ConcurrentDictionary<string, string>())[name] = error.Message;
        return error;
    }

    /// <summary>The batch that it is a member of, to which it may add others while it runs (<see cref="EnqueueOptions.Member"/>).</summary>
    /// <returns>The batch; null if there is none.</returns>
    public Batch? Batch()
    {
        var found = Database.Jobs(new JobFilter { MinId = Id, MaxId = Id }).Page().Jobs;
        return found is [{ BatchId: { } batch }] ? Database.Batch(batch) : null;
    }

    /// <summary>For <see cref="EnqueueOptions.Member"/>, while it runs.</summary>
    /// <returns>What identifies this job as a member.</returns>
    public BatchMember AsMember() => new(Id, WorkerId);

    /// <inheritdoc/>
    public override string ToString() => $"job {Id} of {QueueName}";

    internal static unsafe Job[] Read(Database database, JobsHandle jobs, Queue? queue, string? workerId)
    {
        Calls.Check(NativeMethods.JobsLen(jobs, out var count, out var error), error);
        if (count == 0)
        {
            return [];
        }
        var views = new JobView[count];
        views[0] = JobView.Init;
        var read = new Job[count];
        fixed (JobView* first = views)
        {
            Calls.Check(NativeMethods.JobsViews(jobs, 0, first, count, out _, out error), error);
            for (nuint i = 0; i < count; i++)
            {
                read[i] = new Job(queue ?? database.Queue(Utf8.Text(views[i].Queue)), views[i], workerId);
            }
        }
        return read;
    }

    /// <summary>Those that a worker has lost.</summary>
    internal static unsafe List<(long Serial, CancelReason Reason)> ReadLost(JobsHandle jobs)
    {
        const int Room = 16;
        var lost = new List<(long, CancelReason)>();
        var views = stackalloc LostJobView[Room];
        while (true)
        {
            views[0] = LostJobView.Init;
            Calls.Check(NativeMethods.JobsLost(jobs, (nuint)lost.Count, views, Room, out var read, out var error), error);
            for (nuint i = 0; i < read; i++)
            {
                lost.Add((views[i].Serial, (CancelReason)views[i].Reason));
            }
            if (read < Room)
            {
                return lost;
            }
        }
    }
}
