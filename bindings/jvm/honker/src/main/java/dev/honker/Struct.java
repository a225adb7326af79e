package dev.honker;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/**
 * A struct of the C interface, or an array of them, written field by field or read in the same
 * order. Texts in it are native memory until it is closed.
 */
final class Struct implements AutoCloseable {
  private final HonkerLibrary library;
  private final ByteBuffer fields;
  private List<Long> texts = List.of();

  /** An empty one, to be written. */
  Struct(HonkerLibrary library, int size) {
    this.library = library;
    this.fields = ByteBuffer.allocate(size).order(ByteOrder.nativeOrder());
  }

  /** One that begins with its size, and a reserved field. */
  static Struct sized(HonkerLibrary library, int size) {
    return new Struct(library, size).u32(size).u32(0);
  }

  Struct u32(int value) {
    fields.putInt(value);
    return this;
  }

  Struct i64(long value) {
    fields.putLong(value);
    return this;
  }

  Struct f64(double value) {
    fields.putDouble(value);
    return this;
  }

  /** A honker_bytes_t; null is one without data, which an empty text is not. */
  Struct bytes(byte[] text) {
    return text == null ? i64(0).i64(0) : i64(keep(text)).i64(text.length);
  }

  /** A honker_bytes_t; null is none, and so is what has no characters. */
  Struct text(String name, String text) {
    return bytes(text == null ? null : Checks.utf8(name, text));
  }

  /** The address of a copy, which lives as long as this. */
  long keep(byte[] bytes) {
    if (texts.isEmpty()) texts = new ArrayList<>();
    long address = library.allocate(bytes);
    texts.add(address);
    return address;
  }

  /** What is given to the library. */
  byte[] array() {
    return fields.array();
  }

  /** Reads from the beginning, behind the size and the reserved field. */
  Struct rewind() {
    fields.position(8);
    return this;
  }

  /** Reads from there. */
  Struct at(int position) {
    fields.position(position);
    return this;
  }

  int u32() {
    return fields.getInt();
  }

  long i64() {
    return fields.getLong();
  }

  double f64() {
    return fields.getDouble();
  }

  /** Null if there is no data. */
  byte[] bytes() {
    long address = fields.getLong();
    long length = fields.getLong();
    return address == 0 ? null : library.read(address, length);
  }

  /** Null if there is no data. */
  String text() {
    byte[] bytes = bytes();
    return bytes == null ? null : new String(bytes, java.nio.charset.StandardCharsets.UTF_8);
  }

  /** Passes a honker_bytes_t by. */
  Struct skipBytes() {
    fields.position(fields.position() + 16);
    return this;
  }

  @Override
  public void close() {
    texts.forEach(library::release);
    texts = List.of();
  }
}
