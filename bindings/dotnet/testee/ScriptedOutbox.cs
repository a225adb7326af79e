using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Honker.Testee;

/// <summary>An outbox whose deliveries go as the script says.</summary>
internal sealed class ScriptedOutbox
{
    private readonly List<string> calls = [];
    private readonly string[] script;

    internal ScriptedOutbox(Database database, string name, string[] script, OutboxOptions options)
    {
        this.script = script;
        Outbox = database.Outbox(name, Deliver, options);
    }

    internal Outbox Outbox { get; }

    internal JsonArray Calls()
    {
        lock (calls)
        {
            return new JsonArray([.. calls.Select(Request.Stored)]);
        }
    }

    private void Deliver(JsonElement payload)
    {
        int call;
        lock (calls)
        {
            calls.Add(payload.GetRawText());
            call = calls.Count;
        }
        var what = script[Math.Min(call, script.Length) - 1];
        if (what != "ok")
        {
            throw new InvalidOperationException(what);
        }
    }
}
