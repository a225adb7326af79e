using Honker.Native;

namespace Honker;

public sealed partial class Database
{
    private volatile bool isLookedAfter;

    /// <summary>
    /// A queue; the same object for the same name and options. The first one of a file that has no view <c>_honker_jobs</c> makes it:
    /// all live and dead jobs, for people who look at them.
    /// </summary>
    /// <param name="name">Any text.</param>
    /// <param name="options">What it does unless it is told otherwise.</param>
    /// <returns>The queue.</returns>
    public Queue Queue(string name, QueueOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(name);
        return queues.GetOrAdd((name, options ?? QueueOptions.Defaults), static (key, db) =>
        {
            var queue = new Queue(db, key.Item1, key.Item2);
            db.isLookedAfter = db.isLookedAfter || Inspection.LookAfter(db);
            return queue;
        }, this);
    }

    /// <summary>A topic of events; the same object for the same name.</summary>
    /// <param name="name">Any text.</param>
    /// <returns>The stream.</returns>
    public Stream Stream(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return streams.GetOrAdd(name, static (topic, db) => new Stream(db, topic), this);
    }

    /// <summary>Adds jobs to any queues, all or none, in one commit.</summary>
    /// <param name="jobs">The jobs.</param>
    /// <param name="transaction">They are there if and only if this is committed.</param>
    /// <returns>What came of each, in that order.</returns>
    public IReadOnlyList<Enqueued> EnqueueMany(IEnumerable<JobSpec> jobs, HonkerTransaction? transaction = null)
    {
        ArgumentNullException.ThrowIfNull(jobs);
        List<JobSpec> all = [.. jobs];
        var results = new Enqueued[all.Count];
        var let = new List<int>(all.Count);
        for (var i = 0; i < all.Count; i++)
        {
            using var activity = HonkerTelemetry.IsTracing ? HonkerTelemetry.Send(all[i]) : null;
            var held = Options.OnEnqueue is not null;
            Options.OnEnqueue?.Invoke(all[i], () => held = false);
            results[i] = new Enqueued(0, EnqueueStatus.HeldBack);
            if (!held)
            {
                let.Add(i);
            }
        }
        PutMany(all, let, results, transaction);
        return results;
    }

    private unsafe void PutMany(List<JobSpec> jobs, List<int> let, Enqueued[] results, HonkerTransaction? transaction)
    {
        using var arena = new Arena();
        var specs = arena.Array<Native.JobSpec>(let.Count);
        var answers = arena.Array<EnqueueResult>(let.Count);
        for (var i = 0; i < let.Count; i++)
        {
            var job = jobs[let[i]];
            specs[i] = Native.JobSpec.Init;
            specs[i].Queue = arena.Text(Utf8.Of(job.Queue, nameof(job.Queue)));
            specs[i].Payload = arena.Text(Payloads.Encode(job.Payload, job.Declared));
            specs[i].Opts = arena.Copy(job.Options.ToNative(arena, job.MaxAttempts));
        }
        Check(NativeMethods.EnqueueMany(Handle, Within(transaction), specs, (nuint)let.Count, answers, out var error), error);
        for (var i = 0; i < let.Count; i++)
        {
            results[let[i]] = new Enqueued(answers[i].Id, (EnqueueStatus)answers[i].Status);
            HonkerTelemetry.CountSent(jobs[let[i]].Queue, 1);
        }
    }

    internal unsafe Enqueued Put(byte[] queue, byte[] payload, EnqueueOptions? options, long? maxAttempts,
        HonkerTransaction? transaction, string name)
    {
        int status;
        long id;
        nint error;
        if (options is null && maxAttempts is null)
        {
            status = NativeMethods.Enqueue(Handle, Within(transaction), queue, (nuint)queue.Length, payload, (nuint)payload.Length, null,
                out id, out error);
        }
        else
        {
            using var arena = new Arena();
            var opts = (options ?? EnqueueOptions.None).ToNative(arena, maxAttempts);
            status = NativeMethods.Enqueue(Handle, Within(transaction), queue, (nuint)queue.Length, payload, (nuint)payload.Length,
                &opts, out id, out error);
        }
        var result = new Enqueued(id, (EnqueueStatus)Check(status, error));
        HonkerTelemetry.CountSent(name, 1);
        return result;
    }

