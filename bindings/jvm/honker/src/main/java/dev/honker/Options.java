package dev.honker;

import java.lang.reflect.Field;
import java.util.StringJoiner;

/**
 * What all options have in common: they keep a copy of the values of their builder, which may be
 * used further.
 */
abstract class Options<B extends Options.Values<B>> {
  final B is;

  Options(B values) {
    this.is = values.copy();
  }

  /** Names each value. */
  @Override
  public String toString() {
    StringJoiner text = new StringJoiner(", ", getClass().getSimpleName() + "[", "]");
    for (Field field : is.getClass().getDeclaredFields()) {
      field.setAccessible(true);
      try {
        text.add(field.getName() + "=" + field.get(is));
      } catch (IllegalAccessException e) {
        throw new AssertionError(e); // it was made accessible
      }
    }
    return text.toString();
  }

  /** The values, as a builder sets them. */
  abstract static class Values<B> implements Cloneable {
    @SuppressWarnings("unchecked")
    B copy() {
      try {
        return (B) clone();
      } catch (CloneNotSupportedException e) {
        throw new AssertionError(e);
      }
    }
  }
}
