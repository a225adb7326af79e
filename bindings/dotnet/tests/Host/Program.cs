// A host with a worker of a file, for the tests: Host <file>. Its handlers end when they are told to, or, if they are stuck, never.
using System;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

var builder = Host.CreateApplicationBuilder();
builder.Services.AddHonker(args[0], honker => honker.StopTimeout = TimeSpan.FromSeconds(0.1)).AddWorker("q", _ => async (job, cancel) =>
{
    var payload = job.GetPayload<string>();
    Console.WriteLine($"began {payload}");
    await Task.Delay(Timeout.Infinite, payload == "stuck" ? CancellationToken.None : cancel);
});
await builder.Build().RunAsync();
