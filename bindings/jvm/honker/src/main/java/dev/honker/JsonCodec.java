package dev.honker;

/**
 * Makes JSON of values and values of JSON, with whichever library the application has.
 *
 * @param <T> the type of the values
 */
public interface JsonCodec<T> {
  /**
   * Makes JSON.
   *
   * @param value the value
   * @return its JSON
   * @throws Exception if it has none: nothing is enqueued then
   */
  String encode(T value) throws Exception;

  /**
   * Makes a value.
   *
   * @param json the text, as it was stored
   * @return its value
   * @throws Exception if it is none
   */
  T decode(String json) throws Exception;

  /**
   * One of the two directions.
   *
   * @param <A> what is converted
   * @param <B> what it becomes
   */
  @FunctionalInterface
  interface Function<A, B> {
    /**
     * Converts.
     *
     * @param from what there is
     * @return what is wanted
     * @throws Exception if there is none
     */
    B convert(A from) throws Exception;
  }

  /**
   * A codec of two functions; with Jackson they are {@code mapper::writeValueAsString} and {@code
   * json -> mapper.readValue(json, Email.class)}.
   *
   * @param encode makes JSON of a value
   * @param decode makes a value of JSON
   * @param <T> the type of the values
   * @return the codec
   */
  static <T> JsonCodec<T> of(Function<T, String> encode, Function<String, T> decode) {
    Checks.notNull("encode", encode);
    Checks.notNull("decode", decode);
    return new JsonCodec<>() {
      @Override
      public String encode(T value) throws Exception {
        return encode.convert(value);
      }

      @Override
      public T decode(String json) throws Exception {
        return decode.convert(json);
      }
    };
  }
}
