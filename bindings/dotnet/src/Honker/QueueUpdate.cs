using System.Text.Json;
using System.Text.Json.Nodes;

namespace Honker;

/// <summary>What to change of a queue's settings (<see cref="Queue.Configure"/>); null sets one back to its default.</summary>
public sealed class QueueUpdate
{
    private readonly JsonObject settings = [];

    /// <summary>Nothing yet.</summary>
    public QueueUpdate()
    {
    }

    private QueueUpdate(JsonObject settings) => this.settings = settings;

    /// <summary>The same as a JSON object, with the keys of honker's SQL function, for settings that an operator writes.</summary>
    /// <param name="json">For example {"paused": true, "concurrency": null}.</param>
    /// <returns>The update.</returns>
    /// <exception cref="JsonException">It is no JSON object.</exception>
    public static QueueUpdate FromJson(string json) =>
        new(JsonNode.Parse(json) as JsonObject ?? throw new JsonException("settings are a JSON object"));

    /// <summary>See <see cref="QueueSettings.Paused"/>.</summary>
    /// <param name="paused">Whether no job is claimed.</param>
    /// <returns>A copy with this change.</returns>
    public QueueUpdate WithPaused(bool? paused) => With("paused", paused);

    /// <summary>See <see cref="QueueSettings.Concurrency"/>.</summary>
    /// <param name="concurrency">How many claims.</param>
    /// <returns>A copy with this change.</returns>
    public QueueUpdate WithConcurrency(long? concurrency) => With("concurrency", concurrency);

    /// <summary>See <see cref="QueueSettings.ConcurrencyPerKey"/>.</summary>
    /// <param name="concurrency">How many claims.</param>
    /// <returns>A copy with this change.</returns>
    public QueueUpdate WithConcurrencyPerKey(long? concurrency) => With("concurrency_per_key", concurrency);

    /// <summary>See <see cref="QueueSettings.Rate"/>.</summary>
    /// <param name="rate">How many claims in what time.</param>
    /// <returns>A copy with this change.</returns>
    public QueueUpdate WithRate(QueueRate? rate) =>
        With("rate", rate is null ? null : new JsonObject { ["limit"] = rate.Limit, ["per_s"] = rate.PerS });

    /// <summary>See <see cref="QueueSettings.MaxAttempts"/>.</summary>
    /// <param name="maxAttempts">How often.</param>
    /// <returns>A copy with this change.</returns>
    public QueueUpdate WithMaxAttempts(long? maxAttempts) => With("max_attempts", maxAttempts);

    /// <summary>See <see cref="QueueSettings.Retry"/>.</summary>
    /// <param name="retry">When a job is tried again.</param>
    /// <returns>A copy with this change.</returns>
    public QueueUpdate WithRetry(QueueRetry? retry) => With("retry", retry is null ? null : new JsonObject
    {
        ["base_s"] = retry.BaseS,
        ["factor"] = retry.Factor,
        ["max_s"] = retry.MaxS,
        ["jitter"] = retry.Jitter,
    });

    /// <summary>See <see cref="QueueSettings.KeepDoneS"/>.</summary>
    /// <param name="seconds">The retention in seconds.</param>
    /// <returns>A copy with this change.</returns>
    public QueueUpdate WithKeepDone(long? seconds) => With("keep_done_s", seconds);

    /// <summary>See <see cref="QueueSettings.KeepDeadS"/>.</summary>
    /// <param name="seconds">The retention in seconds; null for ever.</param>
    /// <returns>A copy with this change.</returns>
    public QueueUpdate WithKeepDead(long? seconds) => With("keep_dead_s", seconds);

    internal string ToJson() => settings.ToJsonString();

    private QueueUpdate With(string name, JsonNode? value)
    {
        var changed = (JsonObject)settings.DeepClone();
        changed[name] = value;
        return new QueueUpdate(changed);
    }
}
