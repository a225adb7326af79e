using System.Text.Json;
using System.Text.Json.Nodes;
using Honker.Native;

namespace Honker;

/// <summary>An event of a stream.</summary>
/// <param name="Offset">Its place. Offsets increase within a topic, with gaps, and begin at 1.</param>
/// <param name="Topic">The topic.</param>
/// <param name="Key">The publisher's key.</param>
/// <param name="PayloadRaw">The payload as it is stored.</param>
/// <param name="CreatedAt">When it was published, in Unix seconds.</param>
public sealed record Event(long Offset, string Topic, string? Key, string PayloadRaw, long CreatedAt)
{
    /// <summary>The payload; a string if it is no JSON.</summary>
    public JsonElement Payload => Payloads.Element(PayloadRaw);

    internal static unsafe Event Of(in EventView view, string topic) => new(view.Offset, topic,
        view.Key.Data is null ? null : Utf8.Text(view.Key), Utf8.Text(view.Payload), view.CreatedAt);
}

/// <summary>What is kept of a topic (<see cref="Stream.Configure"/>); null for everything.</summary>
public sealed class StreamUpdate
{
    private readonly JsonObject settings = [];

    /// <summary>Nothing yet.</summary>
    public StreamUpdate()
    {
    }

    private StreamUpdate(JsonObject settings) => this.settings = settings;

    /// <summary>The same as a JSON object, with the keys of honker's SQL function.</summary>
    /// <param name="json">For example {"keep_n": 1000}.</param>
    /// <returns>The update.</returns>
    /// <exception cref="JsonException">It is no JSON object.</exception>
    public static StreamUpdate FromJson(string json) =>
        new(JsonNode.Parse(json) as JsonObject ?? throw new JsonException("settings are a JSON object"));

    /// <summary>For how many seconds an event is kept.</summary>
    /// <param name="seconds">null for ever.</param>
    /// <returns>A copy with this change.</returns>
    public StreamUpdate WithKeepSeconds(long? seconds) => With("keep_s", seconds);

    /// <summary>How many of the newest events are kept.</summary>
    /// <param name="n">null for all.</param>
    /// <returns>A copy with this change.</returns>
    public StreamUpdate WithKeepN(long? n) => With("keep_n", n);

    /// <summary>For <see cref="Stream.Trim"/>: also what a consumer that has saved an offset has not finished.</summary>
    /// <param name="past">Whether to trim those as well.</param>
    /// <returns>A copy with this change.</returns>
    public StreamUpdate WithPastConsumers(bool past) => With("past_consumers", past);

    internal string ToJson() => settings.ToJsonString();

    private StreamUpdate With(string name, JsonNode? value)
    {
        var changed = (JsonObject)settings.DeepClone();
        changed[name] = value;
        return new StreamUpdate(changed);
    }
}

/// <summary>A topic of events, which stay when they are read; each consumer has its own place. Any thread.</summary>
public sealed class Stream
{
    private readonly Database database;
    private readonly byte[] topic;

    internal Stream(Database database, string topic)
    {
        this.database = database;
        this.topic = Utf8.Of(topic, nameof(topic));
        Topic = topic;
    }

    /// <summary>Its name.</summary>
    public string Topic { get; }

    /// <summary>Appends an event.</summary>
    /// <typeparam name="T">The type of the payload.</typeparam>
    /// <param name="payload">It becomes JSON; a <see cref="RawJson"/> is stored as it is.</param>
    /// <param name="key">Comes back with the event.</param>
    /// <param name="transaction">It is there if and only if this is committed.</param>
    /// <returns>Its offset.</returns>
    public long Publish<T>(T payload, string? key = null, HonkerTransaction? transaction = null)
    {
        var text = database.Payloads.Encode(payload);
        var keyText = Utf8.OfOptional(key, nameof(key));
        database.Check(NativeMethods.StreamPublish(database.Handle, database.Within(transaction), topic, (nuint)topic.Length, keyText,
            (nuint)(keyText?.Length ?? 0), text, (nuint)text.Length, out var offset, out var error), error);
        return offset;
    }

