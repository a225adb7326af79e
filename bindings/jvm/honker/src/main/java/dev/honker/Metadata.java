package dev.honker;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** The metadata of a job: a JSON object of texts, as the library stores it. */
final class Metadata {
  private final String json;
  private int at;

  private Metadata(String json) {
    this.json = json;
  }

  static String encode(Map<String, String> metadata) {
    StringBuilder out = new StringBuilder("{");
    metadata.forEach(
        (key, value) -> {
          if (out.length() > 1) out.append(',');
          quote(out, Checks.notNull("metadata", key)).append(':');
          quote(out, Checks.notNull("metadata", value));
        });
    return out.append('}').toString();
  }

  private static StringBuilder quote(StringBuilder out, String text) {
    out.append('"');
    for (char c : text.toCharArray()) {
      if (c < ' ') out.append(String.format("\\u%04x", (int) c));
      else if (c == '"' || c == '\\') out.append('\\').append(c);
      else out.append(c);
    }
    return out.append('"');
  }

  /** What the library has checked; with what is no object of texts, nothing. */
  static Map<String, String> decode(String json) {
    if (json == null || json.isEmpty()) return Map.of();
    try {
      return new Metadata(json).object();
    } catch (RuntimeException e) {
      return Map.of(); // other programs can write anything
    }
  }

  private Map<String, String> object() {
    Map<String, String> all = new LinkedHashMap<>();
    expect('{');
    while (next() != '}') {
      if (!all.isEmpty()) expect(',');
      next();
      String key = text();
      expect(':');
      next();
      all.put(key, text());
    }
    return Collections.unmodifiableMap(all);
  }

  private char next() {
    while (Character.isWhitespace(json.charAt(at))) at++;
    return json.charAt(at);
  }

  private void expect(char c) {
    if (next() != c) throw new IllegalArgumentException(json);
    at++;
  }

  private String text() {
    expect('"');
    StringBuilder out = new StringBuilder();
    for (char c = json.charAt(at++); c != '"'; c = json.charAt(at++)) {
      out.append(c == '\\' ? escaped(json.charAt(at++)) : c);
    }
    return out.toString();
  }

  private char escaped(char c) {
    if (c != 'u') return "bfnrt".indexOf(c) < 0 ? c : "\b\f\n\r\t".charAt("bfnrt".indexOf(c));
    at += 4;
    return (char) Integer.parseInt(json.substring(at - 4, at), 16);
  }
}
