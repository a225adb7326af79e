using System.IO;
using System.Net;
using System.Net.Http.Json;
using Honker.Extensions.Hosting;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Honker.Tests;

public sealed class HostingTests : WithDatabase
{
    private sealed class Scope
    {
        internal Guid Id { get; } = Guid.NewGuid();
    }

    private sealed class Seen
    {
        internal ConcurrentQueue<(string To, Guid Scope)> All { get; } = new();
    }

    private sealed class SendEmail(Seen seen, Scope scope) : IJobHandler<Email>
    {
        public async Task HandleAsync(Email payload, Job job, CancellationToken cancellationToken)
        {
            seen.All.Enqueue((payload.To, scope.Id));
            if (payload.To == "slow")
            {
                await Task.Delay(Timeout.Infinite, cancellationToken);
            }
        }
    }

    private HostApplicationBuilder Builder()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton<ILoggerFactory>(Log).AddSingleton<Seen>().AddScoped<Scope>();
        return builder;
    }

    [Fact]
    public async Task A_host_works_and_stops()
    {
        var builder = Builder();
        builder.Configuration.AddInMemoryCollection(new Dictionary<string, string?>
        {
            ["Honker:Path"] = FilePath,
            ["Honker:Concurrency"] = "3",
            ["Honker:StopTimeout"] = "00:00:00.05",
        });
        builder.Services.AddHonker(builder.Configuration.GetSection("Honker")).AddWorker<Email, SendEmail>("emails").AddHealthCheck()
            .AddSchedule(new ScheduledTask("tick", "emails", new Email("scheduled"), Schedule: "@every 1s"));
        using var host = builder.Build();
        await host.StartAsync();
        Assert.Equal(3, host.Services.GetRequiredService<IOptions<HonkerOptions>>().Value.Concurrency);
        var q = host.Services.GetRequiredService<Database>().Queue("emails");
        q.EnqueueMany([new Email("a"), new Email("b")]);
        q.Enqueue("no e-mail");
        var seen = host.Services.GetRequiredService<Seen>().All;
        await Until(() => seen.Any(one => one.To == "scheduled") && seen.Count >= 3);
        var some = seen.ToArray(); // the schedule goes on
        Assert.Equal(some.Length, some.Select(one => one.Scope).Distinct().Count());
        await Until(() => q.Dead().Count == 1);
        Assert.Equal(HealthStatus.Healthy, (await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync()).Status);
        q.Enqueue(new Email("slow"));
        await Until(() => seen.Any(one => one.To == "slow"));
        await host.StopAsync();
        Assert.Equal(1, Log.Count("1 released, 0 running"));
        host.Dispose();
        Assert.Throws<ObjectDisposedException>(() => q.Enqueue(1));
        Assert.Equal("slow", Db.Jobs(new JobFilter { States = ["due"] }).All().Select(job => Db.Read<Email>(job.PayloadRaw)!.To)
            .Single(to => to == "slow"));
    }

    [Fact]
    public async Task A_host_waits_for_its_file()
    {
        var builder = Builder();
        var folder = Path.Combine(Folder, "later");
        builder.Services.AddHonker(Path.Combine(folder, "app.db")).AddWorker<Email, SendEmail>("emails").AddHealthCheck();
        using var host = builder.Build();
        await host.StartAsync();
        await Until(() => Log.Count("cannot be opened yet") == 1);
        var health = host.Services.GetRequiredService<HealthCheckService>();
        var none = (await health.CheckHealthAsync()).Entries["honker"];
        Assert.Equal((HealthStatus.Unhealthy, "the file cannot be read"), (none.Status, none.Description));
        Directory.CreateDirectory(folder);
        await Until(() => File.Exists(Path.Combine(folder, "app.db")));
        host.Services.GetRequiredService<Database>().Queue("emails").Enqueue(new Email("a"));
        await Until(() => !host.Services.GetRequiredService<Seen>().All.IsEmpty);
        Assert.Equal(HealthStatus.Healthy, (await health.CheckHealthAsync()).Status);
        await host.StopAsync();
    }

    [Fact]
    public async Task Options_that_cannot_be_stop_the_start()
    {
        var builder = Builder();
        builder.Services.AddHonker("", options => options.Concurrency = 0).AddWorker<Email, SendEmail>("emails");
        using var host = builder.Build();
        await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync());
        Assert.Throws<InvalidOperationException>(() => builder.Services.AddHonker("x.db"));
    }

    [Fact]
    public async Task The_example_of_the_web_works()
    {
        await using var application = new WebApplicationFactory<Program>()
            .WithWebHostBuilder(host => host.UseSetting("Honker:Path", FilePath));
        using var client = application.CreateClient();
        var accepted = await client.PostAsJsonAsync("/emails", new { to = "alice@example.com" });
        Assert.Equal(HttpStatusCode.Accepted, accepted.StatusCode);
        Assert.Equal("\"sent to alice@example.com\"", await client.GetStringAsync(accepted.Headers.Location!));
        Assert.Equal("Healthy", await client.GetStringAsync("/health"));
    }
}
