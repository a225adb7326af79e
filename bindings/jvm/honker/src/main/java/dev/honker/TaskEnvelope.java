package dev.honker;

/**
 * What the payload of a task's job is: its name and its arguments, as the Python package writes
 * them.
 *
 * @param task the task's name
 * @param args an array, as it was written
 * @param first the first of it; null if there is none
 * @param kwargs an object, as it was written
 */
record TaskEnvelope(String task, String args, String first, String kwargs) {
  private static final String KEY = "__honker_task__";

  /** The parts of a payload; null if it is no envelope. */
  static TaskEnvelope of(String payload) {
    JsonText json = JsonText.of(payload);
    JsonText call = json == null ? null : json.field(KEY);
    JsonText task = call == null ? null : call.field("task");
    if (task == null || task.string() == null) return null;
    JsonText args = call.field("args");
    JsonText kwargs = call.field("kwargs");
    JsonText first = args == null ? null : args.first();
    return new TaskEnvelope(
        task.string(),
        args == null ? "[]" : args.toString(),
        first == null ? null : first.toString(),
        kwargs == null ? "{}" : kwargs.toString());
  }

  /** The payload of a call. */
  static String write(String task, String argsJson, String kwargsJson) {
    JsonText args = JsonText.of(argsJson);
    JsonText kwargs = JsonText.of(kwargsJson);
    if (args == null || !args.isArray()) throw Checks.invalid("argsJson", "is no JSON array");
    if (kwargs == null || !kwargs.isObject()) {
      throw Checks.invalid("kwargsJson", "is no JSON object");
    }
    String call = "{\"task\":" + Json.write(task) + ",\"args\":" + args + ",\"kwargs\":" + kwargs;
    return "{\"" + KEY + "\":" + call + "}}";
  }
}
