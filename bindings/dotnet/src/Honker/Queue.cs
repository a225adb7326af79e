using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Honker.Native;

namespace Honker;

/// <summary>What a <see cref="Queue"/> does unless it is told otherwise.</summary>
/// <param name="VisibilityTimeoutSeconds">For how many seconds a claimed job is its worker's.</param>
/// <param name="MaxAttempts">
/// How often a job that is enqueued here may be claimed; null for what <see cref="Queue.Configure"/> has set in the file, or else 3.
/// </param>
public sealed record QueueOptions(long VisibilityTimeoutSeconds = 300, long? MaxAttempts = null)
{
    internal static readonly QueueOptions Defaults = new();
}

/// <summary>A queue of jobs, which is there as soon as something is enqueued. Any thread. Durations are in seconds.</summary>
public sealed class Queue
{
    private readonly Database database;
    private readonly byte[] name;

    internal Queue(Database database, string name, QueueOptions options)
    {
        this.database = database;
        this.name = Utf8.Of(name, nameof(name));
        if (options.MaxAttempts is { } attempts)
        {
            Numbers.Positive(attempts, nameof(options.MaxAttempts));
        }
        Name = name;
        Options = options;
    }

    /// <summary>Its name.</summary>
    public string Name { get; }

    /// <summary>What it does unless it is told otherwise.</summary>
    public QueueOptions Options { get; }

    internal Database Database => database;

    /// <summary>Adds a job.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="payload">It becomes JSON; a <see cref="RawJson"/> is stored as it is.</param>
    /// <param name="options">When, how often, how soon.</param>
    /// <param name="transaction">The job is there if and only if this is committed.</param>
    /// <returns>Its id; that of another job if that has its unique key (<see cref="TryEnqueue{T}"/> tells).</returns>
    /// <exception cref="NotSupportedException">Nothing says how a T becomes JSON (<see cref="OpenOptions.JsonSerializerOptions"/>).</exception>
    public long Enqueue<T>(T payload, EnqueueOptions? options = null, HonkerTransaction? transaction = null) =>
        TryEnqueue(payload, options, transaction).Id;

    /// <summary>The same with what the source generator of System.Text.Json made for the type.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="payload">It becomes JSON.</param>
    /// <param name="type">The serialization metadata of the type, from a JsonSerializerContext.</param>
    /// <param name="options">When, how often, how soon.</param>
    /// <param name="transaction">The job is there if and only if this is committed.</param>
    /// <returns>Its id.</returns>
    public long Enqueue<T>(T payload, JsonTypeInfo<T> type, EnqueueOptions? options = null, HonkerTransaction? transaction = null) =>
        Enqueue(new RawJson(JsonSerializer.Serialize(payload, type)), options, transaction);

    /// <summary>As <see cref="Enqueue{T}(T, EnqueueOptions?, HonkerTransaction?)"/>, and tells whether a new job was added.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="payload">It becomes JSON; a <see cref="RawJson"/> is stored as it is.</param>
    /// <param name="options">When, how often, how soon.</param>
    /// <param name="transaction">The job is there if and only if this is committed.</param>
    /// <returns>Its id, and whether it is a new one.</returns>
    public Enqueued TryEnqueue<T>(T payload, EnqueueOptions? options = null, HonkerTransaction? transaction = null)
    {
        if (database.Options.OnEnqueue is null && !HonkerTelemetry.IsTracing)
        {
            return database.Put(name, database.Payloads.Encode(payload), options, Options.MaxAttempts, transaction, Name);
        }
        var job = new JobSpec(Name, payload, options) { MaxAttempts = Options.MaxAttempts, Declared = typeof(T) };
        return database.PutHooked(job, transaction);
    }

    /// <summary>Adds jobs, all or none, in one commit.</summary>
    /// <typeparam name="T">The type of the payloads.</typeparam>
    /// <param name="payloads">They become JSON.</param>
    /// <param name="options">The same for all.</param>
    /// <param name="transaction">They are there if and only if this is committed.</param>
    /// <returns>Their ids.</returns>
    public IReadOnlyList<long> EnqueueMany<T>(IEnumerable<T> payloads, EnqueueOptions? options = null, HonkerTransaction? transaction = null)
    {
        ArgumentNullException.ThrowIfNull(payloads);
        var jobs = new List<JobSpec>();
        foreach (var payload in payloads)
        {
            jobs.Add(new JobSpec(Name, payload, options) { MaxAttempts = Options.MaxAttempts, Declared = typeof(T) });
        }
        var ids = new long[jobs.Count];
        var enqueued = database.EnqueueMany(jobs, transaction);
        for (var i = 0; i < ids.Length; i++)
        {
            ids[i] = enqueued[i].Id;
        }
        return ids;
    }

