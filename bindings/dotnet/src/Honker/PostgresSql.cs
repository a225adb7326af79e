using System.Data.Common;

namespace Honker;

/// <summary>The calls of honker's functions on a Postgres server, with a connection of Npgsql's.</summary>
internal static class PostgresSql
{
    internal const string Attempts = "SELECT max_attempts FROM honker._honker_queues WHERE name = @queue";

    // The types are said: a parameter without a value has none.
    private const string Plain =
        "SELECT honker.honker_enqueue(@queue::text, @payload::text, @run_at::bigint, @delay::bigint, @priority::bigint, " +
        "@max_attempts::bigint, @expires::bigint)";

    private const string With =
        "SELECT (honker.honker_enqueue_with(@queue::text, @payload::text, @options::text)::json ->> 'id')::bigint";

    // This claim of the job, and no later one of the same worker.
    private const string AckThis =
        "SELECT CASE WHEN EXISTS (SELECT FROM honker._honker_live WHERE id = @id::bigint AND attempts = @attempts::bigint) " +
        "THEN honker.honker_ack(@id::bigint, @worker::text) ELSE 0 END";

    /// <summary>Whether the connection is one of Npgsql's, which this package does not depend on.</summary>
    internal static bool IsFor(DbConnection connection)
    {
        for (var type = connection.GetType(); type is not null; type = type.BaseType)
        {
            if (type.FullName == "Npgsql.NpgsqlConnection")
            {
                return true;
            }
        }
        return false;
    }

    internal static DbCommand Enqueue(DbConnection connection, DbTransaction? transaction, JobSpec job, string text)
    {
        var options = job.Options;
        var plain = new EnqueueOptions(options.RunAtUnix, options.DelaySeconds, options.Priority, options.MaxAttempts, options.ExpiresSeconds);
        return options == plain
            ? HonkerSql.Command(connection, transaction, Plain, ("@queue", job.Queue), ("@payload", text),
                ("@run_at", OrNull(options.RunAtUnix)), ("@delay", OrNull(options.DelaySeconds)), ("@priority", options.Priority),
                ("@max_attempts", OrNull(options.MaxAttempts)), ("@expires", OrNull(options.ExpiresSeconds)))
            : HonkerSql.Command(connection, transaction, With, ("@queue", job.Queue), ("@payload", text),
                ("@options", options.ToJson().ToJsonString()));
    }

    internal static DbCommand Ack(DbConnection connection, DbTransaction transaction, Job job) =>
        HonkerSql.Command(connection, transaction, AckThis, ("@id", job.Id), ("@attempts", job.Attempts), ("@worker", job.WorkerId));

    internal static long Call(DbCommand command, string done)
    {
        try
        {
            return (long)command.ExecuteScalar()!;
        }
        catch (DbException e) when (StatusOf(e) is not null)
        {
            throw Refusal(e, done);
        }
    }

    internal static async Task<long> CallAsync(DbCommand command, string done, CancellationToken cancellationToken)
    {
        try
        {
            return (long)(await command.ExecuteScalarAsync(cancellationToken).ConfigureAwait(false))!;
        }
        catch (DbException e) when (StatusOf(e) is not null)
        {
            throw Refusal(e, done);
        }
    }

    /// <summary>The SQLSTATEs that are honker's own, from docs/postgres.md; null for others, whose exceptions stay Npgsql's.</summary>
    private static HonkerStatus? StatusOf(DbException error) => error.SqlState switch
    {
        "HK001" => HonkerStatus.Invalid,
        "HK002" => HonkerStatus.Misuse,
        "HK003" => HonkerStatus.TooOld,
        "HK004" => HonkerStatus.TooBig,
        "HK005" => HonkerStatus.Moved,
        _ => null,
    };

    private static Exception Refusal(DbException error, string done) =>
        Errors.Of(StatusOf(error)!.Value, $"the job was not {done}: {error.Message}", 0, 0, error);

    private static object OrNull(long? value) => value is { } number ? number : DBNull.Value;
}
