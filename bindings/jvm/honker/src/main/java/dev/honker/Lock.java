package dev.honker;

import java.time.Duration;

/**
 * A lock that this has; closing it gives it up. Any thread may use it. If the process dies, the
 * lock is free when its time is over.
 */
public final class Lock implements AutoCloseable {
  private final Database database;
  private final String name;
  private final String owner;
  private final Duration ttl;
  private volatile boolean isReleased;

  Lock(Database database, String name, String owner, Duration ttl) {
    this.database = database;
    this.name = name;
    this.owner = owner;
    this.ttl = ttl;
  }

  /**
   * The name.
   *
   * @return as it was given
   */
  public String name() {
    return name;
  }

  /**
   * Who has it.
   *
   * @return as it was given, or a name that nobody else has
   */
  public String owner() {
    return owner;
  }

  /**
   * Prolongs it to its time to live from now.
   *
   * @return false if somebody else has it, or nobody
   */
  public boolean heartbeat() {
    return heartbeat(ttl);
  }

  /**
   * Prolongs it.
   *
   * @param ttl for how long from now; whole seconds, more than 0
   * @return false if somebody else has it, or nobody
   */
  public boolean heartbeat(Duration ttl) {
    byte[] n = Checks.utf8("name", name);
    byte[] o = Checks.utf8("owner", owner);
    long seconds = Checks.seconds("ttl", ttl).getSeconds();
    return database.write(
            null,
            (db, txn, err) ->
                database.library.honker_lock_renew(db, txn, n, n.length, o, o.length, seconds, err))
        == 0;
  }

  /**
   * Gives it up.
   *
   * @return false, and nothing changed, if somebody else has it, or nobody
   */
  public boolean release() {
    byte[] n = Checks.utf8("name", name);
    byte[] o = Checks.utf8("owner", owner);
    boolean wasHeld =
        database.write(
                null,
                (db, txn, err) ->
                    database.library.honker_lock_release(db, txn, n, n.length, o, o.length, err))
            == 0;
    isReleased = true;
    return wasHeld;
  }

  /**
   * Gives it up, if that was not done yet. A lock of a closed database is free when its time is
   * over.
   */
  @Override
  public void close() {
    if (!isReleased && !database.isClosed()) release();
  }

  @Override
  public String toString() {
    return "Lock[" + name + "]";
  }
}
