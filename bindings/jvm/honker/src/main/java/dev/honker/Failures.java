package dev.honker;

import java.io.PrintWriter;
import java.io.StringWriter;

/**
 * What is told of an exception that is not ours: nothing of it can be trusted not to throw, its
 * message and its stack included.
 */
final class Failures {
  private Failures() {}

  /** Its message; what it is if it has none, or none that can be had. */
  static String text(Throwable e) {
    try {
      String message = e.getMessage();
      if (message != null) return message;
      if (e instanceof RetryableException) return ""; // which documents it
    } catch (Throwable unspeakable) {
      // the name of the class is left
    }
    try {
      return String.valueOf(e.toString());
    } catch (Throwable unspeakable) {
      return e.getClass().getName();
    }
  }

  /** Its message, and its stack as Java prints it, as far as it can be had. */
  static String textAndStack(Throwable e) {
    StringWriter text = new StringWriter();
    text.append(text(e)).append('\n');
    try {
      e.printStackTrace(new PrintWriter(text));
    } catch (Throwable unspeakable) {
      text.append("(its stack cannot be printed)");
    }
    return text.toString();
  }
}
