package dev.honker;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/** A row of a query. Immutable. A column is found by its name or, from 0 on, its place. */
public final class Row {
  private static final int VALUE_SIZE = Abi.VALUE_SIZE;

  private final List<String> columns;
  private final Object[] values;

  private Row(List<String> columns, Object[] values) {
    this.columns = columns;
    this.values = values;
  }

  /**
   * The names of the columns.
   *
   * @return as the query has them
   */
  public List<String> columns() {
    return columns;
  }

  /**
   * A value.
   *
   * @param column its place
   * @return null, a Long, a Double, a String or a byte[]
   * @throws HonkerInvalidOptionException if there is no such column
   */
  public Object get(int column) {
    if (column < 0 || column >= values.length) {
      throw Checks.invalid("column", "must be less than " + values.length + ": " + column);
    }
    Object value = values[column];
    return value instanceof byte[] bytes ? bytes.clone() : value;
  }

  /**
   * A value.
   *
   * @param column its name
   * @return null, a Long, a Double, a String or a byte[]
   * @throws HonkerInvalidOptionException if there is no such column
   */
  public Object get(String column) {
    int index = columns.indexOf(column);
    if (index < 0) throw Checks.invalid("column", "must be one of " + columns + ": " + column);
    return get(index);
  }

  /**
   * An integer.
   *
   * @param column its name
   * @return the integer
   * @throws HonkerInvalidOptionException if there is no such column, or it has none
   */
  public long getLong(String column) {
    if (get(column) instanceof Long number) return number;
    throw Checks.invalid("column", column + " has no integer but " + get(column));
  }

  /**
   * A text.
   *
   * @param column its name
   * @return the text; null for NULL
   * @throws HonkerInvalidOptionException if there is no such column, or it has something else
   */
  public String getString(String column) {
    Object value = get(column);
    if (value == null || value instanceof String) return (String) value;
    throw Checks.invalid("column", column + " has no text but " + value);
  }

  @Override
  public String toString() {
    return "Row" + columns + Arrays.deepToString(values);
  }

  /** Parameters as the library takes them. */
  static Struct params(HonkerLibrary library, List<?> params) {
    Checks.notNull("params", params);
    Struct struct = new Struct(library, params.size() * VALUE_SIZE);
    try {
      for (Object value : params) param(struct, value);
      return struct;
    } catch (RuntimeException e) {
      struct.close();
      throw e;
    }
  }

  private static void param(Struct struct, Object value) {
    if (value == null) {
      struct.u32(Abi.TYPE_NULL).u32(0).i64(0).f64(0).bytes(null);
    } else if (value instanceof Boolean is) {
      struct.u32(Abi.TYPE_INTEGER).u32(0).i64(is ? 1 : 0).f64(0).bytes(null);
    } else if (value instanceof Long
        || value instanceof Integer
        || value instanceof Short
        || value instanceof Byte) {
      struct.u32(Abi.TYPE_INTEGER).u32(0).i64(((Number) value).longValue()).f64(0).bytes(null);
    } else if (value instanceof Double || value instanceof Float) {
      struct.u32(Abi.TYPE_REAL).u32(0).i64(0).f64(((Number) value).doubleValue()).bytes(null);
    } else if (value instanceof String text) {
      struct.u32(Abi.TYPE_TEXT).u32(0).i64(0).f64(0).bytes(Checks.utf8("params", text));
    } else if (value instanceof byte[] blob) {
      struct.u32(Abi.TYPE_BLOB).u32(0).i64(0).f64(0).bytes(blob);
    } else {
      throw Checks.invalid(
          "params",
          "are null, Boolean, Byte to Long, Float, Double, String or byte[], and not "
              + value.getClass().getName());
    }
  }

  /** The rows of a handle, which is freed. */
  static List<Row> take(Database database, long rows) {
    HonkerLibrary library = database.library;
    long[] height = new long[1];
    long[] width = new long[1];
    long[] err = new long[1];
    try {
      Errors.check(library, library.honker_rows_size(rows, height, width, err), err);
      List<String> columns =
          List.copyOf(database.list(width[0], column -> column(library, rows, column)));
      return database.list(
          height[0],
          row -> {
            Object[] values = new Object[columns.size()];
            for (int i = 0; i < values.length; i++) values[i] = value(library, rows, row, i);
            return new Row(columns, values);
          });
    } finally {
      library.honker_rows_free(rows);
    }
  }

  private static String column(HonkerLibrary library, long rows, long column) {
    long[] address = new long[1];
    long[] length = new long[1];
    long[] err = new long[1];
    Errors.check(library, library.honker_rows_column(rows, column, address, length, err), err);
    return new String(library.read(address[0], length[0]), StandardCharsets.UTF_8);
  }

  private static Object value(HonkerLibrary library, long rows, long row, int column) {
    long[] err = new long[1];
    Struct value = new Struct(library, VALUE_SIZE);
    Errors.check(library, library.honker_rows_get(rows, row, column, value.array(), err), err);
    int type = value.u32();
    value.u32();
    long integer = value.i64();
    double real = value.f64();
    byte[] bytes = value.bytes();
    return switch (type) {
      case Abi.TYPE_NULL -> null;
      case Abi.TYPE_INTEGER -> integer;
      case Abi.TYPE_REAL -> real;
      case Abi.TYPE_TEXT -> bytes == null ? "" : new String(bytes, StandardCharsets.UTF_8);
      default -> bytes == null ? new byte[0] : bytes;
    };
  }
}
