package dev.honker;

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

  /** For a handler, where no further attempt would decode it either. */
  static <T> T decode(JsonCodec<T> codec, String json) {
    try {
      return codec.decode(json);
    } catch (Exception e) {
      throw new DiscardException("the payload cannot be decoded: " + Failures.text(e), e);
    }
  }
}
