using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Data.Sqlite;

namespace Honker.Testee;

/// <summary>The operations of conformance/PROTOCOL.md, each through the package's public API.</summary>
internal static class Operations
{
    private static readonly string[] Features =
    [
        "queue", "tx", "wait", "stream", "notify", "sched", "result", "lock", "rate", "outbox", "journal", "watcher", "interrupt",
        "foreign", "enqueue_many", "settle_tx", "by_id", "next_at", "stats", "dead", "wake", "updates", "cron", "result_tx",
        "prune_keep", "tick_at", "text", "nesting", "release", "metadata", "settings", "batch", "step", "bulk", "unique",
        "schedule_options", "unknown_keys", "claims_by_id", "metrics", "counters", "handlers", "fault.abi",
    ];

    private static readonly string[] LiveColumns =
    [
        "id", "queue", "payload", "state", "priority", "run_at", "worker_id", "claim_expires_at", "attempts", "max_attempts",
        "created_at", "expires_at",
    ];

    internal static JsonNode Do(Request r) => All[r.Op](r);

    private static JsonNode Hello(Request r) => new JsonObject
    {
        ["testee"] = "dotnet",
        ["version"] = typeof(Database).Assembly.GetName().Version!.ToString(3),
        ["pid"] = Environment.ProcessId,
        ["features"] = new JsonArray([.. Features.Select(feature => (JsonNode)feature)]),
    };

    private static JsonNode Open(Request r)
    {
        var options = new OpenOptions { WatcherBackend = r.OptionalText("watcher") };
        if (r.Has("busy_timeout_ms"))
        {
            options = options with { BusyTimeout = r.Milliseconds("busy_timeout_ms") };
        }
        if (r.Has("poll_ms"))
        {
            options = options with { UpdatePollInterval = r.Milliseconds("poll_ms") };
        }
        if (r.Has("journal"))
        {
            options = options with { JournalMode = Enum.Parse<JournalMode>(r.Text("journal"), true) };
        }
        return r.Keep(() => Database.Open(r.Text("path"), options));
    }

    private static JsonNode Close(Request r)
    {
        r.Handle.Close();
        return Request.Done;
    }

    private static JsonNode ForeignExec(Request r)
    {
        using var connection = new SqliteConnection($"Data Source={r.Text("path")};Pooling=False;Default Timeout=5");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = r.Text("sql");
        var times = r.Number("times", 1);
        for (var i = 0; i < times; i++)
        {
            command.ExecuteNonQuery();
        }
        return new JsonObject { ["done"] = times };
    }

    private static JsonNode Query(Request r)
    {
        object?[] args = r.Has("params") ? [.. r.List("params").Select(Request.Sql)] : [];
        var rows = r.Handle.It is Database db
            ? db.Query(r.Text("sql"), args)
            : ((HonkerTransaction)r.Handle.It).Query(r.Text("sql"), args);
        return new JsonObject
        {
            ["rows"] = new JsonArray([.. rows.Select(row => (JsonNode)new JsonArray([.. row.Select(Request.Column)]))]),
        };
    }

    private static JsonNode Next(Request r)
    {
        var handle = r.Handle;
        var wasClosed = handle.IsClosed;
        try
        {
            return NextAsync(r, handle).GetAwaiter().GetResult() ?? throw OtherwiseException.Outcome("TIMEOUT");
        }
        catch (OperationCanceledException) when (handle.Wake.IsCancellationRequested)
        {
            handle.Wake = new CancellationTokenSource();
            throw OtherwiseException.Outcome("WOKEN");
        }
        catch (ObjectDisposedException) when (!wasClosed)
        {
            throw OtherwiseException.Outcome("CLOSED");
        }
    }

    private static async Task<JsonNode?> NextAsync(Request r, Handle handle)
    {
        var (timeout, wake) = (r.Timeout, handle.Wake.Token);
        switch (handle.It)
        {
            case Claimer claimer:
                var n = r.Number("n", 1);
                var jobs = await claimer.NextBatchAsync(n, timeout, wake);
                return jobs.Count == 0 && n > 0 ? null : r.Give(jobs);
            case Updates updates:
                return await updates.NextAsync(timeout, wake) ? Request.Done : null;
            case Subscription subscription:
                return await subscription.NextAsync(timeout, wake) is { } it ? new JsonObject { ["event"] = Request.Event(it) } : null;
            default:
                var given = await ((Listener)handle.It).NextAsync(timeout, wake);
                return given is null ? null : new JsonObject
                {
                    ["notification"] = new JsonObject
                    {
                        ["id"] = given.Id,
                        ["channel"] = given.Channel,
                        ["payload"] = Request.Stored(given.PayloadRaw),
                    },
                };
        }
    }

