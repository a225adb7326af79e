using System.Diagnostics;
using Honker.Native;

namespace Honker;

/// <summary>
/// What everything that waits has in common. One caller at a time waits with it; closing is for any thread, and ends the wait
/// with <see cref="ObjectDisposedException"/>.
/// </summary>
public abstract class Consumer : IDisposable, IAsyncDisposable
{
    internal const long WorkerFallbackMs = 5000;
    internal const long ReaderFallbackMs = 15_000;

    private readonly object gate = new();
    private readonly Dispatcher dispatcher;
    private bool isBusy;
    private bool isClosed;
    private bool isReleased;

    private protected Consumer(Database database)
    {
        Database = database;
        dispatcher = database.Dispatcher;
        Signal = dispatcher.Enter();
    }

    /// <summary>Collects what was not disposed of.</summary>
    ~Consumer() => dispatcher?.Leave(Signal);

    internal Database Database { get; }

    private protected Signal Signal { get; }

    private protected WaiterHandle Waiter => dispatcher.Waiter;

    private protected bool IsClosed => isClosed || Database.IsClosed;

    /// <summary>Frees what the library has made.</summary>
    private protected abstract void Free();

    /// <summary>What is done before it is freed, if nobody uses it: may write, and wait for a lock.</summary>
    private protected virtual void Part()
    {
    }

    /// <summary>
    /// Looks until there is something, and waits in between; null when the time is over. A SynchronizationContext is not
    /// blocked: there the looks are made on the thread pool.
    /// </summary>
    private protected async ValueTask<T?> AwaitAsync<T>(Func<T?> look, TimeSpan timeout, CancellationToken cancel) where T : class
    {
        _ = Numbers.Milliseconds(timeout, nameof(timeout));
        Enter();
        try
        {
            if (SynchronizationContext.Current is not null)
            {
                await Pool();
            }
            var interrupts = Database.Interrupts;
            var begun = Stopwatch.GetTimestamp();
            while (true)
            {
                cancel.ThrowIfCancellationRequested();
                Signal.Reset();
                ThrowIfClosed();
                if (look() is { } found)
                {
                    return found;
                }
                ThrowIfClosed();
                if (interrupts != Database.Interrupts)
                {
                    throw Errors.Interrupted();
                }
                var left = timeout;
                if (timeout != Timeout.InfiniteTimeSpan && (left = timeout - Stopwatch.GetElapsedTime(begun)) <= TimeSpan.Zero)
                {
                    return null;
                }
                await Signal.WaitAsync(left, cancel).ConfigureAwait(false);
            }
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>A look that found something; otherwise what the caller will be told.</summary>
    private protected bool Found(int status, nint error)
    {
        var outcome = Check(status, error);
        if (outcome == HonkerStatus.Closed)
        {
            throw Closed();
        }
        return outcome == HonkerStatus.Ok;
    }

    private protected HonkerStatus Check(int status, nint error) => Database.Check(status, error, IsClosed ? Closed : null);

    /// <summary>For calls that do not wait.</summary>
    private protected T Use<T>(Func<T> call)
    {
        Enter();
        try
        {
            return call();
        }
        finally
        {
            Leave();
        }
    }

    private protected void Enter()
    {
        lock (gate)
        {
            ThrowIfClosed();
            if (isBusy)
            {
                throw new InvalidOperationException($"this {GetType().Name} is being used by somebody else");
            }
            isBusy = true;
        }
    }

    private protected void Leave()
    {
        lock (gate)
        {
            isBusy = false;
            if (isClosed)
            {
                Release();
            }
        }
    }

    /// <summary>Closes it. Whoever waits is told so. Closing again does nothing.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            if (isClosed)
            {
                return;
            }
            if (!isBusy && !Database.IsClosed)
            {
                Part();
            }
            isClosed = true;
            if (!isBusy)
            {
                Release();
            }
        }
        Signal.Close();
        GC.SuppressFinalize(this);
    }

    /// <summary>The same, on the thread pool: what is saved may have to wait for a lock.</summary>
    /// <returns>When it is closed.</returns>
    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return new ValueTask(Task.Run(Dispose));
    }

    private void Release()
    {
        if (!isReleased)
        {
            isReleased = true;
            dispatcher.Leave(Signal);
            Free();
        }
    }

    private protected void ThrowIfClosed()
    {
        if (IsClosed)
        {
            throw Closed();
        }
    }

    private protected ObjectDisposedException Closed() =>
        Database.IsClosed ? Database.Closed() : new ObjectDisposedException(GetType().FullName);

    /// <summary>Goes on on the thread pool.</summary>
    internal static PoolAwaitable Pool() => default;

    internal readonly struct PoolAwaitable : System.Runtime.CompilerServices.ICriticalNotifyCompletion
    {
        public bool IsCompleted => false;

        public PoolAwaitable GetAwaiter() => this;

        public void GetResult()
        {
        }

        public void OnCompleted(Action continuation) => ThreadPool.QueueUserWorkItem(static go => ((Action)go!)(), continuation);

        public void UnsafeOnCompleted(Action continuation) =>
            ThreadPool.UnsafeQueueUserWorkItem(static go => ((Action)go!)(), continuation);
    }
}
