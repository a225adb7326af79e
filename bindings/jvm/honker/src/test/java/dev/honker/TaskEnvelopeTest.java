package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

/** What tasks are called with, as it stands in payloads. */
class TaskEnvelopeTest {
  private static TaskEnvelope read(String call) {
    return TaskEnvelope.of("{\"other\" : [1], \"__honker_task__\" : " + call + " }");
  }

  @Test
  void partsAreAsTheyWereWritten() {
    assertEquals(
        new TaskEnvelope("a\"ä", "[1e400, {\"x\": [ ]}]", "1e400", "{\"k\" :\"}\"}"),
        read(
            "{\"kwargs\":{\"k\" :\"}\"} , \"task\":\"a\\\"\\u00e4\",\"args\": [1e400, {\"x\": [ ]}]}"));
    assertEquals(new TaskEnvelope("t", "[]", null, "{}"), read("{\"task\":\"t\"}"));
    assertEquals(
        read(" {\"task\":\"a\\\\\",\"args\":[-0.50],\"kwargs\":{}}"),
        TaskEnvelope.of(TaskEnvelope.write("a\\", " [-0.50] ", "{}")));
  }

  @Test
  void whatIsNoEnvelope() {
    for (String call : new String[] {"7", "{\"task\":7}", "{\"args\":[]}", "[]", "null"}) {
      assertNull(read(call), call);
    }
    assertNull(TaskEnvelope.of("7"));
    for (String json : new String[] {"1", "{}", "[1,]", "\"[]\"", "[1][2]", ""}) {
      assertThrows(
          HonkerInvalidOptionException.class, () -> TaskEnvelope.write("t", json, "{}"), json);
    }
    assertThrows(HonkerInvalidOptionException.class, () -> TaskEnvelope.write("t", "[]", "[]"));
  }

  @Test
  void onlyJsonIsJson() {
    for (String json :
        new String[] {
          "0", "-1.5E+3", "\"\\\\\\u12aF\\/\"", "[]", "{}", " [ [ ] , { } ] ", "{\"\":null}", "true"
        }) {
      assertNotNull(JsonText.of(json), json);
    }
    for (String json :
        new String[] {
          "",
          " ",
          "01",
          "+1",
          "1.",
          ".5",
          "1e",
          "tru",
          "nulll",
          "[",
          "]",
          "[1 2]",
          "[1,]",
          "[,1]",
          "{,}",
          "{\"a\"}",
          "{\"a\":}",
          "{\"a\":1,}",
          "{a:1}",
          "{1:1}",
          "\"",
          "\"\t\"",
          "\"\\x\"",
          "\"\\u12g4\"",
          "'a'",
          "1 2",
          "[".repeat(1001) + "]".repeat(1001)
        }) {
      assertNull(JsonText.of(json), json);
    }
  }
}
