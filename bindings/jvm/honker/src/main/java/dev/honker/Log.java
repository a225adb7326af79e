package dev.honker;

import java.lang.System.Logger.Level;
import java.util.ServiceLoader;

/**
 * The logger `dev.honker`: SLF4J's where the application has it with a provider, otherwise {@link
 * System.Logger}. The source of a line is whoever called this class. Nothing that is logged can
 * disturb who logs it.
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
    try {
      Sink sink = Jul.sink();
      if (sink != null) return sink;
    } catch (Throwable e) {
      // the module java.logging is not there
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
      return (level, text, error) -> {
        var event = logger.atLevel(org.slf4j.event.Level.valueOf(name(level))).setCause(error);
        if (event instanceof org.slf4j.spi.CallerBoundaryAware it) {
          it.setCallerBoundary(Log.class.getName());
        }
        event.log(text);
      };
    }

    private static String name(Level level) {
      return level == Level.WARNING ? "WARN" : level.name();
    }
  }

  /**
   * java.util.logging, if that is what {@link System.Logger} is: it would take this class for the
   * source of each line. Loaded only if it is there.
   */
  private static final class Jul {
    static Sink sink() {
      ClassLoader application = ClassLoader.getSystemClassLoader();
      var finders = ServiceLoader.load(System.LoggerFinder.class, application);
      if (finders.findFirst().isPresent()) return null; // another one is System.Logger
      var logger = java.util.logging.Logger.getLogger("dev.honker");
      return (level, text, error) -> {
        var record = new java.util.logging.LogRecord(julLevel(level), text);
        if (!logger.isLoggable(record.getLevel())) return;
        record.setLoggerName(logger.getName());
        record.setThrown(error);
        StackWalker.StackFrame caller = caller();
        record.setSourceClassName(caller.getClassName());
        record.setSourceMethodName(caller.getMethodName());
        logger.log(record);
      };
    }

    private static StackWalker.StackFrame caller() {
      String here = Log.class.getName();
      return StackWalker.getInstance()
          .walk(
              frames ->
                  frames
                      .filter(it -> !it.getClassName().equals(here))
                      .filter(it -> !it.getClassName().startsWith(here + "$"))
                      .findFirst())
          .orElseThrow();
    }

    private static java.util.logging.Level julLevel(Level level) {
      return switch (level) {
        case ERROR -> java.util.logging.Level.SEVERE;
        case WARNING -> java.util.logging.Level.WARNING;
        default -> java.util.logging.Level.INFO;
      };
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
