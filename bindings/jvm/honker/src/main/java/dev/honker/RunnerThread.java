package dev.honker;

/** A daemon thread that calls a user's handlers. */
final class RunnerThread extends Thread {
  /** The job that it handles, and for whom. Its own thread alone looks at them. */
  ThreadLauncher launcher;

  Execution execution;

  RunnerThread(Runnable run, String name) {
    super(run, name);
    setDaemon(true);
  }
}
