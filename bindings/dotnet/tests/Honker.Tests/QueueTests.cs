using System.Text.Json;

namespace Honker.Tests;

public sealed record Email(string To, int Attempt = 0);

[System.Text.Json.Serialization.JsonDerivedType(typeof(Circle), "circle")]
public record Shape;

public sealed record Circle(int Radius) : Shape;

public sealed class QueueTests : WithDatabase
{
    [Fact]
    public void A_job_goes_its_way()
    {
        var q = Db.Queue("greetings");
        var id = q.Enqueue(new { name = "world" });
        var job = q.ClaimOne("w")!;
        Assert.Equal((id, 1, 3, "w", "greetings", "processing"),
            (job.Id, job.Attempts, job.MaxAttempts, job.WorkerId, job.QueueName, job.State));
        Assert.Equal("world", job.Payload.GetProperty("name").GetString());
        Assert.True(job.ClaimExpiresAt >= DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 200);
        Assert.Null(q.ClaimOne("w"));
        Assert.True(job.Heartbeat());
        Assert.True(job.Ack());
        Assert.False(job.Ack());
        Assert.False(job.Retry());
        Assert.False(job.Fail());
        Assert.False(job.Heartbeat());
        Assert.Null(q.GetJob(id));
    }

    [Fact]
    public void Options_are_the_jobs()
    {
        var q = Db.Queue("q", new QueueOptions(60, 7));
        q.Enqueue(1, new EnqueueOptions(Priority: 5, DelaySeconds: 100, ExpiresSeconds: 200)
        {
            Metadata = new Dictionary<string, string> { ["tenant"] = "acme" },
        });
        var row = q.GetJob(1)!;
        Assert.Equal((5, 7, row.CreatedAt + 100, row.CreatedAt + 200), (row.Priority, row.MaxAttempts, row.RunAt, row.ExpiresAt));
        Assert.Equal("acme", row.Metadata!["tenant"]);
        Assert.Equal(row.RunAt, q.NextClaimAt());
        Assert.Null(Db.Queue("other").NextClaimAt());
        q.Enqueue(2, new EnqueueOptions(RunAtUnix: 1, MaxAttempts: 1));
        var job = q.ClaimOne("w")!;
        Assert.Equal(1, job.MaxAttempts);
        Assert.Empty(job.Metadata);
        Assert.True(job.Retry(0, "why"));
        Assert.Equal("why", Assert.Single(q.Dead()).LastError);
    }

    [Fact]
    public void Payloads_are_what_they_were()
    {
        var q = Db.Queue("q");
        var email = new Email("käthe@例.com", 3);
        q.EnqueueMany<object?>([email, null, "text", 1.5, true, new[] { 1, 2 }, new RawJson("no json"), new RawJson("")]);
        var jobs = q.ClaimBatch("w", 100);
        Assert.Equal(email, jobs[0].GetPayload<Email>());
        Assert.Equal("""{"To":"käthe@例.com","Attempt":3}""", jobs[0].PayloadRaw);
        Assert.Equal(["null", "\"text\"", "1.5", "true", "[1,2]"], jobs.Skip(1).Take(5).Select(job => job.PayloadRaw));
        Assert.Equal("no json", jobs[6].Payload.GetString());
        Assert.Equal(JsonValueKind.Null, jobs[7].Payload.ValueKind);
        Assert.Equal("no json", jobs[6].GetPayload<RawJson>().Text);
        Assert.Throws<JsonException>(() => jobs[6].GetPayload<Email>());
        Assert.Equal(8, q.AckBatch(jobs.Select(job => job.Id), "w"));
    }

    [Fact]
    public void A_payload_is_what_it_was_declared_as()
    {
        var q = Db.Queue("q");
        q.Enqueue<Shape>(new Circle(1));
        q.EnqueueMany<Shape>([new Circle(2)]);
        q.Enqueue<object>(new Circle(3));
        Assert.Equal(["""{"$type":"circle","Radius":1}""", """{"$type":"circle","Radius":2}""", """{"Radius":3}"""],
            q.ClaimBatch("w", 9).Select(job => job.PayloadRaw));
    }

    [Fact]
    public void Queues_and_streams_are_the_same_object()
    {
        Assert.Same(Db.Queue("a"), Db.Queue("a"));
        Assert.NotSame(Db.Queue("a"), Db.Queue("a", new QueueOptions(10)));
        Assert.Same(Db.Queue("a", new QueueOptions(10)), Db.Queue("a", new QueueOptions(10)));
        Assert.Same(Db.Stream("s"), Db.Stream("s"));
    }

    [Fact]
    public void The_first_queue_makes_the_view_of_all_jobs_and_drops_what_old_versions_have_left()
    {
        Db.Execute("CREATE TABLE _honker_pending (id)");
        Db.Execute("CREATE INDEX _honker_pending_claim ON _honker_pending (id)");
        Db.Execute("CREATE TABLE _honker_processing (id)");
        Db.Execute("CREATE TABLE _honker_scheduler_state (name, last_fire_at)");
        using (var tx = Db.BeginTransaction())
        {
            Assert.NotNull(Db.Queue("one")); // which does not wait for the transaction, and leaves it to the next one
            Assert.Empty(Db.Query("SELECT 1 FROM sqlite_schema WHERE name = '_honker_jobs'"));
        }
        var q = Db.Queue("q");
        Assert.Equal("_honker_scheduler_state",
            Assert.Single(Db.Query("SELECT name FROM sqlite_schema WHERE name GLOB '_honker_p[er]*' OR name = '_honker_scheduler_state'"))[0]);
        q.EnqueueMany([1, 2, 3]);
        q.ClaimOne("w")!.Fail("broken");
        q.ClaimOne("w");
        var rows = Db.Query("SELECT * FROM _honker_jobs ORDER BY id");
        Assert.Equal(["id", "queue", "payload", "state", "priority", "run_at", "worker_id", "claim_expires_at", "attempts", "max_attempts",
            "last_error", "created_at"], rows[0].Columns);
        Assert.Equal([(1L, "dead", null, "broken"), (2L, "processing", "w", null), (3L, "pending", null, null)],
            rows.Select(row => (row.Get<long>("id"), row.Get<string>("state"), row.Get<string?>("worker_id"), row.Get<string?>("last_error"))));
        var schema = Db.Query("PRAGMA schema_version")[0][0];
        using var other = Open();
        other.Queue("another");
        Assert.Equal(schema, Db.Query("PRAGMA schema_version")[0][0]);
    }

