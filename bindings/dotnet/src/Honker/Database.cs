using System.Collections.Concurrent;
using System.Data.Common;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Honker.Native;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Honker;

/// <summary>
/// An open database: the SQLite file, and the connections to use it. Any number of threads may use it at the same time; writes
/// that meet share a commit, reads run beside them. What is called without a transaction is committed when it returns; should
/// the process die in the middle, it has happened completely or not at all.
/// </summary>
/// <remarks>
/// A call waits for the write lock for as long as <see cref="OpenOptions.BusyTimeout"/> (<see cref="HonkerBusyException"/>).
/// What waits for something to happen is awaited, and needs no thread.
/// </remarks>
public sealed partial class Database : IDisposable, IAsyncDisposable
{
    private readonly DatabaseHandle handle;
    private readonly nint number;
    private readonly object making = new();
    private readonly AsyncLocal<HonkerTransaction?> current = new();
    private readonly ConcurrentDictionary<(string, QueueOptions), Queue> queues = new();
    private readonly ConcurrentDictionary<string, Stream> streams = new();
    private readonly ConcurrentDictionary<string, (Outbox Outbox, Delegate Delivery, OutboxOptions Options)> outboxes = new();
    private Dispatcher? dispatcher;
    private int closed;
    private int interrupts;
    private int openTransactions;

    private Database(string path, OpenOptions options, DatabaseHandle handle)
    {
        Path = path;
        Options = options;
        this.handle = handle;
        number = handle.DangerousGetHandle();
        Payloads = Payloads.Of(options.JsonSerializerOptions);
        Scheduler = new Scheduler(this);
        Logger = (options.LoggerFactory ?? NullLoggerFactory.Instance).CreateLogger("Honker");
    }

    /// <summary>
    /// Opens a file, creating it if need be, and brings honker's tables in it up to date; or a Postgres server that has honker's schema.
    /// </summary>
    /// <param name="path">A file name or a file: URI; or the URL of a server, <c>postgres://…</c>.</param>
    /// <param name="options">How; the defaults if it is null.</param>
    /// <returns>The database, to be disposed of.</returns>
    /// <exception cref="HonkerLibraryException">libhonker cannot be had; the message has everything that was tried.</exception>
    /// <exception cref="ArgumentException">An option cannot be used, or the database would be in memory.</exception>
    /// <exception cref="HonkerException">The file, or the server, cannot be used.</exception>
    public static Database Open(string path, OpenOptions? options = null)
    {
        options ??= new OpenOptions();
        var utf8 = Utf8.Of(path, nameof(path));
        if (options is { LibraryPath: not null, ExtensionPath: not null })
        {
            throw new ArgumentException("give OpenOptions.LibraryPath or ExtensionPath, not both");
        }
        using var arena = new Arena();
        var opts = ToNative(arena, options);
        Library.Load(options.LibraryPath ?? options.ExtensionPath);
        DatabaseHandle opened;
        unsafe
        {
            Calls.Check(NativeMethods.Open(utf8, (nuint)utf8.Length, &opts, out opened, out var error), error);
        }
        return new Database(path, options, opened);
    }

    private static OpenOpts ToNative(Arena arena, OpenOptions options)
    {
        if (options.UpdatePollInterval <= TimeSpan.Zero)
        {
            throw new ArgumentException("UpdatePollInterval: the poll interval must be positive", nameof(options));
        }
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(options.MaxReaders, nameof(options.MaxReaders));
        var opts = OpenOpts.Init;
        opts.BusyTimeoutMs = Numbers.Milliseconds(options.BusyTimeout, nameof(options.BusyTimeout));
        ArgumentOutOfRangeException.ThrowIfNegative(opts.BusyTimeoutMs, nameof(options.BusyTimeout));
        opts.ReadersMax = (uint)options.MaxReaders;
        opts.Durability = (uint)options.Durability;
        opts.JournalMode = (uint)options.JournalMode;
        opts.Nesting = Abi.NestingWait; // a task changes threads; see Within
        opts.WatcherBackend = arena.Text(Utf8.OfOptional(options.WatcherBackend, nameof(options.WatcherBackend)));
        opts.WatcherPollIntervalMs = Numbers.Milliseconds(options.UpdatePollInterval, nameof(options.UpdatePollInterval));
        return opts;
    }

    /// <summary>Where it is, as it was given; a URL with its password.</summary>
    public string Path { get; }

