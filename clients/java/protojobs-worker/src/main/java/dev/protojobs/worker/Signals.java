package dev.protojobs.worker;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Handles SIGTERM and SIGINT until it is closed, instead of the JVM, which would end the process
 * and cannot tell a second signal from the first.
 *
 * <p>By reflection: {@code sun.misc.Signal} is in every JDK (module jdk.unsupported), but javac
 * warns of each use.
 */
final class Signals implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Signals.class);

  private final List<Runnable> undo = new ArrayList<>();

  private Signals() {}

  /** Runs {@code action} at each of these signals; does nothing where the JVM does not allow it. */
  static Signals handle(Runnable action, String... names) {
    Signals signals = new Signals();
    for (String name : names) {
      try {
        signals.take(name, action);
      } catch (ReflectiveOperationException | RuntimeException error) {
        LOG.warn("SIG{} is not handled: {}", name, error.toString());
      }
    }
    return signals;
  }

  private void take(String name, Runnable action) throws ReflectiveOperationException {
    Class<?> signalType = Class.forName("sun.misc.Signal");
    Class<?> handlerType = Class.forName("sun.misc.SignalHandler");
    Method handle = signalType.getMethod("handle", signalType, handlerType);
    InvocationHandler called =
        (proxy, method, arguments) ->
            switch (method.getName()) {
              case "handle" -> {
                action.run();
                yield null;
              }
              case "equals" -> proxy == arguments[0];
              case "hashCode" -> System.identityHashCode(proxy);
              default -> "SIG" + name;
            };
    Object handler =
        Proxy.newProxyInstance(
            Signals.class.getClassLoader(), new Class<?>[] {handlerType}, called);
    Object signal = signalType.getConstructor(String.class).newInstance(name);
    Object before = handle.invoke(null, signal, handler);
    undo.add(
        () -> {
          try {
            handle.invoke(null, signal, before);
          } catch (ReflectiveOperationException error) {
            LOG.warn("SIG{} stays handled: {}", name, error.toString());
          }
        });
  }

  @Override
  public void close() {
    undo.forEach(Runnable::run);
  }
}
