package testee;

import dev.honker.Database;
import dev.honker.Outbox;
import dev.honker.OutboxOptions;
import java.util.ArrayList;
import java.util.List;

/** An outbox; what its function was given so far, and what it does, call by call. */
final class ScriptedOutbox {
  final Outbox outbox;
  private final List<String> script;
  private final List<String> payloads = new ArrayList<>();

  ScriptedOutbox(Database db, String name, OutboxOptions options, List<String> script) {
    this.script = script;
    this.outbox = db.outbox(name, this::deliver, options);
  }

  private synchronized void deliver(String json) throws Exception {
    payloads.add(json);
    String what = script.get(Math.min(payloads.size(), script.size()) - 1);
    if (!what.equals("ok")) throw new Exception(what);
  }

  synchronized List<String> calls() {
    return List.copyOf(payloads);
  }
}
