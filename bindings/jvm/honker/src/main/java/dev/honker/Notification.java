package dev.honker;

import java.time.Instant;

/**
 * A notification.
 *
 * @param id increases from one to the next, over all channels
 * @param channel where it was sent
 * @param payloadJson the text as it was sent
 * @param createdAt when it was sent, to the second
 */
public record Notification(long id, String channel, String payloadJson, Instant createdAt) {
  static final int VIEW_SIZE = Abi.NOTIFICATION_VIEW_SIZE;

  static Notification of(Struct view) {
    view.rewind();
    long id = view.i64();
    String channel = view.text();
    String payload = view.text();
    Instant at = Checks.instant(view.i64());
    return new Notification(id, channel == null ? "" : channel, payload == null ? "" : payload, at);
  }
}
