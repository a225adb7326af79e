using Microsoft.Extensions.Logging;

namespace Honker;

/// <summary>
/// Errors that pass by themselves, as a loop meets them: said once, waited out with growing pauses, and said once more when they
/// are over.
/// </summary>
internal sealed class Trouble(ILogger log, string who)
{
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(0.1);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    private Exception? error;
    private TimeSpan pause;

    /// <summary>How long to wait after this one.</summary>
    internal TimeSpan Met(Exception met)
    {
        if (error?.GetType() != met.GetType() || (error as HonkerException)?.Status != (met as HonkerException)?.Status)
        {
            log.LogWarning("{Who} waits and tries again: {Message} ({Error})", who, met.Message,
                (met as HonkerException)?.Status.ToString() ?? met.GetType().Name);
        }
        pause = error is null ? Shortest : pause * 2 > Longest ? Longest : pause * 2;
        error = met;
        return pause;
    }

    internal void Over()
    {
        if (error is not null)
        {
            error = null;
            log.LogInformation("{Who} works again", who);
        }
    }

    /// <summary>Waits; less if it is cancelled, which is no error.</summary>
    internal static async Task PauseAsync(TimeSpan time, CancellationToken cancel) =>
        await Task.Delay(time, cancel).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
}
