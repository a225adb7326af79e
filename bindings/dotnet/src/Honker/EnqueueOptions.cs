using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Honker.Native;

namespace Honker;

/// <summary>Until when a job has its unique key.</summary>
public enum UniqueUntil
{
    /// <summary>Until it is done, dead or cancelled.</summary>
    Settled = Abi.UniqueSettled,

    /// <summary>Until it is claimed, and again while it waits for another attempt, unless another job has it then.</summary>
    Claimed = Abi.UniqueClaimed,
}

/// <summary>What becomes of a job whose unique key another one has.</summary>
public enum OnConflict
{
    /// <summary>The other one stays as it is.</summary>
    Keep = Abi.ConflictKeep,

    /// <summary>The other one becomes this one if it is still waiting, and keeps its id. One that is claimed stays.</summary>
    Replace = Abi.ConflictReplace,
}

/// <summary>How a job is enqueued. All durations are in seconds.</summary>
/// <param name="RunAtUnix">When it becomes due, in Unix seconds; not looked at if <paramref name="DelaySeconds"/> is given.</param>
/// <param name="DelaySeconds">In how many seconds it becomes due.</param>
/// <param name="Priority">Larger is sooner.</param>
/// <param name="MaxAttempts">How often it may be claimed; what its queue says if it is not given.</param>
/// <param name="ExpiresSeconds">After how many seconds it may not be claimed any more.</param>
public sealed record EnqueueOptions(
    long? RunAtUnix = null,
    long? DelaySeconds = null,
    long Priority = 0,
    long? MaxAttempts = null,
    long? ExpiresSeconds = null)
{
    internal static readonly EnqueueOptions None = new();

    /// <summary>Texts that come back with the job, at most 8 kB of JSON.</summary>
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }

    /// <summary>Of the jobs of a queue that have the same one only so many run at once (<see cref="QueueUpdate"/>).</summary>
    public string? ConcurrencyKey { get; init; }

    /// <summary>There is only one job of the queue with the same one.</summary>
    public string? UniqueKey { get; init; }

    /// <summary>Until when the job has its unique key.</summary>
    public UniqueUntil UniqueUntil { get; init; }

    /// <summary>For how many seconds it has the key at least, whatever becomes of it; at least 1.</summary>
    public long? UniqueForSeconds { get; init; }

    /// <summary>What becomes of it if another job has the key.</summary>
    public OnConflict OnConflict { get; init; }

    /// <summary>The batch that it belongs to.</summary>
    public long? BatchId { get; init; }

    /// <summary>A running member of the batch, on whose behalf this job joins it although it is sealed.</summary>
    public BatchMember? Member { get; init; }

    /// <summary>For how many seconds a worker lets it run before it is retried; at least 1.</summary>
    public long? MaxRunSeconds { get; init; }

    internal unsafe EnqueueOpts ToNative(Arena arena, long? maxAttempts)
    {
        var opts = EnqueueOpts.Init;
        opts.RunAt = Numbers.Optional(RunAtUnix, "RunAtUnix");
        opts.DelayS = Numbers.Optional(DelaySeconds, "DelaySeconds");
        opts.ExpiresS = Numbers.Optional(ExpiresSeconds, "ExpiresSeconds");
        opts.Priority = Priority;
        opts.MaxAttempts = Numbers.Optional(MaxAttempts ?? maxAttempts, "MaxAttempts");
        opts.Metadata = Metadata is null ? default : arena.Text(MetadataJson(Metadata));
        opts.ConcurrencyKey = arena.NotEmpty(ConcurrencyKey, "ConcurrencyKey");
        opts.BatchId = BatchId is null ? 0 : Numbers.Positive(BatchId.Value, "BatchId");
        opts.UniqueKey = arena.NotEmpty(UniqueKey, "UniqueKey");
        opts.UniqueUntil = (uint)UniqueUntil;
        opts.OnConflict = (uint)OnConflict;
        opts.UniqueForS = UniqueForSeconds is null ? 0 : Numbers.Positive(UniqueForSeconds.Value, "UniqueForSeconds");
        opts.MaxRunS = MaxRunSeconds is null ? 0 : Numbers.Positive(MaxRunSeconds.Value, "MaxRunSeconds");
        if (Member is not null)
        {
            opts.MemberJobId = Member.JobId;
            opts.MemberWorkerId = arena.NotEmpty(Member.WorkerId, "Member");
        }
        return opts;
    }

    internal static byte[] MetadataJson(IReadOnlyDictionary<string, string> metadata) =>
        JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, string>(metadata), RowJson.Default.DictionaryStringString);

    /// <summary>The same as an object of SQL's honker_enqueue_with, for the callbacks of batches.</summary>
    internal JsonObject ToJson()
    {
        var json = new JsonObject();
        void Set(string name, JsonNode? value)
        {
            if (value is not null)
            {
                json[name] = value;
            }
        }
        Set("run_at", RunAtUnix);
        Set("delay_s", DelaySeconds);
        Set("priority", Priority == 0 ? null : Priority);
        Set("max_attempts", MaxAttempts);
        Set("expires_s", ExpiresSeconds);
        Set("concurrency_key", ConcurrencyKey);
        Set("unique_key", UniqueKey);
        Set("unique_until", UniqueUntil == UniqueUntil.Settled ? null : "claimed");
        Set("unique_for_s", UniqueForSeconds);
        Set("on_conflict", OnConflict == OnConflict.Keep ? null : "replace");
        Set("batch_id", BatchId);
        Set("max_run_s", MaxRunSeconds);
        if (Member is not null)
        {
            json["member"] = new JsonObject { ["job_id"] = Member.JobId, ["worker_id"] = Member.WorkerId };
        }
        if (Metadata is not null)
        {
            json["metadata"] = JsonNode.Parse(MetadataJson(Metadata));
        }
        return json;
    }
}

