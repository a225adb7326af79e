// Workers of a file in a process of their own, for the tests. Handlers end when they are told to, or, if they are stuck, never.
//   Host <file>          a host that ends after its stop timeout
//   Host <file> patient  a worker that waits for its handlers for ever, unless it has a second signal
using System;
using System.Threading;
using System.Threading.Tasks;
using Honker;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

JobHandler handler = async (job, cancel) =>
{
    var payload = job.GetPayload<string>();
    Console.WriteLine($"began {payload}");
    await Task.Delay(Timeout.Infinite, payload == "stuck" ? CancellationToken.None : cancel);
};
if (args is [var path, "patient"])
{
    try
    {
        await new HonkerWorker(path, new WorkerOptions { StopTimeout = Timeout.InfiniteTimeSpan }).Handle("q", handler).RunAsync();
    }
    catch (HonkerUnfinishedException)
    {
        // A second signal waits for nobody: the handler was told, and may be about to return.
    }
    Console.WriteLine("stopped");
    return;
}
var builder = Host.CreateApplicationBuilder();
builder.Services.AddHonker(args[0], honker => honker.StopTimeout = TimeSpan.FromSeconds(0.1)).AddWorker("q", _ => handler);
await builder.Build().RunAsync();