    /// <summary>Reads events without moving anybody's place.</summary>
    /// <param name="offset">Those after this one.</param>
    /// <param name="limit">At most so many.</param>
    /// <returns>The events, the oldest first.</returns>
    public unsafe IReadOnlyList<Event> ReadSince(long offset, long limit = 1000)
    {
        var status = NativeMethods.StreamReadSince(database.Handle, TransactionHandle.None, topic, (nuint)topic.Length, offset, limit,
            out var events, out var error);
        using (events)
        {
            if (!database.Done(status, error))
            {
                return [];
            }
            database.Check(NativeMethods.EventsLen(events, out var count, out error), error);
            var read = new Event[count];
            for (nuint i = 0; i < count; i++)
            {
                var view = EventView.Init;
                database.Check(NativeMethods.EventsGet(events, i, &view, out error), error);
                read[i] = Event.Of(view, Topic);
            }
            return read;
        }
    }

    /// <summary>Reads events after a consumer's place, without moving it.</summary>
    /// <param name="consumer">The consumer's name.</param>
    /// <param name="limit">At most so many.</param>
    /// <returns>The events, the oldest first.</returns>
    public IReadOnlyList<Event> ReadFromConsumer(string consumer, long limit = 1000) => ReadSince(GetOffset(consumer), limit);

    /// <summary>A consumer has finished everything up to an offset; its place never goes back.</summary>
    /// <param name="consumer">The consumer's name.</param>
    /// <param name="offset">Up to this one.</param>
    /// <param name="transaction">With what the consumer writes: exactly once, then.</param>
    /// <returns>Whether it moved.</returns>
    public bool SaveOffset(string consumer, long offset, HonkerTransaction? transaction = null)
    {
        var name = Utf8.Of(consumer, nameof(consumer));
        return database.Done(NativeMethods.StreamSaveOffset(database.Handle, database.Within(transaction), name, (nuint)name.Length,
            topic, (nuint)topic.Length, offset, out var error), error);
    }

    /// <summary>A consumer's place.</summary>
    /// <param name="consumer">The consumer's name.</param>
    /// <returns>The offset that it last saved; 0 if it never did.</returns>
    public long GetOffset(string consumer)
    {
        var name = Utf8.Of(consumer, nameof(consumer));
        database.Check(NativeMethods.StreamGetOffset(database.Handle, TransactionHandle.None, name, (nuint)name.Length, topic,
            (nuint)topic.Length, out var offset, out var error), error);
        return offset;
    }

    /// <summary>
    /// Delivers everything after a place, then what comes, in order. An event is finished when the next one is asked for, or with
    /// <see cref="Subscription.Ack"/>, and only then its offset is saved: who dies in the middle of one sees it again.
    /// </summary>
    /// <param name="consumer">Whose place is read and saved; null saves nothing.</param>
    /// <param name="fromOffset">Begins after this one instead.</param>
    /// <param name="saveEveryN">Saves after so many events; 0 never because of a number.</param>
    /// <param name="saveEverySeconds">Saves after so many seconds; 0 never because of the time.</param>
    /// <param name="cancellationToken">Ends the enumeration with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>The subscription, to be enumerated or disposed of.</returns>
    public Subscription Subscribe(string? consumer = null, long? fromOffset = null, long saveEveryN = 1000,
        double saveEverySeconds = 1.0, CancellationToken cancellationToken = default) =>
        new(database, Topic, consumer, fromOffset, saveEveryN, saveEverySeconds, cancellationToken);

    /// <summary>Says what is kept. Whatever works queues removes the rest, but nothing that a consumer has not finished.</summary>
    /// <param name="update">What to change.</param>
    public void Configure(StreamUpdate update)
    {
        ArgumentNullException.ThrowIfNull(update);
        var json = Utf8.Of(update.ToJson(), nameof(update));
        database.Check(NativeMethods.StreamConfigure(database.Handle, database.Within(null), topic, (nuint)topic.Length, json,
            (nuint)json.Length, out var error), error);
    }

