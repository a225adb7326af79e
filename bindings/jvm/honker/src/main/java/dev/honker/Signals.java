package dev.honker;

import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * SIGTERM and SIGINT, for as long as this is open. Java's only way to a signal that does not end
 * the process is a class that it does not promise to have. Without it, or with -Xrs, a shutdown
 * hook is told, and told once.
 */
final class Signals implements AutoCloseable {
  private final Map<Object, Object> before = new LinkedHashMap<>();
  private Method handle;
  private Thread hook;

  Signals(Runnable told) {
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
                      told.run();
                      yield null;
                    }
                    case "equals" -> proxy == arguments[0];
                    case "hashCode" -> System.identityHashCode(proxy);
                    default -> "honker's handler";
                  });
      for (String name : new String[] {"TERM", "INT"}) {
        Object signal = signals.getConstructor(String.class).newInstance(name);
        before.put(signal, handle.invoke(null, signal, handler));
      }
    } catch (ReflectiveOperationException | RuntimeException e) {
      Thread caller = Thread.currentThread();
      hook =
          new Thread(
              () -> {
                told.run();
                try {
                  caller.join(); // main ends when all is given back
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
    before.forEach(
        (signal, handler) -> {
          try {
            handle.invoke(null, signal, handler);
          } catch (ReflectiveOperationException e) {
            throw new AssertionError(e); // it could be set
          }
        });
    try {
      if (hook != null) Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // it has begun
    }
  }
}
