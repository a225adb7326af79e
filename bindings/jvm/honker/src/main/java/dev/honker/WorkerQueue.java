package dev.honker;

/**
 * A queue that a worker takes jobs from. Immutable.
 *
 * @param name its name
 * @param weight how often it is asked first, compared with the worker's other queues; places that
 *     it cannot fill go to the others. If all weights are 0 the queues are asked in the order
 *     given; one with weight 0 beside others comes after them
 * @param maxInHand how many of its jobs may run at the same time; -1 for as many as the worker has
 *     room for
 */
public record WorkerQueue(String name, int weight, long maxInHand) {
  /**
   * A queue.
   *
   * @param name its name
   * @param weight how often it is asked first
   * @param maxInHand how many of its jobs may run at the same time; -1: no limit of its own
   * @throws HonkerInvalidOptionException if the name is null, the weight negative, or the limit
   *     less than -1
   */
  public WorkerQueue {
    Checks.name("queue", name);
    Checks.notNegative("weight", weight);
    if (maxInHand < -1) throw Checks.invalid("maxInHand", "must be -1 or more: " + maxInHand);
  }

  /**
   * A queue with a weight, and without a limit of its own.
   *
   * @param name its name
   * @param weight how often it is asked first, compared with the others
   * @return the queue
   */
  public static WorkerQueue of(String name, int weight) {
    return new WorkerQueue(name, weight, -1);
  }
}
