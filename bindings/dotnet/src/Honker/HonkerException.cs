using System.Data.Common;

namespace Honker;

/// <summary>
/// What the database, the file or the system refused. A mistake in an argument is an <see cref="ArgumentException"/>, one in
/// the order of calls an <see cref="InvalidOperationException"/>, and what was closed an <see cref="ObjectDisposedException"/>.
/// </summary>
public class HonkerException : DbException
{
    internal HonkerException(HonkerStatus status, string message, int sqliteCode = 0, int sqliteExtendedCode = 0,
        Exception? inner = null)
        : base(message, inner)
    {
        HResult = sqliteCode;
        Status = status;
        SqliteErrorCode = sqliteCode;
        SqliteExtendedErrorCode = sqliteExtendedCode;
    }

    /// <summary>What libhonker answered.</summary>
    public HonkerStatus Status { get; }

    /// <summary>SQLite's result code, 5 for SQLITE_BUSY; 0 if it was not SQLite that refused.</summary>
    public int SqliteErrorCode { get; }

    /// <summary>SQLite's extended result code; 0 if it was not SQLite that refused.</summary>
    public int SqliteExtendedErrorCode { get; }

    /// <summary>Whether the error may pass by itself (a lock, a full disk): the same call may succeed later.</summary>
    public override bool IsTransient => Native.Abi.IsTransient(Status);
}

/// <summary>Somebody held the write lock for longer than the busy timeout. Nothing was done; try again.</summary>
public sealed class HonkerBusyException : HonkerException
{
    internal HonkerBusyException(string message, int sqliteCode, int sqliteExtendedCode)
        : base(HonkerStatus.Busy, message, sqliteCode, sqliteExtendedCode)
    {
    }
}

/// <summary>The file was replaced by another: dispose of the database and open it again.</summary>
public sealed class HonkerFileReplacedException : HonkerException
{
    internal HonkerFileReplacedException(string message) : base(HonkerStatus.Watcher, message)
    {
    }
}

/// <summary>
/// The connection to the Postgres server was lost, or there is none to be had. It is made anew, so the same call may succeed
/// later. Whether a call whose connection was lost has happened is not known: what must not be enqueued twice has a unique key.
/// </summary>
public sealed class HonkerConnectionException : HonkerException
{
    internal HonkerConnectionException(string message) : base(HonkerStatus.Connection, message)
    {
    }
}

/// <summary>
/// All that was in this database has been moved to another one by <c>honker move</c>, or is being moved; the message says
/// where. Nothing was done, and trying again does not help: open that one.
/// </summary>
public sealed class HonkerMovedException : HonkerException
{
    internal HonkerMovedException(string message, int sqliteCode, int sqliteExtendedCode, Exception? inner)
        : base(HonkerStatus.Moved, message, sqliteCode, sqliteExtendedCode, inner)
    {
    }
}

/// <summary>libhonker could not be found or loaded, or does not fit; the message has everything that was tried.</summary>
public sealed class HonkerLibraryException : InvalidOperationException
{
    internal HonkerLibraryException(string message) : base(message)
    {
    }
}

/// <summary>Somebody else has the lock (<see cref="Database.Lock"/>).</summary>
public sealed class LockHeldException : Exception
{
    internal LockHeldException(string name) : base($"the lock {name} is held by somebody else") => Name = name;

    /// <summary>The lock's name.</summary>
    public string Name { get; }
}

/// <summary>Handlers had not returned when their worker ended (<see cref="HonkerWorker.RunAsync"/>).</summary>
public sealed class HonkerUnfinishedException : Exception
{
    internal HonkerUnfinishedException(string message, int running) : base(message) => Running = running;

    /// <summary>How many.</summary>
    public int Running { get; }
}

internal static class Errors
{
    internal static Exception Of(HonkerStatus status, string message, int sqliteCode, int sqliteExtendedCode, Exception? inner = null) =>
        status switch
        {
            HonkerStatus.Busy => new HonkerBusyException(message, sqliteCode, sqliteExtendedCode),
            HonkerStatus.Invalid or HonkerStatus.Utf8 or HonkerStatus.NullArg => new ArgumentException(message, inner),
            HonkerStatus.Misuse => new InvalidOperationException(message, inner),
            HonkerStatus.ClosedHandle => new ObjectDisposedException(null, message),
            HonkerStatus.Watcher => new HonkerFileReplacedException(message),
            HonkerStatus.Connection => new HonkerConnectionException(message),
            HonkerStatus.Moved => new HonkerMovedException(message, sqliteCode, sqliteExtendedCode, inner),
            _ => new HonkerException(status, message, sqliteCode, sqliteExtendedCode, inner),
        };

    /// <summary>An exception's message. Those that applications write may throw when they are asked for it.</summary>
    internal static string MessageOf(Exception error) => Safely(error, static error => error.Message);

    /// <summary>The same with its type and its stack.</summary>
    internal static string Describe(Exception error) => Safely(error, static error => error.ToString());

    /// <summary>Logs a failure; what cannot be logged with its exception, without.</summary>
    internal static void Log(Exception error, Action<Exception?, string> log)
    {
        try
        {
            log(error, "");
        }
        catch (Exception wrong)
        {
            try
            {
                log(null, $": {Describe(error)}, and that cannot be logged: {Describe(wrong)}");
            }
            catch (Exception)
            {
                // There is nobody left to tell.
            }
        }
    }

    private static string Safely(Exception error, Func<Exception, string?> text)
    {
        try
        {
            return text(error) ?? "";
        }
        catch (Exception e)
        {
            return $"{error.GetType().FullName}, whose text cannot be had: {e.GetType().FullName}";
        }
    }

    internal static HonkerException Interrupted() => new(HonkerStatus.Interrupted, "ended by Database.Interrupt");
}
