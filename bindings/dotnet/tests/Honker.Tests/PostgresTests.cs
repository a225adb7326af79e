using System.Data.Common;
using Dapper;
using Honker.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Npgsql;

namespace Honker.Tests;

/// <summary>A Postgres server, and jobs enqueued with Npgsql. tests/run starts the server.</summary>
public sealed class PostgresTests
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(60);

    private static string Server()
    {
        var url = Environment.GetEnvironmentVariable("HONKER_POSTGRES_URL");
        Assert.SkipWhen(string.IsNullOrEmpty(url), "HONKER_POSTGRES_URL is not set: tests/run does that");
        return url!;
    }

    private static string ConnectionString()
    {
        var parameters = new Uri(Server().Replace(":///", "://localhost/", StringComparison.Ordinal)).Query.TrimStart('?').Split('&')
            .Select(pair => pair.Split('=')).ToDictionary(pair => pair[0], pair => Uri.UnescapeDataString(pair[1]));
        return new NpgsqlConnectionStringBuilder
        {
            Host = parameters["host"],
            Username = parameters["user"],
            Database = "postgres",
            Pooling = false,
        }.ToString();
    }

    private static async Task<NpgsqlConnection> ConnectAsync()
    {
        var connection = new NpgsqlConnection(ConnectionString());
        await connection.OpenAsync(TestContext.Current.CancellationToken);
        return connection;
    }

    private static Database Open() => Database.Open(Server() + "&honker_migrate=on");

    /// <summary>A worker; what its handler is given is put into the collection.</summary>
    private static (Task Run, CancellationTokenSource Stop) Start(HonkerWorker worker, string queue, BlockingCollection<string> done)
    {
        var stop = new CancellationTokenSource();
        var run = worker.Handle<RawJson>(queue, (payload, _, _) =>
        {
            done.Add(payload.Text, CancellationToken.None);
            return Task.CompletedTask;
        }).RunAsync(stop.Token);
        return (run, stop);
    }

    private static string Next(BlockingCollection<string> done)
    {
        Assert.True(done.TryTake(out var payload, Long), "nothing has come");
        return payload;
    }

    [Fact]
    public async Task Everything_works_on_a_URL()
    {
        using var db = Open();
        Assert.Throws<InvalidOperationException>(() => db.ConnectionString);
        var done = new BlockingCollection<string>();
        // It opens the URL itself.
        var (run, stop) = Start(new HonkerWorker(Server(), new WorkerOptions { HandleSignals = false }), "api", done);
        await using var listener = db.Listen("api");
        await using var subscription = db.Stream("api").Subscribe("consumer");
        using (var tx = db.BeginTransaction())
        {
            tx.Execute("DROP TABLE IF EXISTS api");
            tx.Execute("CREATE TABLE api (id bigint PRIMARY KEY, name text)");
            tx.Execute("INSERT INTO api VALUES (?, ?2), (?, 'a ? in a text')", 1, "alice", 2);
            db.Queue("api").Enqueue("in a transaction", transaction: tx);
            db.Stream("api").Publish(new { id = 1 }, transaction: tx);
            db.Notify("api", "hello", tx);
            tx.Commit();
        }
        Assert.Equal("\"in a transaction\"", Next(done));
        Assert.Equal("{\"id\":1}", (await subscription.NextAsync(Long))!.PayloadRaw);
        Assert.Equal("\"hello\"", (await listener.NextAsync(Long))!.PayloadRaw);
        Assert.Equal(["a ? in a text"], db.Query("SELECT name FROM api WHERE id = ?", 2).Select(row => row[0]));

        using var ticking = new CancellationTokenSource();
        db.Scheduler.Add(new ScheduledTask("api", "api", "scheduled", "@every 1s"));
        var ticks = db.Scheduler.RunAsync(cancellationToken: ticking.Token);
        Assert.Equal("\"scheduled\"", Next(done));
        db.Scheduler.Remove("api");
        await ticking.CancelAsync();
        await ticks.WaitAsync(Long);
        await stop.CancelAsync();
        await run.WaitAsync(Long);
        stop.Dispose();

        // What is asked about a job, which is in tables with a schema here.
        var batch = db.CreateBatch();
        db.Queue("members").Enqueue(1, new EnqueueOptions { BatchId = batch.Id });
        Assert.Equal(batch.Id, db.Queue("members").ClaimOne("w")!.Batch()!.Id);
    }

    [Fact]
    public async Task Closing_ends_what_waits()
    {
        var db = Open();
        var done = new BlockingCollection<string>();
        var (run, stop) = Start(db.Worker(new WorkerOptions { HandleSignals = false }), "closing", done);
        var claimer = db.Queue("empty").Claimer("w", Timeout.InfiniteTimeSpan);
        var wait = claimer.NextAsync(null, CancellationToken.None).AsTask();
        db.Queue("closing").Enqueue(1);
        Next(done);
        db.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => wait.WaitAsync(Long));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => run.WaitAsync(Long));
        var closed = Assert.Throws<ObjectDisposedException>(() => db.Queue("closing").Enqueue(1));
        Assert.DoesNotContain("host=", closed.Message, StringComparison.Ordinal);
        stop.Dispose();
    }

    [Fact]
    public void A_database_that_moves_says_so()
    {
        using var db = Open();
        // What a move does is undone with the transaction.
        using var tx = db.BeginTransaction();
        tx.Execute("SELECT honker._move_begin('6d', 'postgres://db.example/app')");
        var moved = Assert.Throws<HonkerMovedException>(() => db.Queue("moved").Enqueue(1, transaction: tx));
        Assert.Equal((HonkerStatus.Moved, -34, false), (moved.Status, (int)moved.Status, moved.IsTransient));
        Assert.Contains("postgres://db.example/app", moved.Message, StringComparison.Ordinal);
        tx.Rollback();
    }

    [Fact]
    public void Errors_of_connecting_have_no_password()
    {
        _ = Server();
        var away = Assert.Throws<HonkerConnectionException>(() => Database.Open("postgres://me:secret@localhost/app?host=/nowhere"));
        Assert.Equal((HonkerStatus.Connection, -33, true), (away.Status, (int)away.Status, away.IsTransient));
        Assert.DoesNotContain("secret", away.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => Database.Open("postgres://localhost/app?no=1"));
        Assert.Equal("postgres://h:1/app", Database.NameOf("postgres://me:s@cret@h:1/app?password=x"));
        Assert.Equal("a@b?c", Database.NameOf("a@b?c"));
    }

    [Fact]
    public async Task A_job_goes_with_the_transaction_of_Npgsql()
    {
        using var db = Open();
        await using var connection = await ConnectAsync();
        await connection.ExecuteAsync("DROP TABLE IF EXISTS orders; CREATE TABLE orders (id int PRIMARY KEY)");
        await using var claimer = db.Queue("own").Claimer("w", Timeout.InfiniteTimeSpan);
        var wait = claimer.NextAsync(null, CancellationToken.None).AsTask();
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            await connection.ExecuteAsync("INSERT INTO orders VALUES (1)", transaction: transaction); // Dapper
            transaction.EnqueueJob("own", new Email("rolled back"));
            await transaction.RollbackAsync();
        }
        var options = new EnqueueOptions(Priority: 4, MaxAttempts: 9)
        {
            Metadata = new Dictionary<string, string> { ["a"] = "b" },
            UniqueKey = "k",
        };
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            await connection.ExecuteAsync("INSERT INTO orders VALUES (2)", transaction: transaction);
            var id = await transaction.EnqueueJobAsync("own", new Email("committed"), options);
            Assert.Equal(id, transaction.EnqueueJob("own", new Email("the key is taken"), options));
            await transaction.CommitAsync();
        }
        var job = (await wait.WaitAsync(Long))!;
        Assert.Equal(new Email("committed"), job.GetPayload<Email>());
        Assert.Equal((9, "b"), (job.MaxAttempts, job.Metadata["a"]));
        Assert.Equal([2L], db.Query("SELECT id FROM orders").Select(row => row[0]));

        foreach (var commits in new[] { false, true })
        {
            await using var transaction = await connection.BeginTransactionAsync();
            Assert.True(transaction.AckJob(job));
            await (commits ? transaction.CommitAsync() : transaction.RollbackAsync());
            Assert.Equal(commits, db.Queue("own").GetJob(job.Id) is null);
        }
        Assert.False(job.Ack());
    }

    [Fact]
    public async Task A_claim_that_is_over_acks_nothing_there()
    {
        using var db = Open();
        var q = db.Queue("acks");
        q.Enqueue(1);
        var first = q.ClaimOne("w")!;
        first.Retry(0);
        var second = q.ClaimOne("w")!;
        Assert.Equal((first.Id, 2), (second.Id, second.Attempts));
        await using var connection = await ConnectAsync();
        await using var transaction = await connection.BeginTransactionAsync();
        Assert.False(transaction.AckJob(first)); // the same worker has it, a second time
        Assert.True(transaction.AckJob(second));
    }

    [Fact]
    public async Task It_takes_options_and_refuses_as_the_package_does()
    {
        using var db = Open();
        await using var connection = await ConnectAsync();
        var id = connection.EnqueueJob("later", 1, new EnqueueOptions(DelaySeconds: 100, ExpiresSeconds: 200));
        var row = db.Queue("later").GetJob(id)!;
        Assert.Equal((row.CreatedAt + 100, row.CreatedAt + 200, 3), (row.RunAt, row.ExpiresAt, row.MaxAttempts));
        var refused = Assert.Throws<ArgumentException>(() => connection.EnqueueJob("later", 1, new EnqueueOptions { UniqueKey = "" }));
        Assert.Equal("HK001", Assert.IsType<PostgresException>(refused.InnerException).SqlState);
        await Assert.ThrowsAsync<ArgumentException>(() => connection.EnqueueJobAsync("later", 1, new EnqueueOptions { ConcurrencyKey = "" }));
        await using var transaction = await connection.BeginTransactionAsync();
        await Assert.ThrowsAsync<PostgresException>(() => connection.ExecuteAsync("SELECT 1/0", transaction: transaction));
        var aborted = Assert.Throws<PostgresException>(() => transaction.EnqueueJob("later", 1)); // what is the driver's alone stays so
        Assert.Equal("25P02", aborted.SqlState);
        await transaction.RollbackAsync();
        await using var moving = await connection.BeginTransactionAsync();
        await connection.ExecuteAsync("SELECT honker._move_begin('6d', 'postgres://db.example/app')", transaction: moving);
        var moved = Assert.Throws<HonkerMovedException>(() => moving.EnqueueJob("later", 1));
        Assert.Equal("HK005", Assert.IsType<PostgresException>(moved.InnerException).SqlState);
        await moving.RollbackAsync();
    }

    /// <summary>
    /// Its provider for Postgres is not to be had where these tests have to run: that for SQLite goes over Npgsql's connection here. It makes the
    /// same INSERT, but knows no schemas, so that the search path stands in for one.
    /// </summary>
    [Fact]
    public async Task Entity_framework_enqueues_over_a_connection_of_Npgsql()
    {
        using var db = Open();
        await using var connection = new NpgsqlConnection(ConnectionString() + ";Search Path=honker");
        await using (var context = new Shop(connection))
        {
            foreach (var commits in new[] { false, true })
            {
                await using var transaction = await context.Database.BeginTransactionAsync(System.Data.IsolationLevel.ReadCommitted);
                await context.EnqueueJobAsync("ef", new Email(commits ? "committed" : "rolled back"));
                await (commits ? transaction.CommitAsync() : transaction.RollbackAsync());
            }
            db.Queue("ef").Configure(new QueueUpdate().WithMaxAttempts(7));
            var job = context.AddJob("ef", new Email("saved"));
            await context.SaveChangesAsync();
            Assert.True(job.Id > 0);
        }
        Assert.Equal([("committed", 3), ("saved", 7)],
            db.Queue("ef").ClaimBatch("w", 9).Select(job => (job.GetPayload<Email>()!.To, job.MaxAttempts)));
    }

    private sealed class Shop(DbConnection connection) : DbContext
    {
        protected override void OnConfiguring(DbContextOptionsBuilder optionsBuilder) => optionsBuilder.UseSqlite(connection)
            .ConfigureWarnings(warnings => warnings.Ignore(SqliteEventId.UnexpectedConnectionTypeWarning, SqliteEventId.SchemaConfiguredWarning));

        protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddHonkerJobs("honker");
    }
}
