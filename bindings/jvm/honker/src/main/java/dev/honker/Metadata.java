package dev.honker;

import java.util.Map;

/** The metadata of a job: a JSON object of texts, as the library stores it. */
final class Metadata {
  private Metadata() {}

  /** What the library has checked; with what is no object of texts, nothing. */
  static Map<String, String> decode(String json) {
    if (json == null || json.isEmpty()) return Map.of();
    try {
      return of(Json.parse(json));
    } catch (RuntimeException e) {
      return Map.of(); // other programs can write anything
    }
  }

  /** As {@link #decode}, of what is JSON already. */
  static Map<String, String> of(Object json) {
    boolean isTexts =
        json instanceof Map<?, ?> map && map.values().stream().allMatch(String.class::isInstance);
    @SuppressWarnings("unchecked")
    Map<String, String> texts = isTexts ? (Map<String, String>) json : Map.of();
    return texts;
  }
}
