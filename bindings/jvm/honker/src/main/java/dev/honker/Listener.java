package dev.honker;

import java.time.Duration;
import java.util.Optional;

/**
 * Delivers the notifications of one channel, from when it was made on, in order. See {@link
 * Consumer} for threads and interrupts.
 */
public final class Listener extends Consumer {
  private final String channel;

  Listener(Database database, String channel, ListenOptions options) {
    super(
        database,
        "a listener to " + channel,
        (library, waiter, token, out, err) -> {
          byte[] name = Checks.utf8("channel", channel);
          long fallback = database.fallbackMillis(options.fallback());
          return library.honker_listener_new(
              database.handle(), waiter, token, name, name.length, fallback, out, err);
        },
        database.library::honker_listener_free);
    this.channel = channel;
  }

  /**
   * The next notification; waits for it without end.
   *
   * @return the notification, always
   * @throws InterruptedException if the thread is interrupted
   */
  public Optional<Notification> next() throws InterruptedException {
    return next(null);
  }

  /**
   * The next notification; waits for it.
   *
   * @param timeout how long to wait; 0 or less is not at all, null is without end
   * @return the notification; empty if none came in time
   * @throws InterruptedException if the thread is interrupted
   */
  public Optional<Notification> next(Duration timeout) throws InterruptedException {
    return await(timeout, this::take);
  }

  private Notification take() {
    Struct view = Struct.sized(database.library, Notification.VIEW_SIZE);
    int status =
        database.call(
            (db, err) -> database.library.honker_listener_next(handle(), 0, view.array(), err));
    return status == OK ? Notification.of(view) : none(status);
  }

  @Override
  public String toString() {
    return "Listener[" + channel + "]";
  }
}
