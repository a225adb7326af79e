using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Honker.Native;

namespace Honker;

/// <summary>A payload or a result that is stored as it is, JSON or not.</summary>
/// <param name="Text">The text.</param>
public readonly record struct RawJson(string Text)
{
    /// <summary>The text.</summary>
    public override string ToString() => Text;
}

/// <summary>How values become JSON and come back, for one database. Any thread.</summary>
internal sealed class Payloads
{
    /// <summary>How deep what other packages have written may be.</summary>
    private static readonly JsonDocumentOptions AnyDepth = new() { MaxDepth = 10_000 };

    private static readonly Payloads Defaults = new(new JsonSerializerOptions
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        MaxDepth = 1000,
    });

    /// <summary>By what applications give, which they give again and again: what is known of their types is kept.</summary>
    private static readonly ConditionalWeakTable<JsonSerializerOptions, Payloads> Made = [];

    private readonly JsonSerializerOptions options;

    private Payloads(JsonSerializerOptions given)
    {
        options = given;
        if (options.TypeInfoResolver is null && JsonSerializer.IsReflectionEnabledByDefault)
        {
            options.TypeInfoResolver = Reflection();
        }
        options.TypeInfoResolverChain.Add(PayloadJson.Default);
        options.MakeReadOnly();
    }

    internal static Payloads Of(JsonSerializerOptions? given) =>
        given is null ? Defaults : Made.GetValue(given, static given => new Payloads(new JsonSerializerOptions(given)));

    // As ASP.NET Core does it: where there is no reflection the switch is off, and the user's resolver has to know the type.
    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "IsReflectionEnabledByDefault is false in trimmed programs.")]
    [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "IsReflectionEnabledByDefault is false in compiled programs.")]
    private static DefaultJsonTypeInfoResolver Reflection() => new();

    internal byte[] Encode<T>(T value)
    {
        if (typeof(T) == typeof(object) || typeof(T) == typeof(RawJson) || value is null)
        {
            return Encode(value, null);
        }
        return JsonSerializer.SerializeToUtf8Bytes(value, (JsonTypeInfo<T>)Info(typeof(T)));
    }

    /// <summary>A value that was declared as another type perhaps, which may say how its kinds are told apart.</summary>
    internal byte[] Encode(object? value, Type? declared) => value switch
    {
        RawJson raw => Utf8.Of(raw.Text, "payload"),
        null => "null"u8.ToArray(),
        _ => JsonSerializer.SerializeToUtf8Bytes(value,
            Info(declared is null || declared == typeof(object) ? value.GetType() : declared)),
    };

    internal T? Decode<T>(string text)
    {
        if (typeof(T) == typeof(RawJson))
        {
            return (T)(object)new RawJson(text);
        }
        return text.Length == 0 ? default : JsonSerializer.Deserialize(text, (JsonTypeInfo<T>)Info(typeof(T)));
    }

    private JsonTypeInfo Info(Type type)
    {
        try
        {
            return options.GetTypeInfo(type);
        }
        catch (NotSupportedException e)
        {
            throw new NotSupportedException(
                $"nothing says how {type} becomes JSON: this program has no reflection for that; give OpenOptions.JsonSerializerOptions " +
                "the JsonSerializerContext that knows it as TypeInfoResolver, or pass its JsonTypeInfo", e);
        }
    }

    /// <summary>A stored text: nothing is null, and what is no JSON is a string.</summary>
    internal static JsonElement Element(string text)
    {
        try
        {
            using var document = JsonDocument.Parse(text.Length == 0 ? "null" : text, AnyDepth);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return JsonSerializer.SerializeToElement(text, PayloadJson.Default.String);
        }
    }
}

/// <summary>What needs nobody's context.</summary>
[JsonSerializable(typeof(JsonElement))]
[JsonSerializable(typeof(JsonDocument))]
[JsonSerializable(typeof(System.Text.Json.Nodes.JsonNode))]
[JsonSerializable(typeof(System.Text.Json.Nodes.JsonObject))]
[JsonSerializable(typeof(System.Text.Json.Nodes.JsonArray))]
[JsonSerializable(typeof(string))]
[JsonSerializable(typeof(bool))]
[JsonSerializable(typeof(int))]
[JsonSerializable(typeof(long))]
[JsonSerializable(typeof(double))]
[JsonSerializable(typeof(decimal))]
[JsonSerializable(typeof(Guid))]
[JsonSerializable(typeof(DateTime))]
[JsonSerializable(typeof(DateTimeOffset))]
[JsonSerializable(typeof(Dictionary<string, string>))]
[JsonSerializable(typeof(IReadOnlyDictionary<string, string>))]
[JsonSerializable(typeof(Dictionary<string, JsonElement>))]
[JsonSerializable(typeof(object))]
internal sealed partial class PayloadJson : JsonSerializerContext;

/// <summary>What the library says as JSON.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(JobRow))]
[JsonSerializable(typeof(JobRow[]))]
[JsonSerializable(typeof(JobPage))]
[JsonSerializable(typeof(AppliedJobs))]
[JsonSerializable(typeof(DeadGroup[]))]
[JsonSerializable(typeof(QueueStats))]
[JsonSerializable(typeof(QueueStats[]))]
[JsonSerializable(typeof(QueueSettings))]
[JsonSerializable(typeof(QueueSettings[]))]
[JsonSerializable(typeof(Metrics))]
[JsonSerializable(typeof(ScheduleRow[]))]
[JsonSerializable(typeof(BatchStatus))]
[JsonSerializable(typeof(DatabaseStatus))]
[JsonSerializable(typeof(Dictionary<string, string>))]
internal sealed partial class RowJson : JsonSerializerContext;