    private static JsonNode Events(IEnumerable<Event> events) =>
        new JsonObject { ["events"] = new JsonArray([.. events.Select(one => (JsonNode)Request.Event(one))]) };

    /// <summary>Less than one attempt is refused for a queue and an outbox, and not for a job.</summary>
    private static (long? Attempts, long? None) Attempts(Request r) =>
        r.Optional("max_attempts") is < 1 and var none ? (null, none) : (r.Optional("max_attempts"), null);

    private static JsonNode QueueOpen(Request r)
    {
        var (attempts, none) = Attempts(r);
        return r.Keep(() => r.Db.Queue(r.Text("name"), new QueueOptions(r.Number("visibility_timeout_s", 300), attempts)), none);
    }

    private static JsonNode Enqueue(Request r)
    {
        var (id, status) = r.Queue.TryEnqueue(r.Payload(), r.Options(), r.Tx);
        return new JsonObject { ["id"] = id, ["status"] = status.ToString().ToLowerInvariant() };
    }

    private static JsonNode EnqueueMany(Request r)
    {
        var ids = r.Queue.EnqueueMany(r.List("payloads").Select(Request.Payload), r.Options(), r.Tx);
        return new JsonObject { ["ids"] = new JsonArray([.. ids.Select(id => (JsonNode)id)]) };
    }

    private static JsonNode GetJob(Request r)
    {
        var row = (JsonObject)Request.Row(r.Queue.GetJob(r.Number("id")) ?? throw OtherwiseException.Outcome("EMPTY"))!;
        var kept = new JsonObject();
        foreach (var name in row["metadata"] is null ? LiveColumns : [.. LiveColumns, "metadata"])
        {
            kept[name] = row[name]?.DeepClone();
        }
        return new JsonObject { ["job"] = kept };
    }

    private static JsonNode Trim(Request r) => Count(r.Stream.Trim(StreamUpdate.FromJson(r.Get("settings").GetRawText())));

    private static JsonNode Subscribe(Request r) => r.Keep(() => r.Stream.Subscribe(r.OptionalText("consumer"), r.Optional("from_offset"),
        r.Number("save_every_n", 1000), r.Number("save_every_ms", 1000) / 1000.0));

    private static JsonNode AddSchedule(Request r)
    {
        r.Db.Scheduler.Add(new ScheduledTask(r.Text("name"), r.Text("queue"), r.Payload(), r.Text("schedule"), null,
            r.Number("priority", 0), r.Optional("expires_s"), r.Optional("max_attempts"))
        {
            Overlap = r.OptionalText("overlap") == "skip" ? Overlap.Skip : Overlap.Allow,
            Options = r.Options() with { Priority = 0, ExpiresSeconds = null },
        });
        return Request.Done;
    }

    private static JsonNode UpdateSchedule(Request r)
    {
        var update = new ScheduleUpdate();
        update = r.Has("schedule") ? update.WithCron(r.Text("schedule")) : update;
        update = r.Has("payload") ? update.WithPayload(r.Payload()) : update;
        update = r.Has("priority") ? update.WithPriority(r.Number("priority")) : update;
        update = r.Has("expires_s") ? update.WithExpiresSeconds(r.Optional("expires_s")) : update;
        update = r.Has("max_attempts") ? update.WithMaxAttempts(r.Optional("max_attempts")) : update;
        return Changed(r.Db.Scheduler.Update(r.Text("name"), update));
    }

    private static JsonNode Fires(Request r)
    {
        var fires = new JsonArray();
        foreach (var fire in r.Db.Scheduler.Tick(r.Optional("now")))
        {
            var one = new JsonObject
            {
                ["name"] = fire.Name,
                ["queue"] = fire.Queue,
                ["fire_at"] = fire.FireAt,
                ["job_id"] = fire.JobId,
            };
            if (fire.Status != EnqueueStatus.Enqueued)
            {
                one["status"] = fire.Status == EnqueueStatus.HeldBack ? "skipped" : fire.Status.ToString().ToLowerInvariant();
            }
            fires.Add((JsonNode)one);
        }
        return new JsonObject { ["fires"] = fires };
    }

