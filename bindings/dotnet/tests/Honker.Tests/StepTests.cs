using System.IO;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Honker.Tests;

/// <summary>Steps that have run, and whose values cannot be saved: no retry may run them again.</summary>
public sealed class StepTests : WithDatabase
{
    private static readonly Dictionary<string, Func<object>> Values = new()
    {
        ["infinity"] = () => double.NegativeInfinity,
        ["cycle"] = () => new Cycle(),
        ["not supported"] = () => typeof(int),
        ["no value"] = () => new Throws("no value"),
        ["no Unicode text"] = () => new RawJson("\ud800"),
        ["UTF-8"] = () => new Bytes(),
        ["too big"] = () => "huge",
    };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_step_whose_value_cannot_be_encoded_is_not_run_again(bool inTransaction)
    {
        Db.Execute("CREATE TABLE paid (what TEXT)");
        // What SQLite says of a gigabyte, without one.
        Db.Execute("""
            CREATE TRIGGER too_big BEFORE INSERT ON _honker_steps WHEN NEW.value = '"huge"'
            BEGIN SELECT zeroblob(1000000001 + 0 * NEW.job_id); END
            """);
        foreach (var what in Values.Keys)
        {
            Enqueue(what);
        }
        var calls = new ConcurrentQueue<string>();
        await WorkAsync(async (what, job) =>
        {
            if (!inTransaction)
            {
                await job.StepAsync("pay", _ =>
                {
                    calls.Enqueue(what);
                    return Task.FromResult(Values[what]());
                });
                return;
            }
            using var tx = Db.BeginTransaction();
            job.Step("pay", tx, () =>
            {
                calls.Enqueue(what);
                tx.Execute("INSERT INTO paid VALUES (@p0)", what);
                return Values[what]();
            });
            tx.Commit();
        });
        Assert.Equal(Values.Keys.Order(), calls.Order());
        Assert.Empty(Db.Query("SELECT 1 FROM paid UNION ALL SELECT 1 FROM _honker_steps"));
        var dead = Db.Queue("q").Dead();
        Assert.Equal(Values.Count, dead.Count);
        Assert.All(dead, job => Assert.StartsWith("step pay has run, and is not saved: ", job.LastError, StringComparison.Ordinal));
        Assert.Single(dead, job => job.LastError == "step pay has run, and is not saved: no value");
    }

    [Fact]
    public async Task Nor_is_one_of_several_or_one_whose_error_was_wrapped()
    {
        string[] ways = ["beside another", "wrapped", "retried", "snoozed"];
        foreach (var way in ways)
        {
            Enqueue(way);
        }
        var calls = new ConcurrentQueue<string>();
        await WorkAsync(async (way, job) =>
        {
            var pay = job.StepAsync("pay", _ =>
            {
                calls.Enqueue(way);
                return Task.FromResult(double.NaN);
            });
            if (way == "beside another")
            {
                await Task.WhenAll(Task.FromException(new IOException("no mail server")), pay);
            }
            try
            {
                await pay;
            }
            catch (DiscardException e)
            {
                throw way switch
                {
                    "wrapped" => new InvalidDataException("while paying", e),
                    "retried" => new RetryException(TimeSpan.Zero, "again", e),
                    _ => new SnoozeException(TimeSpan.Zero),
                };
            }
        });
        Assert.Equal(ways.Order(), calls.Order());
        Assert.All(Db.Queue("q").Dead(),
            job => Assert.StartsWith("step pay has run, and is not saved: ", job.LastError, StringComparison.Ordinal));
        Assert.Equal(ways.Length, Db.Queue("q").Dead().Count);
    }

    [Fact]
    public async Task Nor_is_one_of_a_handler_that_does_not_end_when_its_worker_stops()
    {
        Enqueue("x");
        using var stop = new CancellationTokenSource();
        var (ran, end) = (new TaskCompletionSource(), new TaskCompletionSource());
        var options = new WorkerOptions { HandleSignals = false, StopTimeout = TimeSpan.Zero };
        var run = Db.Worker(options).Handle<string>("q", async (_, job, _) =>
        {
            await Assert.ThrowsAsync<DiscardException>(() => job.StepAsync("pay", _ => Task.FromResult(double.NaN)));
            ran.SetResult();
            await end.Task;
        }).RunAsync(stop.Token);
        await ran.Task.WaitAsync(Long);
        await stop.CancelAsync();
        await Assert.ThrowsAsync<HonkerUnfinishedException>(() => run.WaitAsync(Long));
        end.SetResult();
        Assert.StartsWith("step pay has run, and is not saved: ", Assert.Single(Db.Queue("q").Dead()).LastError, StringComparison.Ordinal);
        Assert.Equal(1, Log.Count("job 1 of q is not given back, it is dead now: step pay has run"));
    }

