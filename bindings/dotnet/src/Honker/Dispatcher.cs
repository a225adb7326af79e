using System.Collections.Concurrent;
using Honker.Native;

namespace Honker;

/// <summary>
/// Where all that waits for one database waits. It owns the native waiter and one thread, which is in the library, asks which
/// consumers have work, and raises their signals; they go on on the thread pool. The library knows when something becomes due.
///
/// The order that loses nothing: <see cref="Signal.Reset"/>, look, <see cref="Signal.WaitAsync"/>. The thread refers to nothing
/// but this object, so that a database and a consumer that nobody uses any more can be collected; it ends when the database is
/// closed, or the file replaced.
/// </summary>
internal sealed class Dispatcher
{
    private const int NamedAtOnce = 64;
    private static readonly TimeSpan PauseAfterError = TimeSpan.FromMilliseconds(100);

    private readonly ConcurrentDictionary<ulong, Signal> signals = new();
    private readonly Thread thread;
    private volatile bool isOver;
    private long lastToken;

    internal Dispatcher(WaiterHandle waiter)
    {
        Waiter = waiter;
        thread = new Thread(Run) { IsBackground = true, Name = "honker" };
        thread.UnsafeStart();
    }

    internal WaiterHandle Waiter { get; }

    internal Signal Enter()
    {
        var signal = new Signal((ulong)Interlocked.Increment(ref lastToken));
        signals[signal.Token] = signal;
        if (isOver)
        {
            signal.Close();
        }
        return signal;
    }

    internal void Leave(Signal signal) => signals.TryRemove(signal.Token, out _);

    internal void RaiseAll()
    {
        foreach (var signal in signals.Values)
        {
            signal.Raise();
        }
    }

    /// <summary>After the database was closed, which has ended the thread's wait.</summary>
    internal void Close()
    {
        Waiter.Dispose();
        if (Thread.CurrentThread != thread)
        {
            thread.Join();
        }
    }

    private unsafe void Run()
    {
        var tokens = stackalloc ulong[NamedAtOnce];
        while (true)
        {
            try
            {
                var status = NativeMethods.Wait(Waiter, -1, out var error);
                NativeMethods.ErrorFree(error);
                if (IsEnd(status) || !Dispatch(tokens, ref status) && IsEnd(status))
                {
                    break;
                }
                if (status < 0 && status != (int)HonkerStatus.Interrupted)
                {
                    RaiseAll(); // each looks, and has its own error
                    Thread.Sleep(PauseAfterError);
                }
            }
            catch (ObjectDisposedException)
            {
                break; // the waiter was freed
            }
        }
        // From now on whoever looks is told why.
        isOver = true;
        foreach (var signal in signals.Values)
        {
            signal.Close();
        }
    }

    private static bool IsEnd(int status) =>
        status is (int)HonkerStatus.Closed or (int)HonkerStatus.ClosedHandle or (int)HonkerStatus.Watcher or (int)HonkerStatus.Misuse;

    private unsafe bool Dispatch(ulong* tokens, ref int status)
    {
        nuint count;
        do
        {
            status = NativeMethods.WaiterReady(Waiter, new Span<ulong>(tokens, NamedAtOnce), NamedAtOnce, out count, out var error);
            NativeMethods.ErrorFree(error);
            for (nuint i = 0; i < count; i++)
            {
                if (signals.TryGetValue(tokens[i], out var signal))
                {
                    signal.Raise();
                }
            }
        }
        while (count == NamedAtOnce);
        return status >= 0;
    }
}

/// <summary>Says to one consumer that it should look. It stays raised until it is reset.</summary>
internal sealed class Signal(ulong token)
{
    private readonly object gate = new();
    private TaskCompletionSource? waiting;
    private bool isRaised;
    private bool isClosed;

    internal ulong Token { get; } = token;

    internal void Raise()
    {
        lock (gate)
        {
            isRaised = true;
            waiting?.TrySetResult();
            waiting = null;
        }
    }

    /// <summary>It is raised from now on.</summary>
    internal void Close()
    {
        isClosed = true;
        Raise();
    }

    internal void Reset()
    {
        lock (gate)
        {
            isRaised = isClosed;
        }
    }

    /// <summary>Until it is raised, or the time is over; -1 ms is without end.</summary>
    internal async ValueTask WaitAsync(TimeSpan time, CancellationToken cancel)
    {
        Task raised;
        lock (gate)
        {
            if (isRaised)
            {
                return;
            }
            waiting ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            raised = waiting.Task;
        }
        if (time != Timeout.InfiniteTimeSpan || cancel.CanBeCanceled)
        {
            // The longest that a timer takes; whoever waits looks again.
            var longest = TimeSpan.FromDays(40);
            raised = raised.WaitAsync(time > longest ? longest : time, cancel);
        }
        await raised.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancel.ThrowIfCancellationRequested();
    }
}