    /// <summary>Claims the best job there is: the highest priority, then the oldest.</summary>
    /// <param name="worker">For whom.</param>
    /// <returns>The job, the worker's for the visibility timeout; null if there is none.</returns>
    public Job? ClaimOne(string worker)
    {
        var jobs = ClaimBatch(worker, 1);
        return jobs.Count == 0 ? null : jobs[0];
    }

    /// <summary>Claims jobs in one commit.</summary>
    /// <param name="worker">For whom.</param>
    /// <param name="n">At most so many.</param>
    /// <returns>What there was.</returns>
    public IReadOnlyList<Job> ClaimBatch(string worker, long n)
    {
        var id = Utf8.Of(worker, nameof(worker));
        if (n <= 0)
        {
            return [];
        }
        var status = NativeMethods.Claim(database.Handle, database.Within(null), name, (nuint)name.Length, id, (nuint)id.Length, n,
            Options.VisibilityTimeoutSeconds, out var jobs, out var error);
        using (jobs)
        {
            return database.Done(status, error) ? Job.Read(database, jobs, this, worker) : [];
        }
    }

    /// <summary>
    /// Claims one job after the other, and waits for them: for a commit by anyone, a delayed job that becomes due, a claim that
    /// lapses. The next one is claimed when it is asked for. Each has to be settled; for workers see <see cref="HonkerWorker"/>.
    /// </summary>
    /// <param name="worker">For whom.</param>
    /// <param name="idlePoll">How often it looks without having been woken, 5 s; <see cref="Timeout.InfiniteTimeSpan"/> for never.</param>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>The jobs, without end.</returns>
    public async IAsyncEnumerable<Job> ClaimAsync(string worker, TimeSpan? idlePoll = null,
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await using var claimer = Claimer(worker, idlePoll);
        while (true)
        {
            var job = await claimer.NextAsync(cancellationToken: cancellationToken).ConfigureAwait(false);
            if (job is not null)
            {
                yield return job;
            }
        }
    }

    /// <summary>What <see cref="ClaimAsync"/> enumerates, for who takes jobs now and then. To be disposed of.</summary>
    /// <param name="worker">For whom.</param>
    /// <param name="idlePoll">As there.</param>
    /// <returns>The claimer.</returns>
    public Claimer Claimer(string worker, TimeSpan? idlePoll = null) => new(this, worker, idlePoll);

    /// <summary>When a claim could next succeed without a further commit: a job that becomes due, a claim that lapses.</summary>
    /// <returns>Unix seconds; null if there is nothing to wait for.</returns>
    public long? NextClaimAt() =>
        database.Done(NativeMethods.QueueNextClaimAt(database.Handle, TransactionHandle.None, name, (nuint)name.Length, out var at,
            out var error), error)
            ? at
            : null;

    /// <summary>The job is done: removes it.</summary>
    /// <param name="id">The job.</param>
    /// <param name="worker">Who has claimed it.</param>
    /// <param name="transaction">It is done if and only if this is committed.</param>
    /// <returns>Whether it was; false if the worker does not hold it any more.</returns>
    public bool Ack(long id, string worker, HonkerTransaction? transaction = null) => database.Ack(id, worker, transaction);

    /// <summary>The jobs are done, in one commit.</summary>
    /// <param name="ids">The jobs.</param>
    /// <param name="worker">Who has claimed them.</param>
    /// <param name="transaction">They are done if and only if this is committed.</param>
    /// <returns>How many the worker still held.</returns>
    public long AckBatch(IEnumerable<long> ids, string worker, HonkerTransaction? transaction = null)
    {
        ArgumentNullException.ThrowIfNull(ids);
        long[] all = [.. ids];
        var id = Utf8.Of(worker, nameof(worker));
        database.Check(NativeMethods.AckBatch(database.Handle, database.Within(transaction), all, (nuint)all.Length, id,
            (nuint)id.Length, out var acked, out var error), error);
        return acked;
    }

    /// <summary>The job could not be done now: it becomes due again, or dead if its attempts are used up.</summary>
    /// <param name="id">The job.</param>
    /// <param name="worker">Who has claimed it.</param>
    /// <param name="delaySeconds">In how many seconds.</param>
    /// <param name="error">The reason, kept with the job if it dies of it.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>Whether it was; false if the worker does not hold it any more.</returns>
    public bool Retry(long id, string worker, long delaySeconds = 60, string error = "", HonkerTransaction? transaction = null) =>
        database.Retry(id, worker, delaySeconds, error, transaction);