    [Fact]
    public async Task A_value_that_does_not_come_back_is_rolled_back_with_its_transaction_and_otherwise_saved()
    {
        Enqueue("with");
        Enqueue("without");
        var calls = new ConcurrentQueue<string>();
        await WorkAsync(async (what, job) =>
        {
            if (what == "without")
            {
                await job.StepAsync("pay", _ =>
                {
                    calls.Enqueue(what);
                    return Task.FromResult<IFormattable>(5);
                });
            }
            using var tx = Db.BeginTransaction();
            job.Step<IFormattable>("pay", tx, () =>
            {
                calls.Enqueue(what);
                return 5;
            });
            tx.Commit();
        });
        Assert.Equal(["with", "without"], calls.Order());
        Assert.Equal(2, Db.Queue("q").Dead().Count);
        Assert.Single(Db.Queue("q").Dead(), job => job.LastError!.StartsWith("step pay has run, and is not saved: ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Without_a_worker_the_caller_decides()
    {
        var q = Db.Queue("q");
        q.Enqueue(1);
        var job = q.ClaimOne("w")!;
        var error = await Assert.ThrowsAsync<DiscardException>(() => job.StepAsync("pay", _ => Task.FromResult(double.NaN)));
        Assert.StartsWith("step pay has run, and is not saved: ", error.Message, StringComparison.Ordinal);
        Assert.IsType<ArgumentException>(error.InnerException);
        using (var tx = Db.BeginTransaction())
        {
            Assert.Throws<DiscardException>(() => job.Step("pay", tx, () => double.NaN));
        }
        Assert.Equal(5, await job.StepAsync("pay", _ => Task.FromResult(5)));
        Assert.True(job.Ack());
    }

    [Fact]
    public async Task Who_saves_it_after_all_is_tried_again()
    {
        Enqueue("x");
        await WorkAsync(async (_, job) =>
        {
            if (job.Attempts == 1)
            {
                await Assert.ThrowsAsync<DiscardException>(() => job.StepAsync("pay", _ => Task.FromResult(double.NaN)));
            }
            Assert.Equal(5, await job.StepAsync("pay", _ => Task.FromResult(5)));
            if (job.Attempts == 1)
            {
                throw new IOException("no mail server");
            }
        });
        Assert.Empty(Db.Queue("q").Dead());
    }

    private void Enqueue(string what) => Db.Queue("q").Enqueue(what, new EnqueueOptions(MaxAttempts: 3));

    /// <summary>A worker that retries at once, until nothing is left to do.</summary>
    private async Task WorkAsync(Func<string, Job, Task> handle)
    {
        using var stop = new CancellationTokenSource();
        var options = new WorkerOptions { HandleSignals = false, Retry = new QueueRetry(0, 1, 0, 0) };
        var run = Db.Worker(options).Handle<string>("q", (what, job, _) => handle(what, job)).RunAsync(stop.Token);
        await Until(() => Db.Jobs(new JobFilter { States = ["due", "delayed", "processing"] }).Page().Jobs.Count == 0);
        await stop.CancelAsync();
        await Ended(run);
    }

    private sealed class Cycle
    {
        public Cycle Next => this;
    }

    private sealed class Throws(string text)
    {
        public string Value => throw new IOException(text);
    }

    /// <summary>Whose converter writes what is no UTF-8.</summary>
    [JsonConverter(typeof(Converter))]
    private sealed class Bytes
    {
        internal sealed class Converter : JsonConverter<Bytes>
        {
            public override Bytes Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => new();

            public override void Write(Utf8JsonWriter writer, Bytes value, JsonSerializerOptions options) =>
                writer.WriteRawValue([(byte)'"', 0xff, (byte)'"'], skipInputValidation: true);
        }
    }
}
