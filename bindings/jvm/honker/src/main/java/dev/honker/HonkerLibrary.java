package dev.honker;

/**
 * The C interface: its functions, and how memory is reached.
 *
 * <p>This is all that the package knows of how native code is called. Handles and addresses are
 * longs; structs and texts are bytes that are copied in, and copied out if the function writes to
 * them; an output is the first element of an array. Any thread may call.
 */
interface HonkerLibrary extends HonkerFunctions {
  /** Copies memory of the library's. */
  byte[] read(long address, long length);

  /** A copy of the bytes, with room for one at least, to be given to {@link #release}. */
  long allocate(byte[] bytes);

  void release(long address);

  /** The text at an address, which ends with a NUL. */
  String text(long address);
}