/// <summary>A running member of a batch (<see cref="Job.AsMember"/>).</summary>
/// <param name="JobId">The job.</param>
/// <param name="WorkerId">Who has claimed it.</param>
public sealed record BatchMember(long JobId, string WorkerId);

/// <summary>What became of a job that was to be enqueued.</summary>
public enum EnqueueStatus
{
    /// <summary>It was added.</summary>
    Enqueued = HonkerStatus.Ok,

    /// <summary>Another job has its unique key, and was left as it is.</summary>
    Exists = HonkerStatus.Exists,

    /// <summary>Another job had its unique key, and has become this one.</summary>
    Replaced = HonkerStatus.Replaced,

    /// <summary>The hook of <see cref="OpenOptions.OnEnqueue"/> did not go on.</summary>
    HeldBack = -1,
}

/// <summary>What became of a job that was to be enqueued.</summary>
/// <param name="Id">Its id, or that of the job that has its unique key; 0 if it was held back.</param>
/// <param name="Status">What was done.</param>
public readonly record struct Enqueued(long Id, EnqueueStatus Status);

/// <summary>A job that is about to be enqueued.</summary>
/// <param name="queue">Its queue.</param>
/// <param name="payload">Its payload, which becomes JSON.</param>
/// <param name="options">How it is enqueued.</param>
public sealed class JobSpec(string queue, object? payload, EnqueueOptions? options = null)
{
    /// <summary>Its queue.</summary>
    public string Queue { get; set; } = queue;

    /// <summary>Its payload, which becomes JSON.</summary>
    public object? Payload
    {
        get => payload;
        set => (payload, Declared) = (value, null);
    }

    /// <summary>How it is enqueued.</summary>
    public EnqueueOptions Options { get; set; } = options ?? EnqueueOptions.None;

    /// <summary>Adds to its metadata.</summary>
    /// <param name="key">Under this key.</param>
    /// <param name="value">A text.</param>
    public void AddMetadata(string key, string value)
    {
        var all = new Dictionary<string, string>(Options.Metadata ?? new Dictionary<string, string>()) { [key] = value };
        Options = Options with { Metadata = all };
    }

    internal long? MaxAttempts { get; init; }

    /// <summary>What the payload was declared as.</summary>
    internal Type? Declared { get; set; }
}

internal static class Numbers
{
    internal static long Positive(long value, string name)
    {
        return value > 0 ? value : throw new ArgumentOutOfRangeException(name, value, $"{InFile(name)} must be positive");
    }

    /// <summary>What a parameter is called in SQL, and in the messages of the library: unique_for_s is UniqueForSeconds.</summary>
    private static string InFile(string name)
    {
        var text = new StringBuilder();
        foreach (var letter in name.EndsWith("Seconds", StringComparison.Ordinal) ? name[..^6] : name)
        {
            text.Append(char.IsUpper(letter) && text.Length > 0 ? "_" : "").Append(char.ToLowerInvariant(letter));
        }
        return text.ToString();
    }

    /// <summary>A duration that is not less than 0.</summary>
    internal static double NotNegative(double value, string name) =>
        value >= 0 ? value : throw new ArgumentOutOfRangeException(name, value, $"{InFile(name)} must not be negative");

    /// <summary>What may be left out. The library's mark for that is no number of the user's.</summary>
    internal static long Optional(long? value, string name)
    {
        if (value == Abi.NoTime)
        {
            throw new ArgumentOutOfRangeException(name, value, "is too large");
        }
        return value ?? Abi.NoTime;
    }

    /// <summary>A time to wait, in whole milliseconds, rounded up; -1 without end.</summary>
    internal static long Milliseconds(TimeSpan value, string name)
    {
        if (value == Timeout.InfiniteTimeSpan)
        {
            return -1;
        }
        ArgumentOutOfRangeException.ThrowIfLessThan(value, TimeSpan.Zero, name);
        return (long)Math.Ceiling(value.TotalMilliseconds);
    }

    /// <summary>A duration that reaches the file: whole seconds, rounded up.</summary>
    internal static long Seconds(TimeSpan value) => (long)Math.Ceiling(value.TotalSeconds);
}
