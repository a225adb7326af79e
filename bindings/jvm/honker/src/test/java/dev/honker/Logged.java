package dev.honker;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/** What is logged meanwhile, by Java's own logger. */
final class Logged extends Handler implements AutoCloseable {
  private static final Logger LOGGER = Logger.getLogger("dev.honker");

  private final List<LogRecord> records = new CopyOnWriteArrayList<>();

  Logged() {
    LOGGER.addHandler(this);
  }

  @Override
  public void publish(LogRecord record) {
    records.add(record);
  }

  @Override
  public void flush() {}

  @Override
  public void close() {
    LOGGER.removeHandler(this);
  }

  long count(String text) {
    return records.stream().filter(it -> it.getMessage().contains(text)).count();
  }

  /** The class and the method that the first line with this text comes from. */
  String source(String text) {
    return records.stream()
        .filter(it -> it.getMessage().contains(text))
        .map(it -> it.getSourceClassName() + " " + it.getSourceMethodName())
        .findFirst()
        .orElseThrow();
  }

  @Override
  public String toString() {
    return records.stream().map(LogRecord::getMessage).toList().toString();
  }

  /** One of the lines has this text, and an error with that one in its stack. */
  void has(String text, String error) {
    assertTrue(
        records.stream()
            .anyMatch(
                it ->
                    it.getMessage().contains(text)
                        && it.getThrown() != null
                        && Failures.textAndStack(it.getThrown()).contains(error)),
        this::toString);
  }
}
