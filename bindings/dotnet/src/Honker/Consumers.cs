using System.Text.Json;
using Honker.Native;

namespace Honker;

/// <summary>Waits for commits to the file, by anyone in any process (<see cref="Database.Updates"/>).</summary>
public sealed class Updates : Consumer
{
    private readonly UpdatesHandle handle;

    internal Updates(Database database) : base(database)
    {
        Check(NativeMethods.UpdatesNew(database.Handle, Waiter, Signal.Token, out handle, out var error), error);
    }

    /// <summary>Waits until something was committed since it was last asked. There may be nothing new to see.</summary>
    /// <param name="timeout">How long; null without end.</param>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>False if the time is over.</returns>
    public async ValueTask<bool> NextAsync(TimeSpan? timeout = null, CancellationToken cancellationToken = default) =>
        await AwaitAsync(Look, timeout ?? Timeout.InfiniteTimeSpan, cancellationToken).ConfigureAwait(false) is not null;

    private object? Look() => Found(NativeMethods.UpdatesNext(handle, 0, out var error), error) ? this : null;

    private protected override void Free() => handle.Dispose();
}

/// <summary>A notification. The payload is what was sent.</summary>
/// <param name="Id">Increases from one to the next, over all channels.</param>
/// <param name="Channel">Where it was sent.</param>
/// <param name="PayloadRaw">The payload as it is stored.</param>
/// <param name="CreatedAt">When it was sent, in Unix seconds.</param>
public sealed record Notification(long Id, string Channel, string PayloadRaw, long CreatedAt)
{
    /// <summary>The payload; a string if it is no JSON.</summary>
    public JsonElement Payload => Payloads.Element(PayloadRaw);
}

/// <summary>
/// Delivers the notifications of a channel, from when it was made on, in order (<see cref="Database.Listen"/>). Nothing is lost
/// while nobody asks. It is enumerated once, which disposes of it; or asked with <see cref="NextAsync"/>.
/// </summary>
public sealed class Listener : Consumer, IAsyncEnumerable<Notification>
{
    private readonly ListenerHandle handle;

    internal Listener(Database database, string channel) : base(database)
    {
        var name = Utf8.Of(channel, nameof(channel));
        Check(NativeMethods.ListenerNew(database.Handle, Waiter, Signal.Token, name, (nuint)name.Length, ReaderFallbackMs, out handle,
            out var error), error);
        Channel = channel;
    }

    /// <summary>The channel.</summary>
    public string Channel { get; }

    /// <summary>The next one.</summary>
    /// <param name="timeout">How long to wait; null without end.</param>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>null if the time is over.</returns>
    public ValueTask<Notification?> NextAsync(TimeSpan? timeout = null, CancellationToken cancellationToken = default) =>
        AwaitAsync(Look, timeout ?? Timeout.InfiniteTimeSpan, cancellationToken);

    /// <summary>All that come.</summary>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>Without end.</returns>
    public async IAsyncEnumerator<Notification> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        await using var mine = this;
        while (true)
        {
            yield return (await NextAsync(null, cancellationToken).ConfigureAwait(false))!;
        }
    }

    private unsafe Notification? Look()
    {
        var view = NotificationView.Init;
        return Found(NativeMethods.ListenerNext(handle, 0, &view, out var error), error)
            ? new Notification(view.Id, Channel, Utf8.Text(view.Payload), view.CreatedAt)
            : null;
    }

    private protected override void Free() => handle.Dispose();
}

/// <summary>Claims one job after the other and waits for them (<see cref="Queue.Claimer"/>). The claims are not prolonged.</summary>
public sealed class Claimer : Consumer
{
    private readonly WorkerHandle handle;
    private readonly Queue queue;
    private readonly string worker;

    internal unsafe Claimer(Queue queue, string worker, TimeSpan? idlePoll) : base(queue.Database)
    {
        this.queue = queue;
        this.worker = worker;
        using var arena = new Arena();
        var name = WorkerQueue.Init;
        name.Name = arena.Text(Utf8.Of(queue.Name, nameof(queue)));
        var opts = WorkerOpts.Init;
        opts.VisibilityTimeoutS = queue.Options.VisibilityTimeoutSeconds;
        opts.FallbackMs = idlePoll is null ? WorkerFallbackMs : Numbers.Milliseconds(idlePoll.Value, nameof(idlePoll));
        opts.Heartbeat = opts.Rescue = 0; // who claims here settles by the id that was given
        var id = Utf8.Of(worker, nameof(worker));
        Check(NativeMethods.WorkerNew(Database.Handle, Waiter, Signal.Token, &name, 1, id, (nuint)id.Length, &opts, out handle,
            out var error), error);
    }

    /// <summary>The next job.</summary>
    /// <param name="timeout">How long to wait; null without end, zero for what is there.</param>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>null if the time is over.</returns>
    public async ValueTask<Job?> NextAsync(TimeSpan? timeout = null, CancellationToken cancellationToken = default) =>
        (await NextBatchAsync(1, timeout, cancellationToken).ConfigureAwait(false)) is [var job, ..] ? job : null;

    /// <summary>Jobs, claimed in one commit, as soon as there is one.</summary>
    /// <param name="n">At most so many.</param>
    /// <param name="timeout">How long to wait; null without end, zero for what is there.</param>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>None if the time is over, or <paramref name="n"/> is not positive.</returns>
    public async ValueTask<IReadOnlyList<Job>> NextBatchAsync(long n, TimeSpan? timeout = null,
        CancellationToken cancellationToken = default)
    {
        if (n <= 0)
        {
            return [];
        }
        return await AwaitAsync(() => Look(n), timeout ?? Timeout.InfiniteTimeSpan, cancellationToken).ConfigureAwait(false) ?? [];
    }

    private Job[]? Look(long n)
    {
        while (true)
        {
            var status = NativeMethods.WorkerNext(handle, n, 0, out var jobs, out var error);
            using (jobs)
            {
                if (!Found(status, error))
                {
                    return null;
                }
                if (!jobs.IsInvalid && Job.Read(Database, jobs, queue, worker) is { Length: > 0 } found)
                {
                    return found;
                }
                // Only jobs that it has lost, which nobody asked for.
            }
        }
    }

    private protected override void Free() => handle.Dispose();
}

/// <summary>Waits for a job's result.</summary>
internal sealed class ResultWait : Consumer
{
    private readonly ResultWaitHandle handle;

    internal ResultWait(Database database, long id) : base(database)
    {
        Check(NativeMethods.ResultWaitNew(database.Handle, Waiter, Signal.Token, id, out handle, out var error), error);
    }

    internal ValueTask<string?> NextAsync(TimeSpan timeout, CancellationToken cancellationToken) =>
        AwaitAsync(Look, timeout, cancellationToken);

    private string? Look() =>
        Found(NativeMethods.ResultWaitNext(handle, 0, out var text, out var error), error) ? Calls.Read(text) : null;

    private protected override void Free() => handle.Dispose();
}
