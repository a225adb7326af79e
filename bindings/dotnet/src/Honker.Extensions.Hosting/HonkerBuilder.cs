using System;
using System.Diagnostics.CodeAnalysis;
using System.Linq;
using System.Text.Json;
using Honker;
using Honker.Extensions.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds honker to the services of a host.</summary>
public static class HonkerServiceCollectionExtensions
{
    /// <summary>
    /// Adds the <see cref="Database"/> of a file, which is opened when it is first needed and closed with the host, and a worker for
    /// the queues that <see cref="HonkerBuilder.AddWorker{TJob, THandler}"/> names.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="path">The file.</param>
    /// <param name="configure">How it is opened and worked on.</param>
    /// <returns>The builder, for further calls.</returns>
    public static HonkerBuilder AddHonker(this IServiceCollection services, string path, Action<HonkerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(path);
        return services.Add(options =>
        {
            options.Path = path;
            configure?.Invoke(options);
        });
    }

    /// <summary>The same with a section of the configuration: Path, Concurrency, StopTimeout, …</summary>
    /// <param name="services">The services.</param>
    /// <param name="section">The section.</param>
    /// <param name="configure">What it does not say.</param>
    /// <returns>The builder, for further calls.</returns>
    public static HonkerBuilder AddHonker(this IServiceCollection services, IConfiguration section,
        Action<HonkerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(section);
        return services.Add(options =>
        {
            options.Path = section["Path"] ?? options.Path;
            section.Bind(options);
            configure?.Invoke(options);
        });
    }

    private static HonkerBuilder Add(this IServiceCollection services, Action<HonkerOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        if (services.Any(service => service.ServiceType == typeof(HonkerWorkers)))
        {
            throw new InvalidOperationException("AddHonker was called before: a host has one database");
        }
        services.AddOptions<HonkerOptions>().Configure(configure).ValidateOnStart();
        services.AddSingleton<IValidateOptions<HonkerOptions>, HonkerOptionsValidator>();
        var workers = new HonkerWorkers();
        services.AddSingleton(workers);
        services.AddSingleton(provider => Open(provider, workers));
        services.AddSingleton<HonkerWorkerService>();
        services.AddHostedService(provider => provider.GetRequiredService<HonkerWorkerService>());
        return new HonkerBuilder(services, workers);
    }

    private static Database Open(IServiceProvider services, HonkerWorkers workers)
    {
        var options = services.GetRequiredService<IOptions<HonkerOptions>>().Value;
        return Database.Open(options.Path, new OpenOptions
        {
            LibraryPath = options.LibraryPath,
            WatcherBackend = options.WatcherBackend,
            BusyTimeout = options.BusyTimeout,
            MaxReaders = options.MaxReaders,
            Durability = options.Durability,
            JournalMode = options.JournalMode,
            JsonSerializerOptions = workers.Json,
            OnEnqueue = workers.OnEnqueue,
            LoggerFactory = services.GetService<ILoggerFactory>(),
        });
    }
}

/// <summary>Says what the host's worker handles (<see cref="HonkerServiceCollectionExtensions"/>).</summary>
public sealed class HonkerBuilder
{
    private readonly HonkerWorkers workers;

    internal HonkerBuilder(IServiceCollection services, HonkerWorkers workers)
    {
        Services = services;
        this.workers = workers;
    }

    /// <summary>The services.</summary>
    public IServiceCollection Services { get; }

    /// <summary>Handles the jobs of a queue, each with a handler from a scope of its own.</summary>
    /// <typeparam name="TJob">What their payloads are.</typeparam>
    /// <typeparam name="THandler">What handles them; a scoped service, unless it is one already.</typeparam>
    /// <param name="queue">The queue.</param>
    /// <param name="weight">How often it is asked first, compared with the others.</param>
    /// <param name="maxInHand">How many of its jobs the worker has in hand at most; null for as many as it handles at a time.</param>
    /// <returns>The builder, for further calls.</returns>
    public HonkerBuilder AddWorker<TJob, [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(
        string queue, long weight = 1, long? maxInHand = null) where THandler : class, IJobHandler<TJob>
    {
        Services.TryAddScoped<THandler>();
        workers.Add((worker, services) => worker.Handle<TJob>(queue, async (payload, job, cancel) =>
        {
            await using var scope = services.CreateAsyncScope();
            await scope.ServiceProvider.GetRequiredService<THandler>().HandleAsync(payload, job, cancel).ConfigureAwait(false);
        }, weight, maxInHand));
        return this;
    }

    /// <summary>Handles the jobs of a queue.</summary>
    /// <param name="queue">The queue.</param>
    /// <param name="handler">What handles them; with the services of a scope for each job.</param>
    /// <param name="weight">How often it is asked first, compared with the others.</param>
    /// <param name="maxInHand">How many of its jobs the worker has in hand at most; null for as many as it handles at a time.</param>
    /// <returns>The builder, for further calls.</returns>
    public HonkerBuilder AddWorker(string queue, Func<IServiceProvider, JobHandler> handler, long weight = 1, long? maxInHand = null)
    {
        ArgumentNullException.ThrowIfNull(handler);
        workers.Add((worker, services) => worker.Handle(queue, async (job, cancel) =>
        {
            await using var scope = services.CreateAsyncScope();
            await handler(scope.ServiceProvider)(job, cancel).ConfigureAwait(false);
        }, weight, maxInHand));
        return this;
    }

    /// <summary>How payloads and results become JSON: see <see cref="OpenOptions.JsonSerializerOptions"/>.</summary>
    /// <param name="options">The serializer options.</param>
    /// <returns>The builder, for further calls.</returns>
    public HonkerBuilder UseJson(JsonSerializerOptions options)
    {
        workers.Json = options;
        return this;
    }

    /// <summary>Is called around each enqueue: see <see cref="OpenOptions.OnEnqueue"/>.</summary>
    /// <param name="hook">The hook.</param>
    /// <returns>The builder, for further calls.</returns>
    public HonkerBuilder OnEnqueue(EnqueueHook hook)
    {
        workers.OnEnqueue = hook;
        return this;
    }

    /// <summary>Is called around each job: see <see cref="WorkerOptions.Around"/>.</summary>
    /// <param name="middleware">What is called.</param>
    /// <returns>The builder, for further calls.</returns>
    public HonkerBuilder Around(JobMiddleware middleware)
    {
        workers.Around = middleware;
        return this;
    }

    /// <summary>Is told of each failure: see <see cref="WorkerOptions.OnError"/>.</summary>
    /// <param name="reporter">What is told.</param>
    /// <returns>The builder, for further calls.</returns>
    public HonkerBuilder OnError(Action<Exception, Job> reporter)
    {
        workers.OnError = reporter;
        return this;
    }

    /// <summary>Adds a schedule when the host starts, and fires it.</summary>
    /// <param name="schedule">The schedule.</param>
    /// <returns>The builder, for further calls.</returns>
    public HonkerBuilder AddSchedule(ScheduledTask schedule)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        workers.Schedules.Add(schedule);
        return this;
    }

    /// <summary>
    /// Adds a health check: unhealthy if the file cannot be read or the worker has ended, degraded if commits are noticed in a worse
    /// way than they should be, or schedules cannot be fired.
    /// </summary>
    /// <param name="name">Its name.</param>
    /// <param name="tags">Its tags.</param>
    /// <returns>The builder, for further calls.</returns>
    public HonkerBuilder AddHealthCheck(string name = "honker", params string[] tags)
    {
        Services.AddHealthChecks().Add(new HealthCheckRegistration(name,
            services => new HonkerHealthCheck(services), null, tags));
        return this;
    }
}
