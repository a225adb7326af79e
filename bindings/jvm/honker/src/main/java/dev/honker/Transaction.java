package dev.honker;

import java.util.List;

/**
 * An open transaction: your own SQL and honker's operations, committed together or not at all. One
 * thread uses it at a time; it may move between threads. It holds the only writer: other threads
 * and processes that write wait for it. Should the process die, it never happened.
 */
public final class Transaction implements AutoCloseable {
  private final Database database;
  private final Handle handle;
  private final Key key = new Key();
  private volatile boolean isOver;

  /** Stands for it at the gate, which must not keep it from being collected. */
  static final class Key {
    private volatile Handle handle;

    /** Rolls it back, whoever still refers to it; whether it was open. */
    boolean rollBack() {
      Handle it = handle;
      return it != null && it.free();
    }
  }

  Transaction(Database database) {
    this.database = database;
    HonkerLibrary library = database.library;
    Gate gate = database.gate;
    Key key = this.key;
    gate.enter(database, key);
    try {
      long[] out = new long[1];
      database.waiting((db, err) -> library.honker_tx_begin(db, out, err));
      long number = out[0];
      this.handle =
          new Handle(
              this,
              "a transaction",
              number,
              it -> {
                library.honker_tx_free(it);
                gate.leave(key);
              });
      key.handle = handle;
    } catch (Throwable e) {
      gate.leave(key);
      throw e;
    }
  }

  /**
   * The handle, for a call as a part of this. A handle that is closed is refused, and not taken for
   * none.
   */
  long use(Database by) {
    if (by != database) {
      throw Checks.invalid("tx", "is a transaction of another database");
    }
    database.gate.use(key);
    return handle.number;
  }

  /**
   * Runs one statement of SQL. All of honker's SQL functions are there.
   *
   * @param sql the statement
   * @return how many rows it inserted, updated or deleted
   * @throws HonkerSqlException if SQLite refuses it
   */
  public long execute(String sql) {
    return execute(sql, List.of());
  }

  /**
   * Runs one statement of SQL. All of honker's SQL functions are there.
   *
   * @param sql the statement
   * @param params the values of ?1, ?2, …: null, Boolean, Number, String or byte[]
   * @return how many rows it inserted, updated or deleted
   * @throws HonkerSqlException if SQLite refuses it
   */
  public long execute(String sql, List<?> params) {
    byte[] s = Checks.utf8("sql", sql);
    try (Struct values = Row.params(database.library, params)) {
      return database.number(
          (db, out, err) ->
              database.library.honker_tx_execute(
                  use(database), s, s.length, values.array(), params.size(), out, err));
    }
  }

  /**
   * Runs one statement of SQL; its rows see what the transaction has done so far.
   *
   * @param sql the statement
   * @return the rows
   * @throws HonkerSqlException if SQLite refuses it
   */
  public List<Row> query(String sql) {
    return query(sql, List.of());
  }

  /**
   * Runs one statement of SQL; its rows see what the transaction has done so far.
   *
   * @param sql the statement
   * @param params the values of ?1, ?2, …: null, Boolean, Number, String or byte[]
   * @return the rows
   * @throws HonkerSqlException if SQLite refuses it
   */
  public List<Row> query(String sql, List<?> params) {
    byte[] s = Checks.utf8("sql", sql);
    try (Struct values = Row.params(database.library, params)) {
      long rows =
          database.number(
              (db, out, err) ->
                  database.library.honker_tx_query(
                      use(database), s, s.length, values.array(), params.size(), out, err));
      return Row.take(database, rows);
    }
  }

  /**
   * Commits. Either way the transaction is over.
   *
   * @throws HonkerException if nothing of it has happened
   */
  public void commit() {
    end(database.library::honker_tx_commit);
  }

  /** Rolls back: nothing of the transaction has happened, and it is over. */
  public void rollback() {
    end(database.library::honker_tx_rollback);
  }

  void commitUnlessOver() {
    if (!isOver) commit();
  }

  private void end(Database.Call call) {
    long number = use(database);
    try {
      database.call((db, err) -> call.call(number, err));
    } finally {
      isOver = true;
      database.gate.leave(key);
    }
  }

  /** Rolls back, unless the transaction is over. Does no harm twice. */
  @Override
  public void close() {
    isOver = true;
    handle.close();
  }
}
