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
}
