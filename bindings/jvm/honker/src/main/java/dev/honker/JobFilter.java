package dev.honker;

import java.time.Instant;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** Which jobs to look at: those for which all hold that is set. Immutable. */
public final class JobFilter extends Options<JobFilter.Builder> {
  private JobFilter(Builder is) {
    super(is);
  }

  /**
   * Begins with all jobs.
   *
   * @return a builder
   */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * Begins with these.
   *
   * @return a builder
   */
  public Builder toBuilder() {
    return is.copy();
  }

  String json() {
    return Json.write(is.conditions);
  }

  boolean hasPageSize() {
    return is.conditions.containsKey("limit");
  }

  /** Makes {@link JobFilter}. */
  public static final class Builder extends Options.Values<Builder> {
    private Map<String, Object> conditions = new LinkedHashMap<>();

    private Builder() {}

    @Override
    Builder copy() {
      Builder copy = super.copy();
      copy.conditions = new LinkedHashMap<>(conditions);
      return copy;
    }

    private Builder set(String key, Object value) {
      conditions.put(key, value);
      return this;
    }

    private Builder text(String key, String name, String value) {
      Checks.utf8(name, value);
      return set(key, value);
    }

    private Builder second(String key, String name, Instant value) {
      return set(key, Checks.instant(name, value).getEpochSecond());
    }

    /**
     * Those of a queue.
     *
     * @param queue its name
     * @return this
     */
    public Builder queue(String queue) {
      return text("queue", "queue", queue);
    }

    /**
     * Those in one of these states.
     *
     * @param states the states
     * @return this
     */
    public Builder state(JobState... states) {
      return set("state", Arrays.stream(states).map(JobState::text).toList());
    }

    /**
     * Those with this id or a larger one.
     *
     * @param id the id
     * @return this
     */
    public Builder minId(long id) {
      return set("min_id", id);
    }

    /**
     * Those with this id or a smaller one.
     *
     * @param id the id
     * @return this
     */
    public Builder maxId(long id) {
      return set("max_id", id);
    }

    /**
     * Those that a worker has.
     *
     * @param workerId as {@link Job#workerId} has it
     * @return this
     */
    public Builder workerId(String workerId) {
      return text("worker_id", "workerId", workerId);
    }

    /**
     * Those with a unique key.
     *
     * @param uniqueKey the key
     * @return this
     */
    public Builder uniqueKey(String uniqueKey) {
      return text("unique_key", "uniqueKey", uniqueKey);
    }

    /**
     * Those of a batch.
     *
     * @param batch its id
     * @return this
     */
    public Builder batch(long batch) {
      return set("batch_id", batch);
    }

    /**
     * Those with all of these metadata.
     *
     * @param metadata texts by their keys
     * @return this
     */
    public Builder metadata(Map<String, String> metadata) {
      return set("metadata", Map.copyOf(Checks.notNull("metadata", metadata)));
    }

    /**
     * Those that died of something.
     *
     * @param error a part of its text
     * @return this
     */
    public Builder error(String error) {
      return text("error", "error", error);
    }

    /**
     * Those that were enqueued at this time or later.
     *
     * @param from whole seconds
     * @return this
     */
    public Builder createdFrom(Instant from) {
      return second("created_from", "from", from);
    }

    /**
     * Those that were enqueued at this time or earlier.
     *
     * @param to whole seconds
     * @return this
     */
    public Builder createdTo(Instant to) {
      return second("created_to", "to", to);
    }

    /**
     * Those that died, or were done, at this time or later.
     *
     * @param from whole seconds
     * @return this
     */
    public Builder endedFrom(Instant from) {
      return second("ended_from", "from", from);
    }

    /**
     * Those that died, or were done, at this time or earlier.
     *
     * @param to whole seconds
     * @return this
     */
    public Builder endedTo(Instant to) {
      return second("ended_to", "to", to);
    }

    /**
     * The one with the smallest id first; default: the one with the largest.
     *
     * @return this
     */
    public Builder oldestFirst() {
      return set("order", "oldest");
    }

    /**
     * How many jobs are read, or changed, at a time; default 100, or 1,000 for an action. It does
     * not limit how many that are in all.
     *
     * @param pageSize 1 to 1,000
     * @return this
     */
    public Builder pageSize(int pageSize) {
      return set("limit", pageSize);
    }

    /**
     * Goes on where a page has ended.
     *
     * @param cursor that of the page
     * @return this
     */
    public Builder cursor(long cursor) {
      return set("cursor", cursor);
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the filter
     */
    public JobFilter build() {
      return new JobFilter(this);
    }
  }
}
