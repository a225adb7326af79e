package dev.honker;

import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;

/**
 * {@link HonkerLibrary} through JNA's direct mapping: the native methods are bound to the functions
 * of their name.
 */
final class JnaLibrary extends JnaFunctions implements HonkerLibrary {
  private JnaLibrary() {}

  /**
   * Binds all functions to the library at this path; an UnsatisfiedLinkError if there is none, or
   * one is missing.
   */
  static JnaLibrary bind(NativeLibrary library) {
    Native.register(JnaFunctions.class, library);
    return new JnaLibrary();
  }

  /** Undoes {@link #bind}: no function can be called any more. */
  static void unbind() {
    Native.unregister(JnaFunctions.class);
  }

  @Override
  public byte[] read(long address, long length) {
    if (length == 0) return new byte[0];
    return new Pointer(address).getByteArray(0, Math.toIntExact(length));
  }

  @Override
  public long allocate(byte[] bytes) {
    long address = Native.malloc(Math.max(1, bytes.length));
    if (address == 0) throw new OutOfMemoryError("no native memory for " + bytes.length + " bytes");
    new Pointer(address).write(0, bytes, 0, bytes.length);
    return address;
  }

  @Override
  public void release(long address) {
    Native.free(address);
  }

  @Override
  public String text(long address) {
    return new Pointer(address).getString(0, "UTF-8");
  }
}
