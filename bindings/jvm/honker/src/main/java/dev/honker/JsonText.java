package dev.honker;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * JSON of the application's, whose parts are texts as they stand in it: nothing of them changes.
 */
final class JsonText {
  private static final Pattern WORD =
      Pattern.compile("true|false|null|-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?");

  /** As deep as SQLite reads it. */
  private static final int MAX_DEPTH = 1000;

  private final String json;
  private int at;

  private JsonText(String json) {
    this.json = json;
  }

  /** The text, without white space around it; null if it is no JSON. */
  static JsonText of(String text) {
    JsonText whole = new JsonText(text);
    try {
      whole.skipSpace();
      int from = whole.at;
      whole.skipValue(0);
      int to = whole.at;
      whole.skipSpace();
      return whole.at == text.length() ? new JsonText(text.substring(from, to)) : null;
    } catch (IllegalArgumentException | IndexOutOfBoundsException e) {
      return null;
    }
  }

  boolean isObject() {
    return json.charAt(0) == '{';
  }

  boolean isArray() {
    return json.charAt(0) == '[';
  }

  /** What a string says; null if it is none. */
  String string() {
    return json.charAt(0) == '"' ? (String) Json.parse(json) : null;
  }

  /** The value of an object's key; null if there is none, or it is no object. */
  JsonText field(String key) {
    if (!isObject()) return null;
    JsonText inner = new JsonText(json);
    inner.at = 1;
    while (inner.next() != '}') {
      if (inner.next() == ',') inner.at++;
      inner.skipSpace();
      boolean isIt = key.equals(Json.parse(inner.take()));
      inner.skipSpace();
      inner.at++; // the colon
      inner.skipSpace();
      String value = inner.take();
      if (isIt) return new JsonText(value);
    }
    return null;
  }

  /** The first element of an array; null if there is none, or it is no array. */
  JsonText first() {
    if (!isArray()) return null;
    JsonText inner = new JsonText(json);
    inner.at = 1;
    return inner.next() == ']' ? null : new JsonText(inner.take());
  }

  @Override
  public String toString() {
    return json;
  }

  private String take() {
    int from = at;
    skipValue(0);
    return json.substring(from, at);
  }

  private char next() {
    skipSpace();
    return json.charAt(at);
  }

  private void skipSpace() {
    while (at < json.length() && " \t\n\r".indexOf(json.charAt(at)) >= 0) at++;
  }

  private void skipValue(int depth) {
    switch (json.charAt(at)) {
      case '{' -> skipAll(depth, '}');
      case '[' -> skipAll(depth, ']');
      case '"' -> skipString();
      default -> {
        Matcher word = WORD.matcher(json).region(at, json.length());
        check(word.lookingAt());
        at = word.end();
      }
    }
  }

  private void skipAll(int depth, char end) {
    check(depth < MAX_DEPTH);
    at++;
    for (boolean isFirst = true; next() != end; isFirst = false) {
      if (!isFirst) {
        check(json.charAt(at++) == ',');
        skipSpace();
      }
      if (end == '}') {
        skipString();
        check(next() == ':');
        at++;
        skipSpace();
      }
      skipValue(depth + 1);
    }
    at++;
  }

  private void skipString() {
    check(json.charAt(at++) == '"');
    for (char c = json.charAt(at++); c != '"'; c = json.charAt(at++)) {
      check(c >= ' ');
      if (c != '\\') continue;
      char escaped = json.charAt(at++);
      check("\"\\/bfnrtu".indexOf(escaped) >= 0);
      for (int i = 0; escaped == 'u' && i < 4; i++) {
        check(Character.digit(json.charAt(at++), 16) >= 0);
      }
    }
  }

  private static void check(boolean is) {
    if (!is) throw new IllegalArgumentException();
  }
}