    private static JsonNode Schedules(Request r)
    {
        var all = (JsonArray)Request.Row(r.Db.Scheduler.List())!;
        foreach (var row in all)
        {
            row!["overlap"] = (string?)row["overlap"] == "Skip" ? "skip" : "allow";
        }
        return new JsonObject { ["schedules"] = all };
    }

    private static JsonNode ResultGet(Request r)
    {
        var value = r.Db.Queue("any").GetResult<RawJson>(r.Number("id"), out var found);
        return found ? new JsonObject { ["value"] = Request.Stored(value.Text) } : throw OtherwiseException.Outcome("EMPTY");
    }

    private static JsonNode ResultWait(Request r)
    {
        try
        {
            var timeout = r.Timeout;
            var value = r.Db.Queue("any").WaitResult<RawJson>(r.Number("id"), timeout < TimeSpan.Zero ? null : timeout)
                .GetAwaiter().GetResult();
            return new JsonObject { ["value"] = Request.Stored(value.Text) };
        }
        catch (TimeoutException)
        {
            throw OtherwiseException.Outcome("TIMEOUT");
        }
    }

    private static JsonNode LockAcquire(Request r) =>
        r.Keep(() => r.Db.TryLock(r.Text("name"), r.OptionalText("owner") ?? Guid.NewGuid().ToString(), r.Number("ttl_s"))
            ?? throw OtherwiseException.Outcome("HELD"));

    private static JsonNode OutboxOpen(Request r)
    {
        var (attempts, none) = Attempts(r);
        var options = new OutboxOptions(r.Number("visibility_timeout_s", 60), attempts ?? 5, r.Number("base_backoff_s", 5));
        return r.Keep(() => new ScriptedOutbox(r.Db, r.Text("name"), [.. r.List("deliver").Select(one => one.GetString()!)], options), none);
    }

    private static JsonNode Page(Request r)
    {
        var jobs = r.Db.Jobs(JobFilter.FromJson(r.Get("filter").GetRawText()));
        return new JsonObject { ["page"] = Request.Row(jobs.Page()) };
    }

    private static JsonNode Apply(Request r)
    {
        var jobs = r.Db.Jobs(JobFilter.FromJson(r.Get("filter").GetRawText()));
        return new JsonObject { ["applied"] = Request.Row(jobs.Apply(r.Text("action"), transaction: r.Tx)) };
    }

    private static JsonNode Step(string? value, string otherwise) =>
        value is null ? throw OtherwiseException.Outcome(otherwise) : new JsonObject { ["value"] = Request.Stored(value) };

    private static string Json(Request r) => r.Payload("value") is RawJson raw ? raw.Text : r.Get("value").GetRawText();

    private static JsonNode Count(long n) => new JsonObject { ["n"] = n };

    private static JsonNode Changed(bool changed) => new JsonObject { ["changed"] = changed };

    private static JsonNode Do(Action action)
    {
        action();
        return Request.Done;
    }

