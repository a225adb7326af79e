using System.Text;
using System.Text.Json.Nodes;
using Honker.Native;

namespace Honker;

/// <summary>What a batch enqueues when it has ended, in the same commit as the end of its last job.</summary>
public sealed record BatchOptions
{
    private string? json;

    /// <summary>When all of its jobs have ended.</summary>
    public JobSpec? OnFinished { get; init; }

    /// <summary>When all of them are done, and none is dead or cancelled.</summary>
    public JobSpec? OnSuccess { get; init; }

    /// <summary>For how many seconds it can be looked at after that; a day by default.</summary>
    public long? KeepSeconds { get; init; }

    /// <summary>The same as a JSON object, with the keys of honker's SQL function.</summary>
    /// <param name="json">For example {"keep_s": 60}.</param>
    /// <returns>The options.</returns>
    public static BatchOptions FromJson(string json) => new() { json = json };

    internal string ToJson(Payloads payloads)
    {
        if (json is not null)
        {
            return json;
        }
        JsonObject Callback(JobSpec job) => new()
        {
            ["queue"] = job.Queue,
            ["payload"] = Encoding.UTF8.GetString(payloads.Encode(job.Payload, null)),
            ["options"] = job.Options.ToJson(),
        };
        var options = new JsonObject();
        if (OnFinished is not null)
        {
            options["on_finished"] = Callback(OnFinished);
        }
        if (OnSuccess is not null)
        {
            options["on_success"] = Callback(OnSuccess);
        }
        if (KeepSeconds is not null)
        {
            options["keep_s"] = KeepSeconds;
        }
        return options.ToJsonString();
    }
}

/// <summary>Jobs that are waited for together (<see cref="Database.CreateBatch"/>).</summary>
public sealed class Batch
{
    private readonly Database database;

    internal Batch(Database database, long id)
    {
        this.database = database;
        Id = id;
    }

    /// <summary>For <see cref="EnqueueOptions.BatchId"/>.</summary>
    public long Id { get; }

    /// <summary>All of its jobs are there: with the last of them it is finished, at once if none is pending.</summary>
    /// <param name="transaction">What it is part of.</param>
    /// <returns>False if it was sealed before.</returns>
    /// <exception cref="ArgumentException">There is no such batch.</exception>
    public bool Seal(HonkerTransaction? transaction = null) =>
        database.Done(NativeMethods.BatchSeal(database.Handle, database.Within(transaction), Id, out var error), error);

    /// <summary>What is known of it.</summary>
    /// <returns>The counts; null if there is no such batch, or no longer.</returns>
    public BatchStatus? Status() =>
        database.Done(NativeMethods.BatchGet(database.Handle, TransactionHandle.None, Id, out var text, out var error), error)
            ? Database.Json(text, RowJson.Default.BatchStatus)
            : null;
}