    /// <summary>Where it is, for texts: a URL without user, password and parameters.</summary>
    internal static string NameOf(string path)
    {
        if (!IsUrl(path))
        {
            return path;
        }
        var (start, end) = (path.IndexOf("://", StringComparison.Ordinal) + 3, path.IndexOf('?', StringComparison.Ordinal));
        var place = end < 0 ? path[start..] : path[start..end];
        return path[..start] + place[(place.LastIndexOf('@') + 1)..];
    }

    /// <summary>Whether it is the URL of a server, and no file's name.</summary>
    internal static bool IsUrl(string path) =>
        path.StartsWith("postgres://", StringComparison.Ordinal) || path.StartsWith("postgresql://", StringComparison.Ordinal);

    /// <summary>Whether it is on a Postgres server.</summary>
    internal bool IsOnServer => IsUrl(Path);

    /// <summary>How it was opened.</summary>
    public OpenOptions Options { get; }

    /// <summary>For Microsoft.Data.Sqlite, and what is built on it: the same file.</summary>
    /// <exception cref="InvalidOperationException">The database is on a server.</exception>
    public string ConnectionString
    {
        get
        {
            if (IsOnServer)
            {
                throw new InvalidOperationException("the database is on a Postgres server: give Npgsql a connection string of its own");
            }
            var text = new StringBuilder();
            DbConnectionStringBuilder.AppendKeyValuePair(text, "Data Source", Path);
            return text.ToString();
        }
    }

    /// <summary>The schedules of the file.</summary>
    public Scheduler Scheduler { get; }

    internal Payloads Payloads { get; }

    internal ILogger Logger { get; }

    internal int Interrupts => Volatile.Read(ref interrupts);

    /// <summary>Whether somebody in this process has one.</summary>
    internal bool HasOpenTransaction => Volatile.Read(ref openTransactions) > 0;

    /// <summary>Whether it was closed.</summary>
    public bool IsClosed => Volatile.Read(ref closed) != 0;

    internal DatabaseHandle Handle
    {
        get
        {
            ThrowIfClosed();
            return handle;
        }
    }

    internal Dispatcher Dispatcher
    {
        get
        {
            if (dispatcher is { } made)
            {
                return made;
            }
            lock (making)
            {
                if (dispatcher is null)
                {
                    Check(NativeMethods.WaiterNew(Handle, out var waiter, out var error), error);
                    dispatcher = new Dispatcher(waiter);
                }
                return dispatcher;
            }
        }
    }

    internal void ThrowIfClosed()
    {
        if (IsClosed)
        {
            throw Closed();
        }
    }

    internal ObjectDisposedException Closed() => new(nameof(Database), $"the database {NameOf(Path)} is closed");

    /// <summary>What a call has answered. After closing, whatever it says is that.</summary>
    internal HonkerStatus Check(int status, nint error, Func<Exception>? closed = null)
    {
        if (status >= 0)
        {
            return Calls.Check(status, error);
        }
        var failure = Calls.Failure(status, error);
        throw IsClosed && failure is InvalidOperationException ? closed?.Invoke() ?? Closed() : failure;
    }

    /// <summary>Whether a call did what it was to do; false if there was nothing to do, or what it was about is lost.</summary>
    internal bool Done(int status, nint error) => Check(status, error) == HonkerStatus.Ok;

    /// <summary>
    /// The transaction that a call is part of. Without one a call that writes would wait for the one that its own flow has open,
    /// that is, for itself.
    /// </summary>
    internal TransactionHandle Within(HonkerTransaction? transaction)
    {
        if (transaction is not null)
        {
            if (!ReferenceEquals(transaction.Database, this))
            {
                throw new ArgumentException("the transaction is another database's", nameof(transaction));
            }
            return transaction.Handle;
        }
        ThrowIfClosed();
        if (current.Value is { IsOpen: true })
        {
            throw new InvalidOperationException(
                "a transaction is open here, and this call would wait for itself: pass it (transaction:), or commit it first");
        }
        return TransactionHandle.None;
    }

    /// <summary>The same for a call that only reads.</summary>
    internal TransactionHandle Reading(HonkerTransaction? transaction) =>
        transaction is null ? TransactionHandle.None : Within(transaction);

    internal void Left(HonkerTransaction transaction, bool isFirst)
    {
        if (isFirst)
        {
            Interlocked.Decrement(ref openTransactions);
        }
        if (ReferenceEquals(current.Value, transaction))
        {
            current.Value = null;
        }
    }

