package dev.honker;

import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * SIGTERM and SIGINT, for as long as this is open. A process has one handler for each signal: it
 * tells all that are open. Java's only way to a signal that does not end the process is a class
 * that it does not promise to have. Without it, or with -Xrs, a shutdown hook is told, and told
 * once.
 */
final class Signals implements AutoCloseable {
  private static final List<Signals> OPEN = new ArrayList<>();

  /** The handlers that there were, by their signals. */
  private static final Map<Object, Object> BEFORE = new LinkedHashMap<>();

  private static Method handle;
  private static Thread hook;

  private final Runnable told;
  private final Thread caller = Thread.currentThread();

  Signals(Runnable told) {
    this.told = told;
    synchronized (OPEN) {
      OPEN.add(this);
      if (OPEN.size() == 1) install();
    }
  }

  private static List<Signals> tell() {
    List<Signals> all;
    synchronized (OPEN) {
      all = List.copyOf(OPEN);
    }
    all.forEach(it -> it.told.run());
    return all;
  }

  private static void install() {
    try {
      Class<?> signals = Class.forName("sun.misc.Signal");
      Class<?> handlers = Class.forName("sun.misc.SignalHandler");
      handle = signals.getMethod("handle", signals, handlers);
      Object handler =
          Proxy.newProxyInstance(
              handlers.getClassLoader(),
              new Class<?>[] {handlers},
              (proxy, method, arguments) ->
                  switch (method.getName()) {
                    case "handle" -> {
                      tell();
                      yield null;
                    }
                    case "equals" -> proxy == arguments[0];
                    case "hashCode" -> System.identityHashCode(proxy);
                    default -> "honker's handler";
                  });
      for (String name : new String[] {"TERM", "INT"}) {
        Object signal = signals.getConstructor(String.class).newInstance(name);
        BEFORE.put(signal, handle.invoke(null, signal, handler));
      }
    } catch (ReflectiveOperationException | RuntimeException e) {
      hook =
          new Thread(
              () -> {
                try {
                  for (Signals it : tell()) it.caller.join(); // main ends when all is given back
                } catch (InterruptedException interrupted) {
                  // then at once
                }
              },
              "honker-shutdown");
      Runtime.getRuntime().addShutdownHook(hook);
    }
  }

  @Override
  public void close() {
    synchronized (OPEN) {
      OPEN.remove(this);
      if (OPEN.isEmpty()) uninstall();
    }
  }

  private static void uninstall() {
    BEFORE.forEach(
        (signal, handler) -> {
          try {
            handle.invoke(null, signal, handler);
          } catch (ReflectiveOperationException e) {
            throw new AssertionError(e); // it could be set
          }
        });
    BEFORE.clear();
    Thread hooked = hook;
    hook = null;
    try {
      if (hooked != null) Runtime.getRuntime().removeShutdownHook(hooked);
    } catch (IllegalStateException e) {
      // it has begun
    }
  }
}
