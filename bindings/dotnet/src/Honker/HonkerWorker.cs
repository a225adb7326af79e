using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Honker;

/// <summary>Handles a job. When it returns the job is done; when it throws the job is tried again, or as the exception says.</summary>
/// <param name="job">The job.</param>
/// <param name="cancellationToken">The handler should end: its job was cancelled or lost, ran too long, or the worker stops.</param>
/// <returns>When it has ended.</returns>
public delegate Task JobHandler(Job job, CancellationToken cancellationToken);

/// <summary>Handles a job whose payload is a T. One that is none is dead at once, with the reason.</summary>
/// <typeparam name="T">The type of the payload.</typeparam>
/// <param name="payload">The payload.</param>
/// <param name="job">The job.</param>
/// <param name="cancellationToken">The handler should end: its job was cancelled or lost, ran too long, or the worker stops.</param>
/// <returns>When it has ended.</returns>
public delegate Task JobHandler<in T>(T payload, Job job, CancellationToken cancellationToken);

/// <summary>Is called around each job; has to call <paramref name="next"/>, once. What it throws is a failure of the job.</summary>
/// <param name="job">The job.</param>
/// <param name="next">Handles it.</param>
/// <returns>When it has ended.</returns>
public delegate Task JobMiddleware(Job job, Func<Task> next);

/// <summary>How a <see cref="HonkerWorker"/> works.</summary>
public sealed record WorkerOptions
{
    /// <summary>When a job that has failed is tried again, unless its queue says: 15 s, 30 s, 60 s, … at most an hour.</summary>
    public static QueueRetry DefaultRetry { get; } = new(15, 2.0, 3600, 0.1);

    /// <summary>How many jobs it handles at a time.</summary>
    public int Concurrency { get; init; } = 1;

    /// <summary>Its name, which no other worker may have at the same time; made up if it is null.</summary>
    public string? Name { get; init; }

    /// <summary>
    /// For how many seconds a claim outlives its worker, where the process's death is not seen at once. Claims are prolonged while
    /// a handler runs.
    /// </summary>
    public long VisibilityTimeoutSeconds { get; init; } = 300;

    /// <summary>After how many seconds a job is retried and its handler's token cancelled; null for never.</summary>
    public long? MaxRunSeconds { get; init; }

    /// <summary>When a job that has failed is tried again, unless its queue says.</summary>
    public QueueRetry Retry { get; init; } = DefaultRetry;

    /// <summary>How long running handlers have to end when the worker stops, before their tokens are cancelled; 8 s.</summary>
    public TimeSpan StopTimeout { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>Whether SIGTERM and SIGINT (Ctrl-C) stop it. Not for applications whose host does that.</summary>
    public bool HandleSignals { get; init; } = true;

    /// <summary>Schedules that it adds when it begins, and fires (<see cref="RunSchedules"/>).</summary>
    public IReadOnlyList<ScheduledTask> Schedules { get; init; } = [];

    /// <summary>Whether it also fires the schedules of the file, or stands by while somebody else does.</summary>
    public bool RunSchedules { get; init; }

    /// <summary>Is called around each job.</summary>
    public JobMiddleware? Around { get; init; }

    /// <summary>Is told of each failure, after it was logged; for error trackers. What it throws is logged.</summary>
    public Action<Exception, Job>? OnError { get; init; }
}

/// <summary>
/// Handles the jobs of its queues, as many at a time as its options say, on the thread pool. It sleeps until something is
/// committed, a delayed job becomes due or a claim lapses.
/// </summary>
/// <remarks>
/// What is finished is settled, and what there is room for claimed, in one commit, which also prolongs the claims of what runs.
/// A job that is lost, because somebody cancelled it or it ran too long, has its token cancelled. Failures are logged with the next
/// try. Errors of the database that pass by themselves (a lock, a full disk) are logged once and waited out; a file that was
/// replaced is opened anew. Should the process die, its jobs are due again at once on Linux, elsewhere when their claims lapse.
/// </remarks>
public sealed class HonkerWorker
{
    private readonly Dictionary<string, Handled> handlers = [];

    /// <summary>One for the file at a path, which is waited for if it is not there yet.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">How it works.</param>
    /// <param name="openOptions">How the file is opened.</param>
    public HonkerWorker(string path, WorkerOptions? options = null, OpenOptions? openOptions = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        (Path, Options, OpenOptions) = (path, Checked(options), openOptions ?? new OpenOptions());
    }

