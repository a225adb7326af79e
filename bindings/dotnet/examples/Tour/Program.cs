// A program for each thing that honker does, without reflection: it may be trimmed and compiled ahead of time. `tour` runs all
// of them in a new folder, `tour <name> <file>` one of them.
using System;
using System.Collections.Generic;
using System.IO;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Threading.Tasks;
using Honker;

namespace Honker.Examples;

/// <summary>Payloads.</summary>
public sealed record Email(string To, string Subject = "hello");

/// <summary>Payloads.</summary>
public sealed record Page(int Number);

/// <summary>What the source generator makes for them.</summary>
[JsonSerializable(typeof(Email))]
[JsonSerializable(typeof(Page))]
public sealed partial class AppJson : JsonSerializerContext;

internal static class Program
{
    private static readonly Dictionary<string, Func<string, Task>> Examples = new()
    {
        ["queue"] = Queues.RunAsync,
        ["worker"] = Workers.RunAsync,
        ["features"] = Features.RunAsync,
        ["streams"] = Streams.RunAsync,
        ["rest"] = Rest.RunAsync,
        ["sqlite"] = YourOwnSqlite.RunAsync,
    };

    internal static OpenOptions Options { get; } = new()
    {
        JsonSerializerOptions = new JsonSerializerOptions { TypeInfoResolver = AppJson.Default },
    };

    private static async Task Main(string[] arguments)
    {
        if (arguments is [var name, var file])
        {
            await Examples[name](file);
            return;
        }
        var folder = Directory.CreateTempSubdirectory("honker-tour");
        foreach (var (example, run) in Examples)
        {
            Console.WriteLine($"-- {example}");
            if (example != "worker") // which runs until it is told to stop
            {
                await run(Path.Combine(folder.FullName, $"{example}.db"));
            }
        }
        folder.Delete(true);
    }
}
