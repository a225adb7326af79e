using System.Text.Json;
using System.Text.Json.Serialization;

namespace Honker;

/// <summary>A job as the file has it, live, dead or done; what it does not have is null. Times are Unix seconds.</summary>
public sealed record JobRow
{
    /// <summary>The job.</summary>
    public long Id { get; init; }

    /// <summary>Its queue.</summary>
    public string Queue { get; init; } = "";

    /// <summary>The payload as it is stored.</summary>
    [JsonPropertyName("payload")]
    public string PayloadRaw { get; init; } = "";

    /// <summary>The payload; a string if it is no JSON.</summary>
    [JsonIgnore]
    public JsonElement Payload => Payloads.Element(PayloadRaw);

    /// <summary>
    /// "pending" or "processing" (<see cref="Honker.Queue.GetJob"/>); "due", "delayed", "processing", "blocked", "dead" or "done"
    /// (<see cref="Honker.Jobs"/>).
    /// </summary>
    public string? State { get; init; }

    /// <summary>Larger is sooner.</summary>
    public long? Priority { get; init; }

    /// <summary>When it becomes due.</summary>
    public long? RunAt { get; init; }

    /// <summary>Who holds it.</summary>
    public string? WorkerId { get; init; }

    /// <summary>The last second in which its claim is valid.</summary>
    public long? ClaimExpiresAt { get; init; }

    /// <summary>How often it has been claimed.</summary>
    public long? Attempts { get; init; }

    /// <summary>How often it may be.</summary>
    public long? MaxAttempts { get; init; }

    /// <summary>When it was enqueued.</summary>
    public long? CreatedAt { get; init; }

    /// <summary>From when on it may not be claimed any more.</summary>
    public long? ExpiresAt { get; init; }

    /// <summary>What it died of.</summary>
    public string? LastError { get; init; }

    /// <summary>When it died.</summary>
    public long? DiedAt { get; init; }

    /// <summary>When it was done.</summary>
    public long? FinishedAt { get; init; }

    /// <summary>Its result as it is stored.</summary>
    public string? Result { get; init; }

    /// <summary>The texts that it was enqueued with.</summary>
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }

    /// <summary>See <see cref="EnqueueOptions.UniqueKey"/>.</summary>
    public string? UniqueKey { get; init; }

    /// <summary>See <see cref="EnqueueOptions.ConcurrencyKey"/>.</summary>
    public string? ConcurrencyKey { get; init; }

    /// <summary>See <see cref="EnqueueOptions.BatchId"/>.</summary>
    public long? BatchId { get; init; }
}

/// <summary>A page of jobs (<see cref="Jobs.Page"/>).</summary>
/// <param name="Jobs">The jobs; fewer than asked for, or none, does not mean that there are no more.</param>
/// <param name="Cursor">Where the next page begins; null for the last.</param>
public sealed record JobPage(IReadOnlyList<JobRow> Jobs, JsonElement? Cursor);

/// <summary>What an action has done (<see cref="Jobs"/>).</summary>
/// <param name="Changed">To how many jobs it was done.</param>
/// <param name="Conflicts">How many were passed over: another job has their unique key, or the file refuses the change.</param>
/// <param name="Left">How many are left; null where that would have to be counted.</param>
/// <param name="Cursor">Where the next page begins; null if this was the last.</param>
public sealed record AppliedJobs(long Changed, long Conflicts, long? Left = null, JsonElement? Cursor = null);

/// <summary>Dead jobs that died of the same.</summary>
/// <param name="Error">The text, in which # stands for a number or an id.</param>
/// <param name="Count">How many.</param>
/// <param name="Newest">The one that died last.</param>
public sealed record DeadGroup(string? Error, long Count, JobRow Newest);

/// <summary>How many jobs a queue has.</summary>
/// <param name="Queue">Its name.</param>
/// <param name="Pending">Due.</param>
/// <param name="Delayed">Not due yet.</param>
/// <param name="Claimed">Claimed.</param>
/// <param name="Expired">Expired and not swept.</param>
/// <param name="Dead">Dead.</param>
public sealed record QueueStats(string Queue, long Pending, long Delayed, long Claimed, long Expired, long Dead);

/// <summary>How many jobs may be claimed in a time.</summary>
/// <param name="Limit">So many.</param>
/// <param name="PerS">In each window of so many seconds.</param>
public sealed record QueueRate(long Limit, long PerS);

/// <summary>When a job that has failed is tried again: base × factor^(attempts − 1), at most max, give or take the jitter.</summary>
/// <param name="BaseS">Seconds.</param>
/// <param name="Factor">At least 1.</param>
/// <param name="MaxS">Seconds.</param>
/// <param name="Jitter">0 to 1.</param>
public sealed record QueueRetry(long BaseS, double Factor, long MaxS, double Jitter);

/// <summary>What holds for a queue, for every process.</summary>
public sealed record QueueSettings
{
    /// <summary>The queue, in a list of all.</summary>
    public string? Queue { get; init; }

