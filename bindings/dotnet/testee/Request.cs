using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Honker.Testee;

/// <summary>One request, with what most operations do with it.</summary>
internal sealed class Request(Program program, JsonElement keys)
{
    private static readonly JsonSerializerOptions Snake = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        MaxDepth = 100_000,
    };

    private static readonly JsonDocumentOptions AnyDepth = new() { MaxDepth = 100_000 };

    internal static JsonObject Done => [];

    internal string Op => keys.GetProperty("op").GetString()!;

    internal Handle Handle => Named("on");

    internal Database Db => (Database)Handle.It;

    internal Queue Queue => (Queue)Handle.It;

    internal Stream Stream => (Stream)Handle.It;

    internal HonkerTransaction? Tx => Has("tx") ? (HonkerTransaction)Named("tx").It : null;

    internal TimeSpan Timeout =>
        Number("timeout_ms") < 0 ? System.Threading.Timeout.InfiniteTimeSpan : Milliseconds("timeout_ms");

    /// <summary>A time; the longest there is for one that is longer.</summary>
    internal TimeSpan Milliseconds(string key) => Number(key) > TimeSpan.MaxValue.TotalMilliseconds
        ? TimeSpan.MaxValue
        : TimeSpan.FromMilliseconds(Number(key));

    internal bool Has(string key) => keys.TryGetProperty(key, out _);

    internal JsonElement Get(string key) => keys.GetProperty(key);

    internal string Text(string key) => keys.GetProperty(key).GetString()!;

    internal string? OptionalText(string key) => Has(key) ? Text(key) : null;

    internal long Number(string key) => keys.GetProperty(key).GetInt64();

    internal long Number(string key, long otherwise) => Has(key) ? Number(key) : otherwise;

    internal long? Optional(string key) =>
        Has(key) && keys.GetProperty(key).ValueKind != JsonValueKind.Null ? Number(key) : null;

    internal IEnumerable<JsonElement> List(string key) => keys.GetProperty(key).EnumerateArray();

    internal object? Payload(string key = "payload") => Payload(keys.GetProperty(key));

    internal static object? Payload(JsonElement value) =>
        value.ValueKind == JsonValueKind.Object && value.TryGetProperty("$text", out var text) ? new RawJson(text.GetString()!) : value;

    internal string[] Metadata() => [.. keys.GetProperty("metadata").EnumerateObject().Select(one => one.Name)];

    internal JsonObject Keep(Func<object> make, long? noAttempts = null)
    {
        var name = Text("as");
        if (program.Handles.TryRemove(name, out var old))
        {
            old.Close();
        }
        program.Handles[name] = new Handle(make()) { NoAttempts = noAttempts, Database = Has("on") ? Handle.It as Database : null };
        return Done;
    }

    internal EnqueueOptions Options() => new(Optional("run_at"), Optional("delay_s"), Number("priority", 0), Handle.NoAttempts,
        Optional("expires_s"))
    {
        Metadata = Has("metadata")
            ? Get("metadata").EnumerateObject().ToDictionary(one => one.Name, one => one.Value.GetString()!)
            : null,
        ConcurrencyKey = OptionalText("concurrency_key"),
        BatchId = Optional("batch_id"),
        UniqueKey = OptionalText("unique_key"),
        UniqueForSeconds = Optional("unique_for_s"),
        MaxRunSeconds = Optional("max_run_s"),
        UniqueUntil = OptionalText("unique_until") == "claimed" ? UniqueUntil.Claimed : UniqueUntil.Settled,
        OnConflict = OptionalText("on_conflict") == "replace" ? OnConflict.Replace : OnConflict.Keep,
        Member = Has("member") ? new BatchMember(Get("member").GetProperty("job_id").GetInt64(), Get("member").GetProperty("worker_id").GetString()!) : null,
    };

    internal JsonObject Give(IEnumerable<Job> jobs)
    {
        var given = new JsonArray();
        foreach (var job in jobs)
        {
            var one = new JsonObject
            {
                ["id"] = job.Id,
                ["queue"] = job.QueueName,
                ["payload"] = Stored(job.PayloadRaw),
                ["worker"] = job.WorkerId,
                ["attempts"] = job.Attempts,
            };
            if (job.Metadata.Count > 0)
            {
                one["metadata"] = JsonSerializer.SerializeToNode(job.Metadata);
            }
            given.Add((JsonNode)one);
        }
        return new JsonObject { ["jobs"] = given };
    }

    /// <summary>What is stored; a text that is no JSON is spelt out.</summary>
    internal static JsonNode? Stored(string text)
    {
        try
        {
            return JsonNode.Parse(text.Length == 0 ? "null" : text, null, AnyDepth);
        }
        catch (JsonException)
        {
            return new JsonObject { ["$text"] = text };
        }
    }

    internal static JsonObject Event(Event it) => new()
    {
        ["offset"] = it.Offset,
        ["topic"] = it.Topic,
        ["key"] = it.Key,
        ["payload"] = Stored(it.PayloadRaw),
        ["created_at"] = it.CreatedAt,
    };

    /// <summary>A record of the package as JSON, with its payload.</summary>
    internal static JsonNode? Row<T>(T row)
    {
        var node = JsonSerializer.SerializeToNode(row, Snake);
        Spell(node);
        return node;
    }

    private static void Spell(JsonNode? node)
    {
        if (node is JsonArray array)
        {
            foreach (var one in array)
            {
                Spell(one);
            }
        }
        else if (node is JsonObject known)
        {
            if (known.ContainsKey("metadata") && known["metadata"] is null)
            {
                known.Remove("metadata");
            }
            if (known["payload"] is JsonValue payload)
            {
                known["payload"] = Stored(payload.GetValue<string>());
            }
            foreach (var (_, one) in known.ToList())
            {
                if (one is JsonArray || (one as JsonObject)?["payload"] is not null)
                {
                    Spell(one);
                }
            }
        }
    }

    internal static JsonObject Settled(bool done) => done ? Done : throw OtherwiseException.Outcome("LOST");

    /// <summary>A parameter of SQL.</summary>
    internal static object? Sql(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null => null,
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.String => value.GetString(),
        JsonValueKind.Object => Convert.FromHexString(value.GetProperty("$hex").GetString()!),
        _ => value.TryGetInt64(out var whole) && !value.GetRawText().AsSpan().ContainsAny(".eE") ? (object)whole : value.GetDouble(),
    };

    /// <summary>A column.</summary>
    internal static JsonNode? Column(object? value) => value switch
    {
        null => null,
        byte[] blob => new JsonObject { ["$hex"] = Convert.ToHexString(blob).ToLowerInvariant() },
        string text => text,
        long number => number,
        double number => number,
        _ => throw new InvalidOperationException(value.GetType().Name),
    };

    private Handle Named(string key) => program.Handles[Text(key)];
}
