// The testee of the Node package: does with it what the conformance suite asks for (conformance/PROTOCOL.md).
//
// A lane is a chain of promises. Requests use the asynchronous forms; a lane that has a transaction open uses the plain forms
// for what is not part of it, which fail at once, as they do in a program.
const { honker } = require("./package.js");
const { decode, encode } = require("./package.js").json;
const { operations } = require("./operations.js");
const { Otherwise, Request } = require("./request.js");

/** Lines that a line feed ends, and nothing else: to readline, U+2028 is the end of one as well. */
async function* lines(input) {
  let begun = [];
  for await (const chunk of input.setEncoding("utf8")) {
    const parts = chunk.split("\n");
    const rest = parts.pop();
    for (const part of parts) {
      yield begun.join("") + part;
      begun = [];
    }
    begun.push(rest);
  }
}

class Testee {
  handles = new Map();
  jobs = new Map();
  lanes = new Map();

  handle(name) {
    if (!this.handles.has(name)) throw new Error(`there is no ${name}`);
    return this.handles.get(name);
  }

  async drop(name) {
    const handle = this.handles.get(name);
    this.handles.delete(name);
    await this.close(handle);
  }

  /** What the end of a scope does. */
  async close(handle) {
    if (handle instanceof honker.Database) return handle.closeAsync();
    if (handle instanceof honker.Transaction) return handle.rollbackAsync();
    if (handle instanceof honker.Lock) return void (handle.released || (await handle.releaseAsync()));
    if (handle instanceof honker.Subscription) return void (await handle.return());
    return handle?.close?.();
  }

  async answer(keys, lane) {
    try {
      const operation = operations[keys.op];
      if (!operation) throw new Error(`there is no operation ${keys.op}`);
      return { ok: (await operation(new Request(this, keys, lane))) ?? {} };
    } catch (error) {
      if (error instanceof Otherwise) return error.answer;
      const known = error instanceof honker.HonkerError || error?.code === "HONKER_INVALID";
      const message = String(error?.message ?? error).toWellFormed();
      if (known) return { error: { name: error.code.replace("HONKER_", ""), type: error.name, message } };
      return { crashed: { message, trace: String(error?.stack).toWellFormed() } };
    }
  }

  write(keys, answer) {
    process.stdout.write(`${encode({ seq: keys.seq, ...answer })}\n`);
  }

  lane(name) {
    if (!this.lanes.has(name)) this.lanes.set(name, { transactions: new Set(), last: Promise.resolve() });
    return this.lanes.get(name);
  }

  async reset() {
    let over = false;
    const ended = Promise.all([...this.lanes.values()].map((lane) => lane.last)).then(() => {
      over = true;
    });
    // What waits is ended.
    while (!over) {
      await new Promise(setImmediate);
      if (over) break;
      for (const handle of this.handles.values()) {
        if (handle instanceof honker.Feed) handle.close();
        if (handle instanceof honker.Database && !handle.closed) handle.interrupt();
      }
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 5))]);
    }
    this.lanes.clear();
    for (const name of [...this.handles.keys()].reverse()) await this.drop(name).catch(() => {}); // closed already
    this.jobs.clear();
  }

  async listen() {
    for await (const line of lines(process.stdin)) {
      // What JSON tells of a real that is whole: of parameters, JavaScript has lost it after that.
      const keys = decode(
        line.includes('"params"')
          ? line.replace(/"(?:[^"\\]|\\.)*"|-?\d+\.0+(?![\deE.])/g, (token) =>
              token.startsWith('"') ? token : `{"$real":${token}}`,
            )
          : line,
      );
      if (keys.op === "reset" || keys.op === "bye") {
        await this.reset();
        this.write(keys, { ok: {} });
        if (keys.op === "bye") return;
        continue;
      }
      const lane = this.lane(keys.lane);
      lane.last = lane.last.then(async () => this.write(keys, await this.answer(keys, lane)));
    }
  }
}

new Testee().listen().then(() => process.exit(0));
