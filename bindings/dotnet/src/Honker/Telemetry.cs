using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Globalization;

namespace Honker;

/// <summary>
/// What this process does, for OpenTelemetry and whatever else listens: <c>AddSource(HonkerTelemetry.Name)</c> and
/// <c>AddMeter(HonkerTelemetry.Name)</c>. Names are those of the semantic conventions for messaging. The trace context travels in
/// the job's metadata (traceparent, tracestate), so that a job's span is the child of the one that enqueued it, in whichever
/// process it runs.
/// </summary>
/// <remarks>
/// Metrics: messaging.client.sent.messages (jobs enqueued), messaging.client.consumed.messages (jobs handled, by honker.job.outcome),
/// messaging.process.duration (seconds in handlers) and honker.job.wait (seconds from due to claimed, of first attempts).
/// </remarks>
public static class HonkerTelemetry
{
    /// <summary>The name of the ActivitySource and of the Meter.</summary>
    public const string Name = "Honker";

    private const string DueAt = "honker.due_at_ms";

    private static readonly ActivitySource Source = new(Name);
    private static readonly Meter Meter = new(Name);
    private static readonly Counter<long> Sent = Meter.CreateCounter<long>("messaging.client.sent.messages", "{message}");
    private static readonly Counter<long> Consumed = Meter.CreateCounter<long>("messaging.client.consumed.messages", "{message}");
    private static readonly Histogram<double> Duration = Seconds("messaging.process.duration");
    private static readonly Histogram<double> Wait = Seconds("honker.job.wait");

    internal static bool IsTracing => Source.HasListeners();

    internal static void CountSent(string queue, long count)
    {
        if (Sent.Enabled)
        {
            Sent.Add(count, new("messaging.system", "honker"), new("messaging.destination.name", queue));
        }
    }

    /// <summary>Begins the span of an enqueue, and puts its context into the job's metadata.</summary>
    internal static Activity? Send(JobSpec job)
    {
        var activity = Source.StartActivity($"send {job.Queue}", ActivityKind.Producer, default(ActivityContext), Tags(job.Queue, "send"));
        if (activity is null)
        {
            return null;
        }
        job.AddMetadata(DueAt, DueAtMs(job.Options).ToString(CultureInfo.InvariantCulture));
        DistributedContextPropagator.Current.Inject(activity, job, static (carrier, key, value) =>
        {
            if (value.Length > 0)
            {
                ((JobSpec)carrier!).AddMetadata(key, value);
            }
        });
        return activity;
    }

    /// <summary>Begins the span of a handler.</summary>
    internal static Activity? Process(Job job)
    {
        var wait = WaitOf(job);
        if (wait is not null)
        {
            Wait.Record(wait.Value, new KeyValuePair<string, object?>("messaging.destination.name", job.QueueName));
        }
        if (!IsTracing)
        {
            return null;
        }
        string? state = null;
        if (job.Metadata.TryGetValue("traceparent", out var parent))
        {
            job.Metadata.TryGetValue("tracestate", out state);
        }
        ActivityContext.TryParse(parent, state, true, out var context);
        var activity = Source.StartActivity($"process {job.QueueName}", ActivityKind.Consumer, context, Tags(job.QueueName, "process"));
        activity?.SetTag("messaging.message.id", job.Id.ToString(CultureInfo.InvariantCulture))
            .SetTag("messaging.client.id", job.WorkerId)
            .SetTag("honker.job.attempt", job.Attempts)
            .SetTag("honker.job.max_attempts", job.MaxAttempts);
        if (wait is not null)
        {
            activity?.SetTag("honker.job.wait_s", wait.Value);
        }
        return activity;
    }

    internal static void Handled(Job job, Activity? activity, Exception? error, TimeSpan took, string outcome)
    {
        if (Consumed.Enabled)
        {
            Consumed.Add(1, new("messaging.system", "honker"), new("messaging.destination.name", job.QueueName),
                new("honker.job.outcome", outcome));
        }
        if (Duration.Enabled)
        {
            var tags = new TagList { { "messaging.system", "honker" }, { "messaging.destination.name", job.QueueName } };
            if (error is not null)
            {
                tags.Add("error.type", error.GetType().FullName);
            }
            Duration.Record(took.TotalSeconds, tags);
        }
        if (activity is null)
        {
            return;
        }
        activity.SetTag("honker.job.outcome", outcome);
        if (error is not null and not SnoozeException)
        {
            activity.SetStatus(ActivityStatusCode.Error, Errors.MessageOf(error));
            activity.SetTag("error.type", error.GetType().FullName);
            activity.AddEvent(new ActivityEvent("exception", tags: new ActivityTagsCollection
            {
                ["exception.type"] = error.GetType().FullName,
                ["exception.message"] = Errors.MessageOf(error),
                ["exception.stacktrace"] = Errors.Describe(error),
            }));
        }
    }

    // The boundaries that are used without advice are for milliseconds.
    private static Histogram<double> Seconds(string name) =>
#if NET9_0_OR_GREATER
        Meter.CreateHistogram(name, "s", null, null, new InstrumentAdvice<double>
        {
            HistogramBucketBoundaries =
                [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 300, 900, 3600],
        });
#else
        Meter.CreateHistogram<double>(name, "s");
#endif

    private static KeyValuePair<string, object?>[] Tags(string queue, string operation) =>
    [
        new("messaging.system", "honker"), new("messaging.destination.name", queue), new("messaging.operation.type", operation),
    ];

    private static long DueAtMs(EnqueueOptions options)
    {
        var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        return options.DelaySeconds is { } delay ? now + unchecked(delay * 1000) : unchecked(options.RunAtUnix * 1000) ?? now;
    }

    private static double? WaitOf(Job job) =>
        job.Attempts == 1 && job.Metadata.TryGetValue(DueAt, out var text) &&
        long.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out var due)
            ? Math.Max(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() - due, 0) / 1000.0
            : null;
}
