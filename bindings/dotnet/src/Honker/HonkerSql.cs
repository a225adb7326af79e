using System.Data;
using System.Data.Common;
using System.IO;
using System.Text;
using System.Text.Json;
using Honker.Native;

namespace Honker;

/// <summary>
/// Jobs in the transactions of your own connection: of Microsoft.Data.Sqlite, and so of Dapper and Entity Framework Core. A plain
/// INSERT that commits and rolls back with them; the commit wakes the workers, in whichever process. Nothing native is loaded for
/// it. The file needs honker's tables, which <see cref="Database.Open"/> makes, or <see cref="Schema"/>.
/// </summary>
/// <remarks>
/// With a connection of Npgsql it calls honker's functions on the server, which take all options and go by the server's clock. What
/// they refuse is what <see cref="Database"/> would throw for it, around Npgsql's exception.
/// </remarks>
public static class HonkerSql
{
    private const string Attempts = "SELECT json_extract(settings, '$.max_attempts') FROM _honker_queues WHERE name = @queue";

    private const string Insert =
        "INSERT INTO _honker_live (queue, payload, run_at, created_at, priority, max_attempts, expires_at) " +
        $"VALUES (@queue, @payload, @run_at, @created_at, @priority, coalesce(@max_attempts, ({Attempts}), 3), @expires_at) RETURNING id";

    private const string InsertMetadata = "INSERT INTO _honker_job_options (job_id, metadata) VALUES (@job_id, @metadata)";

    private const string Function = "SELECT honker_enqueue_with(@queue, @payload, @options)";

    private const string Delete =
        "DELETE FROM _honker_live WHERE id = @id AND worker_id = @worker AND attempts = @attempts AND claim_expires_at >= @now";

    // Of a member of a batch they say so, to whoever counts it.
    private const string Forget = "DELETE FROM _honker_job_options WHERE job_id = @id AND batch_id IS NULL";

    /// <summary>honker's tables in a SQLite file, as SQL for your own migrations. It may be run again.</summary>
    public static string Schema { get; } = ReadSchema();

    /// <summary>Adds a job.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="connection">Open, to the file.</param>
    /// <param name="queue">The queue.</param>
    /// <param name="payload">It becomes JSON.</param>
    /// <param name="options">
    /// When, how often, how soon; as often as is set for the queue by default. In a SQLite file metadata want honker's tables of version 3; unique jobs,
    /// concurrency keys, batches and a maximum run time want the extension on the connection (<see cref="HonkerExtension"/>).
    /// </param>
    /// <param name="transaction">The connection's transaction, if one is open.</param>
    /// <param name="json">How the payload becomes JSON.</param>
    /// <returns>Its id.</returns>
    public static long EnqueueJob<T>(this DbConnection connection, string queue, T payload, EnqueueOptions? options = null,
        DbTransaction? transaction = null, JsonSerializerOptions? json = null)
    {
        var (job, text) = Prepare(connection, queue, payload, options, json, out var activity);
        using (activity)
        {
            if (PostgresSql.IsFor(connection))
            {
                using var call = PostgresSql.Enqueue(connection, transaction, job, text);
                return PostgresSql.Call(call, "enqueued");
            }
            if (NeedsExtension(job.Options))
            {
                using var call = Calling(connection, transaction, job, text);
                return IdOf(call.ExecuteScalar());
            }
            if (job.Options.Metadata is null)
            {
                using var insert = Inserting(connection, transaction, job, text);
                return (long)insert.ExecuteScalar()!;
            }
            using var own = transaction is null ? connection.BeginTransaction() : null;
            using var both = Inserting(connection, own ?? transaction, job, text);
            var id = (long)both.ExecuteScalar()!;
            using var metadata = InsertingMetadata(connection, own ?? transaction, job, id);
            metadata.ExecuteNonQuery();
            own?.Commit();
            return id;
        }
    }

