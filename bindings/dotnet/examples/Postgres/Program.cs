// Jobs on a Postgres server: a worker on its URL, and a job that Npgsql enqueues in the transaction of an order.
using System;
using System.Threading;
using System.Threading.Tasks;
using Honker;
using Npgsql;

namespace Honker.Examples;

internal sealed record Email(string To);

internal static class Program
{
    private static async Task Main(string[] arguments)
    {
        var (url, connectionString) = (arguments[0], arguments[1]);
        using var stop = new CancellationTokenSource();
        var sent = new TaskCompletionSource<string>();
        var working = WorkAsync(url, sent, stop.Token);
        await OrderAsync(connectionString);
        Console.WriteLine($"to {await sent.Task}");
        await stop.CancelAsync();
        await working;
    }

    private static async Task WorkAsync(string url, TaskCompletionSource<string> sent, CancellationToken stop)
    {
        using var db = Database.Open(url); // "postgres://app@db.example.com/app"
        var worker = db.Worker(new WorkerOptions { Concurrency = 8 })
            .Handle<Email>("emails", (email, job, cancel) => SendAsync(email, sent));
        await worker.RunAsync(stop);
    }

    private static Task SendAsync(Email email, TaskCompletionSource<string> sent)
    {
        sent.SetResult(email.To);
        return Task.CompletedTask;
    }

    private static async Task OrderAsync(string connectionString)
    {
        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync();
        await using var setup = new NpgsqlCommand("CREATE TEMPORARY TABLE orders (id int, total int)", connection);
        await setup.ExecuteNonQueryAsync();

        await using var transaction = await connection.BeginTransactionAsync();
        await using var insert = new NpgsqlCommand("INSERT INTO orders (id, total) VALUES (42, 99)", connection, transaction);
        await insert.ExecuteNonQueryAsync();
        await transaction.EnqueueJobAsync("emails", new Email("alice"), new EnqueueOptions { UniqueKey = "order 42" });
        await transaction.CommitAsync();
    }
}
