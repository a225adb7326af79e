package dev.honker;

import java.nio.file.Path;

/** Where it begins: opens databases. */
public final class Honker {
  private Honker() {}

  /**
   * Opens a SQLite file, creating it if need be, and brings honker's tables in it up to date.
   *
   * @param path a file name or a "file:" URI; or the URL of a Postgres server, "postgres://…"
   * @return the database, to be closed
   * @throws HonkerLoadException if libhonker cannot be found
   * @throws HonkerInvalidOptionException if it is an in-memory database: nobody else could see it
   * @throws HonkerSqlException if the file cannot be opened; {@link HonkerException#name()} says
   *     why
   */
  public static Database open(String path) {
    return open(path, OpenOptions.builder().build());
  }

  /**
   * Opens a SQLite file.
   *
   * @param path a file name or a "file:" URI; or the URL of a Postgres server, "postgres://…"
   * @param options how to open it
   * @return the database, to be closed
   * @see #open(String)
   */
  public static Database open(String path, OpenOptions options) {
    return new Database(path, options);
  }

  /**
   * Opens a SQLite file.
   *
   * @param path the file
   * @return the database, to be closed
   * @see #open(String)
   */
  public static Database open(Path path) {
    return open(Checks.notNull("path", path).toString());
  }

  /**
   * Opens a SQLite file.
   *
   * @param path the file
   * @param options how to open it
   * @return the database, to be closed
   * @see #open(String)
   */
  public static Database open(Path path, OpenOptions options) {
    return open(Checks.notNull("path", path).toString(), options);
  }

  /**
   * A worker with handlers that opens its database itself, and closes it at its end. It waits for a
   * file that is not there yet, and goes on with the new one if the file is replaced.
   *
   * @param path the file
   * @param options how many jobs at a time, and when failed ones are tried again
   * @return the worker, to be given its queues and started
   */
  public static WorkerBuilder worker(String path, WorkerOptions options) {
    return worker(path, OpenOptions.builder().build(), options);
  }

  /**
   * A worker with handlers that opens its database itself, and closes it at its end. It waits for a
   * file that is not there yet, and goes on with the new one if the file is replaced.
   *
   * @param path the file
   * @param open how to open it
   * @param options how many jobs at a time, and when failed ones are tried again
   * @return the worker, to be given its queues and started
   */
  public static WorkerBuilder worker(String path, OpenOptions open, WorkerOptions options) {
    return new WorkerBuilder(null, path, open, options);
  }

  /**
   * The version of libhonker, which is loaded if it is not yet.
   *
   * @return "1.2.3", for instance
   * @throws HonkerLoadException if libhonker cannot be found
   */
  public static String version() {
    HonkerLibrary library = LibraryLoader.load(null);
    return library.text(library.honker_version());
  }

  /**
   * What libhonker was built from, for bug reports.
   *
   * @return a JSON object
   * @throws HonkerLoadException if libhonker cannot be found
   */
  public static String buildInfo() {
    HonkerLibrary library = LibraryLoader.load(null);
    return library.text(library.honker_build_info());
  }

  /**
   * Lets go of libhonker, without which the class loader of this package is never collected: for
   * containers that unload an application while the process goes on, as the last thing that the
   * application does with this package. No other thread may be in a call of it. Does no harm twice;
   * what opens a database afterwards loads the library again.
   *
   * <p>JNA must belong to the application as well, not to a class loader above it: there JNA keeps
   * what has used it. Its own thread ends half a minute later.
   *
   * @throws HonkerException with the name HONKER_MISUSE if a database is open
   */
  public static void unload() {
    LibraryLoader.unload();
  }
}
