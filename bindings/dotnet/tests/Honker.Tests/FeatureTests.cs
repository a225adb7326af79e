namespace Honker.Tests;

public sealed class FeatureTests : WithDatabase
{
    [Fact]
    public void A_unique_job_is_there_once()
    {
        var q = Db.Queue("q");
        var first = q.TryEnqueue(1, new EnqueueOptions { UniqueKey = "k" });
        Assert.Equal(new Enqueued(1, EnqueueStatus.Enqueued), first);
        Assert.Equal(new Enqueued(1, EnqueueStatus.Exists), q.TryEnqueue(2, new EnqueueOptions { UniqueKey = "k" }));
        Assert.Equal(new Enqueued(1, EnqueueStatus.Replaced),
            q.TryEnqueue(3, new EnqueueOptions { UniqueKey = "k", OnConflict = OnConflict.Replace, UniqueForSeconds = 60 }));
        Assert.Equal("3", q.GetJob(1)!.PayloadRaw);
        Assert.Throws<ArgumentException>(() => q.Enqueue(1, new EnqueueOptions { UniqueKey = "" }));
    }

    [Fact]
    public void Settings_hold_for_all()
    {
        var q = Db.Queue("q");
        q.Configure(new QueueUpdate().WithConcurrency(1).WithRate(new QueueRate(100, 60)).WithRetry(new QueueRetry(1, 3, 50, 0))
            .WithMaxAttempts(9).WithKeepDone(60).WithKeepDead(70).WithConcurrencyPerKey(2));
        using var other = Open();
        Assert.Equal(new QueueSettings
        {
            Concurrency = 1,
            ConcurrencyPerKey = 2,
            Rate = new QueueRate(100, 60),
            Retry = new QueueRetry(1, 3, 50, 0),
            MaxAttempts = 9,
            KeepDoneS = 60,
            KeepDeadS = 70,
        }, other.Queue("q").Settings());
        q.EnqueueMany([1, 2]);
        Assert.Single(q.ClaimBatch("w", 10));
        q.Configure(new QueueUpdate().WithConcurrency(null));
        q.Pause();
        Assert.True(q.Settings().Paused);
        Assert.Null(q.ClaimOne("w"));
        q.Resume();
        Assert.Equal(9, q.ClaimOne("w")!.MaxAttempts);
        Assert.Equal("q", Assert.Single(Db.Queues()).Queue);
        Assert.Throws<ArgumentException>(() => q.Configure(QueueUpdate.FromJson("""{"colour": 1}""")));
    }

    [Fact]
    public void A_batch_calls_back_when_all_is_done()
    {
        var q = Db.Queue("pages");
        var batch = Db.Batch((open, tx) =>
        {
            q.Enqueue(1, new EnqueueOptions { BatchId = open.Id }, tx);
            q.Enqueue(2, new EnqueueOptions { BatchId = open.Id }, tx);
        }, new BatchOptions { OnSuccess = new JobSpec("reports", new { month = 7 }, new EnqueueOptions(Priority: 3)), KeepSeconds = 60 });
        Assert.Equal(new BatchStatus(2, 2, 0, 0, 0, true, null), batch.Status());
        Assert.False(batch.Seal());
        var job = q.ClaimOne("w")!;
        Assert.Equal(batch.Id, job.Batch()!.Id);
        q.Enqueue(3, new EnqueueOptions { BatchId = batch.Id, Member = job.AsMember() });
        Assert.Throws<ArgumentException>(() => q.Enqueue(4, new EnqueueOptions { BatchId = batch.Id }));
        job.Ack();
        Assert.Null(Db.Queue("reports").ClaimOne("w"));
        q.ClaimOne("w")!.Ack();
        q.ClaimOne("w")!.Ack();
        var report = Db.Queue("reports").ClaimOne("w")!;
        Assert.Equal(7, report.Payload.GetProperty("month").GetInt32());
        Assert.Equal($"{batch.Id}", report.Metadata["batch_id"]);
        Assert.Equal((3, true), (batch.Status()!.Done, batch.Status()!.FinishedAt > 0));
        Assert.Null(Db.Batch(99).Status());
    }

