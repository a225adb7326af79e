package testee;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonPrimitive;
import com.google.gson.Strictness;
import com.google.gson.internal.Streams;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.io.StringReader;
import java.math.BigDecimal;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/** JSON, and the values of the protocol in it. */
final class Json {
  private Json() {}

  static JsonElement parse(String text) {
    try {
      JsonReader reader = new JsonReader(new StringReader(text));
      reader.setStrictness(Strictness.STRICT);
      JsonElement json = Streams.parse(reader);
      if (reader.peek() != JsonToken.END_DOCUMENT) throw new JsonParseException("there is more");
      return json;
    } catch (IOException | IllegalStateException e) {
      throw new JsonParseException(e);
    }
  }

  static JsonElement of(Object value) {
    if (value == null) return JsonNull.INSTANCE;
    if (value instanceof JsonElement json) return json;
    if (value instanceof Boolean is) return new JsonPrimitive(is);
    if (value instanceof Number number) return new JsonPrimitive(number);
    if (value instanceof Map<?, ?> texts) {
      JsonObject json = new JsonObject();
      texts.forEach((key, text) -> json.add((String) key, of(text)));
      return json;
    }
    if (value instanceof byte[] blob) return object("$hex", HexFormat.of().formatHex(blob));
    return new JsonPrimitive((String) value);
  }

  static JsonObject object(String key, Object value) {
    JsonObject json = new JsonObject();
    json.add(key, of(value));
    return json;
  }

  static JsonObject object(String key, Object value, String key2, Object value2) {
    JsonObject json = object(key, value);
    json.add(key2, of(value2));
    return json;
  }

  static <T> JsonArray list(List<T> items, Function<T, JsonElement> make) {
    JsonArray list = new JsonArray();
    items.forEach(item -> list.add(make.apply(item)));
    return list;
  }

  /** The word of the protocol for one of several. */
  static String word(Enum<?> one) {
    return one.name().toLowerCase(Locale.ROOT);
  }

  /** A text that was stored: the JSON that it is, or what is none. */
  static JsonElement stored(String text) {
    try {
      return parse(text);
    } catch (JsonParseException e) {
      return object("$text", text);
    }
  }

  /** What the package returns as JSON, where payloads are texts. */
  static JsonElement parsed(String text) {
    return payloads(parse(text));
  }

  private static JsonElement payloads(JsonElement json) {
    if (json.isJsonArray()) json.getAsJsonArray().forEach(Json::payloads);
    if (json instanceof JsonObject object && object.has("payload")) {
      object.add("payload", stored(object.get("payload").getAsString()));
    }
    return json;
  }

  static Map<String, String> texts(JsonElement json) {
    Map<String, String> texts = new LinkedHashMap<>();
    json.getAsJsonObject().entrySet().forEach(it -> texts.put(it.getKey(), text(it.getValue())));
    return texts;
  }

  static String text(JsonElement json) {
    return json.getAsString();
  }

  static String payload(JsonElement json) {
    boolean isText = json instanceof JsonObject object && object.has("$text");
    return isText ? json.getAsJsonObject().get("$text").getAsString() : json.toString();
  }

  /** Exactly this number: conversions round and wrap. */
  static long integer(JsonElement json) {
    return new BigDecimal(json.getAsString()).longValueExact();
  }

  static Object sqlValue(JsonElement json) {
    if (json.isJsonNull()) return null;
    if (json.isJsonObject()) {
      return HexFormat.of().parseHex(json.getAsJsonObject().get("$hex").getAsString());
    }
    JsonPrimitive value = json.getAsJsonPrimitive();
    if (!value.isNumber()) return value.getAsString();
    boolean isReal = value.getAsString().matches(".*[.eE].*");
    return isReal ? (Object) value.getAsDouble() : (Object) integer(value);
  }
}