    private static readonly Dictionary<string, Func<Request, JsonNode>> All = new()
    {
        ["hello"] = Hello,
        ["open"] = Open,
        ["close"] = Close,
        ["interrupt"] = r => Do(r.Db.Interrupt),
        ["foreign.exec"] = ForeignExec,
        ["tx.begin"] = r => r.Keep(r.Db.BeginTransaction),
        ["tx.commit"] = r => Do(((HonkerTransaction)r.Handle.It).Commit),
        ["tx.rollback"] = r => Do(((HonkerTransaction)r.Handle.It).Rollback),
        ["sql.exec"] = r => new JsonObject
        {
            ["changes"] = ((HonkerTransaction)r.Handle.It).Execute(r.Text("sql"),
                r.Has("params") ? [.. r.List("params").Select(Request.Sql)] : []),
        },
        ["sql.query"] = Query,
        ["queue.open"] = QueueOpen,
        ["queue.enqueue"] = Enqueue,
        ["queue.enqueue_many"] = EnqueueMany,
        ["queue.claim"] = r => r.Give(r.Queue.ClaimBatch(r.Text("worker"), r.Number("n"))),
        ["queue.ack"] = r => Request.Settled(r.Queue.Ack(r.Number("id"), r.Text("worker"), r.Tx)),
        ["queue.retry"] = r => Request.Settled(r.Queue.Retry(r.Number("id"), r.Text("worker"), r.Number("delay_s"), r.Text("error"), r.Tx)),
        ["queue.fail"] = r => Request.Settled(r.Queue.Fail(r.Number("id"), r.Text("worker"), r.Text("error"), r.Tx)),
        ["queue.release"] = r => Request.Settled(r.Queue.Release(r.Number("id"), r.Text("worker"), r.Number("delay_s"), r.Tx)),
        ["queue.heartbeat"] = r => Request.Settled(r.Queue.Heartbeat(r.Number("id"), r.Text("worker"), r.Number("extend_s"))),
        ["queue.ack_many"] = r => new JsonObject
        {
            ["acked"] = r.Queue.AckBatch(r.List("ids").Select(id => id.GetInt64()), r.Text("worker")),
        },
        ["queue.cancel"] = r => new JsonObject { ["cancelled"] = r.Queue.Cancel(r.Number("id")) },
        ["queue.get"] = GetJob,
        ["queue.next_at"] = r => new JsonObject { ["at"] = r.Queue.NextClaimAt() ?? 0 },
        ["queue.sweep"] = r => Count(r.Queue.SweepExpired()),
        ["queue.stats"] = r => new JsonObject { ["stats"] = Request.Row(r.Queue.Stats()) },
        ["queue.configure"] = r => Do(() => r.Queue.Configure(QueueUpdate.FromJson(r.Get("settings").GetRawText()))),
        ["queues"] = r => new JsonObject { ["queues"] = Request.Row(r.Db.Queues()) },
        ["metrics"] = r => Request.Row(r.Db.Metrics())!,
        ["queue.settings"] = r => new JsonObject { ["settings"] = Request.Row(r.Queue.Settings()) },
        ["dead.list"] = r => new JsonObject { ["jobs"] = Request.Row(r.Queue.Dead(r.Optional("limit"))) },
        ["dead.requeue"] = r => new JsonObject { ["requeued"] = r.Queue.Requeue(r.Number("id")) },
        ["dead.purge"] = r => Count(r.Queue.PurgeDead(r.Number("older_than_s"))),
        ["dead.groups"] = r => new JsonObject { ["groups"] = Request.Row(r.Queue.DeadGroups()) },
        ["jobs.list"] = Page,
        ["jobs.apply"] = Apply,
        ["batch.create"] = r => new JsonObject
        {
            ["id"] = r.Db.CreateBatch(BatchOptions.FromJson(r.Get("options").GetRawText()), r.Tx).Id,
        },
        ["batch.seal"] = r => new JsonObject { ["sealed"] = r.Db.Batch(r.Number("id")).Seal(r.Tx) },
        ["batch.get"] = r => new JsonObject
        {
            ["batch"] = Request.Row(r.Db.Batch(r.Number("id")).Status() ?? throw OtherwiseException.Outcome("EMPTY")),
        },
        ["step.get"] = r => Step(r.Queue.GetStep(r.Number("id"), r.Text("name"), r.Tx), "EMPTY"),
        ["step.save"] = r => Step(r.Queue.SaveStep(r.Number("id"), r.Text("worker"), r.Text("name"), Json(r), r.Tx), "LOST"),
        ["worker.open"] = r => r.Keep(() => r.Queue.Claimer(r.Text("worker"))),
        ["worker.run"] = r => r.Keep(() => new HandlerRun(r.Handle.Database!, r.Queue.Name, r.Text("worker"), [.. r.List("handle").Select(one => one.GetString()!)])),
        ["handler.next"] = r => ((HandlerRun)r.Handle.It).Next(r.Timeout) ?? throw OtherwiseException.Outcome("TIMEOUT"),
        ["next"] = Next,
        ["wake"] = r => Do(r.Handle.Wake.Cancel),
        ["updates.open"] = r => r.Keep(r.Db.Updates),
        ["stream.open"] = r => r.Keep(() => r.Db.Stream(r.Text("topic"))),
        ["stream.publish"] = r => new JsonObject { ["offset"] = r.Stream.Publish(r.Payload(), r.OptionalText("key"), r.Tx) },
        ["stream.configure"] = r => Do(() => r.Stream.Configure(StreamUpdate.FromJson(r.Get("settings").GetRawText()))),
        ["stream.trim"] = Trim,
        ["stream.read"] = r => Events(r.Stream.ReadSince(r.Number("offset"), r.Number("limit", 1000))),
        ["stream.read_consumer"] = r => Events(r.Stream.ReadFromConsumer(r.Text("consumer"), r.Number("limit", 1000))),
        ["stream.save"] = r => new JsonObject { ["saved"] = r.Stream.SaveOffset(r.Text("consumer"), r.Number("offset"), r.Tx) },
        ["stream.offset"] = r => new JsonObject { ["offset"] = r.Stream.GetOffset(r.Text("consumer")) },
        ["stream.subscribe"] = Subscribe,
        ["subscription.ack"] = r => Do(((Subscription)r.Handle.It).Ack),
        ["subscription.save"] = r => Do(((Subscription)r.Handle.It).Save),
        ["subscription.offset"] = r => new JsonObject { ["offset"] = ((Subscription)r.Handle.It).Offset },
        ["notify.send"] = r => new JsonObject { ["id"] = r.Db.Notify(r.Text("channel"), r.Payload(), r.Tx) },
        ["notify.configure"] = r => Do(() => r.Db.KeepNotifications(r.Get("settings").GetProperty("keep_s").Deserialize<long?>())),
        ["notify.prune"] = r => Count(r.Db.PruneNotifications(r.Optional("older_than_s"), r.Optional("max_keep"))),
        ["listen.open"] = r => r.Keep(() => r.Db.Listen(r.Text("channel"))),
        ["sched.add"] = AddSchedule,
        ["sched.remove"] = r => Changed(r.Db.Scheduler.Remove(r.Text("name")) == 1),
        ["sched.pause"] = r => Changed(r.Db.Scheduler.Pause(r.Text("name"))),
        ["sched.resume"] = r => Changed(r.Db.Scheduler.Resume(r.Text("name"))),
        ["sched.update"] = UpdateSchedule,
        ["sched.list"] = Schedules,
        ["sched.tick"] = Fires,
        ["sched.soonest"] = r => new JsonObject { ["at"] = r.Db.Scheduler.Soonest() ?? 0 },
        ["sched.run"] = r => r.Keep(() => new Runner(stop => r.Db.Scheduler.RunAsync(r.Text("owner"), stop)).Start()),
        ["cron.next_after"] = r => new JsonObject { ["at"] = r.Db.Scheduler.NextAfter(r.Text("schedule"), r.Number("from")) },
        ["result.save"] = r => Do(() => r.Db.Queue("any").SaveResult(r.Number("id"), r.Payload("value"), r.Number("ttl_s", 0), r.Tx)),
        ["result.get"] = ResultGet,
        ["result.wait"] = ResultWait,
        ["result.sweep"] = r => Count(r.Db.Queue("any").SweepResults()),
        ["lock.acquire"] = LockAcquire,
        ["lock.renew"] = r => Request.Settled(((LockHandle)r.Handle.It).Heartbeat(r.Number("ttl_s"))),
        ["lock.release"] = r => Request.Settled(((LockHandle)r.Handle.It).Release()),
        ["rate.try"] = r => r.Db.TryRateLimit(r.Text("name"), r.Number("limit"), r.Number("per_s"))
            ? Request.Done
            : throw OtherwiseException.Outcome("LIMITED"),
        ["rate.sweep"] = r => Count(r.Db.SweepRateLimits(r.Number("older_than_s"))),
        ["outbox.open"] = OutboxOpen,
        ["outbox.enqueue"] = r => new JsonObject { ["id"] = ((ScriptedOutbox)r.Handle.It).Outbox.Enqueue(r.Payload(), r.Tx, r.Options()) },
        ["outbox.run_once"] = r => new JsonObject
        {
            ["handled"] = ((ScriptedOutbox)r.Handle.It).Outbox.RunOnceAsync(r.Text("worker")).GetAwaiter().GetResult(),
        },
        ["outbox.run"] = r =>
        {
            var outbox = ((ScriptedOutbox)r.Handle.It).Outbox;
            return r.Keep(() => new Runner(stop => outbox.RunWorker(r.Text("worker"), stop)).Start());
        },
        ["outbox.calls"] = r => new JsonObject { ["payloads"] = ((ScriptedOutbox)r.Handle.It).Calls() },
    };
}
