using System.Diagnostics;
using System.IO;
using Microsoft.Data.Sqlite;

namespace Honker.Tests;

/// <summary>A worker in a process of its own: the program of examples/Tour, or a host, tests/Host.</summary>
public sealed class ProcessTests : WithDatabase
{
    private sealed class Worker : IDisposable
    {
        private readonly Process process;
        private readonly ConcurrentQueue<string> lines = new();

        /// <param name="arguments">The project of a program, whose assembly has the same name in small letters, and its arguments.</param>
        internal Worker(params string[] arguments) : this(new ProcessStartInfo("dotnet"), arguments)
        {
        }

        internal Worker(ProcessStartInfo how, params string[] arguments)
        {
            // bin/Honker.Tests/debug/ or bin/Honker.Tests/debug_net10.0/
            var configuration = Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)).Split('_')[0];
            var folder = Path.Combine(AppContext.BaseDirectory, "../..", arguments[0]);
            var its = Path.Combine(folder, configuration);
            arguments[0] = Path.Combine(Directory.Exists(its) ? its : $"{its}_net10.0", $"{arguments[0].ToLowerInvariant()}.dll");
            foreach (var argument in arguments)
            {
                how.ArgumentList.Add(argument);
            }
            how.RedirectStandardOutput = true;
            process = Process.Start(how)!;
            process.OutputDataReceived += (_, line) => lines.Enqueue(line.Data ?? "");
            process.BeginOutputReadLine();
        }

        internal bool HasSaid(string part) => lines.Any(line => line.Contains(part, StringComparison.Ordinal));

        /// <summary>A SIGTERM was sent that the process has not seen yet.</summary>
        internal bool IsTermPending
        {
            get
            {
                var line = File.ReadLines($"/proc/{process.Id}/status").Single(one => one.StartsWith("ShdPnd:", StringComparison.Ordinal));
                return (Convert.ToInt64(line[7..].Trim(), 16) & (1 << (15 - 1))) != 0;
            }
        }

        internal async Task SignalAsync(string signal)
        {
            using var kill = Process.Start("kill", [$"-{signal}", $"{process.Id}"]);
            await kill.WaitForExitAsync(Limit());
        }

        internal async Task<int> StopAsync(string signal)
        {
            await SignalAsync(signal);
            return await EndAsync();
        }

        /// <summary>Its exit code; all that it has said is here then.</summary>
        internal async Task<int> EndAsync()
        {
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
        using var worker = new Worker("Tour", "worker", FilePath);
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

    [Theory]
    [InlineData("hang", 0, "1 released, 0 running")]
    [InlineData("stuck", 1, "1 released, 1 running")] // its handler does not look at its token
    public async Task A_host_gives_back_what_runs_and_ends_on_a_signal(string payload, int code, string said)
    {
        Db.Queue("q").Enqueue(payload);
        using var worker = new Worker("Host", FilePath);
        await Until(() => worker.HasSaid($"began {payload}"), "begun by the host");
        Assert.Equal(code, await worker.StopAsync("TERM"));
        Assert.True(worker.HasSaid(said));
        Assert.Equal((payload, 1), Db.Queue("q").ClaimOne("w") is { } job ? (job.GetPayload<string>(), job.Attempts) : default);
    }

    [Fact]
    public async Task A_second_signal_gives_back_what_runs_at_once()
    {
        Db.Queue("q").Enqueue("hang");
        using var worker = new Worker("Host", FilePath, "patient"); // the first signal alone does not end it, ever
        await Until(() => worker.HasSaid("began hang"), "begun by the worker");
        await worker.SignalAsync("TERM");
        await Until(() => !worker.IsTermPending, "the first signal delivered"); // two that are pending are one
        Assert.Equal(0, await worker.StopAsync("TERM")); // and no third one: nobody handles it when the worker has ended
        Assert.True(worker.HasSaid("stopped"));
        Assert.Equal(1, Db.Queue("q").ClaimOne("w")!.Attempts);
    }

    [Fact]
    public async Task A_library_that_is_nowhere_ends_the_host_and_lists_where_it_was_looked_for()
    {
        var how = new ProcessStartInfo("dotnet");
        how.Environment.Remove("HONKER_LIBRARY");
        using var worker = new Worker(how, "Host", FilePath);
        Assert.Equal(1, await worker.EndAsync());
        Assert.True(worker.HasSaid("libhonker was not found; name it with OpenOptions.LibraryPath or HONKER_LIBRARY. Tried:"));
        Assert.True(worker.HasSaid($"{Path.DirectorySeparatorChar}libhonker.so: there is no such file"));
        Assert.True(worker.HasSaid($"{Path.Combine("native", "libhonker.so")}: there is no such file"));
        Assert.True(worker.HasSaid("libhonker.so: cannot open shared object file") || worker.HasSaid("Unable to load"));
    }

    [Fact]
    public async Task The_jobs_of_a_killed_worker_are_anybodys()
    {
        Db.Queue("emails").Enqueue(new Email("hang")); // what the example sends takes no time, unless it is told to hang
        using var worker = new Worker("Tour", "worker", FilePath);
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
