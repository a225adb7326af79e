using System.Data.Common;
using Dapper;
using Honker.EntityFrameworkCore;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;

namespace Honker.Tests;

public sealed class OwnConnectionTests : WithDatabase
{
    private SqliteConnection Connect()
    {
        var connection = new SqliteConnection($"{Db.ConnectionString};Pooling=False");
        connection.Open();
        return connection;
    }

    [Fact]
    public async Task A_job_goes_with_the_transaction_of_the_driver()
    {
        Db.Execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)");
        // A worker that waits, in this process, which has the file open twice.
        await using var claimer = Db.Queue("q").Claimer("w", Timeout.InfiniteTimeSpan);
        var wait = claimer.NextAsync(null, Limit()).AsTask();
        await using var connection = Connect();
        await using (var transaction = (SqliteTransaction)await connection.BeginTransactionAsync())
        {
            await connection.ExecuteAsync("INSERT INTO orders VALUES (1)", transaction: transaction); // Dapper
            transaction.EnqueueJob("q", new Email("rolled back"));
            await transaction.RollbackAsync();
        }
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            await connection.ExecuteAsync("INSERT INTO orders VALUES (2)", transaction: transaction);
            Assert.True(await transaction.EnqueueJobAsync("q", new Email("committed"), new EnqueueOptions(Priority: 4, MaxAttempts: 9)
            {
                Metadata = new Dictionary<string, string> { ["a"] = "b" },
            }) > 0);
            await transaction.CommitAsync();
        }
        var job = (await wait)!;
        Assert.Equal(new Email("committed"), job.GetPayload<Email>());
        Assert.Equal((9, "b"), (job.MaxAttempts, job.Metadata["a"]));
        Assert.Equal([2L], Db.Query("SELECT id FROM orders").Select(row => row[0]));

        await using (var transaction = await connection.BeginTransactionAsync())
        {
            await connection.ExecuteAsync("INSERT INTO orders VALUES (3)", transaction: transaction);
            Assert.True(transaction.AckJob(job));
            await transaction.CommitAsync();
        }
        Assert.Null(Db.Queue("q").GetJob(job.Id));
        Assert.False(job.Ack());
    }

    [Fact]
    public void It_needs_no_transaction_and_takes_options()
    {
        using var connection = Connect();
        var id = connection.EnqueueJob("q", 1, new EnqueueOptions(DelaySeconds: 100, ExpiresSeconds: 200));
        var row = Db.Queue("q").GetJob(id)!;
        Assert.Equal((row.CreatedAt + 100, row.CreatedAt + 200, 3), (row.RunAt, row.ExpiresAt, row.MaxAttempts));
        connection.EnqueueJob("q", 2, new EnqueueOptions { Metadata = new Dictionary<string, string> { ["a"] = "b" } });
        Assert.Throws<ArgumentException>(() => connection.EnqueueJob("a\0b", 2));
        Assert.Throws<SqliteException>(() => connection.EnqueueJob("q", 1, new EnqueueOptions { UniqueKey = "k" }));
        connection.LoadExtension(HonkerExtension.FindPath());
        Assert.Equal(3, connection.EnqueueJob("q", 1, new EnqueueOptions { UniqueKey = "k" }));
        Assert.Equal(3, connection.EnqueueJob("q", 1, new EnqueueOptions { UniqueKey = "k" }));
        connection.Close();
        Assert.Throws<InvalidOperationException>(() => connection.EnqueueJob("q", 1));
    }

    [Fact]
    public void What_is_known_of_a_type_is_kept()
    {
        var asked = 0;
        var resolver = new System.Text.Json.Serialization.Metadata.DefaultJsonTypeInfoResolver();
        resolver.Modifiers.Add(_ => asked++);
        var json = new System.Text.Json.JsonSerializerOptions { TypeInfoResolver = resolver };
        using var connection = Connect();
        connection.EnqueueJob("q", new Email("a"), json: json);
        var once = asked;
        connection.EnqueueJob("q", new Email("b"), json: json);
        using (var other = Open(new OpenOptions { JsonSerializerOptions = json }))
        {
            other.Queue("q").Enqueue(new Email("c"));
        }
        Assert.True(once > 0);
        Assert.Equal(once, asked);
    }

    [Fact]
    public void The_schema_may_be_in_your_own_migrations()
    {
        using var connection = new SqliteConnection("Data Source=:memory:");
        connection.Open();
        connection.Execute(HonkerSql.Schema);
        connection.Execute(HonkerSql.Schema);
        Assert.Equal(1, connection.EnqueueJob("q", 1));
    }

    [Fact]
    public async Task Entity_framework_saves_jobs_with_the_rest()
    {
        await using (var context = new Shop(Db.ConnectionString))
        {
            await context.Database.ExecuteSqlRawAsync("CREATE TABLE Orders (Id INTEGER PRIMARY KEY, Total INTEGER NOT NULL)");
            context.Add(new Order { Total = 99 });
            var job = context.AddJob("q", new Email("saved"), new EnqueueOptions(Priority: 2));
            Assert.Empty(Db.Jobs().All());
            await context.SaveChangesAsync();
            Assert.Equal((1, 3), (job.Id, job.MaxAttempts));
            Assert.Throws<ArgumentException>(() => context.AddJob("q", 1, new EnqueueOptions { UniqueKey = "k" }));

            await using (var transaction = await context.Database.BeginTransactionAsync())
            {
                context.Add(new Order { Total = 1 });
                await context.SaveChangesAsync();
                await context.EnqueueJobAsync("q", new Email("rolled back"));
                await transaction.RollbackAsync();
            }
            await using (var transaction = await context.Database.BeginTransactionAsync())
            {
                await context.EnqueueJobAsync("q", new Email("in the transaction"));
                await transaction.CommitAsync();
            }
            await context.EnqueueJobAsync("q", new Email("by itself"));
            await using (var transaction = await context.Database.BeginTransactionAsync())
            {
                context.AddJob("q", new Email("saved and rolled back"));
                await context.SaveChangesAsync();
                await transaction.RollbackAsync();
            }
        }
        Assert.Equal(["saved", "in the transaction", "by itself"],
            Db.Queue("q").ClaimBatch("w", 9).Select(job => job.GetPayload<Email>()!.To));
        Assert.Equal([99L], Db.Query("SELECT Total FROM Orders").Select(row => row[0]));
        SqliteConnection.ClearAllPools();
    }

    [Fact]
    public async Task Entity_framework_takes_the_attempts_that_are_set_for_the_queue()
    {
        Db.Queue("q").Configure(new QueueUpdate().WithMaxAttempts(10));
        await using (var context = new Shop(Db.ConnectionString))
        {
            context.AddJob("q", new RawJson("1"));
            await using (var transaction = await context.Database.BeginTransactionAsync())
            {
                context.AddJob("q", 2);
                context.AddJob("q", "käthe", new EnqueueOptions(MaxAttempts: 2));
                context.AddJob("other", 4);
                await context.SaveChangesAsync();
                await transaction.CommitAsync();
            }
            Assert.Throws<ArgumentException>(() => context.AddJob("a\0b", 1));
            Assert.Throws<ArgumentException>(() => context.AddJob("q", new RawJson("\ud800")));
        }
        Assert.Equal([(10, "1"), (10, "2"), (2, "\"käthe\"")], Db.Queue("q").ClaimBatch("w", 9).Select(job => (job.MaxAttempts, job.PayloadRaw)));
        Assert.Equal(3, Db.Queue("other").ClaimOne("w")!.MaxAttempts);
        SqliteConnection.ClearAllPools();
    }

    [Fact]
    public async Task A_worker_leaves_a_job_that_was_acked_there_to_the_transaction()
    {
        Db.Queue("q").EnqueueMany(["committed", "rolled back", "thrown"]);
        using var stop = new CancellationTokenSource();
        var ended = new ConcurrentDictionary<string, CancelReason>();
        var another = new TaskCompletionSource();
        var run = Db.Worker(new WorkerOptions { HandleSignals = false, Concurrency = 2, Retry = new QueueRetry(500, 1, 500, 0) })
            .Handle<string>("q", async (what, job, _) =>
            {
                if (what == "another")
                {
                    another.SetResult();
                    return;
                }
                await using var connection = Connect();
                await using var transaction = await connection.BeginTransactionAsync(CancellationToken.None);
                Assert.True(transaction.AckJob(job));
                if (what == "committed")
                {
                    await transaction.CommitAsync(CancellationToken.None);
                    Db.Queue("q").Enqueue("another");
                    await another.Task.WaitAsync(Long, CancellationToken.None); // the worker has looked since: the job is not there, and nobody is told so
                }
                else
                {
                    await transaction.RollbackAsync(CancellationToken.None);
                }
                ended[what] = job.CancelReason;
                if (what == "thrown")
                {
                    throw new InvalidOperationException("disk full");
                }
            }).RunAsync(stop.Token);
        await Until(() => ended.Count == 3);
        await stop.CancelAsync();
        await Ended(run);
        Assert.All(ended.Values, reason => Assert.Equal(CancelReason.None, reason));
        // What was rolled back is still claimed, and comes again when that is over.
        Assert.Equal([("processing", "\"rolled back\"", 1L), ("delayed", "\"thrown\"", 1L)],
            Db.Jobs(new JobFilter { OldestFirst = true }).All().Select(job => (job.State!, job.PayloadRaw, job.Attempts!.Value)));
        Assert.Equal(0, Log.Count("is not this worker's any more"));
        Assert.Equal(1, Log.Count("3 done, 0 snoozed, 1 retried"));
    }

    [Fact]
    public void A_claim_that_is_over_acks_nothing_there()
    {
        var q = Db.Queue("q");
        q.Enqueue(1, new EnqueueOptions { Metadata = new Dictionary<string, string> { ["a"] = "b" } });
        var first = q.ClaimOne("w")!;
        first.Release();
        Db.Execute("UPDATE _honker_live SET attempts = 1"); // as if the claim had lapsed
        var second = q.ClaimOne("w")!;
        using var connection = Connect();
        using var transaction = connection.BeginTransaction();
        Assert.False(transaction.AckJob(first)); // the same worker has it, a second time
        Assert.True(transaction.AckJob(second));
        transaction.Commit();
        Assert.Empty(Db.Query("SELECT 1 FROM _honker_live UNION ALL SELECT 1 FROM _honker_job_options"));
    }

    [Fact]
    public void A_model_leaves_honkers_tables_alone()
    {
        using var context = new Shop(Db.ConnectionString);
        Db.Queue("q").Enqueue(1);
        Assert.DoesNotContain("_honker", context.Database.GenerateCreateScript(), StringComparison.Ordinal);
        Assert.NotNull(Db.Queue("q").ClaimOne("w"));
        SqliteConnection.ClearAllPools();
    }

    private sealed class Order
    {
        public long Id { get; set; }

        public long Total { get; set; }
    }

    private sealed class Shop(string connectionString) : DbContext
    {
        public DbSet<Order> Orders => Set<Order>();

        protected override void OnConfiguring(DbContextOptionsBuilder optionsBuilder) => optionsBuilder.UseSqlite(connectionString);

        protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddHonkerJobs();
    }
}