    /// <summary>Within the span and the hook.</summary>
    internal Enqueued PutHooked(JobSpec job, HonkerTransaction? transaction)
    {
        using var activity = HonkerTelemetry.Send(job);
        var result = new Enqueued(0, EnqueueStatus.HeldBack);
        void Go() => result = Put(Utf8.Of(job.Queue, nameof(job.Queue)), Payloads.Encode(job.Payload, job.Declared), job.Options, job.MaxAttempts,
            transaction, job.Queue);
        if (Options.OnEnqueue is { } hook)
        {
            hook(job, Go);
        }
        else
        {
            Go();
        }
        activity?.SetTag("messaging.message.id", result.Id.ToString(System.Globalization.CultureInfo.InvariantCulture));
        return result;
    }

    internal bool Ack(long id, string worker, HonkerTransaction? transaction)
    {
        var text = Utf8.Of(worker, nameof(worker));
        return Done(NativeMethods.Ack(Handle, Within(transaction), id, text, (nuint)text.Length, out var error), error);
    }

    internal bool Retry(long id, string worker, long delaySeconds, string reason, HonkerTransaction? transaction)
    {
        var text = Utf8.Of(worker, nameof(worker));
        var why = Utf8.OfError(reason);
        return Done(NativeMethods.Retry(Handle, Within(transaction), id, text, (nuint)text.Length, delaySeconds, why,
            (nuint)why.Length, out var error), error);
    }

    internal bool Fail(long id, string worker, string reason, HonkerTransaction? transaction)
    {
        var text = Utf8.Of(worker, nameof(worker));
        var why = Utf8.OfError(reason);
        return Done(NativeMethods.Fail(Handle, Within(transaction), id, text, (nuint)text.Length, why, (nuint)why.Length,
            out var error), error);
    }

    internal bool Release(long id, string worker, long delaySeconds, HonkerTransaction? transaction)
    {
        var text = Utf8.Of(worker, nameof(worker));
        return Done(NativeMethods.Release(Handle, Within(transaction), id, text, (nuint)text.Length, delaySeconds, out var error), error);
    }

    internal bool Heartbeat(long id, string worker, long extendSeconds, HonkerTransaction? transaction)
    {
        var text = Utf8.Of(worker, nameof(worker));
        return Done(NativeMethods.Heartbeat(Handle, Within(transaction), id, text, (nuint)text.Length, extendSeconds, out var error), error);
    }

    internal void SaveResult<T>(long id, T value, long ttlSeconds, HonkerTransaction? transaction)
    {
        var text = Payloads.Encode(value);
        Check(NativeMethods.ResultSave(Handle, Within(transaction), id, text, (nuint)text.Length, ttlSeconds, out var error), error);
    }

    internal string? ResultText(long id) =>
        Done(NativeMethods.ResultGet(Handle, TransactionHandle.None, id, out var text, out var error), error) ? Calls.Read(text) : null;

    internal long SweepResults()
    {
        Check(NativeMethods.ResultSweep(Handle, Within(null), out var swept, out var error), error);
        return swept;
    }

    internal string? GetStep(long jobId, string step, HonkerTransaction? transaction)
    {
        var name = Utf8.Of(step, nameof(step));
        return Done(NativeMethods.StepGet(Handle, Reading(transaction), jobId, name, (nuint)name.Length, out var text, out var error), error)
            ? Calls.Read(text)
            : null;
    }

    internal string? SaveStep(long jobId, string worker, string step, byte[] value, HonkerTransaction? transaction)
    {
        var (id, name) = (Utf8.Of(worker, nameof(worker)), Utf8.Of(step, nameof(step)));
        return Done(NativeMethods.StepSave(Handle, Within(transaction), jobId, id, (nuint)id.Length, name, (nuint)name.Length, value,
            (nuint)value.Length, out var text, out var error), error)
            ? Calls.Read(text)
            : null;
    }

    /// <summary>Every queue that has settings or a job, by name.</summary>
    /// <returns>What holds for each.</returns>
    public IReadOnlyList<QueueSettings> Queues()
    {
        Check(NativeMethods.Queues(Handle, TransactionHandle.None, out var text, out var error), error);
        return Json(text, RowJson.Default.QueueSettingsArray);
    }

    /// <summary>How many jobs there are in each queue that has one. It reads them all.</summary>
    /// <returns>By queue and state.</returns>
    public IReadOnlyList<QueueStats> Stats()
    {
        Check(NativeMethods.QueueStats(Handle, TransactionHandle.None, default, 0, out var text, out var error), error);
        return Json(text, RowJson.Default.QueueStatsArray);
    }

    /// <summary>
    /// What is known of each queue: counts, histograms and depths. Processes add what they have counted every ten seconds, and when
    /// they close the file. It reads the indexes of all jobs.
    /// </summary>
    /// <returns>By queue.</returns>
    public Metrics Metrics()
    {
        Check(NativeMethods.Metrics(Handle, TransactionHandle.None, out var text, out var error), error);
        return Json(text, RowJson.Default.Metrics);
    }