    /// <summary>The job can never be done: it is dead.</summary>
    /// <param name="id">The job.</param>
    /// <param name="worker">Who has claimed it.</param>
    /// <param name="error">The reason, kept with the dead job.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>Whether it was; false if the worker does not hold it any more.</returns>
    public bool Fail(long id, string worker, string error = "", HonkerTransaction? transaction = null) =>
        database.Fail(id, worker, error, transaction);

    /// <summary>The job goes back, and this attempt does not count.</summary>
    /// <param name="id">The job.</param>
    /// <param name="worker">Who has claimed it.</param>
    /// <param name="delaySeconds">In how many seconds it becomes due again.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>Whether it was; false if the worker does not hold it any more.</returns>
    public bool Release(long id, string worker, long delaySeconds = 0, HonkerTransaction? transaction = null) =>
        database.Release(id, worker, delaySeconds, transaction);

    /// <summary>The job takes longer.</summary>
    /// <param name="id">The job.</param>
    /// <param name="worker">Who has claimed it.</param>
    /// <param name="extendSeconds">Its claim is valid for so many seconds from now; the visibility timeout by default.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>Whether it was; false if the worker does not hold it any more.</returns>
    public bool Heartbeat(long id, string worker, long? extendSeconds = null, HonkerTransaction? transaction = null) =>
        database.Heartbeat(id, worker, extendSeconds ?? Options.VisibilityTimeoutSeconds, transaction);

    /// <summary>Removes a job of any queue, waiting or claimed; who holds it finds it lost.</summary>
    /// <param name="id">The job.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>Whether there was one.</returns>
    public bool Cancel(long id, HonkerTransaction? transaction = null) =>
        database.Done(NativeMethods.Cancel(database.Handle, database.Within(transaction), id, out var error), error);

    /// <summary>A job of any queue, waiting or claimed.</summary>
    /// <param name="id">The job.</param>
    /// <returns>What is known of it; null if it is not there any more.</returns>
    public JobRow? GetJob(long id) =>
        database.Done(NativeMethods.GetJob(database.Handle, TransactionHandle.None, id, out var text, out var error), error)
            ? Database.Json(text, RowJson.Default.JobRow)
            : null;

    /// <summary>Moves the expired jobs that nobody holds to the dead. Claims pass them by without it.</summary>
    /// <returns>How many.</returns>
    public long SweepExpired()
    {
        database.Check(NativeMethods.SweepExpired(database.Handle, database.Within(null), name, (nuint)name.Length, out var swept,
            out var error), error);
        return swept;
    }

    /// <summary>How many jobs there are. It reads them all.</summary>
    /// <returns>By state.</returns>
    public QueueStats Stats()
    {
        database.Check(NativeMethods.QueueStats(database.Handle, TransactionHandle.None, name, (nuint)name.Length, out var text,
            out var error), error);
        return Database.Json(text, RowJson.Default.QueueStats);
    }

    /// <summary>Saves a job's result; save it before the job is acked. It does not ack.</summary>
    /// <typeparam name="T">The type of the result.</typeparam>
    /// <param name="id">The job.</param>
    /// <param name="value">It becomes JSON.</param>
    /// <param name="ttlSeconds">For how many seconds it is kept; 0 for ever.</param>
    /// <param name="transaction">What it is part of.</param>
    public void SaveResult<T>(long id, T value, long ttlSeconds = 0, HonkerTransaction? transaction = null) =>
        database.SaveResult(id, value, ttlSeconds, transaction);

    /// <summary>A job's result.</summary>
    /// <param name="id">The job.</param>
    /// <returns>Whether there is one, and it.</returns>
    public (bool Found, JsonElement? Value) GetResult(long id) =>
        database.ResultText(id) is { } text ? (true, Payloads.Element(text)) : (false, null);

    /// <summary>A job's result.</summary>
    /// <typeparam name="T">The type of the result.</typeparam>
    /// <param name="id">The job.</param>
    /// <param name="found">Whether there is one.</param>
    /// <returns>The result.</returns>
    public T? GetResult<T>(long id, out bool found)
    {
        var text = database.ResultText(id);
        found = text is not null;
        return text is null ? default : database.Payloads.Decode<T>(text);
    }

    /// <summary>Waits for a job's result. A job that ends without one never has one.</summary>
    /// <param name="id">The job.</param>
    /// <param name="timeout">How long; null without end.</param>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>The result.</returns>
    /// <exception cref="TimeoutException">The time is over.</exception>
    public async Task<JsonElement> WaitResult(long id, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        await using var wait = new ResultWait(database, id);
        return Payloads.Element(await wait.NextAsync(timeout ?? Timeout.InfiniteTimeSpan, cancellationToken).ConfigureAwait(false)
            ?? throw new TimeoutException($"wait_result({id}) timed out"));
    }

