package dev.honker;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;

/**
 * What the library would refuse, or take for something else, refused with the name that the caller
 * knows.
 */
final class Checks {
  /** HONKER_NO_TIME: what the library takes for "not given", and nobody may give. */
  static final long NO_TIME = Abi.NO_TIME;

  private Checks() {}

  /** Whether it is the URL of a server, and no file's name. */
  static boolean isUrl(String path) {
    return path.startsWith("postgres://") || path.startsWith("postgresql://");
  }

  /** For texts: a URL has its user, password and parameters left out. */
  static String withoutPassword(String path) {
    if (!isUrl(path)) return path;
    String scheme = path.substring(0, path.indexOf("://") + 3);
    String rest = path.substring(scheme.length()).replaceFirst("\\?.*$", "");
    return scheme + rest.substring(rest.lastIndexOf('@') + 1);
  }

  static HonkerInvalidOptionException invalid(String name, String problem) {
    return new HonkerInvalidOptionException(name + " " + problem);
  }

  static <T> T notNull(String name, T value) {
    if (value == null) throw invalid(name, "must not be null");
    return value;
  }

  /** A value that the library is to take for a number, as it is. */
  static long number(String name, long value) {
    if (value == NO_TIME) throw invalid(name, "is too large: " + value);
    return value;
  }

  /** How often a job may be claimed. */
  static long attempts(String name, long value) {
    if (value >= 1) return value;
    throw invalid(name, "must be at least 1, or no job would ever be claimed: " + value);
  }

  static Duration seconds(String name, Duration value) {
    if (notNull(name, value).getNano() != 0) {
      throw invalid(name, "must be whole seconds: " + value);
    }
    return value;
  }

  /** Seconds that may be absent, for which the library takes one number. */
  static Duration secondsOrNull(String name, Duration value) {
    if (value != null) number(name, seconds(name, value).getSeconds());
    return value;
  }

  static Duration positiveSecondsOrNull(String name, Duration value) {
    if (secondsOrNull(name, value) != null && value.getSeconds() <= 0) {
      throw invalid(name, "must be positive: " + value);
    }
    return value;
  }

  static Instant instant(String name, Instant value) {
    if (notNull(name, value).getNano() != 0) {
      throw invalid(name, "must be whole seconds: " + value);
    }
    return value;
  }

  /** The second; at the end of what an Instant can be, if it lies behind that. */
  static Instant instant(long second) {
    return Instant.ofEpochSecond(
        Math.max(Instant.MIN.getEpochSecond(), Math.min(second, Instant.MAX.getEpochSecond())));
  }

  static Duration millis(String name, Duration value) {
    if (notNull(name, value).isNegative()) throw invalid(name, "must not be negative: " + value);
    return value;
  }

  static Duration millisOrNull(String name, Duration value) {
    return value == null ? null : millis(name, value);
  }

  static Duration positiveMillis(String name, Duration value) {
    if (notNull(name, value).compareTo(Duration.ofMillis(1)) < 0) {
      throw invalid(name, "must be positive: " + value);
    }
    return value;
  }

  static Duration positiveMillisOrNull(String name, Duration value) {
    return value == null ? null : positiveMillis(name, value);
  }

  static int positive(String name, int value) {
    if (value <= 0) throw invalid(name, "must be positive: " + value);
    return value;
  }

  static int notNegative(String name, int value) {
    if (value < 0) throw invalid(name, "must not be negative: " + value);
    return value;
  }

  /** Milliseconds, rounded up so that a wait is never shorter than asked for; as many as fit. */
  static long toMillis(Duration value) {
    try {
      return value.isNegative()
          ? Math.min(-1, value.toMillis())
          : value.plusNanos(999_999).toMillis();
    } catch (ArithmeticException e) {
      return value.isNegative() ? Long.MIN_VALUE : Long.MAX_VALUE - 1;
    }
  }

  static long toNanos(Duration value) {
    try {
      return value.toNanos();
    } catch (ArithmeticException e) {
      return Long.MAX_VALUE;
    }
  }

  /** UTF-8; half a character is refused. */
  static byte[] utf8(String name, String text) {
    byte[] bytes = notNull(name, text).getBytes(StandardCharsets.UTF_8);
    if (hasHalfCharacter(text)) {
      throw invalid(name, "is no Unicode text: it has half of a surrogate pair");
    }
    return bytes;
  }

  /** What may name a queue or a worker. */
  static String name(String name, String text) {
    utf8(name, text);
    if (text.indexOf('\0') >= 0) throw invalid(name, "has a NUL in it");
    return text;
  }

  /** A key, which may be absent: the library takes an empty one for none. */
  static String keyOrNull(String name, String text) {
    if (text != null && utf8(name, text).length == 0) throw invalid(name, "must not be empty");
    return text;
  }

  /** As {@link #utf8}, of any text: who reports an error must not fail for its sake. */
  static byte[] utf8Lossy(String text) {
    String safe = text == null ? "" : text.replace('\0', '\uFFFD');
    return safe.getBytes(StandardCharsets.UTF_8);
  }

  private static boolean hasHalfCharacter(String text) {
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (Character.isSurrogate(c)) {
        boolean pair =
            Character.isHighSurrogate(c)
                && i + 1 < text.length()
                && Character.isLowSurrogate(text.charAt(i + 1));
        if (!pair) return true;
        i++;
      }
    }
    return false;
  }
}
