using System;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Storage;

namespace Honker.EntityFrameworkCore;

/// <summary>A job that <see cref="DbContext.SaveChanges()"/> enqueues: a row of honker's table. Made by <see cref="HonkerModel.AddJob{T}"/>.</summary>
public sealed class PendingJob
{
    internal const long DefaultAttempts = 3;

    /// <summary>The job, once it is saved.</summary>
    public long Id { get; private set; }

    /// <summary>Its queue.</summary>
    public required string Queue { get; init; }

    /// <summary>Its payload, as JSON.</summary>
    public required string Payload { get; init; }

    /// <summary>When it becomes due, in Unix seconds.</summary>
    public required long RunAt { get; init; }

    /// <summary>When it was enqueued, in Unix seconds.</summary>
    public required long CreatedAt { get; init; }

    /// <summary>Larger is sooner.</summary>
    public long Priority { get; init; }

    /// <summary>How often it may be claimed.</summary>
    public long MaxAttempts { get; init; } = DefaultAttempts;

    /// <summary>From when on it may not be claimed any more, in Unix seconds.</summary>
    public long? ExpiresAt { get; init; }
}

/// <summary>honker in a model and a context of Entity Framework Core.</summary>
public static class HonkerModel
{
    /// <summary>
    /// For OnModelCreating: maps honker's table of jobs, so that <see cref="AddJob{T}"/> can add to it. Migrations leave the table
    /// alone: honker makes it.
    /// </summary>
    /// <param name="model">The model.</param>
    /// <param name="schema">The schema of the table: "honker" on Postgres, where this is a plain INSERT as well, and none in a SQLite file.</param>
    /// <returns>The same builder.</returns>
    public static ModelBuilder AddHonkerJobs(this ModelBuilder model, string? schema = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        model.Entity<PendingJob>(job =>
        {
            job.ToTable("_honker_live", schema, table => table.ExcludeFromMigrations());
            job.HasKey(one => one.Id);
            job.Property(one => one.Id).HasColumnName("id").ValueGeneratedOnAdd();
            job.Property(one => one.Queue).HasColumnName("queue");
            job.Property(one => one.Payload).HasColumnName("payload");
            job.Property(one => one.RunAt).HasColumnName("run_at");
            job.Property(one => one.CreatedAt).HasColumnName("created_at");
            job.Property(one => one.Priority).HasColumnName("priority");
            job.Property(one => one.MaxAttempts).HasColumnName("max_attempts");
            job.Property(one => one.ExpiresAt).HasColumnName("expires_at");
        });
        return model;
    }

    /// <summary>Adds a job to the context: SaveChanges enqueues it, in the same transaction as what else it saves.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="context">A context whose model has <see cref="AddHonkerJobs"/>.</param>
    /// <param name="queue">The queue.</param>
    /// <param name="payload">It becomes JSON.</param>
    /// <param name="options">
    /// When, how often, how soon. How often is by default what is set for the queue, which this reads. What a plain row does not have is
    /// for <see cref="EnqueueJobAsync{T}"/>.
    /// </param>
    /// <param name="json">How the payload becomes JSON.</param>
    /// <returns>The job; its id is known when it is saved.</returns>
    /// <exception cref="ArgumentException">The options have something that a plain row does not have.</exception>
    /// <exception cref="System.Data.Common.DbException">The file cannot be read, or has none of honker's tables.</exception>
    public static PendingJob AddJob<T>(this DbContext context, string queue, T payload, EnqueueOptions? options = null,
        JsonSerializerOptions? json = null)
    {
        ArgumentNullException.ThrowIfNull(context);
        var text = HonkerSql.Text(queue, payload, json);
        options ??= new EnqueueOptions();
        if (options != new EnqueueOptions(options.RunAtUnix, options.DelaySeconds, options.Priority, options.MaxAttempts,
            options.ExpiresSeconds))
        {
            throw new ArgumentException("metadata, keys and batches are no columns of the job: enqueue it with EnqueueJobAsync",
                nameof(options));
        }
        var now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        var job = new PendingJob
        {
            Queue = queue,
            Payload = text,
            RunAt = options.DelaySeconds is { } delay ? checked(now + delay) : options.RunAtUnix ?? now,
            CreatedAt = now,
            Priority = options.Priority,
            MaxAttempts = options.MaxAttempts ?? AttemptsOf(context.Database, queue),
            ExpiresAt = checked(now + options.ExpiresSeconds),
        };
        context.Add(job);
        return job;
    }

    // A row has no room for SQL.
    private static long AttemptsOf(DatabaseFacade database, string queue)
    {
        if (!database.IsRelational())
        {
            return PendingJob.DefaultAttempts; // a test of the application, in memory
        }
        database.OpenConnection();
        try
        {
            return HonkerSql.AttemptsOf(database.GetDbConnection(), database.CurrentTransaction?.GetDbTransaction(), queue)
                ?? PendingJob.DefaultAttempts;
        }
        finally
        {
            database.CloseConnection();
        }
    }

    /// <summary>
    /// Enqueues a job now, on the context's connection: in its transaction (<c>Database.CurrentTransaction</c>) if one is open, else
    /// by itself.
    /// </summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="context">Any context of the file, or of the Postgres database.</param>
    /// <param name="queue">The queue.</param>
    /// <param name="payload">It becomes JSON.</param>
    /// <param name="options">When, how often, how soon.</param>
    /// <param name="json">How the payload becomes JSON.</param>
    /// <param name="cancellationToken">For the driver.</param>
    /// <returns>Its id.</returns>
    public static async Task<long> EnqueueJobAsync<T>(this DbContext context, string queue, T payload, EnqueueOptions? options = null,
        JsonSerializerOptions? json = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(context);
        await context.Database.OpenConnectionAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            return await context.Database.GetDbConnection().EnqueueJobAsync(queue, payload, options,
                context.Database.CurrentTransaction?.GetDbTransaction(), json, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            await context.Database.CloseConnectionAsync().ConfigureAwait(false);
        }
    }
}
