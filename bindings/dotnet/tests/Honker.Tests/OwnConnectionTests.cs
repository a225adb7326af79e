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
            Assert.Equal(1, job.Id);
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
        }
        Assert.Equal(["saved", "in the transaction", "by itself"],
            Db.Queue("q").ClaimBatch("w", 9).Select(job => job.GetPayload<Email>()!.To));
        Assert.Equal([99L], Db.Query("SELECT Total FROM Orders").Select(row => row[0]));
        SqliteConnection.ClearAllPools();
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
