package dev.honker;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What to change of what is kept of a {@link Stream}. Begins with nothing, and is changed by its
 * methods.
 */
public final class StreamUpdate {
  private final Map<String, Object> settings = new LinkedHashMap<>();

  /** Changes nothing, so far. */
  public StreamUpdate() {}

  /**
   * Changes for what time an event is kept.
   *
   * @param keep whole seconds, 1 or more; null for ever
   * @return this
   * @throws HonkerInvalidOptionException if it is no such number of seconds
   */
  public StreamUpdate keep(Duration keep) {
    Checks.positiveSecondsOrNull("keep", keep);
    settings.put("keep_s", keep == null ? null : (Long) keep.getSeconds());
    return this;
  }

  /**
   * Changes how many events are kept, the newest ones.
   *
   * @param keepN how many; null for all
   * @return this
   */
  public StreamUpdate keepN(Integer keepN) {
    settings.put("keep_n", keepN);
    return this;
  }

  String json() {
    return Json.write(settings);
  }

  /** As the library takes it to remove what is not kept. */
  String json(boolean pastConsumers) {
    Map<String, Object> all = new LinkedHashMap<>(settings);
    if (pastConsumers) all.put("past_consumers", true);
    return Json.write(all);
  }
}