    [Fact]
    public async Task A_step_is_done_once()
    {
        var q = Db.Queue("q");
        q.Enqueue(1);
        var job = q.ClaimOne("w")!;
        var calls = 0;
        Task<string> Download(CancellationToken _) => Task.FromResult($"file {++calls}");
        Assert.Equal("file 1", await job.StepAsync("download", Download));
        job.Retry(0);
        job = q.ClaimOne("w")!;
        Assert.Equal("file 1", await job.StepAsync("download", Download));
        using (var tx = Db.BeginTransaction())
        {
            Assert.Equal(5, job.Step("import", tx, () => 5));
            Assert.Equal("5", q.GetStep(1, "import", tx));
            Assert.Null(q.GetStep(1, "import"));
            tx.Rollback();
        }
        Assert.Null(q.GetStep(1, "import"));
        job.Ack();
        await Assert.ThrowsAsync<OperationCanceledException>(() => job.StepAsync("late", Download));
    }

    [Fact]
    public void Jobs_are_listed_and_acted_on()
    {
        var q = Db.Queue("mail");
        q.EnqueueMany([1, 2, 3]);
        foreach (var host in new[] { 12, 13 })
        {
            q.ClaimOne("w")!.Fail($"503 from host {host}");
        }
        var group = Assert.Single(q.DeadGroups());
        Assert.Equal(("# from host #", 2L, 2L), (group.Error, group.Count, group.Newest.Id));
        var dead = Db.Jobs(new JobFilter { Queue = "mail", States = ["dead"], Error = "503" });
        Assert.Equal([2, 1], dead.All().Select(job => job.Id));
        var page = dead.Page(pageSize: 1);
        Assert.Equal(2, Assert.Single(page.Jobs).Id);
        Assert.Equal(1, Assert.Single(dead.Page(1, page.Cursor).Jobs).Id);
        Assert.Equal(1, dead.Apply("retry", pageSize: 1).Changed);
        Assert.Equal(1, dead.Retry().Changed);
        Assert.Equal(3, Db.Jobs(new JobFilter { Queue = "mail" }).Move("other").Changed);
        Assert.Equal(3, Db.Jobs().Prioritize(5).Changed);
        Assert.Equal(3, Db.Jobs().Cancel().Changed);
        Assert.Equal(0, q.PurgeDead(0));
        Assert.Throws<ArgumentException>(() => Db.Jobs(JobFilter.FromJson("""{"colour": 1}""")).Page());
    }

    [Fact]
    public void The_state_is_told()
    {
        var q = Db.Queue("q");
        q.Enqueue(1);
        Assert.Equal(new QueueStats("q", 1, 0, 0, 0, 0), q.Stats());
        Assert.Equal(1, Assert.Single(Db.Stats()).Pending);
        using (Db.Updates())
        {
            Assert.Equal("watching", Db.Status().Watcher!.State);
        }
        var depth = Assert.Single(Db.Metrics().Queues).Depth;
        Assert.Equal((1, 0), (depth.Due, depth.Dead));
        Assert.Contains("versions", Db.Status().More.Keys);
        Db.Notify("c", 1);
        Db.KeepNotifications(60);
        Assert.Equal(1, Db.PruneNotifications(maxKeep: 0));
        Assert.Throws<ArgumentException>(() => Db.PruneNotifications(maxKeep: -1));
    }

    [Fact]
    public void A_hook_is_around_each_enqueue()
    {
        using var db = Open(new OpenOptions
        {
            OnEnqueue = (job, next) =>
            {
                job.AddMetadata("tenant", "acme");
                if (job.Queue != "held")
                {
                    next();
                }
            },
        });
        db.Queue("q").Enqueue(1);
        Assert.Equal("acme", db.Queue("q").ClaimOne("w")!.Metadata["tenant"]);
        Assert.Equal(new Enqueued(0, EnqueueStatus.HeldBack), db.Queue("held").TryEnqueue(1));
        var many = db.EnqueueMany([new JobSpec("held", 1), new JobSpec("q", 2), new JobSpec("other", "x")]);
        Assert.Equal([EnqueueStatus.HeldBack, EnqueueStatus.Enqueued, EnqueueStatus.Enqueued], many.Select(one => one.Status));
        Assert.Equal(2, many[1].Id);
    }
}
