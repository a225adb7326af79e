using Honker.Native;

namespace Honker;

/// <summary>A lock that was taken (<see cref="Database.TryLock"/>). Disposing of it releases it.</summary>
public sealed class LockHandle : IDisposable, IAsyncDisposable
{
    private readonly Database database;

    internal LockHandle(Database database, string name, string owner)
    {
        this.database = database;
        Name = name;
        Owner = owner;
    }

    /// <summary>The lock.</summary>
    public string Name { get; }

    /// <summary>Who has it.</summary>
    public string Owner { get; }

    /// <summary>Whether it is held, as far as is known here.</summary>
    public bool Acquired { get; private set; } = true;

    /// <summary>Prolongs it.</summary>
    /// <param name="ttlSeconds">To so many seconds from now.</param>
    /// <returns>Whether it was; false if somebody else has it now.</returns>
    public bool Heartbeat(long ttlSeconds = 60)
    {
        Numbers.Positive(ttlSeconds, nameof(ttlSeconds));
        var (name, owner) = (Utf8.Of(Name, "name"), Utf8.Of(Owner, "owner"));
        return Acquired = database.Done(NativeMethods.LockRenew(database.Handle, database.Within(null), name, (nuint)name.Length,
            owner, (nuint)owner.Length, ttlSeconds, out var error), error);
    }

    /// <summary>Gives it up.</summary>
    /// <returns>Whether it was held.</returns>
    public bool Release()
    {
        var (name, owner) = (Utf8.Of(Name, "name"), Utf8.Of(Owner, "owner"));
        var released = database.Done(NativeMethods.LockRelease(database.Handle, database.Within(null), name, (nuint)name.Length,
            owner, (nuint)owner.Length, out var error), error);
        Acquired = false;
        return released;
    }

    /// <summary>Gives it up if it is held.</summary>
    public void Dispose()
    {
        if (Acquired && !database.IsClosed)
        {
            Release();
        }
    }

    /// <summary>Gives it up if it is held.</summary>
    /// <returns>When that is done.</returns>
    public ValueTask DisposeAsync()
    {
        Dispose();
        return default;
    }
}
