using System;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Honker.Extensions.Hosting;

/// <summary>Handles the jobs of a queue; a service of its own for each job, from a scope of its own.</summary>
/// <typeparam name="T">What their payloads are. One that is none is dead at once, with the reason.</typeparam>
public interface IJobHandler<in T>
{
    /// <summary>Handles a job. When it returns the job is done; when it throws the job is tried again, or as the exception says.</summary>
    /// <param name="payload">The payload.</param>
    /// <param name="job">The job.</param>
    /// <param name="cancellationToken">The handler should end: its job was cancelled or lost, ran too long, or the host stops.</param>
    /// <returns>When it has ended.</returns>
    System.Threading.Tasks.Task HandleAsync(T payload, Job job, System.Threading.CancellationToken cancellationToken);
}

/// <summary>What the host opens, and how its worker works. May be bound to a section of the configuration.</summary>
public sealed class HonkerOptions
{
    /// <summary>The file, or the URL of a Postgres server.</summary>
    public string Path { get; set; } = "";

    /// <summary>See <see cref="OpenOptions.LibraryPath"/>.</summary>
    public string? LibraryPath { get; set; }

    /// <summary>See <see cref="OpenOptions.WatcherBackend"/>.</summary>
    public string? WatcherBackend { get; set; }

    /// <summary>See <see cref="OpenOptions.BusyTimeout"/>.</summary>
    public TimeSpan BusyTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>See <see cref="OpenOptions.MaxReaders"/>.</summary>
    public int MaxReaders { get; set; } = 8;

    /// <summary>See <see cref="OpenOptions.Durability"/>.</summary>
    public Durability Durability { get; set; }

    /// <summary>See <see cref="OpenOptions.JournalMode"/>.</summary>
    public JournalMode JournalMode { get; set; }

    /// <summary>How many jobs of all queues are handled at a time.</summary>
    public int Concurrency { get; set; } = 1;

    /// <summary>See <see cref="WorkerOptions.VisibilityTimeoutSeconds"/>.</summary>
    public long VisibilityTimeoutSeconds { get; set; } = 300;

    /// <summary>See <see cref="WorkerOptions.MaxRunSeconds"/>.</summary>
    public long? MaxRunSeconds { get; set; }

    /// <summary>How long running handlers have to end when the host stops; less than the host's own ShutdownTimeout, 30 s.</summary>
    public TimeSpan StopTimeout { get; set; } = TimeSpan.FromSeconds(8);

    /// <summary>Whether the schedules of the file are fired here, also without <see cref="HonkerBuilder.AddSchedule"/>.</summary>
    public bool RunSchedules { get; set; }
}

/// <summary>Says at the start of the host what cannot be.</summary>
internal sealed class HonkerOptionsValidator : IValidateOptions<HonkerOptions>
{
    public ValidateOptionsResult Validate(string? name, HonkerOptions options) =>
        options.Path.Length == 0 ? ValidateOptionsResult.Fail("Honker: Path is the SQLite file, or the URL of a Postgres server, and is not set")
        : options.Concurrency < 1 ? ValidateOptionsResult.Fail("Honker: Concurrency must be at least 1")
        : options.StopTimeout < TimeSpan.Zero ? ValidateOptionsResult.Fail("Honker: StopTimeout must not be negative")
        : options.MaxRunSeconds < 1 ? ValidateOptionsResult.Fail("Honker: MaxRunSeconds must be positive")
        : ValidateOptionsResult.Success;
}