    /// <summary>
    /// Begins a transaction, which is to be committed and disposed of. Waits for one that somebody else has open. The same flow
    /// of control has one at a time: it would wait for itself.
    /// </summary>
    /// <returns>The transaction.</returns>
    /// <exception cref="InvalidOperationException">One is open here already.</exception>
    public HonkerTransaction BeginTransaction()
    {
        _ = Within(null);
        Check(NativeMethods.TxBegin(Handle, out var opened, out var error), error);
        Interlocked.Increment(ref openTransactions);
        var transaction = new HonkerTransaction(this, opened);
        current.Value = transaction;
        return transaction;
    }

    /// <summary>The rows of one statement that only reads: what is committed. honker's SQL functions are not there.</summary>
    /// <param name="sql">With @p0, @p1, … for the arguments.</param>
    /// <param name="args">Numbers, texts, bytes, times or null.</param>
    /// <returns>The rows.</returns>
    /// <exception cref="HonkerException">It writes; that is for <see cref="Execute"/>.</exception>
    public unsafe IReadOnlyList<Row> Query(string sql, params object?[] args)
    {
        using var arena = new Arena();
        var text = Utf8.Of(Sql.Numbered(sql), nameof(sql));
        var parameters = Sql.Parameters(arena, args);
        Check(NativeMethods.Query(Handle, text, (nuint)text.Length, parameters, (nuint)(args?.Length ?? 0), out var rows,
            out var error), error);
        return Row.Read(rows);
    }

    /// <summary>Runs one statement in a transaction of its own.</summary>
    /// <param name="sql">With @p0, @p1, … for the arguments.</param>
    /// <param name="args">Numbers, texts, bytes, times or null.</param>
    /// <returns>How many rows it inserted, updated or deleted.</returns>
    public long Execute(string sql, params object?[] args)
    {
        using var transaction = BeginTransaction();
        var changes = transaction.Execute(sql, args);
        transaction.Commit();
        return changes;
    }

    /// <summary>Whether SQL in a transaction has a function of this name; honker's own are honker_* and notify.</summary>
    /// <param name="name">The function.</param>
    /// <returns>Whether it is there.</returns>
    public bool FunctionExists(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        using var transaction = BeginTransaction();
        return transaction.Query("SELECT count(*) FROM pragma_function_list WHERE name = @p0 COLLATE NOCASE", name)[0].Get<long>(0) > 0;
    }

    /// <summary>Ends the calls and waits that are running now, in whichever thread, with a <see cref="HonkerException"/>.</summary>
    public void Interrupt()
    {
        Check(NativeMethods.Interrupt(Handle, out var error), error);
        Interlocked.Increment(ref interrupts);
        dispatcher?.RaiseAll();
    }

    /// <summary>Something to wait for commits with, by anyone in any process. To be disposed of.</summary>
    /// <returns>The waiter for commits.</returns>
    public Updates Updates() => new(this);

    /// <summary>Delivers what is sent to a channel after this has returned. To be enumerated, or disposed of.</summary>
    /// <param name="channel">The channel, exactly.</param>
    /// <returns>The listener.</returns>
    public Listener Listen(string channel) => new(this, channel);

    /// <summary>Sends a notification to those who listen to a channel.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="channel">To whom.</param>
    /// <param name="payload">It becomes JSON.</param>
    /// <param name="transaction">It is delivered when this is committed.</param>
    /// <returns>Its id.</returns>
    public long Notify<T>(string channel, T payload, HonkerTransaction? transaction = null)
    {
        var name = Utf8.Of(channel, nameof(channel));
        var text = Payloads.Encode(payload);
        Check(NativeMethods.Notify(Handle, Within(transaction), name, (nuint)name.Length, text, (nuint)text.Length, out var id,
            out var error), error);
        return id;
    }

    /// <summary>Deletes notifications that are older, and those that are not among the newest.</summary>
    /// <param name="olderThanSeconds">Older than so many seconds.</param>
    /// <param name="maxKeep">How many of the newest stay.</param>
    /// <returns>How many were deleted.</returns>
    public long PruneNotifications(long? olderThanSeconds = null, long? maxKeep = null)
    {
        Check(NativeMethods.NotificationsPrune(Handle, Within(null), Numbers.Optional(olderThanSeconds, nameof(olderThanSeconds)),
            Numbers.Optional(maxKeep, nameof(maxKeep)), out var pruned, out var error), error);
        return pruned;
    }

