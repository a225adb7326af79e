using Honker.Native;

namespace Honker;

/// <summary>What becomes of a job whose handler has ended.</summary>
internal sealed record Verdict(Job Job, int Kind, long DelayS, string? Error)
{
    /// <summary>What the library has said of it; negative while it is not committed.</summary>
    internal HonkerStatus Status { get; set; } = HonkerStatus.Busy;

    internal bool IsByBackoff => DelayS == Abi.NoTime;

    internal bool IsDead => Kind == Abi.SettleFail || (Kind == Abi.SettleRetry && Job.IsLastAttempt);

    /// <summary>A transaction of the user's own connection has settled it, or takes that back: then it lapses.</summary>
    internal bool IsLeft => Kind == Abi.SettleAck && Job.IsAckedElsewhere;

    /// <summary>As the log and the metrics name it.</summary>
    internal string Outcome => IsDead ? "dead" : Kind switch
    {
        Abi.SettleAck => "done",
        Abi.SettleSnooze => "snoozed",
        Abi.SettleRelease => "released",
        _ => "retried",
    };

    /// <summary>Of what the handler threw; null if it returned.</summary>
    internal static Verdict Of(Job job, Exception? error) => error switch
    {
        null => new Verdict(job, Abi.SettleAck, 0, null),
        DiscardException discard => new Verdict(job, Abi.SettleFail, 0, discard.Message),
        // Also if the handler threw something else for it, or beside it.
        _ when job.UnsavedStep is { } why => new Verdict(job, Abi.SettleFail, 0, why),
        SnoozeException snooze => new Verdict(job, Abi.SettleSnooze, Delay(snooze.Delay), null),
        RetryException retry => new Verdict(job, Abi.SettleRetry, Delay(retry.Delay), Text(retry)),
        OperationCanceledException when job.CancellationToken.IsCancellationRequested => Released(job),
        _ => new Verdict(job, Abi.SettleRetry, Abi.NoTime, Text(error)),
    };

    /// <summary>Given back, unless another attempt would run a step again that has run.</summary>
    internal static Verdict Released(Job job) => job.UnsavedStep is { } why
        ? new Verdict(job, Abi.SettleFail, 0, why)
        : new Verdict(job, Abi.SettleRelease, 0, null);

    /// <summary>Without a worker.</summary>
    internal void Apply(QueueRetry retry)
    {
        _ = Kind switch
        {
            Abi.SettleAck => IsLeft || Job.Ack(),
            Abi.SettleFail => Job.Fail(Error ?? ""),
            Abi.SettleRetry => Job.Retry(IsByBackoff ? Backoff(retry) : DelayS, Error ?? ""),
            _ => Job.Snooze(DelayS),
        };
    }

    /// <summary>In how many seconds it is tried again, without the jitter.</summary>
    internal long Backoff(QueueRetry retry)
    {
        retry = Job.Database.Queue(Job.QueueName).Settings().Retry ?? retry;
        return (long)Math.Min(retry.BaseS * Math.Pow(retry.Factor, Job.Attempts - 1), retry.MaxS);
    }

    // What the user gives may be anything; with the present time it has to fit.
    private static long Delay(TimeSpan delay) => Math.Clamp(Numbers.Seconds(delay), -(1L << 40), 1L << 40);

    private static string Text(Exception error) => error is RetryException && error.InnerException is null
        ? error.Message
        : $"{(error is RetryException ? error.InnerException! : error).GetType().FullName}: {Errors.MessageOf(error)}";
}
