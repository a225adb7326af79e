package dev.honker;

import java.nio.file.Path;

/** Where it begins: opens databases. */
public final class Honker {
  private Honker() {}

  /**
   * Opens a SQLite file, creating it if need be, and brings honker's tables in it up to date.
   *
   * @param path a file name or a "file:" URI
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
   * @param path a file name or a "file:" URI
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
}
