package dev.honker;

/** Why a worker has cancelled the handler of a job. */
public enum CancelReason {
  /** The job was cancelled, deleted, or settled by somebody else. */
  GONE,
  /** The job's claim is over. */
  LAPSED,
  /** The job's claim was over, and it was claimed again. */
  TAKEN,
  /** The handler runs longer than {@link WorkerOptions.Builder#maxRun}; the job is tried again. */
  TIMEOUT,
  /** The worker stops: the job goes back, and the attempt does not count. */
  STOPPED,
  /** The file was replaced by another one, in which there is no such job. */
  REPLACED;

  static CancelReason of(int reason) {
    return switch (reason) {
      case Abi.LOST_LAPSED -> LAPSED;
      case Abi.LOST_TAKEN -> TAKEN;
      case Abi.LOST_TIMEOUT -> TIMEOUT;
      default -> GONE;
    };
  }
}
