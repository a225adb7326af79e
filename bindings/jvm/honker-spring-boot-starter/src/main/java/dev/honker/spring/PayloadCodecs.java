package dev.honker.spring;

import dev.honker.JsonCodec;
import java.lang.reflect.Type;

/**
 * Makes codecs for the payloads' types. There is one with Jackson, unless there is another bean.
 */
@FunctionalInterface
public interface PayloadCodecs {
  /**
   * A codec.
   *
   * @param type the type of the payloads
   * @return what encodes and decodes them
   */
  JsonCodec<Object> codec(Type type);
}
