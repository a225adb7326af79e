package dev.honker;

import java.time.Instant;

/**
 * An event of a stream.
 *
 * @param offset its place; offsets increase within a topic, with gaps, and begin at 1
 * @param topic the topic
 * @param key the publisher's key; null if there is none
 * @param payloadJson the text as it was published
 * @param createdAt when it was published, to the second
 */
public record StreamEvent(
    long offset, String topic, String key, String payloadJson, Instant createdAt) {
  private static final int VIEW_SIZE = Abi.EVENT_VIEW_SIZE;

  static Struct view(HonkerLibrary library) {
    return Struct.sized(library, VIEW_SIZE);
  }

  static StreamEvent of(Struct view) {
    view.rewind();
    long offset = view.i64();
    String topic = view.text();
    String key = view.text();
    String payload = view.text();
    Instant at = Checks.instant(view.i64());
    return new StreamEvent(
        offset, topic == null ? "" : topic, key, payload == null ? "" : payload, at);
  }
}