    /// <summary>No job is claimed.</summary>
    public bool Paused { get; init; }

    /// <summary>How many claims there may be at once; null for any number.</summary>
    public long? Concurrency { get; init; }

    /// <summary>The same of jobs with the same <see cref="EnqueueOptions.ConcurrencyKey"/>.</summary>
    public long? ConcurrencyPerKey { get; init; }

    /// <summary>How many claims there may be in a time; null for any number.</summary>
    public QueueRate? Rate { get; init; }

    /// <summary>How often a job may be claimed whose enqueue does not say.</summary>
    public long? MaxAttempts { get; init; }

    /// <summary>When a job is tried again whose settlement does not say; null for what the worker says.</summary>
    public QueueRetry? Retry { get; init; }

    /// <summary>For how many seconds done jobs are kept.</summary>
    public long? KeepDoneS { get; init; }

    /// <summary>For how many seconds dead jobs are kept; null for ever.</summary>
    public long? KeepDeadS { get; init; }
}

/// <summary>What is known of a batch.</summary>
/// <param name="Total">How many jobs it has had.</param>
/// <param name="Pending">How many have not ended.</param>
/// <param name="Done">How many are done.</param>
/// <param name="Dead">How many are dead.</param>
/// <param name="Cancelled">How many were cancelled.</param>
/// <param name="Sealed">Whether all of them are there.</param>
/// <param name="FinishedAt">When the last one ended, in Unix seconds.</param>
public sealed record BatchStatus(long Total, long Pending, long Done, long Dead, long Cancelled, bool Sealed, long? FinishedAt);

/// <summary>What is known of the queues (<see cref="Database.Metrics"/>). Everything is in seconds.</summary>
/// <param name="Queues">By name.</param>
public sealed record Metrics(IReadOnlyList<QueueMetrics> Queues);

/// <summary>What is known of a queue.</summary>
/// <param name="Queue">Its name.</param>
/// <param name="Counts">Of enqueued, claimed, done, retried, released, dead and cancelled jobs, ever.</param>
/// <param name="Wait">From due to claimed.</param>
/// <param name="Run">From claimed to settled.</param>
/// <param name="Depth">What is there now.</param>
public sealed record QueueMetrics(
    string Queue, IReadOnlyDictionary<string, long> Counts, MetricHistogram Wait, MetricHistogram Run, QueueDepth Depth);

/// <summary>A histogram.</summary>
/// <param name="SumS">Of all.</param>
/// <param name="Buckets">By length.</param>
public sealed record MetricHistogram(double SumS, IReadOnlyList<MetricBucket> Buckets);

/// <summary>A part of a histogram.</summary>
/// <param name="UpToS">Up to so many seconds; null for the rest.</param>
/// <param name="Count">How many.</param>
public sealed record MetricBucket(double? UpToS, long Count);

/// <summary>What a queue has.</summary>
/// <param name="Due">May be claimed.</param>
/// <param name="Delayed">Not due yet.</param>
/// <param name="Processing">Claimed.</param>
/// <param name="Blocked">Waiting for a slot of their concurrency key.</param>
/// <param name="Expired">Expired and not swept.</param>
/// <param name="Dead">Dead.</param>
/// <param name="OldestDueAgeS">For how many seconds the oldest has been due.</param>
public sealed record QueueDepth(
    long Due, long Delayed, long Processing, long Blocked, long Expired, long Dead, double? OldestDueAgeS);

/// <summary>The state of a database (<see cref="Database.Status"/>).</summary>
public sealed record DatabaseStatus
{
    /// <summary>The file.</summary>
    public string? File { get; init; }

    /// <summary>How commits are noticed; null before anybody has waited.</summary>
    public WatcherStatus? Watcher { get; init; }

    /// <summary>Schedules that could not be fired, and jobs that a worker has passed over.</summary>
    public IReadOnlyList<StatusWarning> Warnings { get; init; } = [];

    /// <summary>What else there is: connections, versions, and what later libraries add.</summary>
    [JsonExtensionData]
    public IDictionary<string, JsonElement> More { get; set; } = new Dictionary<string, JsonElement>();
}

/// <summary>How commits are noticed.</summary>
public sealed record WatcherStatus
{
    /// <summary>What was asked for.</summary>
    public string? Backend { get; init; }

    /// <summary>"events" or "polling".</summary>
    public string? Method { get; init; }

    /// <summary>"watching", "unreadable" or "died".</summary>
    public string? State { get; init; }

    /// <summary>Whether it went over from events to polling.</summary>
    public bool Demoted { get; init; }

    /// <summary>What is wrong with it.</summary>
    public IReadOnlyList<StatusWarning> Warnings { get; init; } = [];
}

/// <summary>Something that should not be.</summary>
/// <param name="Text">The text of the warning.</param>
/// <param name="Count">How often.</param>
/// <param name="LastAt">When last, in Unix seconds.</param>
public sealed record StatusWarning(string Text, long Count, long? LastAt);
