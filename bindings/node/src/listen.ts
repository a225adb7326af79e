import { options as checked, fallbackMs, text } from "./check.js";
import type { Core } from "./core.js";
import { Feed } from "./feed.js";
import { payloadOf } from "./json.js";

/** One notification. */
export interface Notification<P = unknown> {
  /** Increases from one to the next, over all channels. */
  id: number;
  channel: string;
  payload: P;
  /** The stored text of the payload. */
  readonly payloadText: string;
  /** Unix seconds. */
  createdAt: number;
}

/** How often a listener looks without having been woken: seconds, default 15; null for never. */
export interface ListenOptions {
  fallbackPollS?: number | null;
  signal?: AbortSignal;
}

const known = new Set(["fallbackPollS", "signal"]);

/** What is sent to a channel from when it was made on, in order; made by {@link Database.listen}. */
export class Listener<P = unknown> extends Feed<Notification<P>> {
  readonly channel: string;

  /** @internal */
  constructor(core: Core, channel: string, given?: ListenOptions) {
    const { fallbackPollS, signal } = checked(given, known, "options of listen");
    const ms = fallbackMs(fallbackPollS, "fallbackPollS", 15);
    text(channel, "channel");
    super(core, (token) => core.run("listenerNew", undefined, token, channel, ms), signal);
    this.channel = channel;
  }

  /** @internal */
  protected override look(): Notification<P> | undefined {
    const found = this.core.run("listenerNext", undefined, this.handle);
    if (!Array.isArray(found)) return undefined;
    const [id, channel, payloadText, createdAt] = found as [number, string, string, number];
    const notification = { id, channel, payload: payloadOf(payloadText), createdAt };
    Object.defineProperty(notification, "payloadText", { value: payloadText });
    return notification as Notification<P>;
  }
}
