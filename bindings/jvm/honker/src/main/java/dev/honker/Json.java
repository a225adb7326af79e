package dev.honker;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * The JSON that the library takes and answers: small objects of its own, for which no application
 * should need a JSON library. Payloads are never read by it.
 */
final class Json {
  private final String json;
  private int at;

  private Json(String json) {
    this.json = json;
  }

  /**
   * A value: a Map, a List, a String, a Long, a Double, a Boolean or null. An
   * IllegalArgumentException, or an IndexOutOfBoundsException, if it is no JSON.
   */
  static Object parse(String json) {
    Json parser = new Json(json);
    Object value = parser.value();
    while (parser.at < json.length()) {
      if (!Character.isWhitespace(json.charAt(parser.at++))) throw parser.wrong();
    }
    return value;
  }

  /** The text of such a value. */
  static String write(Object value) {
    return write(new StringBuilder(), value).toString();
  }

  private static StringBuilder write(StringBuilder out, Object value) {
    if (value instanceof String text) return quote(out, text);
    if (value instanceof Map<?, ?> map) {
      out.append('{');
      String comma = "";
      for (Map.Entry<?, ?> entry : map.entrySet()) {
        quote(out.append(comma), (String) entry.getKey()).append(':');
        write(out, entry.getValue());
        comma = ",";
      }
      return out.append('}');
    }
    if (value instanceof List<?> list) {
      out.append('[');
      String comma = "";
      for (Object item : list) {
        write(out.append(comma), item);
        comma = ",";
      }
      return out.append(']');
    }
    return out.append(value);
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

  private IllegalArgumentException wrong() {
    return new IllegalArgumentException("no JSON at " + at + ": " + json);
  }

  private Object value() {
    return switch (next()) {
      case '{' -> object();
      case '[' -> array();
      case '"' -> text();
      case 't' -> word("true", true);
      case 'f' -> word("false", false);
      case 'n' -> word("null", null);
      default -> number();
    };
  }

  private Map<String, Object> object() {
    Map<String, Object> all = new LinkedHashMap<>();
    expect('{');
    while (next() != '}') {
      if (!all.isEmpty()) expect(',');
      next();
      String key = text();
      expect(':');
      all.put(key, value());
    }
    at++;
    return Collections.unmodifiableMap(all);
  }

  private List<Object> array() {
    List<Object> all = new ArrayList<>();
    expect('[');
    while (next() != ']') {
      if (!all.isEmpty()) expect(',');
      all.add(value());
    }
    at++;
    return Collections.unmodifiableList(all);
  }

  private Object word(String word, Object value) {
    if (!json.startsWith(word, at)) throw wrong();
    at += word.length();
    return value;
  }

  private Object number() {
    int from = at;
    while (at < json.length() && "+-.eE0123456789".indexOf(json.charAt(at)) >= 0) at++;
    String number = json.substring(from, at);
    if (number.chars().allMatch(c -> c == '-' || Character.isDigit(c))) return Long.valueOf(number);
    return Double.valueOf(number);
  }

  private char next() {
    while (Character.isWhitespace(json.charAt(at))) at++;
    return json.charAt(at);
  }

  private void expect(char c) {
    if (next() != c) throw wrong();
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

  /** An object of the library's answer. A key that is not there is null. */
  record Fields(Map<?, ?> map) {
    static Fields of(String json) {
      return new Fields((Map<?, ?>) parse(json));
    }

    /** Those of an array. */
    static <T> List<T> list(Object array, Function<Fields, T> make) {
      List<?> list = (List<?>) array;
      return list.stream().map(it -> make.apply(new Fields((Map<?, ?>) it))).toList();
    }

    String text(String key) {
      return (String) map.get(key);
    }

    Long number(String key) {
      return (Long) map.get(key);
    }

    /** One that may be written without a fraction. */
    Double real(String key) {
      Number number = (Number) map.get(key);
      return number == null ? null : number.doubleValue();
    }

    boolean is(String key) {
      return Boolean.TRUE.equals(map.get(key));
    }

    Instant instant(String key) {
      Long second = number(key);
      return second == null ? null : Checks.instant(second);
    }

    Duration seconds(String key) {
      Long seconds = number(key);
      return seconds == null ? null : Duration.ofSeconds(seconds);
    }

    Fields fields(String key) {
      return map.get(key) instanceof Map<?, ?> fields ? new Fields(fields) : null;
    }

    <T> List<T> list(String key, Function<Fields, T> make) {
      return list(map.get(key), make);
    }
  }
}
