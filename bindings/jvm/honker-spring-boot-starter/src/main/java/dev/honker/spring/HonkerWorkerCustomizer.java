package dev.honker.spring;

import dev.honker.WorkerOptions;

/** A bean that changes the worker's options, after the properties and the interceptors' beans. */
@FunctionalInterface
public interface HonkerWorkerCustomizer {
  /**
   * Changes them.
   *
   * @param options what is set so far
   */
  void customize(WorkerOptions.Builder options);
}