    /// <summary>Waits for a job's result. A job that ends without one never has one.</summary>
    /// <typeparam name="T">The type of the result.</typeparam>
    /// <param name="id">The job.</param>
    /// <param name="timeout">How long; null without end.</param>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>The result.</returns>
    /// <exception cref="TimeoutException">The time is over.</exception>
    public async Task<T?> WaitResult<T>(long id, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        await using var wait = new ResultWait(database, id);
        return database.Payloads.Decode<T>(await wait.NextAsync(timeout ?? Timeout.InfiniteTimeSpan, cancellationToken)
            .ConfigureAwait(false) ?? throw new TimeoutException($"wait_result({id}) timed out"));
    }

    /// <summary>Deletes expired results of all queues.</summary>
    /// <returns>How many.</returns>
    public long SweepResults() => database.SweepResults();

    /// <summary>Changes settings of the queue, in the file: they hold for every process from this commit on.</summary>
    /// <param name="update">What to change.</param>
    /// <param name="transaction">What it is part of.</param>
    public void Configure(QueueUpdate update, HonkerTransaction? transaction = null)
    {
        ArgumentNullException.ThrowIfNull(update);
        var json = Utf8.Of(update.ToJson(), nameof(update));
        database.Check(NativeMethods.QueueConfigure(database.Handle, database.Within(transaction), name, (nuint)name.Length, json,
            (nuint)json.Length, out var error), error);
    }

    /// <summary>No job of the queue is claimed any more, by any process; what runs goes on.</summary>
    public void Pause() => Configure(new QueueUpdate().WithPaused(true));

    /// <summary>Ends <see cref="Pause"/>.</summary>
    public void Resume() => Configure(new QueueUpdate().WithPaused(false));

    /// <summary>What holds for the queue.</summary>
    /// <returns>The settings.</returns>
    public QueueSettings Settings()
    {
        database.Check(NativeMethods.QueueSettings(database.Handle, TransactionHandle.None, name, (nuint)name.Length, out var text,
            out var error), error);
        return Database.Json(text, RowJson.Default.QueueSettings);
    }

    /// <summary>The dead of the queue, the newest first.</summary>
    /// <param name="limit">At most so many; null for all.</param>
    /// <returns>The jobs.</returns>
    public IReadOnlyList<JobRow> Dead(long? limit = null)
    {
        database.Check(NativeMethods.DeadList(database.Handle, TransactionHandle.None, name, (nuint)name.Length, limit ?? -1,
            out var text, out var error), error);
        return Database.Json(text, RowJson.Default.JobRowArray);
    }

    /// <summary>Makes a dead job of any queue live again: due now, with all attempts.</summary>
    /// <param name="id">The job.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>Whether it was; false if there is none, or another job has its unique key.</returns>
    public bool Requeue(long id, HonkerTransaction? transaction = null) =>
        database.Done(NativeMethods.DeadRequeue(database.Handle, database.Within(transaction), id, out var error), error);

    /// <summary>Deletes the dead of the queue.</summary>
    /// <param name="olderThanSeconds">Those that died more than so many seconds ago.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>How many.</returns>
    public long PurgeDead(long olderThanSeconds, HonkerTransaction? transaction = null)
    {
        database.Check(NativeMethods.DeadPurge(database.Handle, database.Within(transaction), name, (nuint)name.Length,
            olderThanSeconds, out var purged, out var error), error);
        return purged;
    }

    /// <summary>The dead of the queue by what they died of, the largest group first. It reads them all.</summary>
    /// <returns>The groups.</returns>
    public IReadOnlyList<DeadGroup> DeadGroups() => database.DeadGroups(Name);

    /// <summary>What was saved for a step of a job.</summary>
    /// <param name="jobId">The job.</param>
    /// <param name="step">The step.</param>
    /// <param name="transaction">Sees what this has saved so far.</param>
    /// <returns>JSON; null if nothing was.</returns>
    public string? GetStep(long jobId, string step, HonkerTransaction? transaction = null) => database.GetStep(jobId, step, transaction);

    /// <summary>Saves what a step of a job has come to, once: see <see cref="Job.StepAsync{T}"/>.</summary>
    /// <param name="jobId">The job.</param>
    /// <param name="worker">Who has claimed it.</param>
    /// <param name="step">The step.</param>
    /// <param name="json">What it has come to.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>What is stored, which is the first one; null if the worker does not hold the job any more.</returns>
    public string? SaveStep(long jobId, string worker, string step, string json, HonkerTransaction? transaction = null) =>
        database.SaveStep(jobId, worker, step, Utf8.Of(json, nameof(json)), transaction);

    /// <inheritdoc/>
    public override string ToString() => Name;
}
