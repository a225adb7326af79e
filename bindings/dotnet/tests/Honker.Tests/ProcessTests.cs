using System.Diagnostics;
using System.IO;
using Microsoft.Data.Sqlite;

namespace Honker.Tests;

/// <summary>A worker in a process of its own: the program of examples/Tour.</summary>
public sealed class ProcessTests : WithDatabase
{
    private sealed class Worker : IDisposable
    {
        private readonly Process process;
        private readonly ConcurrentQueue<string> lines = new();

        internal Worker(string file)
        {
            var program = Path.Combine(AppContext.BaseDirectory, "../../Tour", $"{Path.GetFileName(Path.TrimEndingDirectorySeparator(
                AppContext.BaseDirectory))}_net10.0", "tour.dll");
            process = Process.Start(new ProcessStartInfo("dotnet", [program, "worker", file]) { RedirectStandardOutput = true })!;
            process.OutputDataReceived += (_, line) => lines.Enqueue(line.Data ?? "");
            process.BeginOutputReadLine();
        }

        internal bool HasSaid(string line) => lines.Contains(line);

        internal async Task<int> StopAsync(string signal)
        {
            using var kill = Process.Start("kill", [$"-{signal}", $"{process.Id}"]);
            await process.WaitForExitAsync().WaitAsync(Long);
            return process.ExitCode;
        }

        public void Dispose()
        {
            if (!process.HasExited)
            {
                process.Kill();
            }
            process.Dispose();
        }
    }

    [Fact]
    public async Task A_worker_handles_what_the_drivers_transaction_commits_and_ends_on_a_signal()
    {
        using var worker = new Worker(FilePath);
        await Until(() => worker.HasSaid("to alice"), "handled by the worker");
        await using var connection = new SqliteConnection($"{Db.ConnectionString};Pooling=False");
        await connection.OpenAsync();
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            await transaction.EnqueueJobAsync("emails", new Email("rolled back"));
            await transaction.RollbackAsync();
        }
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            await transaction.EnqueueJobAsync("emails", new Email("committed"));
            await transaction.CommitAsync();
        }
        await Until(() => worker.HasSaid("to committed"), "handled by the worker");
        Assert.False(worker.HasSaid("to rolled back"));
        Assert.Equal(0, await worker.StopAsync("TERM"));
        Assert.True(worker.HasSaid("stopped"));
        Assert.Empty(Db.Jobs().All());
    }

    [Fact]
    public async Task The_jobs_of_a_killed_worker_are_anybodys()
    {
        Db.Queue("emails").Enqueue(new Email("hang")); // what the example sends takes no time, unless it is told to hang
        using var worker = new Worker(FilePath);
        await Until(() => worker.HasSaid("to hang"), "taken by the worker");
        Assert.NotEqual(0, await worker.StopAsync("KILL"));
        var done = new TaskCompletionSource<string>();
        using var stop = new CancellationTokenSource();
        var run = Db.Worker(new WorkerOptions { HandleSignals = false }).Handle<Email>("emails", (email, job, _) =>
        {
            done.TrySetResult($"{email.To}, attempt {job.Attempts}");
            return Task.CompletedTask;
        }).RunAsync(stop.Token);
        Assert.Equal("hang, attempt 2", await done.Task.WaitAsync(Long));
        await stop.CancelAsync();
        await Ended(run);
    }
}