    /// <summary>Adds a job in a transaction of your own connection.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="transaction">The job is there if and only if this is committed.</param>
    /// <param name="queue">The queue.</param>
    /// <param name="payload">It becomes JSON.</param>
    /// <param name="options">As for the other form.</param>
    /// <param name="json">How the payload becomes JSON.</param>
    /// <returns>Its id.</returns>
    public static long EnqueueJob<T>(this DbTransaction transaction, string queue, T payload, EnqueueOptions? options = null,
        JsonSerializerOptions? json = null)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        return Of(transaction).EnqueueJob(queue, payload, options, transaction, json);
    }

    /// <summary>Adds a job.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="connection">Open, to the file.</param>
    /// <param name="queue">The queue.</param>
    /// <param name="payload">It becomes JSON.</param>
    /// <param name="options">As for <see cref="EnqueueJob{T}(DbConnection, string, T, EnqueueOptions?, DbTransaction?, JsonSerializerOptions?)"/>.</param>
    /// <param name="transaction">The connection's transaction, if one is open.</param>
    /// <param name="json">How the payload becomes JSON.</param>
    /// <param name="cancellationToken">For the driver.</param>
    /// <returns>Its id.</returns>
    public static async Task<long> EnqueueJobAsync<T>(this DbConnection connection, string queue, T payload, EnqueueOptions? options = null,
        DbTransaction? transaction = null, JsonSerializerOptions? json = null, CancellationToken cancellationToken = default)
    {
        var (job, text) = Prepare(connection, queue, payload, options, json, out var activity);
        using (activity)
        {
            if (PostgresSql.IsFor(connection))
            {
                await using var call = PostgresSql.Enqueue(connection, transaction, job, text);
                return await PostgresSql.CallAsync(call, "enqueued", cancellationToken).ConfigureAwait(false);
            }
            if (NeedsExtension(job.Options))
            {
                await using var call = Calling(connection, transaction, job, text);
                return IdOf(await call.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false));
            }
            if (job.Options.Metadata is null)
            {
                await using var insert = Inserting(connection, transaction, job, text);
                return (long)(await insert.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false))!;
            }
            await using var own = transaction is null
                ? await connection.BeginTransactionAsync(cancellationToken).ConfigureAwait(false)
                : null;
            await using var both = Inserting(connection, own ?? transaction, job, text);
            var id = (long)(await both.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false))!;
            await using var metadata = InsertingMetadata(connection, own ?? transaction, job, id);
            await metadata.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
            if (own is not null)
            {
                await own.CommitAsync(cancellationToken).ConfigureAwait(false);
            }
            return id;
        }
    }

    /// <summary>Adds a job in a transaction of your own connection.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="transaction">The job is there if and only if this is committed.</param>
    /// <param name="queue">The queue.</param>
    /// <param name="payload">It becomes JSON.</param>
    /// <param name="options">As for the other form.</param>
    /// <param name="json">How the payload becomes JSON.</param>
    /// <param name="cancellationToken">For the driver.</param>
    /// <returns>Its id.</returns>
    public static Task<long> EnqueueJobAsync<T>(this DbTransaction transaction, string queue, T payload, EnqueueOptions? options = null,
        JsonSerializerOptions? json = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        return Of(transaction).EnqueueJobAsync(queue, payload, options, transaction, json, cancellationToken);
    }

    /// <summary>
    /// The job is done, in your own transaction: what it did is there exactly once. A worker leaves the rest to the transaction: if
    /// the handler returns and that was not committed, the job runs again when its claim is over.
    /// </summary>
    /// <remarks>
    /// What else the job had, workers let go of within a minute: its place in a batch, its steps, its slot of the concurrency key. Its
    /// unique key is free at once. It is not kept as done, and no metric counts it. The clock is that of this process. On Postgres it is
    /// <see cref="Job.Ack"/> itself: honker's function does all of that at once.
    /// </remarks>
    /// <param name="transaction">It is done if and only if this is committed.</param>
    /// <param name="job">The job.</param>
    /// <returns>Whether it was; false if the claim was lost, and then the transaction is to be rolled back.</returns>
    public static bool AckJob(this DbTransaction transaction, Job job)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        ArgumentNullException.ThrowIfNull(job);
        if (job.CancelReason == CancelReason.Replaced)
        {
            return false; // in the file that has replaced its own, another job may have its id
        }
        var connection = Of(transaction);
        if (PostgresSql.IsFor(connection))
        {
            using var ack = PostgresSql.Ack(connection, transaction, job);
            var isAcked = PostgresSql.Call(ack, "acked") != 0;
            job.IsAckedElsewhere |= isAcked;
            return isAcked;
        }
        using var command = Command(connection, transaction, Delete, ("@id", job.Id), ("@worker", job.WorkerId),
            ("@attempts", job.Attempts), ("@now", Now()));
        if (command.ExecuteNonQuery() == 0)
        {
            return false;
        }
        job.IsAckedElsewhere = true;
        using var forget = Command(connection, transaction, Forget, ("@id", job.Id));
        forget.ExecuteNonQuery();
        return true;
    }

    /// <summary>A payload as it is stored. A queue or a payload that cannot be is an <see cref="ArgumentException"/>.</summary>
    internal static string Text<T>(string queue, T payload, JsonSerializerOptions? json)
    {
        _ = Utf8.Of(queue, nameof(queue));
        if (queue.Contains('\0'))
        {
            throw new ArgumentException("there is a NUL in queue", nameof(queue));
        }
        return Encoding.UTF8.GetString(Payloads.Of(json).Encode(payload));
    }

    private static (JobSpec Job, string Text) Prepare<T>(DbConnection connection, string queue, T payload, EnqueueOptions? options,
        JsonSerializerOptions? json, out System.Diagnostics.Activity? activity)
    {
        ArgumentNullException.ThrowIfNull(connection);
        var text = Text(queue, payload, json);
        var job = new JobSpec(queue, null, options);
        activity = HonkerTelemetry.IsTracing ? HonkerTelemetry.Send(job) : null;
        HonkerTelemetry.CountSent(queue, 1);
        return (job, text);
    }

    /// <summary>How often jobs of a queue may be claimed, if that is set for it.</summary>
    internal static long? AttemptsOf(DbConnection connection, DbTransaction? transaction, string queue)
    {
        var sql = PostgresSql.IsFor(connection) ? PostgresSql.Attempts : Attempts;
        using var command = Command(connection, transaction, sql, ("@queue", queue));
        return command.ExecuteScalar() as long?;
    }

    private static bool NeedsExtension(EnqueueOptions options) =>
        options.UniqueKey is not null || options.UniqueForSeconds is not null || options.ConcurrencyKey is not null ||
        options.BatchId is not null || options.Member is not null || options.MaxRunSeconds is not null;

    private static DbCommand Calling(DbConnection connection, DbTransaction? transaction, JobSpec job, string text) =>
        Command(connection, transaction, Function, ("@queue", job.Queue), ("@payload", text),
            ("@options", job.Options.ToJson().ToJsonString()));

    private static DbCommand Inserting(DbConnection connection, DbTransaction? transaction, JobSpec job, string text)
    {
        var (options, now) = (job.Options, Now());
        var due = options.DelaySeconds is { } delay ? checked(now + delay) : options.RunAtUnix ?? now;
        return Command(connection, transaction, Insert, ("@queue", job.Queue), ("@payload", text), ("@run_at", due), ("@created_at", now),
            ("@priority", options.Priority), ("@max_attempts", options.MaxAttempts is { } attempts ? attempts : DBNull.Value),
            ("@expires_at", options.ExpiresSeconds is { } expires ? checked(now + expires) : DBNull.Value));
    }

    private static DbCommand InsertingMetadata(DbConnection connection, DbTransaction? transaction, JobSpec job, long id) =>
        Command(connection, transaction, InsertMetadata, ("@job_id", id),
            ("@metadata", Encoding.UTF8.GetString(EnqueueOptions.MetadataJson(job.Options.Metadata!))));

    private static long IdOf(object? answer)
    {
        using var document = JsonDocument.Parse((string)answer!);
        return document.RootElement.GetProperty("id").GetInt64();
    }

    private static long Now() => DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    private static DbConnection Of(DbTransaction transaction) =>
        transaction.Connection ?? throw new InvalidOperationException("the transaction is over");

    internal static DbCommand Command(DbConnection connection, DbTransaction? transaction, string sql, params (string, object)[] values)
    {
        if (connection.State != ConnectionState.Open)
        {
            throw new InvalidOperationException("the connection is not open");
        }
        var command = connection.CreateCommand();
        command.CommandText = sql;
        command.Transaction = transaction;
        foreach (var (name, value) in values)
        {
            var parameter = command.CreateParameter();
            parameter.ParameterName = name;
            parameter.Value = value;
            command.Parameters.Add(parameter);
        }
        return command;
    }

    private static string ReadSchema()
    {
        using var stream = typeof(HonkerSql).Assembly.GetManifestResourceStream("schema.sql")!;
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
