// Jobs by name: what is to be done stands in the payload, as the packages for other languages write and read it, and a worker
// calls the function of that name.
import { functionOf, shown } from "./check.js";
import { rangeError, typeError } from "./errors.js";
import { Discard } from "./outcome.js";
import type { WorkerJob } from "./worker.js";

/** Does what a task is to do, as a {@link Handler} does: with the job, and with the arguments it was called with. */
export type TaskFunction = (job: WorkerJob, ...args: never[]) => unknown;

/** The arguments of a task, without the job. */
export type TaskArguments<F> = F extends (job: WorkerJob, ...args: infer A) => unknown ? A : never;

const envelope = "__honker_task__";

/** What the payload of a task is. */
export interface TaskPayload {
  [envelope]: { task: string; args: unknown[]; kwargs: Record<string, unknown> };
}

/**
 * Functions by the names under which other programs, also of other languages, ask for them. A payload that names none of them will
 * not get better: its job is dead, with the reason.
 */
export class Tasks<T extends Record<string, TaskFunction>> {
  readonly #functions: ReadonlyMap<string, TaskFunction>;

  constructor(functions: T) {
    if (typeof functions !== "object" || functions === null) {
      throw typeError(`tasks must be an object of functions, not ${shown(functions)}`);
    }
    const entries = Object.entries(functions);
    for (const [name, one] of entries) functionOf(one, `task ${name}`);
    this.#functions = new Map(entries);
  }

  /** What is to be enqueued for a call of the function: by an enqueue of any kind, or as the payload of a schedule. */
  payload<N extends keyof T & string>(name: N, ...args: TaskArguments<T[N]>): TaskPayload {
    if (!this.#functions.has(name)) throw rangeError(this.#unknown(name));
    return { [envelope]: { task: name, args, kwargs: {} } };
  }

  /** The handler of a worker: calls the function that the job names. Arguments that have names come last, as one object. */
  readonly handler = (job: WorkerJob): unknown => {
    const task = (job.payload as Partial<TaskPayload> | null)?.[envelope];
    if (typeof task?.task !== "string") throw new Discard("raw (non-task) payload in a queue of tasks");
    const found = this.#functions.get(task.task);
    if (found === undefined) throw new Discard(this.#unknown(task.task));
    const { args = [], kwargs = {} } = task;
    if (!Array.isArray(args) || typeof kwargs !== "object" || kwargs === null) {
      throw new Discard(`task ${task.task}: args must be an array, and kwargs an object`);
    }
    const named = Object.keys(kwargs).length > 0 ? [kwargs] : [];
    return found(job, ...(args as never[]), ...(named as never[]));
  };

  #unknown(name: string): string {
    return `unknown task: ${name}. Registered tasks: [${[...this.#functions.keys()].sort().join(", ")}]`;
  }
}
