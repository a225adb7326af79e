package dev.honker;

/**
 * Something that honker cannot do, or could not. The operation has done nothing, and the
 * transaction it was part of is as it was before, unless {@link #name()} is FULL, IO, ABORTED or
 * PANIC: then the transaction may be over, rolled back.
 */
public class HonkerException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final int status;
  private final String name;
  private final int sqliteCode;
  private final int sqliteExtendedCode;

  HonkerException(String message, int status, String name, int sqliteCode, int sqliteExtendedCode) {
    super(message);
    this.status = status;
    this.name = name;
    this.sqliteCode = sqliteCode;
    this.sqliteExtendedCode = sqliteExtendedCode;
  }

  HonkerException(String message, Status status) {
    this(message, status.number, "HONKER_" + status.name(), 0, 0);
  }

  /**
   * The status of the C interface.
   *
   * @return a negative number; they never change
   */
  public int status() {
    return status;
  }

  /**
   * The name of the status in the C interface, for logs.
   *
   * @return "HONKER_BUSY", for instance
   */
  public String name() {
    return name;
  }

  /**
   * SQLite's primary result code.
   *
   * @return 5 for SQLITE_BUSY; 0 if it was not SQLite that refused
   */
  public int sqliteCode() {
    return sqliteCode;
  }

  /**
   * SQLite's extended result code.
   *
   * @return 517 for SQLITE_BUSY_SNAPSHOT; 0 if it was not SQLite that refused
   */
  public int sqliteExtendedCode() {
    return sqliteExtendedCode;
  }

  /** The statuses that this package makes itself, or looks at. Every other is kept as a number. */
  enum Status {
    INTERNAL(Abi.INTERNAL),
    SYSTEM(Abi.SYSTEM),
    BUSY(Abi.BUSY),
    TOO_BIG(Abi.TOO_BIG),
    MISUSE(Abi.MISUSE),
    NULL_ARG(Abi.NULL_ARG),
    UTF8(Abi.UTF8),
    INVALID(Abi.INVALID),
    CONSTRAINT(Abi.CONSTRAINT),
    TOO_OLD(Abi.TOO_OLD),
    MOVED(Abi.MOVED),
    NOT_FOUND(Abi.NOT_FOUND),
    CLOSED_HANDLE(Abi.CLOSED_HANDLE),
    UNSUPPORTED(Abi.UNSUPPORTED),
    INTERRUPTED(Abi.INTERRUPTED);

    final int number;

    Status(int number) {
      this.number = number;
    }
  }

  /**
   * Whether the same call may succeed later: somebody else kept the file locked, the disk is full,
   * the server is away, the system is short of something, or {@link Database#interrupt} ended the
   * call, which later ones do not feel.
   *
   * @return whether to wait and try again
   */
  public final boolean isTransient() {
    return Abi.isTransient(status);
  }

  /** The exception for a status of this package's. */
  static HonkerException of(String message, Status status) {
    return of(message, status.number, "HONKER_" + status.name(), 0, 0);
  }

  /** The exception for a status below 0. */
  static HonkerException of(String message, int status, String name, int code, int extendedCode) {
    if (status == Status.CLOSED_HANDLE.number) return new HonkerClosedException(message);
    if (status <= Status.NULL_ARG.number && status >= Status.INVALID.number) {
      return new HonkerInvalidOptionException(message, status, name);
    }
    if (status == Abi.CONNECTION) return new HonkerConnectionException(message, name);
    if (status == Status.MOVED.number)
      return new HonkerMovedException(message, name, code, extendedCode);
    if (status == Status.BUSY.number) {
      return new HonkerBusyException(message, name, code, extendedCode);
    }
    if (status < -1 && status > Status.MISUSE.number) {
      return new HonkerSqlException(message, status, name, code, extendedCode);
    }
    return new HonkerException(message, status, name, code, extendedCode);
  }
}
