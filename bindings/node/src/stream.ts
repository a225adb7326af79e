import { options as checked, integer, optionalInteger, optionalText, shown, text } from "./check.js";
import { type Core, Resident } from "./core.js";
import { rangeError, typeError } from "./errors.js";
import { Feed } from "./feed.js";
import { encode, payloadOf, snakeKeys } from "./json.js";
import type { Transaction } from "./transaction.js";

/** One event of a stream. */
export interface StreamEvent<P = unknown> {
  /** Its place: increases within a topic, with gaps. */
  offset: number;
  topic: string;
  /** The publisher's key, or null. */
  key: string | null;
  payload: P;
  /** The stored text of the payload. */
  readonly payloadText: string;
  /** Unix seconds. */
  createdAt: number;
}

/** How a subscription saves how far its consumer has come. */
export interface SubscribeOptions {
  /** Where to begin: after this offset. Default: after the consumer's saved one, or at the beginning. */
  fromOffset?: number;
  /** After how many finished events the offset is saved. Default 1000; 0: not because of a number. */
  saveEveryN?: number;
  /** After how many seconds. Default 1; 0: not because of the time. */
  saveEveryS?: number;
  signal?: AbortSignal;
}

/** What is kept of a topic. Null keeps everything. */
export interface StreamRetention {
  keepS?: number | null;
  keepN?: number | null;
}

type Tx = Transaction | null | undefined;

/** @internal Four elements for each. */
export function eventsOf<P>(topic: string, flat: unknown): StreamEvent<P>[] {
  const events: StreamEvent<P>[] = [];
  if (!Array.isArray(flat)) return events;
  for (let at = 0; at < flat.length; at += 4) {
    const payloadText = flat[at + 2] as string;
    const event = { offset: flat[at], topic, key: flat[at + 1], payload: payloadOf(payloadText), createdAt: flat[at + 3] };
    Object.defineProperty(event, "payloadText", { value: payloadText });
    events.push(event as StreamEvent<P>);
  }
  return events;
}

/** A topic of the file; made by {@link Database.stream}. */
export class Stream<P = unknown> extends Resident {
  readonly #core: Core;
  readonly name: string;

  /** @internal */
  constructor(core: Core, name: string) {
    super();
    this.#core = core;
    this.name = text(name, "name");
  }

  /** Appends an event; its offset. */
  publish(payload: P, options?: { key?: string | null; tx?: Tx }): number {
    const { key, tx } = checked(options, publishKeys, "options of publish");
    return this.#core.run("streamPublish", tx, ...this.#event(payload, key));
  }

  /** As {@link publish}, off the event loop. */
  async publishAsync(payload: P, options?: { key?: string | null; tx?: Tx }): Promise<number> {
    const { key, tx } = checked(options, publishKeys, "options of publish");
    return this.#core.runAsync("streamPublish", tx, ...this.#event(payload, key));
  }

  /** Appends an event with a key. */
  publishWithKey(key: string, payload: P): number {
    return this.publish(payload, { key: text(key, "key") });
  }

  /** As {@link publishWithKey}, off the event loop. */
  async publishWithKeyAsync(key: string, payload: P): Promise<number> {
    return this.publishAsync(payload, { key: text(key, "key") });
  }

  /** Appends an event in a transaction. */
  publishTx(tx: Transaction, payload: P, key?: string | null): number {
    return this.publish(payload, { tx: given(tx), key });
  }

  /** As {@link publishTx}, off the event loop. */
  async publishTxAsync(tx: Transaction, payload: P, key?: string | null): Promise<number> {
    return this.publishAsync(payload, { tx: given(tx), key });
  }