    /// <summary>One for an open database.</summary>
    /// <param name="database">The database, which has to stay open while it runs.</param>
    /// <param name="options">How it works.</param>
    public HonkerWorker(Database database, WorkerOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(database);
        (Path, Options, OpenOptions, Given) = (database.Path, Checked(options), database.Options, database);
    }

    /// <summary>How it works.</summary>
    public WorkerOptions Options { get; }

    internal string Path { get; }

    internal OpenOptions OpenOptions { get; }

    internal Database? Given { get; }

    internal IReadOnlyDictionary<string, Handled> Handlers => handlers;

    /// <summary>Handles the jobs of a queue.</summary>
    /// <param name="queue">The queue.</param>
    /// <param name="handler">What handles them.</param>
    /// <param name="weight">How often it is asked first, compared with the worker's other queues. With all 0 in the order given.</param>
    /// <param name="maxInHand">How many of its jobs this worker has in hand at most; null for as many as it handles at a time.</param>
    /// <returns>This worker, for further calls.</returns>
    /// <exception cref="ArgumentException">The queue has a handler already.</exception>
    public HonkerWorker Handle(string queue, JobHandler handler, long weight = 1, long? maxInHand = null)
    {
        ArgumentNullException.ThrowIfNull(queue);
        ArgumentNullException.ThrowIfNull(handler);
        ArgumentOutOfRangeException.ThrowIfNegative(weight);
        if (maxInHand is { } most)
        {
            Numbers.Positive(most, nameof(maxInHand));
        }
        if (!handlers.TryAdd(queue, new Handled(handler, weight, maxInHand)))
        {
            throw new ArgumentException($"the queue {queue} has a handler already", nameof(queue));
        }
        return this;
    }

    /// <summary>Handles the jobs of a queue whose payloads are a T.</summary>
    /// <typeparam name="T">What they are.</typeparam>
    /// <param name="queue">The queue.</param>
    /// <param name="handler">What handles them.</param>
    /// <param name="weight">How often it is asked first, compared with the worker's other queues.</param>
    /// <param name="maxInHand">How many of its jobs this worker has in hand at most; null for as many as it handles at a time.</param>
    /// <returns>This worker, for further calls.</returns>
    public HonkerWorker Handle<T>(string queue, JobHandler<T> handler, long weight = 1, long? maxInHand = null)
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Handle(queue, (job, cancel) => handler(Decoded<T>(job), job, cancel), weight, maxInHand);
    }

    /// <summary>
    /// Works until it is told to stop: by the token, or by SIGTERM or SIGINT. Then nothing is claimed any more; running handlers have
    /// <see cref="WorkerOptions.StopTimeout"/>, then their tokens are cancelled, and 1.5 s later their jobs are given back, with
    /// their attempt. A second signal gives them back at once. One line in the log says how it ended.
    /// </summary>
    /// <param name="cancellationToken">Stops it, normally.</param>
    /// <returns>When it has stopped.</returns>
    /// <exception cref="HonkerUnfinishedException">Handlers have not returned.</exception>
    /// <exception cref="InvalidOperationException">It has no handlers.</exception>
    public Task RunAsync(CancellationToken cancellationToken = default)
    {
        if (handlers.Count == 0)
        {
            throw new InvalidOperationException("the worker has no handlers: call Handle first");
        }
        // No context is blocked, nor flows into the handlers.
        using (ExecutionContext.SuppressFlow())
        {
            return Task.Run(async () =>
            {
                using var run = new WorkerRun(this);
                await run.RunAsync(cancellationToken).ConfigureAwait(false);
            }, CancellationToken.None);
        }
    }

    /// <summary>
    /// Handles what is due now, one after the other, and returns: for tests, and for programs that a timer starts. Without claims
    /// that are prolonged.
    /// </summary>
    /// <param name="throwOnError">Whether what a handler throws is thrown here, after its job was settled.</param>
    /// <param name="cancellationToken">Is given to the handlers.</param>
    /// <returns>How many jobs were handled.</returns>
    public async Task<int> RunDueAsync(bool throwOnError = true, CancellationToken cancellationToken = default)
    {
        using var opened = Given is null ? Database.Open(Path, OpenOptions) : null;
        var database = Given ?? opened!;
        var options = new QueueOptions(Options.VisibilityTimeoutSeconds);
        var name = Options.Name ?? SomeName();
        var count = 0;
        foreach (var (queue, handled) in handlers)
        {
            while (!cancellationToken.IsCancellationRequested && database.Queue(queue, options).ClaimOne(name) is { } job)
            {
                count++;
                job.CancellationToken = cancellationToken;
                var (verdict, error) = await HandleAsync(job, handled.Handler, database.Logger).ConfigureAwait(false);
                verdict.Apply(Options.Retry);
                if (throwOnError && error is not null and not SnoozeException and not RetryException and not DiscardException)
                {
                    System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(error);
                }
            }
        }
        return count;
    }

