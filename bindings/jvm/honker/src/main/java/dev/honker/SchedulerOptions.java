package dev.honker;

/** Who runs a scheduler. Immutable. */
public final class SchedulerOptions extends Options<SchedulerOptions.Builder> {
  private SchedulerOptions(Builder is) {
    super(is);
  }

  /**
   * Begins with the defaults.
   *
   * @return a builder
   */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * The name under which this one leads, which nobody else may have; default: one that nobody else
   * has.
   *
   * @return the value, null if not given
   */
  public String owner() {
    return is.owner;
  }

  /** Makes {@link SchedulerOptions}. */
  public static final class Builder extends Options.Values<Builder> {
    private String owner;

    private Builder() {}

    /**
     * Sets the name under which this one leads, which nobody else may have; default: one that
     * nobody else has.
     *
     * @param owner the value, null for not given
     * @return this
     */
    public Builder owner(String owner) {
      this.owner = owner;
      return this;
    }

    /**
     * Ends with the values that are set; the builder may be used further.
     *
     * @return the options
     */
    public SchedulerOptions build() {
      return new SchedulerOptions(this);
    }
  }
}
