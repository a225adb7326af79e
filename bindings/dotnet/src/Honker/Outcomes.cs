namespace Honker;

/// <summary>Thrown by a handler: try again after this time. Dead if it was the last attempt.</summary>
/// <param name="delay">How long; whole seconds, rounded up.</param>
/// <param name="message">The reason, kept with the job if it dies of it.</param>
/// <param name="innerException">What happened.</param>
public sealed class RetryException(TimeSpan delay, string? message = null, Exception? innerException = null)
    : Exception(message ?? (innerException is null ? "to be tried again" : Errors.MessageOf(innerException)), innerException)
{
    /// <summary>The delay before the next attempt.</summary>
    public TimeSpan Delay { get; } = delay;
}

/// <summary>Thrown by a handler: the job can never be done, and is dead at once.</summary>
/// <param name="message">The reason, kept with the dead job.</param>
/// <param name="innerException">What happened.</param>
public sealed class DiscardException(string message, Exception? innerException = null) : Exception(message, innerException);

/// <summary>Thrown by a handler: not yet. The job becomes due again, and this attempt does not count. It is no failure.</summary>
/// <param name="delay">How long; whole seconds, rounded up.</param>
public sealed class SnoozeException(TimeSpan delay) : Exception("not yet")
{
    /// <summary>The delay before the next attempt.</summary>
    public TimeSpan Delay { get; } = delay;
}
