using Honker.Native;
using Microsoft.Extensions.Logging;

namespace Honker;

/// <summary>How an outbox delivers.</summary>
/// <param name="VisibilityTimeoutSeconds">For how many seconds a delivery may take before it goes to another worker.</param>
/// <param name="MaxAttempts">How often it is tried.</param>
/// <param name="BaseBackoffSeconds">How long the first retry waits; each further one waits twice as long. 0: no wait.</param>
public sealed record OutboxOptions(long VisibilityTimeoutSeconds = 60, long MaxAttempts = 5, long BaseBackoffSeconds = 5)
{
    internal static readonly OutboxOptions Defaults = new();
}

/// <summary>A named outbox, which is a queue and a delivery (<see cref="Database.Outbox(string, Action{System.Text.Json.JsonElement}, OutboxOptions?)"/>).</summary>
public sealed class Outbox
{
    private readonly Database database;
    private readonly Func<Job, CancellationToken, Task> deliver;
    private readonly OutboxOptions options;
    private readonly Queue queue;

    internal Outbox(Database database, string name, Func<Job, CancellationToken, Task> deliver, OutboxOptions options)
    {
        this.database = database;
        this.deliver = deliver;
        this.options = options;
        Name = name;
        queue = database.Queue($"_outbox:{name}", new QueueOptions(options.VisibilityTimeoutSeconds, options.MaxAttempts));
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>The queue that it is.</summary>
    public string QueueName => queue.Name;

    /// <summary>Adds something to be delivered.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="payload">It becomes JSON.</param>
    /// <param name="transaction">It is delivered if and only if this is committed.</param>
    /// <param name="options">As for <see cref="Queue.Enqueue{T}(T, EnqueueOptions?, HonkerTransaction?)"/>.</param>
    /// <returns>The job's id.</returns>
    public long Enqueue<T>(T payload, HonkerTransaction? transaction = null, EnqueueOptions? options = null) =>
        queue.Enqueue(payload, options, transaction);

    /// <summary>Delivers one if there is one.</summary>
    /// <param name="worker">For whom it is claimed.</param>
    /// <param name="cancellationToken">Is given to the delivery.</param>
    /// <returns>Whether there was one.</returns>
    public async Task<bool> RunOnceAsync(string worker, CancellationToken cancellationToken = default)
    {
        await using var courier = new Courier(database, queue, Name, worker, options);
        var job = await courier.TakeAsync(TimeSpan.Zero, cancellationToken).ConfigureAwait(false);
        if (job is null)
        {
            return false;
        }
        courier.Settle(job, await DeliverAsync(job, cancellationToken).ConfigureAwait(false));
        return true;
    }

    /// <summary>
    /// Delivers one after the other. What throws is tried again, and dead after the last attempt, with the exception's text. Errors
    /// of the database that pass by themselves are logged and waited out.
    /// </summary>
    /// <param name="worker">For whom they are claimed.</param>
    /// <param name="cancellationToken">Ends it, normally; the one in hand is given back if its delivery ends for that.</param>
    /// <returns>When it was ended.</returns>
    public async Task RunWorker(string worker, CancellationToken cancellationToken = default)
    {
        await using var courier = new Courier(database, queue, Name, worker, options);
        var trouble = new Trouble(database.Logger, $"the outbox {Name}");
        Job? job = null;
        string? error = null;
        while (job is not null || !cancellationToken.IsCancellationRequested)
        {
            try
            {
                if (job is null)
                {
                    job = await courier.TakeAsync(Timeout.InfiniteTimeSpan, cancellationToken).ConfigureAwait(false);
                    error = await DeliverAsync(job!, cancellationToken).ConfigureAwait(false);
                }
                courier.Settle(job!, error);
                job = null;
                trouble.Over();
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                job?.Release();
                return;
            }
            catch (HonkerException e) when (e.IsTransient)
            {
                await Trouble.PauseAsync(trouble.Met(e), cancellationToken).ConfigureAwait(false);
                if (cancellationToken.IsCancellationRequested)
                {
                    return; // the claim in hand lapses
                }
            }
        }
    }

    /// <inheritdoc cref="RunWorker"/>
    public Task RunWorkerAsync(string worker, CancellationToken cancellationToken = default) => RunWorker(worker, cancellationToken);

    /// <summary>Why it failed; null if it did not.</summary>
    private async Task<string?> DeliverAsync(Job job, CancellationToken cancel)
    {
        try
        {
            await deliver(job, cancel).ConfigureAwait(false);
            return null;
        }
        catch (Exception e) when (e is not OperationCanceledException || !cancel.IsCancellationRequested)
        {
            Errors.Log(e, (error, more) => database.Logger.LogError(error,
                "the outbox {Outbox} could not deliver job {Id}, attempt {Attempt} of {MaxAttempts}{More}", Name, job.Id, job.Attempts,
                job.MaxAttempts, more));
            return Errors.Describe(e);
        }
    }
}

/// <summary>A worker of an outbox.</summary>
internal sealed class Courier : Consumer
{
    private readonly OutboxHandle handle;
    private readonly Queue queue;

    internal unsafe Courier(Database database, Queue queue, string name, string worker, OutboxOptions options) : base(database)
    {
        this.queue = queue;
        var opts = OutboxOpts.Init;
        opts.VisibilityTimeoutS = options.VisibilityTimeoutSeconds;
        opts.BaseBackoffS = options.BaseBackoffSeconds;
        var (outbox, id) = (Utf8.Of(name, nameof(name)), Utf8.Of(worker, nameof(worker)));
        Check(NativeMethods.OutboxNew(database.Handle, Waiter, Signal.Token, outbox, (nuint)outbox.Length, id, (nuint)id.Length, &opts,
            out handle, out var error), error);
    }

    internal ValueTask<Job?> TakeAsync(TimeSpan timeout, CancellationToken cancel) => AwaitAsync(Look, timeout, cancel);

    internal void Settle(Job job, string? failure) => Use(() =>
    {
        var why = Utf8.OfError(failure);
        var status = failure is null
            ? NativeMethods.OutboxDelivered(handle, job.Id, out var error)
            : NativeMethods.OutboxFailed(handle, job.Id, job.Attempts, why, (nuint)why.Length, out error);
        return Check(status, error); // LOST: somebody else has it
    });

    private Job? Look()
    {
        var status = NativeMethods.OutboxNext(handle, 0, out var jobs, out var error);
        using (jobs)
        {
            return Found(status, error) && !jobs.IsInvalid && Job.Read(Database, jobs, queue, null) is [var job, ..] ? job : null;
        }
    }

    private protected override void Free() => handle.Dispose();
}
