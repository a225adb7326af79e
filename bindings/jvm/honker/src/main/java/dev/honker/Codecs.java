package dev.honker;

import java.util.concurrent.Callable;

/** Calls codecs. */
final class Codecs {
  private Codecs() {}

  static <T> String encode(JsonCodec<T> codec, T value) {
    try {
      return Checks.notNull("what the codec made", codec.encode(value));
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      HonkerException invalid = Checks.invalid("the value", "cannot be encoded: " + e);
      invalid.initCause(e);
      throw invalid;
    }
  }

  /**
   * For a step that has run: without its text another attempt would run it again, and come to the
   * same.
   */
  static <T> T ofStep(String name, Callable<T> text) {
    try {
      return text.call();
    } catch (Exception | StackOverflowError e) { // of values that have themselves in them
      throw unsavedStep(name, e);
    }
  }

  static DiscardException unsavedStep(String name, Throwable why) {
    return new DiscardException(
        "the step " + name + " has run, and is not saved: " + Failures.text(why), why);
  }

  /** For a handler, where no further attempt would decode it either. */
  static <T> T decode(JsonCodec<T> codec, String json) {
    try {
      return codec.decode(json);
    } catch (Exception e) {
      throw new DiscardException("the payload cannot be decoded: " + Failures.text(e), e);
    }
  }
}
