// A web application whose requests enqueue e-mails and which sends them itself, with a scoped handler. `dotnet run`, then
//   curl -X POST localhost:5000/emails -H 'Content-Type: application/json' -d '{"to": "alice@example.com"}'
//   curl localhost:5000/emails/1
using System;
using System.Threading;
using System.Threading.Tasks;
using Honker;
using Honker.Extensions.Hosting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

var builder = WebApplication.CreateBuilder(args);
builder.Services.AddScoped<Mailer>();
builder.Services.AddHonker(builder.Configuration["Honker:Path"] ?? "app.db", honker => honker.Concurrency = 8)
    .AddWorker<Email, SendEmail>("emails")
    .AddSchedule(new ScheduledTask("digest", "emails", new Email("everybody@example.com"), Cron: "0 7 * * *"))
    .AddHealthCheck();

var app = builder.Build();
app.MapHealthChecks("/health");
app.MapPost("/emails", (Email email, Database db) =>
{
    var id = db.Queue("emails", new QueueOptions(MaxAttempts: 10)).Enqueue(email);
    return Results.Accepted($"/emails/{id}", new { id });
});
app.MapGet("/emails/{id:long}", async (long id, Database db, CancellationToken cancel) =>
{
    try
    {
        return Results.Ok(await db.Queue("emails").WaitResult<string>(id, TimeSpan.FromSeconds(30), cancel));
    }
    catch (TimeoutException)
    {
        return Results.NoContent();
    }
});
await app.RunAsync();

/// <summary>What is in the queue.</summary>
public sealed record Email(string To);

/// <summary>Sends it; the worker makes one for each job.</summary>
public sealed class SendEmail(Mailer mailer) : IJobHandler<Email>
{
    public async Task HandleAsync(Email payload, Job job, CancellationToken cancellationToken)
    {
        await mailer.SendAsync(payload.To, cancellationToken);
        job.SaveResult($"sent to {payload.To}", 3600);
    }
}

/// <summary>Stands for a client of a mail server.</summary>
public sealed class Mailer(ILogger<Mailer> log)
{
    public Task SendAsync(string to, CancellationToken cancel)
    {
        log.LogInformation("to {To}", to);
        return Task.CompletedTask;
    }
}