    /// <summary>The dead of a queue, or of all, by what they died of, the largest group first. It reads them all.</summary>
    /// <param name="queue">The queue; null for all.</param>
    /// <returns>The groups.</returns>
    public IReadOnlyList<DeadGroup> DeadGroups(string? queue = null)
    {
        var name = Utf8.OfOptional(queue, nameof(queue));
        Check(NativeMethods.DeadGroups(Handle, TransactionHandle.None, name, (nuint)(name?.Length ?? 0), out var text, out var error), error);
        return Json(text, RowJson.Default.DeadGroupArray);
    }

    /// <summary>Jobs of all kinds, waiting, claimed, dead and done, to look at and to act on.</summary>
    /// <param name="filter">Conditions, all of which have to be fulfilled; null for all jobs.</param>
    /// <returns>The jobs.</returns>
    public Jobs Jobs(JobFilter? filter = null) => new(this, filter ?? new JobFilter());

    /// <summary>
    /// Makes a batch: jobs that are waited for together (<see cref="EnqueueOptions.BatchId"/>). It is to be sealed when all of them
    /// are enqueued (<see cref="Batch.Seal"/>), and never finishes otherwise.
    /// </summary>
    /// <param name="options">What is enqueued when it is finished.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>The batch.</returns>
    public Batch CreateBatch(BatchOptions? options = null, HonkerTransaction? transaction = null)
    {
        var json = Utf8.Of((options ?? new BatchOptions()).ToJson(Payloads), nameof(options));
        Check(NativeMethods.BatchCreate(Handle, Within(transaction), json, (nuint)json.Length, out var id, out var error), error);
        return new Batch(this, id);
    }

    /// <summary>
    /// Makes a batch, calls <paramref name="add"/> with it, which enqueues its jobs, and seals it, all in one transaction: there
    /// is all of that or nothing.
    /// </summary>
    /// <param name="add">Enqueues jobs, with the batch's id and in the transaction.</param>
    /// <param name="options">What is enqueued when it is finished.</param>
    /// <returns>The batch.</returns>
    public Batch Batch(Action<Batch, HonkerTransaction> add, BatchOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(add);
        using var transaction = BeginTransaction();
        var batch = CreateBatch(options, transaction);
        add(batch, transaction);
        batch.Seal(transaction);
        transaction.Commit();
        return batch;
    }

    /// <summary>A batch that was made before.</summary>
    /// <param name="id">Its id; a callback's job has it in its metadata, as batch_id.</param>
    /// <returns>The batch.</returns>
    public Batch Batch(long id) => new(this, Numbers.Positive(id, nameof(id)));

    /// <summary>
    /// A named outbox: what is enqueued there is delivered, and tried again, with growing distances, if that throws. The same object
    /// for the same name.
    /// </summary>
    /// <param name="name">Any text.</param>
    /// <param name="delivery">Delivers a payload.</param>
    /// <param name="options">How long, how often.</param>
    /// <returns>The outbox.</returns>
    /// <exception cref="InvalidOperationException">There is one of that name with another delivery or other options.</exception>
    public Outbox Outbox(string name, Func<System.Text.Json.JsonElement, CancellationToken, Task> delivery, OutboxOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(delivery);
        return Outbox(name, delivery, (job, cancel) => delivery(job.Payload, cancel), options);
    }

    /// <inheritdoc cref="Outbox(string, Func{System.Text.Json.JsonElement, CancellationToken, Task}, OutboxOptions)"/>
    public Outbox Outbox(string name, Func<System.Text.Json.JsonElement, Task> delivery, OutboxOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(delivery);
        return Outbox(name, delivery, (job, _) => delivery(job.Payload), options);
    }

    /// <inheritdoc cref="Outbox(string, Func{System.Text.Json.JsonElement, CancellationToken, Task}, OutboxOptions)"/>
    public Outbox Outbox(string name, Action<System.Text.Json.JsonElement> delivery, OutboxOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(delivery);
        return Outbox(name, delivery, (job, _) =>
        {
            delivery(job.Payload);
            return Task.CompletedTask;
        }, options);
    }

    private Outbox Outbox(string name, Delegate given, Func<Job, CancellationToken, Task> deliver, OutboxOptions? options)
    {
        ArgumentNullException.ThrowIfNull(name);
        options ??= OutboxOptions.Defaults;
        var kept = outboxes.GetOrAdd(name, _ => (new Outbox(this, name, deliver, options), given, options));
        if (!kept.Delivery.Equals(given) || kept.Options != options)
        {
            throw new InvalidOperationException($"the outbox {name} has another delivery or other options already");
        }
        return kept.Outbox;
    }
}