    /// <summary>
    /// Calls a handler, and says what it threw. It never throws itself, whatever exceptions, loggers and listeners of the application
    /// do: the job would have no end.
    /// </summary>
    internal async Task<(Verdict Verdict, Exception? Error)> HandleAsync(Job job, JobHandler handler, ILogger log)
    {
        var begun = System.Diagnostics.Stopwatch.GetTimestamp();
        var activity = Begin(job);
        Exception? error = null;
        try
        {
            var around = Options.Around;
            await (around is null ? handler(job, job.CancellationToken) : around(job, () => handler(job, job.CancellationToken)))
                .ConfigureAwait(false);
        }
        catch (Exception e)
        {
            error = e;
        }
        var verdict = Verdict.Of(job, error);
        // What was lost has been logged already, with the reason.
        if (error is not null and not SnoozeException && verdict.Kind != Native.Abi.SettleRelease &&
            job.CancelReason is CancelReason.None or CancelReason.Stop)
        {
            Report(job, error, verdict, log);
        }
        try
        {
            HonkerTelemetry.Handled(job, activity, error, System.Diagnostics.Stopwatch.GetElapsedTime(begun), verdict.Outcome);
            activity?.Dispose();
        }
        catch (Exception e)
        {
            Errors.Log(e, (wrong, more) => log.LogError(wrong, "a listener of {Source} has failed{More}", HonkerTelemetry.Name, more));
        }
        return (verdict, error);
    }

    /// <summary>The span of a handler; none if metadata or a listener do not let it begin.</summary>
    private static System.Diagnostics.Activity? Begin(Job job)
    {
        try
        {
            return HonkerTelemetry.Process(job);
        }
        catch (Exception)
        {
            return null;
        }
    }

    private void Report(Job job, Exception error, Verdict verdict, ILogger log)
    {
        var next = verdict.IsDead ? "it is dead now" : NextTry(verdict);
        Errors.Log(error, (e, more) => log.LogError(e, "job {Id} of {Queue} failed, attempt {Attempt} of {MaxAttempts}, {Next}{More}",
            job.Id, job.QueueName, job.Attempts, job.MaxAttempts, next, more));
        try
        {
            Options.OnError?.Invoke(error, job);
        }
        catch (Exception wrong)
        {
            Errors.Log(wrong, (e, more) => log.LogError(e, "WorkerOptions.OnError has failed{More}", more));
        }
    }

    private string NextTry(Verdict verdict)
    {
        try
        {
            return $"next try in {(verdict.IsByBackoff ? $"about {verdict.Backoff(Options.Retry)}" : verdict.DelayS)} s";
        }
        catch (Exception e) when (e is HonkerException or ObjectDisposedException)
        {
            return "it will be tried again"; // nobody knows when while the file cannot be read
        }
    }

    internal static string SomeName() => $"{Environment.ProcessId}-{Guid.NewGuid():N}"[..24];

    private static T Decoded<T>(Job job)
    {
        try
        {
            return job.GetPayload<T>() ?? throw new DiscardException($"the payload is null, and no {typeof(T)}");
        }
        catch (Exception e) when (e is JsonException or NotSupportedException or InvalidOperationException)
        {
            throw new DiscardException($"the payload is no {typeof(T)}: {e.Message}", e);
        }
    }

    private static WorkerOptions Checked(WorkerOptions? options)
    {
        options ??= new WorkerOptions();
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.Concurrency, nameof(options.Concurrency));
        _ = Numbers.Milliseconds(options.StopTimeout, nameof(options.StopTimeout));
        if (options.MaxRunSeconds is { } seconds)
        {
            Numbers.Positive(seconds, nameof(options.MaxRunSeconds));
        }
        return options;
    }

    internal sealed record Handled(JobHandler Handler, long Weight, long? MaxInHand);
}

public sealed partial class Database
{
    /// <summary>Something that handles jobs of this database: give it handlers, and run it.</summary>
    /// <param name="options">How it works.</param>
    /// <returns>The worker.</returns>
    public HonkerWorker Worker(WorkerOptions? options = null) => new(this, options);
}
