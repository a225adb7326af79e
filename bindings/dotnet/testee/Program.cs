using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Threading;

namespace Honker.Testee;

/// <summary>
/// The adapter of the .NET package: does with it what the conformance suite asks for (conformance/PROTOCOL.md). The main thread
/// reads the requests and gives each to the thread of its lane; it does reset and bye itself, when the lanes have ended.
/// </summary>
internal sealed class Program
{
    private static readonly JsonDocumentOptions AnyDepth = new() { MaxDepth = 100_000 };
    private static readonly JsonSerializerOptions Written = new()
    {
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        MaxDepth = 100_000,
    };

    private readonly Dictionary<string, Lane> lanes = [];
    private readonly TextWriter output = new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = false };
    private readonly object writing = new();

    internal ConcurrentDictionary<string, Handle> Handles { get; } = new();

    private static void Main() => new Program().Listen();

    private void Listen()
    {
        using var input = new StreamReader(Console.OpenStandardInput());
        while (input.ReadLine() is { } line)
        {
            var keys = JsonDocument.Parse(line, AnyDepth).RootElement;
            var op = keys.GetProperty("op").GetString();
            if (op is "reset" or "bye")
            {
                Reset();
                Write(keys, new JsonObject { ["ok"] = new JsonObject() });
                if (op == "bye")
                {
                    return;
                }
                continue;
            }
            var name = keys.TryGetProperty("lane", out var lane) ? lane.GetString()! : "";
            if (!lanes.TryGetValue(name, out var its))
            {
                lanes[name] = its = new Lane(this);
            }
            its.Requests.Add(keys);
        }
    }

    internal void Work(JsonElement keys) => Write(keys, Answer(keys));

    private JsonObject Answer(JsonElement keys)
    {
        try
        {
            return new JsonObject { ["ok"] = Operations.Do(new Request(this, keys)) };
        }
        catch (OtherwiseException e)
        {
            return new JsonObject { [e.Key] = e.Value };
        }
        catch (Exception e) when (NameOf(e) is not null)
        {
            return new JsonObject
            {
                ["error"] = new JsonObject { ["name"] = NameOf(e), ["type"] = e.GetType().FullName, ["message"] = e.Message },
            };
        }
        catch (Exception e)
        {
            return new JsonObject { ["crashed"] = new JsonObject { ["message"] = e.Message, ["trace"] = e.ToString() } };
        }
    }

    /// <summary>What the package has thrown, under the name that the C ABI has for it; null if that is nothing it should throw.</summary>
    private static string? NameOf(Exception e) => e switch
    {
        HonkerException honker => string.Concat(honker.Status.ToString().Select((c, i) => i > 0 && char.IsUpper(c) ? $"_{c}" : $"{c}"))
            .ToUpperInvariant(),
        ObjectDisposedException => "CLOSED_HANDLE",
        ArgumentException or JsonException or OverflowException => "INVALID",
        InvalidOperationException => "MISUSE",
        _ => null,
    };

    private void Write(JsonElement keys, JsonObject answer)
    {
        answer["seq"] = keys.GetProperty("seq").GetInt64();
        var line = answer.ToJsonString(Written);
        lock (writing)
        {
            output.Write(line);
            output.Write('\n');
            output.Flush();
        }
    }

    private void Reset()
    {
        foreach (var lane in lanes.Values)
        {
            lane.Requests.CompleteAdding();
        }
        foreach (var lane in lanes.Values)
        {
            while (!lane.Thread.Join(5))
            {
                foreach (var handle in Handles.Values)
                {
                    if (handle.It is Database { IsClosed: false } database)
                    {
                        try
                        {
                            database.Interrupt();
                        }
                        catch (ObjectDisposedException)
                        {
                            // closed meanwhile
                        }
                    }
                }
            }
        }
        lanes.Clear();
        foreach (var handle in Handles.Values.OrderByDescending(handle => handle.Order))
        {
            try
            {
                handle.Close();
            }
            catch (Exception e) when (NameOf(e) is not null)
            {
                // what is closed already
            }
        }
        Handles.Clear();
    }

    private sealed class Lane
    {
        internal Lane(Program program)
        {
            Thread = new Thread(() =>
            {
                foreach (var keys in Requests.GetConsumingEnumerable())
                {
                    program.Work(keys);
                }
            })
            { IsBackground = true };
            Thread.Start();
        }

        internal BlockingCollection<JsonElement> Requests { get; } = [];

        internal Thread Thread { get; }
    }
}

/// <summary>What a name stands for.</summary>
internal sealed class Handle(object it)
{
    private static long last;

    internal object It { get; } = it;

    internal long Order { get; } = Interlocked.Increment(ref last);

    /// <summary>Ends the wait that is running, or the next.</summary>
    internal CancellationTokenSource Wake { get; set; } = new();

    internal bool IsClosed { get; private set; }

    /// <summary>What it was made of, if that is a database.</summary>
    internal Database? Database { get; init; }

    /// <summary>Attempts of a queue or an outbox that are less than one, which the package only takes for a job.</summary>
    internal long? NoAttempts { get; init; }

    internal void Close()
    {
        IsClosed = true;
        (It as IDisposable)?.Dispose();
    }
}

/// <summary>A loop that runs until it is closed.</summary>
internal sealed class Runner(Func<CancellationToken, System.Threading.Tasks.Task> run) : IDisposable
{
    private readonly CancellationTokenSource stop = new();
    private System.Threading.Tasks.Task? task;

    internal Runner Start()
    {
        task = run(stop.Token);
        return this;
    }

    public void Dispose()
    {
        stop.Cancel();
        try
        {
            task?.GetAwaiter().GetResult();
        }
        catch (Exception e) when (e is HonkerException or ObjectDisposedException or OperationCanceledException)
        {
            // its database is closed
        }
    }
}

/// <summary>Ends a request with something else than ok.</summary>
internal sealed class OtherwiseException(string key, JsonNode value) : Exception
{
    internal string Key { get; } = key;

    internal JsonNode Value { get; } = value;

    internal static OtherwiseException Outcome(string outcome) => new("outcome", outcome);
}
