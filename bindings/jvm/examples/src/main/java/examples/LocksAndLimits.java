package examples;

import dev.honker.Honker;
import dev.honker.LockHeldException;
import java.time.Duration;

/** Locks and rate limits, for all processes that have the file open. */
final class LocksAndLimits {
  public static void main(String[] args) {
    try (var db = Honker.open("app.db")) {
      try (var lock = db.lock("nightly-backup")) { // until the end of the block
        System.out.println("backing up");
        try {
          db.lock("nightly-backup");
        } catch (LockHeldException e) {
          System.out.println("somebody is at it");
        }
        if (!lock.heartbeat())
          System.out.println("too slow: somebody else has it"); // 60 more seconds
      }

      int allowed = 0;
      for (int i = 0; i < 5; i++) {
        if (db.tryRateLimit("emails", 3, Duration.ofHours(1))) allowed++;
      }
      System.out.println(allowed + " of 5");
    }
  }
}
