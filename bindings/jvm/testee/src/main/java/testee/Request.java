package testee;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.honker.Database;
import dev.honker.Job;
import dev.honker.Transaction;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.function.Supplier;

/** A request, and the handles that it names. */
record Request(JsonObject json, Handles handles) {
  JsonElement get(String key) {
    if (!json.has(key)) throw new IllegalArgumentException("no " + key + " in " + json);
    return json.get(key);
  }

  /** Whether there is a value that is not null. */
  boolean has(String key) {
    return json.has(key) && !json.get(key).isJsonNull();
  }

  String str(String key) {
    return Json.text(get(key));
  }

  String str(String key, String otherwise) {
    return has(key) ? str(key) : otherwise;
  }

  long num(String key) {
    return Json.integer(get(key));
  }

  long num(String key, long otherwise) {
    return has(key) ? num(key) : otherwise;
  }

  <E extends Enum<E>> E word(String key, Class<E> of) {
    return Enum.valueOf(of, str(key).toUpperCase(Locale.ROOT));
  }

  Duration seconds(String key) {
    return Duration.ofSeconds(num(key));
  }

  Duration secondsOrNull(String key) {
    return has(key) ? seconds(key) : null;
  }

  Integer intOrNull(String key) {
    boolean isNumber =
        has(key) && get(key).isJsonPrimitive() && get(key).getAsJsonPrimitive().isNumber();
    return isNumber ? (Integer) Math.toIntExact(num(key)) : null;
  }

  /** An object in the request. */
  Request part(String key) {
    return new Request(get(key).getAsJsonObject(), handles);
  }

  /** Null is for ever. */
  Duration timeout() {
    return num("timeout_ms") < 0 ? null : Duration.ofMillis(num("timeout_ms"));
  }

  String data() {
    return Json.payload(get("payload"));
  }

  <T> List<T> all(String key, Function<JsonElement, T> make) {
    List<T> list = new ArrayList<>();
    if (has(key)) get(key).getAsJsonArray().forEach(item -> list.add(make.apply(item)));
    return list;
  }

  /** The job in hand. */
  Job job() {
    return handles.job(num("id"), str("worker"));
  }

  Job member() {
    Request member = new Request(get("member").getAsJsonObject(), handles);
    return handles.job(member.num("job_id"), member.str("worker_id"));
  }

  List<Object> params() {
    return all("params", Json::sqlValue);
  }

  Object handle() {
    return handles.get(str("on"));
  }

  <T> T use(Class<T> type) {
    return type.cast(handle());
  }

  Database db() {
    return use(Database.class);
  }

  Transaction tx() {
    return has("tx") ? (Transaction) handles.get(str("tx")) : null;
  }

  /** What had the name is dropped first. */
  JsonElement keep(Supplier<Object> make) {
    handles.drop(str("as"));
    handles.put(str("as"), make.get());
    return new JsonObject();
  }
}