    [Fact]
    public void A_transaction_is_both_or_neither()
    {
        var q = Db.Queue("q");
        Db.Execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER, customer_id TEXT, at TEXT)");
        using (var tx = Db.BeginTransaction())
        {
            Assert.Equal(1, tx.Execute("INSERT INTO orders (id, total, customer_id) VALUES (@p0, @p2, @p1)", 42, "alice", 9900));
            q.Enqueue(new { order_id = 42 }, transaction: tx);
            Assert.Equal(9900, tx.Query("SELECT total, '@p0' FROM orders")[0].Get<int>("total"));
        }
        Assert.Empty(Db.Query("SELECT * FROM orders"));
        Assert.Null(q.ClaimOne("w"));
        using (var tx = Db.BeginTransaction())
        {
            tx.Execute("INSERT INTO orders VALUES (@p0, @p1, @p2, @p3)", 1, null, "bob", new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc));
            q.Enqueue(1, transaction: tx);
            tx.Notify("orders", 1);
            tx.Commit();
            Assert.Throws<InvalidOperationException>(() => tx.Execute("SELECT 1"));
        }
        var row = Db.Query("SELECT * FROM orders WHERE id = @p0", 1)[0];
        Assert.Equal([1L, null, "bob", "2026-01-02 03:04:05"], row);
        Assert.Null(row.Get<int?>("total"));
        Assert.Throws<InvalidCastException>(() => row.Get<int>("total"));
        Assert.NotNull(q.ClaimOne("w"));
        Assert.True(Db.FunctionExists("honker_enqueue"));
        Assert.False(Db.FunctionExists("honker_nothing"));
    }

    [Fact]
    public async Task A_call_that_would_wait_for_its_own_transaction_is_refused()
    {
        var q = Db.Queue("q");
        using (var tx = Db.BeginTransaction())
        {
            await Task.Yield(); // another thread, perhaps
            Assert.Contains("transaction:", Assert.Throws<InvalidOperationException>(() => q.Enqueue(1)).Message, StringComparison.Ordinal);
            Assert.Throws<InvalidOperationException>(() => Db.BeginTransaction());
            Assert.Empty(Db.Query("SELECT * FROM _honker_live"));
            q.Enqueue(1, transaction: tx);
            tx.Commit();
        }
        Assert.Equal(2, q.Enqueue(2));
        var disposed = Db.BeginTransaction();
        disposed.Dispose();
        Assert.Throws<ObjectDisposedException>(() => disposed.Execute("SELECT 1"));
        Assert.Throws<ObjectDisposedException>(() => q.Enqueue(1, transaction: disposed));
        using var other = Database.Open(FilePath + "2");
        using var theirs = other.BeginTransaction();
        Assert.Throws<ArgumentException>(() => q.Enqueue(3, transaction: theirs));
        Assert.Equal(3, q.Enqueue(3));
    }

    [Fact]
    public async Task Another_flow_waits_for_a_transaction()
    {
        var tx = Db.BeginTransaction();
        Task<long> other;
        using (ExecutionContext.SuppressFlow())
        {
            other = Task.Run(() => Db.Queue("q").Enqueue(1));
        }
        await Task.WhenAny(other, Task.Delay(50));
        Assert.False(other.IsCompleted);
        tx.Commit();
        Assert.Equal(1, await other.WaitAsync(Long));
    }

    [Fact]
    public void Results_are_saved_and_found()
    {
        var q = Db.Queue("q");
        Assert.Equal((false, null), q.GetResult(1));
        q.SaveResult(1, new Email("a"));
        Assert.Equal("a", q.GetResult(1).Value!.Value.GetProperty("To").GetString());
        Assert.Equal(new Email("a"), q.GetResult<Email>(1, out var found));
        Assert.True(found);
        Assert.Equal(0, q.SweepResults());
    }

    [Fact]
    public void Locks_and_limits()
    {
        using (var held = Db.Lock("backup"))
        {
            Assert.True(held.Acquired && held.Heartbeat(30));
            Assert.Null(Db.TryLock("backup", "other"));
            Assert.Equal("backup", Assert.Throws<LockHeldException>(() => Db.Lock("backup")).Name);
        }
        using var again = Db.TryLock("backup", "other")!;
        Assert.True(again.Release());
        Assert.False(again.Release());
        Assert.True(Db.TryRateLimit("api", 2, 3600));
        Assert.True(Db.TryRateLimit("api", 2, 3600));
        Assert.False(Db.TryRateLimit("api", 2, 3600));
        Assert.Throws<ArgumentOutOfRangeException>(() => Db.TryRateLimit("api", 0, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => Db.SweepRateLimits(0));
        Assert.Equal(0, Db.SweepRateLimits(100_000));
    }
}
