using System.IO;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.Loader;

namespace Honker.Tests;

public sealed class BadInputTests : WithDatabase
{
    /// <summary>The package in a context of its own: its statics, and its libhonker, are its own.</summary>
    private static AssemblyLoadContext Another() => new("another", true);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private WeakReference UseAndUnload()
    {
        var context = Another();
        var type = context.LoadFromAssemblyPath(typeof(Database).Assembly.Location).GetType("Honker.Database")!;
        Assert.NotSame(typeof(Database), type);
        using (var db = (IDisposable)type.GetMethod("Open")!.Invoke(null, [FilePath, null])!)
        {
            var queue = type.GetMethod("Queue")!.Invoke(db, ["q", null])!;
            var enqueue = queue.GetType().GetMethods().Single(method => method.Name == "Enqueue" && method.GetParameters().Length == 3);
            Assert.Equal(1L, enqueue.MakeGenericMethod(typeof(string)).Invoke(queue, ["from another", null, null]));
            using var listener = (IDisposable)type.GetMethod("Listen")!.Invoke(db, ["c"])!; // its thread runs
        }
        context.Unload();
        return new WeakReference(context);
    }

    [Fact]
    public async Task Another_context_works_and_unloads()
    {
        var context = UseAndUnload();
        Assert.Equal("from another", Db.Queue("q").ClaimOne("w")!.Payload.GetString());
        await Until(() =>
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return !context.IsAlive;
        }, "unloaded");
    }

    [Fact]
    public void A_library_that_is_missing_lists_what_was_tried()
    {
        var context = Another();
        var open = context.LoadFromAssemblyPath(typeof(Database).Assembly.Location).GetType("Honker.Database")!.GetMethod("Open")!;
        var options = context.Assemblies.Single().GetType("Honker.OpenOptions")!;
        var named = Activator.CreateInstance(options)!;
        options.GetProperty("LibraryPath")!.SetValue(named, "/nowhere/libhonker.so");
        var missing = Assert.Throws<TargetInvocationException>(() => open.Invoke(null, [FilePath, named])).InnerException!;
        Assert.IsAssignableFrom<InvalidOperationException>(missing);
        Assert.Contains("/nowhere/libhonker.so: there is no such file", missing.Message, StringComparison.Ordinal);
        var path = Path.Combine(Folder, "text.so");
        File.WriteAllText(path, "no library");
        options.GetProperty("LibraryPath")!.SetValue(named, path);
        Assert.Contains(path, Assert.Throws<TargetInvocationException>(() => open.Invoke(null, [FilePath, named])).InnerException!.Message,
            StringComparison.Ordinal);
        context.Unload();
    }

    [Fact]
    public void Arguments_that_cannot_be_are_named()
    {
        Assert.Throws<ArgumentException>(() => Database.Open(":memory:"));
        Assert.Throws<ArgumentException>(() => Open(new OpenOptions { UpdatePollInterval = TimeSpan.Zero }));
        Assert.Contains("unknown watcher backend", Assert.ThrowsAny<Exception>(() => Open(new OpenOptions { WatcherBackend = "KERNEL" })).Message,
            StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => Open(new OpenOptions { LibraryPath = "a", ExtensionPath = "b" }));
        Assert.Equal(HonkerStatus.CannotOpen, Assert.Throws<HonkerException>(() => Database.Open("/nowhere/app.db")).Status);
        File.WriteAllText(FilePath + "3", new string('x', 5000));
        Assert.Equal(HonkerStatus.Corrupt, Assert.Throws<HonkerException>(() => Database.Open(FilePath + "3")).Status);
        var q = Db.Queue("q");
        Assert.Throws<ArgumentNullException>(() => Db.Queue(null!));
        Assert.Throws<ArgumentException>(() => Db.Queue("a\0b").Enqueue(1));
        Assert.Throws<ArgumentException>(() => Db.Queue("\ud800"));
        Assert.Throws<ArgumentException>(() => q.Enqueue(new RawJson("\ud800")));
        Assert.Throws<ArgumentException>(() => q.Enqueue(new RawJson("a\0b")));
        Assert.Throws<ArgumentOutOfRangeException>(() => Db.Queue("q", new QueueOptions(MaxAttempts: 0)));
        Assert.Throws<ArgumentException>(() => q.Enqueue(1, new EnqueueOptions { Metadata = new Dictionary<string, string> { ["a"] = new('x', 9000) } }));
        Assert.Throws<ArgumentException>(() => Db.Execute("COMMIT"));
        Assert.Throws<ArgumentException>(() => Db.Query("SELECT @p0"));
        Assert.Throws<ArgumentException>(() => Db.Query("SELECT @p0", new object()));
        Assert.Equal(HonkerStatus.Sql, Assert.Throws<HonkerException>(() => Db.Query("SELEC 1")).Status);
        Assert.Equal((HonkerStatus.Readonly, false), Assert.Throws<HonkerException>(() => Db.Query("DELETE FROM _honker_live")) is var e
            ? (e.Status, !e.IsTransient) : default);
        Assert.Empty(q.ClaimBatch("w", 0));
        Assert.Empty(q.ClaimBatch("w", -1));
        Assert.Equal(0, Db.Query("SELECT count(*) FROM _honker_live")[0].Get<int>(0));
    }

    [Fact]
    public void Ten_megabytes_are_a_payload()
    {
        var text = new string('x', 10_000_000);
        Db.Queue("q").Enqueue(text);
        Assert.Equal(text, Db.Queue("q").ClaimOne("w")!.Payload.GetString());
    }

    [Fact]
    public void A_lock_is_busy_after_its_time()
    {
        using var other = Open(new OpenOptions { BusyTimeout = TimeSpan.FromMilliseconds(10) });
        using var tx = Db.BeginTransaction();
        var busy = Assert.Throws<HonkerBusyException>(() => other.Queue("q").Enqueue(1));
        Assert.True(busy.IsTransient);
        Assert.Equal(HonkerStatus.Busy, busy.Status);
    }

    [Theory]
    [InlineData("SELECT @p1, @p0", "SELECT ?2, ?1")]
    [InlineData("SELECT '@p0', \"@p0\", [@p0], `@p0` -- @p0\n/* @p0 */ @p0", "SELECT '@p0', \"@p0\", [@p0], `@p0` -- @p0\n/* @p0 */ ?1")]
    [InlineData("SELECT 'it''s @p0', @p0x, @p, @p12", "SELECT 'it''s @p0', @p0x, @p, ?13")]
    [InlineData("SELECT 'open @p0", "SELECT 'open @p0")]
    public void Parameters_are_found(string sql, string numbered) => Assert.Equal(numbered, Sql.Numbered(sql));
}
