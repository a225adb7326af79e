using System;
using System.Collections.Generic;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Honker.Extensions.Hosting;

/// <summary>What the host's worker is to handle.</summary>
internal sealed class HonkerWorkers
{
    private readonly List<Action<HonkerWorker, IServiceProvider>> handlers = [];

    internal List<ScheduledTask> Schedules { get; } = [];

    internal JsonSerializerOptions? Json { get; set; }

    internal EnqueueHook? OnEnqueue { get; set; }

    internal JobMiddleware? Around { get; set; }

    internal Action<Exception, Job>? OnError { get; set; }

    internal bool IsEmpty => handlers.Count == 0;

    internal void Add(Action<HonkerWorker, IServiceProvider> handler) => handlers.Add(handler);

    internal HonkerWorker Make(Database database, WorkerOptions options, IServiceProvider services)
    {
        var worker = database.Worker(options);
        foreach (var handler in handlers)
        {
            handler(worker, services);
        }
        return worker;
    }
}

/// <summary>The host's worker: runs until the host stops, which its handlers are told of.</summary>
internal sealed class HonkerWorkerService(HonkerWorkers workers, IServiceProvider services, IOptions<HonkerOptions> options,
    ILogger<HonkerWorkerService> log) : BackgroundService
{
    /// <summary>Why it ended, if it was not told to.</summary>
    internal Exception? Failure { get; private set; }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var given = options.Value;
        var runsSchedules = given.RunSchedules || workers.Schedules.Count > 0;
        if (workers.IsEmpty && !runsSchedules)
        {
            return;
        }
        try
        {
            if (await OpenedAsync(stoppingToken).ConfigureAwait(false) is not { } database)
            {
                return;
            }
            if (workers.IsEmpty)
            {
                foreach (var schedule in workers.Schedules)
                {
                    database.Scheduler.Add(schedule);
                }
                await database.Scheduler.RunAsync(null, stoppingToken).ConfigureAwait(false);
                return;
            }
            await workers.Make(database, new WorkerOptions
            {
                Concurrency = given.Concurrency,
                VisibilityTimeoutSeconds = given.VisibilityTimeoutSeconds,
                MaxRunSeconds = given.MaxRunSeconds,
                StopTimeout = given.StopTimeout,
                HandleSignals = false, // the host's
                Schedules = workers.Schedules,
                RunSchedules = runsSchedules,
                Around = workers.Around,
                OnError = workers.OnError,
            }, services).RunAsync(stoppingToken).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            Failure = e;
            Environment.ExitCode = 1; // the host itself would end with 0, as if nothing were left
            throw;
        }
    }

    /// <summary>The database; null if the host stops before it can be opened.</summary>
    private async Task<Database?> OpenedAsync(CancellationToken stop)
    {
        await Task.Yield(); // the host starts meanwhile
        var pause = TimeSpan.FromSeconds(0.1);
        for (var isFirst = true; !stop.IsCancellationRequested; isFirst = false)
        {
            try
            {
                return services.GetRequiredService<Database>();
            }
            catch (HonkerException e) when (e.IsTransient)
            {
                if (isFirst)
                {
                    log.LogWarning("{Path} cannot be opened yet: {Message}", Database.NameOf(options.Value.Path), e.Message);
                }
                await Task.Delay(pause, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                pause = pause * 2 < TimeSpan.FromSeconds(10) ? pause * 2 : TimeSpan.FromSeconds(10);
            }
        }
        return null;
    }
}

/// <summary>See <see cref="HonkerBuilder.AddHealthCheck(string, string[])"/>.</summary>
internal sealed class HonkerHealthCheck(IServiceProvider services) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(context);
        try
        {
            // Here, and not in the constructor: it cannot be had while the file cannot be opened.
            var database = services.GetRequiredService<Database>();
            var worker = services.GetRequiredService<HonkerWorkerService>();
            database.Query($"SELECT 1 FROM {(database.IsOnServer ? "honker." : "")}_honker_live LIMIT 1");
            var status = database.Status();
            return Task.FromResult(
                worker.Failure is { } failure ? HealthCheckResult.Unhealthy("the worker has ended", failure)
                : status.Watcher?.State == "died" ? HealthCheckResult.Unhealthy("the file was replaced")
                : status.Watcher is { State: not "watching" } or { Demoted: true } || status.Warnings.Count > 0
                    ? HealthCheckResult.Degraded(status.Warnings.Count > 0 ? status.Warnings[0].Text : $"watcher: {status.Watcher!.State}")
                : HealthCheckResult.Healthy());
        }
        catch (Exception e) when (e is HonkerException or ObjectDisposedException)
        {
            return Task.FromResult(new HealthCheckResult(context.Registration.FailureStatus, "the file cannot be read", e));
        }
    }
}
