using System.Text.Json;
using System.Text.Json.Nodes;
using Honker.Native;

namespace Honker;

/// <summary>Which jobs (<see cref="Database.Jobs"/>): all conditions have to be fulfilled. Times are Unix seconds, inclusive.</summary>
public sealed record JobFilter
{
    private JsonObject? given;

    /// <summary>Of this queue.</summary>
    public string? Queue { get; init; }

    /// <summary>In one of these states: due, delayed, processing, blocked, dead, done.</summary>
    public IReadOnlyList<string>? States { get; init; }

    /// <summary>From this id on.</summary>
    public long? MinId { get; init; }

    /// <summary>Up to this id.</summary>
    public long? MaxId { get; init; }

    /// <summary>Held by this worker.</summary>
    public string? WorkerId { get; init; }

    /// <summary>With this unique key.</summary>
    public string? UniqueKey { get; init; }

    /// <summary>Of this batch.</summary>
    public long? BatchId { get; init; }

    /// <summary>With all of these texts.</summary>
    public IReadOnlyDictionary<string, string>? Metadata { get; init; }

    /// <summary>Whose error has this in it.</summary>
    public string? Error { get; init; }

    /// <summary>Enqueued then or later.</summary>
    public long? CreatedFrom { get; init; }

    /// <summary>Enqueued then or before.</summary>
    public long? CreatedTo { get; init; }

    /// <summary>Dead or done then or later.</summary>
    public long? EndedFrom { get; init; }

    /// <summary>Dead or done then or before.</summary>
    public long? EndedTo { get; init; }

    /// <summary>The oldest first, and not the newest.</summary>
    public bool OldestFirst { get; init; }

    /// <summary>The same as a JSON object, with the keys of honker's SQL function.</summary>
    /// <param name="json">For example {"queue": "emails", "state": ["dead"]}.</param>
    /// <returns>The filter.</returns>
    /// <exception cref="JsonException">It is no JSON object.</exception>
    public static JobFilter FromJson(string json) =>
        new() { given = JsonNode.Parse(json) as JsonObject ?? throw new JsonException("a filter is a JSON object") };

    internal string ToJson(long? pageSize, JsonElement? cursor)
    {
        var json = given is null ? new JsonObject() : (JsonObject)given.DeepClone();
        void Set(string name, JsonNode? value)
        {
            if (value is not null)
            {
                json[name] = value;
            }
        }
        Set("queue", Queue);
        Set("min_id", MinId);
        Set("max_id", MaxId);
        Set("worker_id", WorkerId);
        Set("unique_key", UniqueKey);
        Set("batch_id", BatchId);
        Set("error", Error);
        Set("created_from", CreatedFrom);
        Set("created_to", CreatedTo);
        Set("ended_from", EndedFrom);
        Set("ended_to", EndedTo);
        Set("order", OldestFirst ? "oldest" : null);
        Set("limit", pageSize);
        if (States is not null)
        {
            var states = new JsonArray();
            foreach (var state in States)
            {
                states.Add((JsonNode?)state);
            }
            json["state"] = states;
        }
        if (Metadata is not null)
        {
            json["metadata"] = JsonNode.Parse(EnqueueOptions.MetadataJson(Metadata));
        }
        if (cursor is { ValueKind: not JsonValueKind.Null } at)
        {
            json["cursor"] = JsonNode.Parse(at.GetRawText());
        }
        return json.ToJsonString();
    }
}

/// <summary>
/// Jobs of all kinds, to look at and to act on (<see cref="Database.Jobs"/>). An action is many short transactions, each over a
/// page; a crash in between leaves what is done. Jobs of a kind that it is not for are left alone.
/// </summary>
public sealed class Jobs
{
    private const long LargestPage = 1000;

    private readonly Database database;
    private readonly JobFilter filter;

    internal Jobs(Database database, JobFilter filter)
    {
        this.database = database;
        this.filter = filter;
    }

    /// <summary>A page of them, by id, the newest first unless the filter says otherwise.</summary>
    /// <param name="pageSize">At most so many, up to 1,000; 100 by default.</param>
    /// <param name="cursor">That of the page before.</param>
    /// <returns>The jobs, and where the next page begins.</returns>
    public JobPage Page(long? pageSize = null, JsonElement? cursor = null)
    {
        var json = Utf8.Of(filter.ToJson(pageSize, cursor), nameof(filter));
        database.Check(NativeMethods.JobList(database.Handle, TransactionHandle.None, json, (nuint)json.Length, out var text,
            out var error), error);
        return Database.Json(text, RowJson.Default.JobPage);
    }

    /// <summary>All of them, page by page.</summary>
    /// <returns>The jobs.</returns>
    public IEnumerable<JobRow> All()
    {
        JsonElement? cursor = null;
        do
        {
            var page = Page(null, cursor);
            foreach (var job in page.Jobs)
            {
                yield return job;
            }
            cursor = page.Cursor;
        }
        while (cursor is { ValueKind: not JsonValueKind.Null });
    }

    /// <summary>Dead ones become due, with all attempts.</summary>
    /// <returns>What was done.</returns>
    public AppliedJobs Retry() => ApplyToAll("retry");

    /// <summary>Delayed ones become due.</summary>
    /// <returns>What was done.</returns>
    public AppliedJobs RunNow() => ApplyToAll("run_now");

    /// <summary>Live ones are cancelled.</summary>
    /// <returns>What was done.</returns>
    public AppliedJobs Cancel() => ApplyToAll("cancel");

    /// <summary>They are deleted.</summary>
    /// <returns>What was done.</returns>
    public AppliedJobs Delete() => ApplyToAll("delete");

    /// <summary>Waiting and dead ones go to another queue.</summary>
    /// <param name="queue">That queue.</param>
    /// <returns>What was done.</returns>
    public AppliedJobs Move(string queue) => ApplyToAll(new JsonObject { ["move"] = queue }.ToJsonString());

    /// <summary>Live ones get another priority.</summary>
    /// <param name="priority">Larger is sooner.</param>
    /// <returns>What was done.</returns>
    public AppliedJobs Prioritize(long priority) => ApplyToAll(new JsonObject { ["priority"] = priority }.ToJsonString());

    /// <summary>Does an action to a page of them, in one transaction.</summary>
    /// <param name="action">retry, run_now, cancel, delete, {"move": queue} or {"priority": number}.</param>
    /// <param name="pageSize">At most so many; 100 by default.</param>
    /// <param name="cursor">That of the page before.</param>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>What was done, and where the next page begins.</returns>
    public AppliedJobs Apply(string action, long? pageSize = null, JsonElement? cursor = null, HonkerTransaction? transaction = null)
    {
        var json = Utf8.Of(filter.ToJson(pageSize, cursor), nameof(filter));
        var what = Utf8.Of(action, nameof(action));
        database.Check(NativeMethods.JobApply(database.Handle, database.Within(transaction), json, (nuint)json.Length, what,
            (nuint)what.Length, out var text, out var error), error);
        return Database.Json(text, RowJson.Default.AppliedJobs);
    }

    private AppliedJobs ApplyToAll(string action)
    {
        long changed = 0, conflicts = 0;
        JsonElement? cursor = null;
        do
        {
            var page = Apply(action, LargestPage, cursor);
            changed += page.Changed;
            conflicts += page.Conflicts;
            cursor = page.Cursor;
        }
        while (cursor is { ValueKind: not JsonValueKind.Null });
        return new AppliedJobs(changed, conflicts, 0);
    }
}
