using System.Diagnostics;
using System.IO;
using Microsoft.Extensions.Logging;

namespace Honker.Tests;

/// <summary>A database in a folder of its own; and what tests do again and again.</summary>
public abstract class WithDatabase : IDisposable
{
    /// <summary>No test should take so long, on whatever machine.</summary>
    internal static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    private readonly string folder = Directory.CreateTempSubdirectory("honker").FullName;
    private Database? db;

    protected string Folder => folder;

    protected string FilePath => Path.Combine(folder, "app.db");

    internal LogLines Log { get; } = new();

    protected Database Db => db ??= Open();

    protected Database Open(OpenOptions? options = null) =>
        Database.Open(FilePath, (options ?? new OpenOptions()) with { LoggerFactory = Log });

    public virtual void Dispose()
    {
        db?.Dispose();
        Directory.Delete(folder, true);
        GC.SuppressFinalize(this);
    }

    internal static CancellationToken Limit() => new CancellationTokenSource(Long).Token;

    /// <summary>Waits until it is so.</summary>
    internal static async Task Until(Func<bool> isSo, string what = "it")
    {
        var begun = Stopwatch.GetTimestamp();
        while (!isSo())
        {
            Assert.True(Stopwatch.GetElapsedTime(begun) < Long, $"{what} never came to be so");
            await Task.Delay(5);
        }
    }

    /// <summary>Until the task has ended.</summary>
    internal static Task Ended(Task task) => task.WaitAsync(Long);
}

/// <summary>What is logged.</summary>
internal sealed class LogLines : ILoggerFactory, ILogger
{
    private readonly ConcurrentQueue<(LogLevel Level, string Text)> lines = new();

    internal IReadOnlyCollection<(LogLevel Level, string Text)> Lines => lines;

    internal int Count(string part) => lines.Count(line => line.Text.Contains(part, StringComparison.Ordinal));

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter) => lines.Enqueue((logLevel, formatter(state, exception) + exception));

    public void Dispose()
    {
    }
}
