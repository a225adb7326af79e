package dev.honker;

import java.time.Duration;
import java.util.Optional;

/**
 * Delivers the events of a topic in order, and keeps how far its consumer has come. An event is
 * finished when the next one is asked for, or with {@link #ack}. Only finished events are saved: a
 * consumer that dies in the middle of one sees it again. See {@link Consumer} for threads and
 * interrupts.
 */
public final class Subscription extends Consumer {
  private static final int OPTIONS_SIZE = Abi.SUBSCRIPTION_OPTS_SIZE;

  private final Stream stream;

  Subscription(Stream stream, SubscribeOptions options) {
    super(
        stream.database,
        "a subscription to " + stream.topic(),
        (library, waiter, token, out, err) -> {
          byte[] topic = Checks.utf8("topic", stream.topic());
          String consumer = options.consumer();
          try (Struct opts = Struct.sized(library, OPTIONS_SIZE)) {
            opts.bytes(consumer == null ? null : Checks.utf8("consumer", consumer))
                .i64(options.fromOffset() == null ? Checks.NO_TIME : options.fromOffset())
                .i64(options.saveEveryEvents())
                .i64(Checks.toMillis(options.saveEvery()));
            return library.honker_subscription_new(
                stream.database.handle(),
                waiter,
                token,
                topic,
                topic.length,
                opts.array(),
                out,
                err);
          }
        },
        stream.database.library::honker_subscription_free);
    this.stream = stream;
  }

  /**
   * The next event, which finishes the one before; waits for it without end.
   *
   * @return the event, always
   * @throws InterruptedException if the thread is interrupted
   */
  public Optional<StreamEvent> next() throws InterruptedException {
    return next(null);
  }

  /**
   * The next event, which finishes the one before; waits for it.
   *
   * @param timeout how long to wait; 0 or less is not at all, null is without end
   * @return the event; empty if none came in time
   * @throws InterruptedException if the thread is interrupted
   */
  public Optional<StreamEvent> next(Duration timeout) throws InterruptedException {
    return await(timeout, this::take);
  }

  private StreamEvent take() {
    Struct view = StreamEvent.view(database.library);
    int status =
        database.waiting(
            (db, err) -> database.library.honker_subscription_next(handle(), 0, view.array(), err));
    return status == OK ? StreamEvent.of(view) : none(status);
  }

  /** The event in hand is finished. */
  public void ack() {
    database.waiting((db, err) -> database.library.honker_subscription_ack(handle(), err));
  }

  /** Saves the offset of the last finished event now, if there is something to save. */
  public void save() {
    database.waiting((db, err) -> database.library.honker_subscription_save(handle(), err));
  }

  /**
   * How far this has come.
   *
   * @return the offset of the last event that was delivered; where it began if there was none
   */
  public long offset() {
    return database.number(
        (db, out, err) -> database.library.honker_subscription_offset(handle(), out, err));
  }

  /**
   * Ends it, saving the offset of the last finished event, unless both ways of saving are switched
   * off.
   */
  @Override
  public void close() {
    super.close();
  }

  @Override
  public String toString() {
    return "Subscription[" + stream.topic() + "]";
  }
}