    /// <summary>Removes now what is not kept.</summary>
    /// <param name="update">Other rules than the topic's own.</param>
    /// <returns>How many events.</returns>
    public long Trim(StreamUpdate? update = null)
    {
        var json = Utf8.Of((update ?? new StreamUpdate()).ToJson(), nameof(update));
        database.Check(NativeMethods.StreamTrim(database.Handle, database.Within(null), topic, (nuint)topic.Length, json,
            (nuint)json.Length, out var trimmed, out var error), error);
        return trimmed;
    }

    /// <inheritdoc/>
    public override string ToString() => Topic;
}

/// <summary>
/// Delivers the events of a topic in order and keeps how far its consumer has come (<see cref="Stream.Subscribe"/>). It is
/// enumerated once, which disposes of it; or asked with <see cref="NextAsync"/>. Disposing of it saves the last finished event.
/// </summary>
public sealed class Subscription : Consumer, IAsyncEnumerable<Event>
{
    private readonly SubscriptionHandle handle;
    private readonly string topic;
    private readonly bool saves;
    private readonly CancellationToken cancel;

    internal unsafe Subscription(Database database, string topic, string? consumer, long? fromOffset, long saveEveryN,
        double saveEverySeconds, CancellationToken cancel) : base(database)
    {
        this.topic = topic;
        this.cancel = cancel;
        Numbers.NotNegative(saveEverySeconds, nameof(saveEverySeconds));
        using var arena = new Arena();
        var opts = SubscriptionOpts.Init;
        opts.Consumer = arena.Text(Utf8.OfOptional(consumer, nameof(consumer)));
        opts.FromOffset = Numbers.Optional(fromOffset, nameof(fromOffset));
        opts.SaveEveryN = saveEveryN;
        opts.SaveEveryMs = (long)Math.Ceiling(Math.Min(saveEverySeconds * 1000, long.MaxValue / 2));
        saves = consumer is not null && (opts.SaveEveryN != 0 || opts.SaveEveryMs != 0);
        var name = Utf8.Of(topic, nameof(topic));
        Check(NativeMethods.SubscriptionNew(database.Handle, Waiter, Signal.Token, name, (nuint)name.Length, &opts, out handle,
            out var error), error);
    }

    /// <summary>The offset of the last event that was delivered; where it began if there was none.</summary>
    public long Offset => Use(() =>
    {
        Check(NativeMethods.SubscriptionOffset(handle, out var offset, out var error), error);
        return offset;
    });

    /// <summary>The next event, which finishes the one before.</summary>
    /// <param name="timeout">How long to wait; null without end.</param>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>null if the time is over.</returns>
    public ValueTask<Event?> NextAsync(TimeSpan? timeout = null, CancellationToken cancellationToken = default) =>
        AwaitAsync(Look, timeout ?? Timeout.InfiniteTimeSpan, cancellationToken);

    /// <summary>The event in hand is finished.</summary>
    public void Ack() => Use(() => Check(NativeMethods.SubscriptionAck(handle, out var error), error));

    /// <summary>Saves the offset of the last finished event now.</summary>
    public void Save() => Use(() => Check(NativeMethods.SubscriptionSave(handle, out var error), error));

    /// <summary>All that are there, and all that come.</summary>
    /// <param name="cancellationToken">Ends it with an <see cref="OperationCanceledException"/>.</param>
    /// <returns>Without end.</returns>
    public async IAsyncEnumerator<Event> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, cancellationToken);
        var token = cancel.CanBeCanceled && cancellationToken.CanBeCanceled ? both.Token
            : cancel.CanBeCanceled ? cancel : cancellationToken;
        await using var mine = this;
        while (true)
        {
            yield return (await NextAsync(null, token).ConfigureAwait(false))!;
        }
    }

    private unsafe Event? Look()
    {
        var view = EventView.Init;
        return Found(NativeMethods.SubscriptionNext(handle, 0, &view, out var error), error) ? Event.Of(view, topic) : null;
    }

    private protected override void Part()
    {
        if (saves)
        {
            _ = NativeMethods.SubscriptionSave(handle, out var error);
            NativeMethods.ErrorFree(error);
        }
    }

    private protected override void Free() => handle.Dispose();
}
