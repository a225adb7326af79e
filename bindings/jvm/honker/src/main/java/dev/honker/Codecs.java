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

  static <T> T decode(JsonCodec<T> codec, String json) {
    try {
      return codec.decode(json);
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      HonkerException invalid = Checks.invalid("the payload", "cannot be decoded: " + e);
      invalid.initCause(e);
      throw invalid;
    }
  }
}
