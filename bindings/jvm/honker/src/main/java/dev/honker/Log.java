package dev.honker;

import java.lang.System.Logger.Level;

/**
 * The logger `dev.honker`: SLF4J's where the application has it with a provider, otherwise {@link
 * System.Logger}. Nothing that is logged can disturb who logs it.
 */
final class Log {
  /** Where lines go. */
  private interface Sink {
    void log(Level level, String text, Throwable error);
  }

  private static final Sink SINK = sink();

  private Log() {}

  private static Sink sink() {
    try {
      Sink sink = Slf4j.sink();
      if (sink != null) return sink;
    } catch (Throwable e) {
      // it is not there, or too old
    }
    System.Logger logger = System.getLogger("dev.honker");
    return logger::log;
  }

  /** Loaded only if it is there. */
  private static final class Slf4j {
    static Sink sink() {
      if (org.slf4j.LoggerFactory.getILoggerFactory() instanceof org.slf4j.helpers.NOPLoggerFactory)
        return null;
      org.slf4j.Logger logger = org.slf4j.LoggerFactory.getLogger("dev.honker");
      return (level, text, error) ->
          logger.atLevel(org.slf4j.event.Level.valueOf(name(level))).setCause(error).log(text);
    }

    private static String name(Level level) {
      return level == Level.WARNING ? "WARN" : level.name();
    }
  }

  static void info(String text) {
    log(Level.INFO, text, null);
  }

  static void warn(String text) {
    log(Level.WARNING, text, null);
  }

  static void warn(String text, Throwable error) {
    log(Level.WARNING, text, error);
  }

  static void error(String text) {
    log(Level.ERROR, text, null);
  }

  static void error(String text, Throwable error) {
    log(Level.ERROR, text, error);
  }

  private static void log(Level level, String text, Throwable error) {
    try {
      SINK.log(level, text, error);
    } catch (Throwable unspeakable) { // the error's message may throw
      try {
        SINK.log(level, error == null ? text : text + ": " + Failures.text(error), null);
      } catch (Throwable e) {
        // there is nobody to tell
      }
    }
  }
}
