using System;
using System.Threading;
using System.Threading.Tasks;
using Honker;

namespace Honker.Examples;

internal static class Workers
{
    internal static async Task RunAsync(string file)
    {
        using (var db = Database.Open(file, Program.Options))
        {
            var emails = db.Queue("emails", new QueueOptions(MaxAttempts: 10));
            emails.Enqueue(new Email("alice"));
        }

        var worker = new HonkerWorker(file, new WorkerOptions { Concurrency = 8 }, Program.Options)
            .Handle<Email>("emails", (email, job, cancel) => SendAsync(email, cancel));
        await worker.RunAsync(); // until SIGTERM or Ctrl-C
        Console.WriteLine("stopped");
    }

    internal static Task SendAsync(Email email, CancellationToken cancel)
    {
        Console.WriteLine($"to {email.To}");
        return email.To == "hang" ? Task.Delay(Timeout.Infinite, cancel) : Task.CompletedTask;
    }
}