    /// <summary>Says for how many seconds notifications are kept; whatever works queues removes the others.</summary>
    /// <param name="seconds">null, the default: until somebody prunes them.</param>
    public void KeepNotifications(long? seconds)
    {
        var json = Utf8.Of($"{{\"keep_s\":{seconds?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "null"}}}", "");
        Check(NativeMethods.NotificationsConfigure(Handle, Within(null), json, (nuint)json.Length, out var error), error);
    }

    /// <summary>Counts one use if there were fewer than the limit in the present window.</summary>
    /// <param name="name">Of what.</param>
    /// <param name="limit">How many a window has.</param>
    /// <param name="perSeconds">How long it is; windows are aligned to multiples of that.</param>
    /// <returns>Whether it was counted.</returns>
    public bool TryRateLimit(string name, long limit, long perSeconds)
    {
        Numbers.Positive(limit, nameof(limit));
        Numbers.Positive(perSeconds, nameof(perSeconds));
        var text = Utf8.Of(name, nameof(name));
        return Done(NativeMethods.RateLimitTry(Handle, Within(null), text, (nuint)text.Length, limit, perSeconds, out var error), error);
    }

    /// <summary>Deletes the counts of windows that began earlier.</summary>
    /// <param name="olderThanSeconds">More than so many seconds ago.</param>
    /// <returns>How many were deleted.</returns>
    public long SweepRateLimits(long olderThanSeconds)
    {
        Numbers.Positive(olderThanSeconds, nameof(olderThanSeconds));
        Check(NativeMethods.RateLimitSweep(Handle, Within(null), olderThanSeconds, out var swept, out var error), error);
        return swept;
    }

    /// <summary>Takes a lock if it is free, or the time of who had it is over.</summary>
    /// <param name="name">The lock.</param>
    /// <param name="owner">Who takes it.</param>
    /// <param name="ttlSeconds">For how many seconds.</param>
    /// <returns>The lock, which is released when it is disposed of; null if somebody else has it.</returns>
    public LockHandle? TryLock(string name, string owner, long ttlSeconds = 60)
    {
        var lockName = Utf8.Of(name, nameof(name));
        var lockOwner = Utf8.Of(owner, nameof(owner));
        return Done(NativeMethods.LockAcquire(Handle, Within(null), lockName, (nuint)lockName.Length, lockOwner,
            (nuint)lockOwner.Length, ttlSeconds, out var error), error)
            ? new LockHandle(this, name, owner)
            : null;
    }

    /// <summary>Takes a lock.</summary>
    /// <param name="name">The lock.</param>
    /// <param name="ttlSeconds">For how many seconds.</param>
    /// <param name="owner">Who takes it; somebody new if it is null.</param>
    /// <returns>The lock, which is released when it is disposed of.</returns>
    /// <exception cref="LockHeldException">Somebody else has it.</exception>
    public LockHandle Lock(string name, long ttlSeconds = 60, string? owner = null) =>
        TryLock(name, owner ?? Guid.NewGuid().ToString("N"), ttlSeconds) ?? throw new LockHeldException(name);

    /// <summary>The state of the database, for people and monitoring. It waits for nobody.</summary>
    /// <returns>What libhonker says.</returns>
    public DatabaseStatus Status()
    {
        Check(NativeMethods.Status(Handle, out var text, out var error), error);
        return Json(text, RowJson.Default.DatabaseStatus);
    }

    /// <summary>A stored payload or result as a T, as this database reads JSON.</summary>
    /// <typeparam name="T">What it is to become.</typeparam>
    /// <param name="text">The text.</param>
    /// <returns>The value; null for an empty text.</returns>
    /// <exception cref="JsonException">It is none.</exception>
    public T? Read<T>(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return Payloads.Decode<T>(text);
    }

    /// <summary>Closes the file. Calls and waits of others end, and an open transaction is rolled back. Again it does nothing.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref closed, 1) != 0)
        {
            return;
        }
        // At once, although calls are running: they end. The handle's number is not used again.
        _ = NativeMethods.Close(number, out var error);
        NativeMethods.ErrorFree(error);
        handle.SetHandleAsInvalid();
        handle.Dispose();
        lock (making)
        {
            dispatcher?.Close();
        }
    }

    /// <summary>The same, on the thread pool: subscriptions and leaders have something to write.</summary>
    /// <returns>When it is closed.</returns>
    public ValueTask DisposeAsync() => new(Task.Run(Dispose));

    internal static T Json<T>(TextHandle text, JsonTypeInfo<T> type) =>
        JsonSerializer.Deserialize(Calls.ReadBytes(text), type)!;
}
