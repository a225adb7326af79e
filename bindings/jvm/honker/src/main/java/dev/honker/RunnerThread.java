package dev.honker;

/** A daemon thread that calls a user's handlers. */
final class RunnerThread extends Thread {
  final Database database;

  /** The job that it handles, and for whom. Its own thread alone looks at them. */
  ThreadLauncher launcher;

  Execution execution;

  RunnerThread(Database database, Runnable run, String name) {
    super(run, name);
    this.database = database;
    setDaemon(true);
  }
}
