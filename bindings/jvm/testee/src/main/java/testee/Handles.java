package testee;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import dev.honker.Database;
import dev.honker.HonkerException;
import dev.honker.Job;
import java.util.Collections;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/** What requests have made, by name. Any lane may use it. */
final class Handles {
  private final Map<String, Object> byName = new LinkedHashMap<>();
  private final Map<String, Job> jobs = new HashMap<>();
  private final Set<Object> closed = Collections.newSetFromMap(new IdentityHashMap<>());

  synchronized Object get(String name) {
    Object handle = byName.get(name);
    if (handle == null) throw new IllegalArgumentException("nothing is called " + name);
    return handle;
  }

  /** The last job that was given to a worker under an id. */
  synchronized void give(Job job) {
    jobs.put(job.id() + " " + job.workerId(), job);
  }

  synchronized Job job(long id, String worker) {
    Job job = jobs.get(id + " " + worker);
    if (job == null) throw new Testee.Otherwise("unsupported", "claims_by_id");
    return job;
  }

  synchronized void put(String name, Object handle) {
    byName.put(name, handle);
  }

  void drop(String name) {
    Object old;
    synchronized (this) {
      old = byName.remove(name);
    }
    drop(old);
  }

  synchronized boolean wasClosed(Object handle) {
    return closed.contains(handle);
  }

  JsonElement close(Object handle) throws Exception {
    synchronized (this) {
      closed.add(handle);
    }
    if (handle instanceof AutoCloseable it) it.close();
    return new JsonObject();
  }

  private void drop(Object handle) {
    try {
      if (handle instanceof AutoCloseable it) it.close();
    } catch (HonkerException e) {
      // it ends with its database
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  synchronized void interrupt() {
    for (Object handle : byName.values()) {
      try {
        if (handle instanceof Database db) db.interrupt();
      } catch (HonkerException e) {
        // it is closed
      }
    }
  }

  /** Databases last: what was made with them is closed before. */
  synchronized void dropAll() {
    byName.values().stream().filter(it -> !(it instanceof Database)).forEach(this::drop);
    byName.values().stream().filter(it -> it instanceof Database).forEach(this::drop);
    byName.clear();
    jobs.clear();
    closed.clear();
  }
}
