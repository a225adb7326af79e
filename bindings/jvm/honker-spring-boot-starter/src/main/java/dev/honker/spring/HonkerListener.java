package dev.honker.spring;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * On a method of a bean that handles the jobs of a queue. Its parameters are the payload, decoded
 * to the parameter's type (a String is the JSON text as it is), and, if it wants it, the {@link
 * dev.honker.Job}. When it returns the job is done; see {@link dev.honker.WorkerBuilder} for what
 * its exceptions make of the job. Several threads call it.
 */
@Documented
@Target(ElementType.METHOD)
@Retention(RetentionPolicy.RUNTIME)
public @interface HonkerListener {
  /** The name of the queue; placeholders are resolved. */
  String queue();

  /** How often the queue is asked first, compared with others. */
  int weight() default 1;

  /** How many of its jobs may be handled at a time; -1 is as many as the worker handles. */
  long maxInHand() default -1;
}
