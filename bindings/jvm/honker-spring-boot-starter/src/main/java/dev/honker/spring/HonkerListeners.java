package dev.honker.spring;

import dev.honker.Handler;
import dev.honker.Job;
import dev.honker.WorkerQueue;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Type;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;
import java.util.concurrent.Future;
import java.util.function.Supplier;
import org.springframework.aop.framework.AopProxyUtils;
import org.springframework.aop.support.AopUtils;
import org.springframework.beans.factory.config.BeanPostProcessor;
import org.springframework.context.EmbeddedValueResolverAware;
import org.springframework.core.MethodIntrospector;
import org.springframework.core.annotation.AnnotatedElementUtils;
import org.springframework.core.annotation.AnnotationUtils;
import org.springframework.util.StringValueResolver;

/**
 * Finds the methods that are {@link HonkerListener}s. They are called through their beans' proxies.
 */
class HonkerListeners implements BeanPostProcessor, EmbeddedValueResolverAware {
  /** What a method returns before it is done. */
  private static final List<Class<?>> LATER =
      List.of(Future.class, CompletionStage.class, Flow.Publisher.class);

  private final Supplier<PayloadCodecs> codecs;
  private final Map<String, WorkerQueue> queues = new LinkedHashMap<>();
  private final Map<String, Handler<Job>> handlers = new LinkedHashMap<>();
  private StringValueResolver resolver;

  HonkerListeners(Supplier<PayloadCodecs> codecs) {
    this.codecs = codecs;
  }

  @Override
  public void setEmbeddedValueResolver(StringValueResolver resolver) {
    this.resolver = resolver;
  }

  Map<String, WorkerQueue> queues() {
    return queues;
  }

  Handler<Job> handler(String queue) {
    return handlers.get(queue);
  }

  @Override
  public Object postProcessAfterInitialization(Object bean, String name) {
    methods(AopProxyUtils.ultimateTargetClass(bean))
        .forEach((method, listener) -> add(bean, method, listener));
    return bean;
  }

  static Map<Method, HonkerListener> methods(Class<?> type) {
    if (!AnnotationUtils.isCandidateClass(type, HonkerListener.class)) return Map.of();
    return MethodIntrospector.selectMethods(
        type,
        (MethodIntrospector.MetadataLookup<HonkerListener>)
            method -> AnnotatedElementUtils.findMergedAnnotation(method, HonkerListener.class));
  }

  private void add(Object bean, Method declared, HonkerListener listener) {
    String queue = resolver.resolveStringValue(listener.queue());
    Method method = AopUtils.selectInvocableMethod(declared, bean.getClass());
    if (queues.containsKey(queue)) {
      throw new IllegalStateException("queue " + queue + " has a second listener: " + declared);
    }
    if (LATER.stream().anyMatch(it -> it.isAssignableFrom(method.getReturnType()))) {
      throw new IllegalStateException(
          "the job of a listener is done when it returns, so it must not return a future: "
              + declared);
    }
    queues.put(queue, new WorkerQueue(queue, listener.weight(), listener.maxInHand()));
    handlers.put(queue, handler(bean, method, payloadType(declared)));
  }

  /** The type of the one parameter that is not the job; null if there is none. */
  private static Type payloadType(Method method) {
    Type payload = null;
    for (Type type : method.getGenericParameterTypes()) {
      if (type == Job.class) continue;
      if (payload != null) {
        throw new IllegalStateException("a listener has one payload and the Job: " + method);
      }
      payload = type;
    }
    return payload;
  }

  private Handler<Job> handler(Object bean, Method method, Type payloadType) {
    method.setAccessible(true);
    Class<?>[] parameters = method.getParameterTypes();
    return job -> {
      Object payload = payloadType == null ? null : decode(job, payloadType);
      Object[] arguments = new Object[parameters.length];
      for (int i = 0; i < parameters.length; i++) {
        arguments[i] = parameters[i] == Job.class ? job : payload;
      }
      try {
        method.invoke(bean, arguments);
      } catch (InvocationTargetException e) {
        if (e.getCause() instanceof Error error) throw error;
        throw (Exception) e.getCause();
      }
    };
  }

  private Object decode(Job job, Type type) {
    if (type == String.class) return job.payloadJson();
    PayloadCodecs made = codecs.get();
    if (made == null) throw new IllegalStateException("no PayloadCodecs: Jackson is missing");
    return job.payload(made.codec(type));
  }
}
