package dev.honker;

/** Exceptions from the errors of the library. */
final class Errors {
  private Errors() {}

  /** Takes the error that a call with this status has left, and frees it. */
  static HonkerException take(HonkerLibrary library, int status, long[] err) {
    long error = err[0];
    err[0] = 0;
    if (error == 0) {
      String name = library.text(library.honker_status_name(status));
      return HonkerException.of(name, status, name, 0, 0);
    }
    long[] length = new long[1];
    long address = library.honker_error_message(error, length);
    String message =
        new String(library.read(address, length[0]), java.nio.charset.StandardCharsets.UTF_8);
    HonkerException exception =
        HonkerException.of(
            message,
            status,
            library.text(library.honker_error_name(error)),
            library.honker_error_sqlite_code(error),
            library.honker_error_sqlite_extended_code(error));
    library.honker_error_free(error);
    return exception;
  }

  /** The status, if it is no error. */
  static int check(HonkerLibrary library, int status, long[] err) {
    if (status < 0) throw take(library, status, err);
    return status;
  }
}
