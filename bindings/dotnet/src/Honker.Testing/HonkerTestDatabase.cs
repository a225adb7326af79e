using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading.Tasks;

namespace Honker.Testing;

/// <summary>An assertion of <see cref="HonkerTestDatabase"/> does not hold.</summary>
/// <param name="message">What there is instead.</param>
public sealed class HonkerAssertionException(string message) : Exception(message);

/// <summary>
/// A database in a folder of its own, which is deleted when this is disposed of. What is due is handled in the test's own flow by
/// <see cref="HonkerWorker.RunDueAsync"/>. Works with any test framework.
/// </summary>
public sealed class HonkerTestDatabase : IDisposable, IAsyncDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("honker-test").FullName;

    /// <summary>Makes it.</summary>
    /// <param name="options">How it is opened.</param>
    public HonkerTestDatabase(OpenOptions? options = null) => Database = Database.Open(Path.Combine(folder, "test.db"), options);

    /// <summary>The database.</summary>
    public Database Database { get; }

    /// <summary>The waiting and claimed jobs of a queue, the oldest first.</summary>
    /// <param name="queue">The queue.</param>
    /// <returns>The jobs.</returns>
    public IReadOnlyList<JobRow> Enqueued(string queue) =>
        [.. Database.Jobs(new JobFilter
        {
            Queue = queue,
            States = ["due", "delayed", "processing", "blocked"],
            OldestFirst = true,
        }).All()];

    /// <summary>There is a job in the queue.</summary>
    /// <param name="queue">The queue.</param>
    /// <returns>The oldest.</returns>
    /// <exception cref="HonkerAssertionException">There is none.</exception>
    public JobRow AssertEnqueued(string queue) => AssertEnqueued<RawJson>(queue, _ => true);

    /// <summary>There is a job in the queue whose payload is as it should be.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="queue">The queue.</param>
    /// <param name="is">Whether it is.</param>
    /// <returns>The oldest.</returns>
    /// <exception cref="HonkerAssertionException">There is none; the message has the payloads.</exception>
    public JobRow AssertEnqueued<T>(string queue, Func<T, bool> @is)
    {
        ArgumentNullException.ThrowIfNull(@is);
        var jobs = Enqueued(queue);
        return jobs.FirstOrDefault(job => Is(job, @is)) ?? throw new HonkerAssertionException(
            $"no such job in {queue}; there are [{string.Join(", ", jobs.Select(job => job.PayloadRaw))}]");
    }

    /// <summary>There is no job in the queue.</summary>
    /// <param name="queue">The queue.</param>
    /// <exception cref="HonkerAssertionException">There is one.</exception>
    public void RefuteEnqueued(string queue) => RefuteEnqueued<RawJson>(queue, _ => true);

    /// <summary>There is no such job in the queue.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="queue">The queue.</param>
    /// <param name="is">Whether it is one.</param>
    /// <exception cref="HonkerAssertionException">There is one.</exception>
    public void RefuteEnqueued<T>(string queue, Func<T, bool> @is)
    {
        ArgumentNullException.ThrowIfNull(@is);
        if (Enqueued(queue).FirstOrDefault(job => Is(job, @is)) is { } found)
        {
            throw new HonkerAssertionException($"there is job {found.Id} in {queue}: {found.PayloadRaw}");
        }
    }

    /// <summary>Lets time pass: everything in the file is so much older.</summary>
    /// <param name="time">Whole seconds.</param>
    public void Advance(TimeSpan time)
    {
        using var transaction = Database.BeginTransaction();
        var columns = transaction.Query(
            "SELECT t.name AS t, c.name AS c FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' " +
            "AND t.name GLOB '_honker_*' AND (c.name GLOB '*_at' OR c.name IN ('window_start', 'until'))");
        foreach (var table in columns.GroupBy(row => row.Get<string>("t"), row => row.Get<string>("c")))
        {
            transaction.Execute(
                $"UPDATE {table.Key} SET {string.Join(", ", table.Select(column => $"{column} = {column} - @p0"))}",
                (long)time.TotalSeconds);
        }
        transaction.Commit();
    }

    /// <summary>Closes the database and deletes its folder.</summary>
    public void Dispose()
    {
        Database.Dispose();
        Directory.Delete(folder, true);
    }

    /// <summary>Closes the database and deletes its folder.</summary>
    /// <returns>When that is done.</returns>
    public ValueTask DisposeAsync() => new(Task.Run(Dispose));

    private bool Is<T>(JobRow job, Func<T, bool> @is)
    {
        try
        {
            return Database.Read<T>(job.PayloadRaw) is { } payload && @is(payload);
        }
        catch (System.Text.Json.JsonException)
        {
            return false;
        }
    }
}
