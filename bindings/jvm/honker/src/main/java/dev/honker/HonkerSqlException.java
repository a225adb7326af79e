package dev.honker;

/** SQLite, or the file it works on, refused: see {@link #name()} and the codes. */
public class HonkerSqlException extends HonkerException {
  private static final long serialVersionUID = 1;

  HonkerSqlException(String message, int status, String name, int code, int extendedCode) {
    super(message, status, name, code, extendedCode);
  }
}
