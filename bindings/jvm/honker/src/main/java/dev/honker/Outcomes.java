package dev.honker;

import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;

/**
 * How many jobs a worker has brought to which end. Jobs that it lost are not counted. One thread at
 * a time.
 */
final class Outcomes {
  /** What has become of a job. */
  enum Outcome {
    DONE,
    SNOOZED,
    RETRIED,
    DEAD,
    RELEASED
  }

  private final Map<Outcome, Long> counts = new EnumMap<>(Outcome.class);

  /**
   * The library has taken the outcome of a job.
   *
   * @param isSettled whether that has settled it; otherwise its handler had, or it was lost
   */
  void count(Job job, Settlement settlement, boolean isSettled) {
    Outcome outcome = isSettled ? of(job, settlement) : job.ownOutcome();
    if (outcome != null) count(outcome);
  }

  private void count(Outcome outcome) {
    counts.merge(outcome, 1L, Long::sum);
  }

  static Outcome of(Job job, Settlement settlement) {
    return switch (settlement.kind()) {
      case Abi.SETTLE_ACK -> Outcome.DONE;
      case Abi.SETTLE_RELEASE -> Outcome.RELEASED;
      case Abi.SETTLE_RETRY -> job.isLastAttempt() ? Outcome.DEAD : Outcome.RETRIED;
      default -> Outcome.DEAD;
    };
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    for (Outcome it : Outcome.values()) {
      if (text.length() > 0) text.append(", ");
      text.append(counts.getOrDefault(it, 0L))
          .append(' ')
          .append(it.name().toLowerCase(Locale.ROOT));
    }
    return text.toString();
  }
}
