package dev.honker;

import java.util.List;
import java.util.Optional;

/**
 * A stream: a topic whose events stay, and consumers who keep how far they have come. Any thread
 * may use it.
 */
public final class Stream {
  final Database database;
  private final HonkerLibrary library;
  private final String topic;
  private final byte[] utf8;

  Stream(Database database, String topic) {
    this.database = database;
    this.library = database.library;
    this.topic = topic;
    this.utf8 = Checks.utf8("topic", topic);
    database.checkOpen();
  }

  /**
   * The topic.
   *
   * @return as it was given
   */
  public String topic() {
    return topic;
  }

  /**
   * Appends an event without a key.
   *
   * @param json the payload: text, JSON by convention
   * @return its offset
   */
  public long publish(String json) {
    return publish(null, json, null);
  }

  /**
   * Appends an event.
   *
   * @param json the payload: text, JSON by convention
   * @param key any text; null for none
   * @return its offset
   */
  public long publish(String json, String key) {
    return publish(null, json, key);
  }

  /**
   * Appends an event without a key as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param json the payload: text, JSON by convention
   * @return its offset
   */
  public long publish(Transaction tx, String json) {
    return publish(tx, json, null);
  }

  /**
   * Appends an event as a part of a transaction.
   *
   * @param tx the transaction; null for none
   * @param json the payload: text, JSON by convention
   * @param key any text; null for none
   * @return its offset
   */
  public long publish(Transaction tx, String json, String key) {
    byte[] payload = Checks.utf8("json", json);
    byte[] k = key == null ? null : Checks.utf8("key", key);
    int length = k == null ? 0 : k.length;
    byte[] address = k != null && length == 0 ? new byte[1] : k; // an empty key is not none
    return database.writeNumber(
        tx,
        (db, txn, out, err) ->
            library.honker_stream_publish(
                db, txn, utf8, utf8.length, address, length, payload, payload.length, out, err));
  }

  /**
   * The events after an offset, oldest first.
   *
   * @param offset 0 for all
   * @param limit how many at most; a negative number means no limit
   * @return the events
   */
  public List<StreamEvent> readSince(long offset, long limit) {
    Optional<Long> events =
        database.numberIfAny(
            (db, out, err) ->
                library.honker_stream_read_since(
                    db, 0, utf8, utf8.length, offset, limit, out, err));
    if (events.isEmpty()) return List.of();
    try {
      long[] length = new long[1];
      long[] err = new long[1];
      Errors.check(library, library.honker_events_len(events.get(), length, err), err);
      return database.list(
          length[0],
          i -> {
            Struct view = StreamEvent.view(library);
            Errors.check(
                library, library.honker_events_get(events.get(), i, view.array(), err), err);
            return StreamEvent.of(view);
          });
    } finally {
      library.honker_events_free(events.get());
    }
  }

  /**
   * The events that a consumer has not finished, oldest first. It saves nothing.
   *
   * @param consumer the consumer
   * @param limit how many at most; a negative number means no limit
   * @return the events
   */
  public List<StreamEvent> readFromConsumer(String consumer, long limit) {
    return readSince(getOffset(consumer), limit);
  }

  /**
   * Records that a consumer has finished everything up to an offset.
   *
   * @param consumer the consumer
   * @param offset the offset
   * @return false, and nothing changed, if it was that far already: an offset never goes back
   */
  public boolean saveOffset(String consumer, long offset) {
    return saveOffset(null, consumer, offset);
  }

  /**
   * Records that a consumer has finished everything up to an offset, as a part of a transaction:
   * that is how to have what events do exactly once.
   *
   * @param tx the transaction; null for none
   * @param consumer the consumer
   * @param offset the offset
   * @return false, and nothing changed, if it was that far already: an offset never goes back
   */
  public boolean saveOffset(Transaction tx, String consumer, long offset) {
    byte[] c = Checks.utf8("consumer", consumer);
    return database.write(
            tx,
            (db, txn, err) ->
                library.honker_stream_save_offset(
                    db, txn, c, c.length, utf8, utf8.length, offset, err))
        == 0;
  }

  /**
   * How far a consumer has come.
   *
   * @param consumer the consumer
   * @return the offset it last saved; 0 if it never did
   */
  public long getOffset(String consumer) {
    byte[] c = Checks.utf8("consumer", consumer);
    return database.number(
        (db, out, err) ->
            library.honker_stream_get_offset(db, 0, c, c.length, utf8, utf8.length, out, err));
  }

  /**
   * A subscription from the beginning, which saves nothing.
   *
   * @return the subscription, to be closed
   */
  public Subscription subscribe() {
    return subscribe(SubscribeOptions.builder().build());
  }

  /**
   * A subscription, for your own loop.
   *
   * @param options where it begins, and whose offset it saves when
   * @return the subscription, to be closed
   */
  public Subscription subscribe(SubscribeOptions options) {
    return new Subscription(this, options);
  }

  /**
   * Has a thread of its own handle all events, from the beginning on.
   *
   * @param handler what is called with each event; an exception ends the subscription, see {@link
   *     Runner#failed}
   * @return what runs, to be closed
   */
  public Runner subscribe(Handler<StreamEvent> handler) {
    return subscribe(handler, SubscribeOptions.builder().build());
  }

  /**
   * Has a thread of its own handle events. An event is finished when the handler returns.
   *
   * @param handler what is called with each event; an exception ends the subscription, see {@link
   *     Runner#failed}, and the event is not finished
   * @param options where it begins, and whose offset it saves when
   * @return what runs, to be closed
   */
  public Runner subscribe(Handler<StreamEvent> handler, SubscribeOptions options) {
    Checks.notNull("handler", handler);
    Subscription subscription = subscribe(options);
    String name = "honker-subscription-" + topic;
    return Runner.each(
        name,
        subscription,
        Subscription::next,
        event -> {
          handler.handle(event);
          database.gate.checkNothingLeftOpen();
          Backoff.insist(
              name,
              subscription::isStopped,
              () -> {
                subscription.ack();
                return true;
              });
        });
  }

  /**
   * Changes what is kept of the topic, for every process. Workers and schedulers remove the rest
   * within a minute, but no event that a consumer which has saved an offset has not finished.
   *
   * @param update what to change
   * @throws HonkerInvalidOptionException if a value cannot be: nothing is changed then
   */
  public void configure(StreamUpdate update) {
    byte[] json = Checks.utf8("update", Checks.notNull("update", update).json());
    database.write(
        null,
        (db, txn, err) ->
            library.honker_stream_configure(db, txn, utf8, utf8.length, json, json.length, err));
  }

  /**
   * Removes the events that are not kept any more, now.
   *
   * @return how many were removed
   */
  public long trim() {
    return trim(new StreamUpdate(), false);
  }

  /**
   * Removes events, now.
   *
   * @param kept what is kept; what it does not say is as the topic has it
   * @param pastConsumers whether also those are removed that a consumer has not finished
   * @return how many were removed
   */
  public long trim(StreamUpdate kept, boolean pastConsumers) {
    byte[] json = Checks.utf8("kept", Checks.notNull("kept", kept).json(pastConsumers));
    return database.writeNumber(
        null,
        (db, txn, out, err) ->
            library.honker_stream_trim(db, txn, utf8, utf8.length, json, json.length, out, err));
  }

  @Override
  public String toString() {
    return "Stream[" + topic + "]";
  }
}