  #event(payload: P, key: string | null | undefined): unknown[] {
    return [this.name, optionalText(key, "key"), encode(payload)];
  }

  /** The events after `offset`, oldest first. */
  readSince(offset: number, limit?: number): StreamEvent<P>[] {
    return eventsOf<P>(this.name, this.#core.run("streamReadSince", undefined, ...this.#since(offset, limit)));
  }

  /** As {@link readSince}, off the event loop. */
  async readSinceAsync(offset: number, limit?: number): Promise<StreamEvent<P>[]> {
    return eventsOf<P>(this.name, await this.#core.runAsync("streamReadSince", undefined, ...this.#since(offset, limit)));
  }

  #since(offset: number, limit: number | undefined): unknown[] {
    return [this.name, integer(offset, "offset"), optionalInteger(limit, "limit") ?? -1];
  }

  /** The events after the consumer's saved offset, which stays as it is. */
  readFromConsumer(consumer: string, limit?: number): StreamEvent<P>[] {
    return this.readSince(this.getOffset(consumer), limit);
  }

  /** As {@link readFromConsumer}, off the event loop. */
  async readFromConsumerAsync(consumer: string, limit?: number): Promise<StreamEvent<P>[]> {
    return this.readSinceAsync(await this.getOffsetAsync(consumer), limit);
  }

  /** Everything up to `offset` is finished. False if the consumer was that far already: an offset never goes back. */
  saveOffset(consumer: string, offset: number): boolean {
    return this.#core.run("streamSaveOffset", undefined, ...this.#offset(consumer, offset)) === 0;
  }

  /** As {@link saveOffset}, off the event loop. */
  async saveOffsetAsync(consumer: string, offset: number): Promise<boolean> {
    return (await this.#core.runAsync("streamSaveOffset", undefined, ...this.#offset(consumer, offset))) === 0;
  }

  /** As {@link saveOffset} in a transaction, together with what the events have led to. */
  saveOffsetTx(tx: Transaction, consumer: string, offset: number): boolean {
    return this.#core.run("streamSaveOffset", given(tx), ...this.#offset(consumer, offset)) === 0;
  }

  /** As {@link saveOffsetTx}, off the event loop. */
  async saveOffsetTxAsync(tx: Transaction, consumer: string, offset: number): Promise<boolean> {
    return (await this.#core.runAsync("streamSaveOffset", given(tx), ...this.#offset(consumer, offset))) === 0;
  }

  #offset(consumer: string, offset: number): unknown[] {
    return [text(consumer, "consumer"), this.name, integer(offset, "offset")];
  }

  /** The offset that the consumer last saved; 0 if it never did. */
  getOffset(consumer: string): number {
    return this.#core.run("streamGetOffset", undefined, text(consumer, "consumer"), this.name);
  }

  /** As {@link getOffset}, off the event loop. */
  async getOffsetAsync(consumer: string): Promise<number> {
    return this.#core.runAsync("streamGetOffset", undefined, text(consumer, "consumer"), this.name);
  }

  /** What is kept of it from now on; what is not given stays. */
  configure(retention: StreamRetention): void {
    this.#core.run("streamConfigure", undefined, this.name, retentionText(retention));
  }

  /** As {@link configure}, off the event loop. */
  async configureAsync(retention: StreamRetention): Promise<void> {
    await this.#core.runAsync("streamConfigure", undefined, this.name, retentionText(retention));
  }

  /** Removes the events that are not kept, none that a consumer has not finished unless `pastConsumers`; how many those were. */
  trim(retention: StreamRetention & { pastConsumers?: boolean } = {}): number {
    return this.#core.run("streamTrim", undefined, this.name, retentionText(retention));
  }

  /** As {@link trim}, off the event loop. */
  async trimAsync(retention: StreamRetention & { pastConsumers?: boolean } = {}): Promise<number> {
    return this.#core.runAsync("streamTrim", undefined, this.name, retentionText(retention));
  }

  /** The events in order, those that are there and then those that come. A consumer's offset is saved as it goes. */
  subscribe(consumer?: string | null, options?: SubscribeOptions): Subscription<P> {
    return new Subscription<P>(this.#core, this.name, optionalText(consumer, "consumer"), options);
  }
}

const publishKeys = new Set(["key", "tx"]);
const subscribeKeys = new Set(["fromOffset", "saveEveryN", "saveEveryS", "signal"]);

function given(tx: Transaction): Transaction {
  if (tx === undefined || tx === null) throw typeError("tx must be a Transaction");
  return tx;
}

function retentionText(retention: object): string {
  if (retention === null || typeof retention !== "object")
    throw typeError(`retention must be an object, not ${shown(retention)}`);
  return JSON.stringify(snakeKeys(retention));
}

function milliseconds(value: unknown, name: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number") throw typeError(`${name} must be a number of seconds, not ${shown(value)}`);
  if (Number.isNaN(value)) throw rangeError(`${name} must be a number of seconds`);
  // The library refuses a negative one. One that rounds to nothing would mean never.
  const ms = Math.round(Math.min(value * 1000, Number.MAX_SAFE_INTEGER));
  return ms === 0 && value > 0 ? 1 : Math.max(ms, -1);
}

/**
 * Events of a topic in order; made by {@link Stream.subscribe}. An event is finished when the next one is asked for, or with
 * `ack`; only finished ones are saved, so that whoever fails in the middle of one sees it again.
 */
export class Subscription<P = unknown> extends Feed<StreamEvent<P>> {
  readonly #topic: string;
  readonly #saves: boolean;

  /** @internal */
  constructor(core: Core, topic: string, consumer: string | undefined, given?: SubscribeOptions) {
    const options = checked(given, subscribeKeys, "options of subscribe");
    const n = optionalInteger(options.saveEveryN, "saveEveryN");
    const ms = milliseconds(options.saveEveryS, "saveEveryS");
    const from = optionalInteger(options.fromOffset, "fromOffset");
    super(core, (token) => core.run("subscriptionNew", undefined, token, topic, [consumer, from, n, ms]), options.signal);
    this.#topic = topic;
    this.#saves = consumer !== undefined && !(n === 0 && ms === 0);
  }

  /** @internal */
  protected override async look(): Promise<StreamEvent<P> | undefined> {
    return eventsOf<P>(this.#topic, await this.core.runAsync("subscriptionNext", undefined, this.handle))[0];
  }

  /** The event in hand is finished. */
  ack(): void {
    if (this.closed) throw this.closedError();
    this.core.run("subscriptionAck", undefined, this.handle);
  }

  /** Saves the offset of the last finished event now. */
  async save(): Promise<void> {
    if (this.closed) throw this.closedError();
    await this.core.runAsync("subscriptionSave", undefined, this.handle);
  }

  /** The offset of the last event that was given; where it began before the first. */
  get offset(): number {
    if (this.closed) throw this.closedError();
    return this.core.run("subscriptionOffset", undefined, this.handle);
  }

  /** @internal */
  protected override get writesAtEnd(): boolean {
    return this.#saves;
  }

  /** @internal */
  protected override async lastWrite(): Promise<void> {
    await this.core.runAsync("subscriptionSave", undefined, this.handle);
  }
}
