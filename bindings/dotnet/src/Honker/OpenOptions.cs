using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Honker;

/// <summary>What a commit survives.</summary>
public enum Durability
{
    /// <summary>A crash of the process; a power cut may take the last commits back.</summary>
    Normal = Native.Abi.DurabilityNormal,

    /// <summary>A power cut as well.</summary>
    Full = Native.Abi.DurabilityFull,
}

/// <summary>SQLite's journal.</summary>
public enum JournalMode
{
    /// <summary>Write-ahead log: readers do not wait for the writer.</summary>
    Wal = Native.Abi.JournalWal,

    /// <summary>A rollback journal, deleted after each transaction.</summary>
    Delete = Native.Abi.JournalDelete,

    /// <summary>A rollback journal, truncated after each transaction.</summary>
    Truncate = Native.Abi.JournalTruncate,

    /// <summary>A rollback journal that is kept.</summary>
    Persist = Native.Abi.JournalPersist,
}

/// <summary>How <see cref="Database.Open"/> opens a file.</summary>
public sealed record OpenOptions
{
    /// <summary>
    /// Where libhonker is. By default that is looked for: HONKER_LIBRARY, the copy in this package, beside the program, the
    /// system. The first database that is opened decides for the process.
    /// </summary>
    public string? LibraryPath { get; init; }

    /// <summary>Another word for <see cref="LibraryPath"/>.</summary>
    public string? ExtensionPath { get; init; }

    /// <summary>How commits are noticed: "auto" (also null), "polling", "kernel" or "shm".</summary>
    public string? WatcherBackend { get; init; }

    /// <summary>How often the back ends that poll look; 1 ms.</summary>
    public TimeSpan UpdatePollInterval { get; init; } = TimeSpan.FromMilliseconds(1);

    /// <summary>How long a call waits for a lock that somebody else holds; 5 s.</summary>
    public TimeSpan BusyTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How many reads may run at once; 8.</summary>
    public int MaxReaders { get; init; } = 8;

    /// <summary>What a commit survives.</summary>
    public Durability Durability { get; init; }

    /// <summary>SQLite's journal.</summary>
    public JournalMode JournalMode { get; init; }

    /// <summary>
    /// How payloads and results become JSON. By default System.Text.Json's own way. For trimmed and ahead-of-time compiled
    /// programs its <see cref="JsonSerializerOptions.TypeInfoResolver"/> has to be the JsonSerializerContext that the source
    /// generator made.
    /// </summary>
    public JsonSerializerOptions? JsonSerializerOptions { get; init; }

    /// <summary>Is called around each enqueue of this database, and may add metadata (<see cref="JobSpec.AddMetadata"/>).</summary>
    public EnqueueHook? OnEnqueue { get; init; }

    /// <summary>Where workers, outboxes and schedulers say what happens; nowhere by default.</summary>
    public ILoggerFactory? LoggerFactory { get; init; }
}

/// <summary>Called around an enqueue: whoever does not call <paramref name="next"/> holds the job back.</summary>
/// <param name="job">What is about to be enqueued; all of it may be changed.</param>
/// <param name="next">Goes on.</param>
public delegate void EnqueueHook(JobSpec job, Action next);
