using Honker.Native;

namespace Honker;

/// <summary>
/// Your own SQL and honker's calls, committed together or not at all; made by <see cref="Database.BeginTransaction"/>. It holds
/// the database's only writer. One caller at a time uses it, on any thread. Disposing of one that was not committed rolls it
/// back. Should the process die, it never happened.
/// </summary>
public sealed class HonkerTransaction : IDisposable, IAsyncDisposable
{
    private readonly TransactionHandle handle;
    private bool isOver;
    private bool isDisposed;

    internal HonkerTransaction(Database database, TransactionHandle handle)
    {
        Database = database;
        this.handle = handle;
    }

    /// <summary>The database that it is one of.</summary>
    public Database Database { get; }

    /// <summary>Whether it can still be used.</summary>
    public bool IsOpen => !isOver && !Database.IsClosed;

    /// <summary>Its handle, for a call of its database's.</summary>
    internal TransactionHandle Handle
    {
        get
        {
            Database.ThrowIfClosed();
            ObjectDisposedException.ThrowIf(isDisposed, this);
            return isOver ? throw new InvalidOperationException("the transaction is over") : handle;
        }
    }

    /// <summary>Runs one statement.</summary>
    /// <param name="sql">With @p0, @p1, … for the arguments.</param>
    /// <param name="args">Numbers, texts, bytes, times or null.</param>
    /// <returns>How many rows it inserted, updated or deleted.</returns>
    /// <exception cref="ArgumentException">It would end the transaction, or outlast it.</exception>
    public unsafe long Execute(string sql, params object?[] args)
    {
        using var arena = new Arena();
        var text = Utf8.Of(Sql.Numbered(sql), nameof(sql));
        var parameters = Sql.Parameters(arena, args);
        Database.Check(NativeMethods.TxExecute(Handle, text, (nuint)text.Length, parameters, (nuint)(args?.Length ?? 0),
            out var changes, out var error), error);
        return changes;
    }

    /// <summary>Runs one statement that has rows; they see what the transaction has done so far.</summary>
    /// <param name="sql">With @p0, @p1, … for the arguments.</param>
    /// <param name="args">Numbers, texts, bytes, times or null.</param>
    /// <returns>The rows.</returns>
    public unsafe IReadOnlyList<Row> Query(string sql, params object?[] args)
    {
        using var arena = new Arena();
        var text = Utf8.Of(Sql.Numbered(sql), nameof(sql));
        var parameters = Sql.Parameters(arena, args);
        Database.Check(NativeMethods.TxQuery(Handle, text, (nuint)text.Length, parameters, (nuint)(args?.Length ?? 0),
            out var rows, out var error), error);
        return Row.Read(rows);
    }

    /// <summary>Sends a notification, which is delivered when this is committed.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="channel">To whom.</param>
    /// <param name="payload">It becomes JSON.</param>
    /// <returns>Its id.</returns>
    public long Notify<T>(string channel, T payload) => Database.Notify(channel, payload, this);

    /// <summary>Commits. On an error nothing of it has happened. Either way it is over.</summary>
    public void Commit()
    {
        var open = Handle;
        End();
        Database.Check(NativeMethods.TxCommit(open, out var error), error);
        handle.Dispose();
    }

    /// <summary>Rolls back: nothing of it has happened, and it is over.</summary>
    public void Rollback()
    {
        var open = Handle;
        End();
        Database.Check(NativeMethods.TxRollback(open, out var error), error);
        handle.Dispose();
    }

    /// <summary>Rolls back what was not committed.</summary>
    public void Dispose()
    {
        isDisposed = true;
        End();
        handle.Dispose();
    }

    /// <summary>Rolls back what was not committed.</summary>
    /// <returns>When that is done.</returns>
    public ValueTask DisposeAsync()
    {
        Dispose();
        return default;
    }

    private void End()
    {
        var isFirst = !isOver;
        isOver = true;
        Database.Left(this, isFirst);
    }
}
