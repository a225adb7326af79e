// A file, the program on it, and a browser that looks at it.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const { chromium } = createRequire(import.meta.url)(process.env.PLAYWRIGHT);
const run = promisify(execFile);

/** A folder with a database, and what runs on it. `close` ends all of it. */
export class Site {
  static async open() {
    const site = new Site();
    site.folder = await mkdtemp(join(tmpdir(), 'honker-page-'));
    site.running = [];
    await site.honker('notify', 'start', '{}', '--create');
    return site;
  }

  /** Runs the program to its end; its standard output. */
  async honker(...args) {
    const { stdout } = await run(process.env.HONKER, args, { env: this.environment() });
    return stdout.trim();
  }

  environment() {
    return { ...process.env, HONKER_DB: join(this.folder, 'app.db'), TZ: 'UTC' };
  }

  /** Starts `honker serve`; its address. */
  async serve(...options) {
    const listen = options.includes('--listen') ? [] : ['--listen', '127.0.0.1:0'];
    const child = spawn(process.env.HONKER, ['serve', ...listen, ...options], { env: this.environment(), stdio: ['ignore', 'pipe', 'inherit'] });
    this.running.push(child);
    for await (const line of createInterface({ input: child.stdout })) return { url: line, child };
    throw new Error('honker serve has ended');
  }

  /** A job that is dead of an error. */
  async dead(queue, error, payload = '{}') {
    const id = await this.honker('enqueue', queue, payload);
    await this.honker('run', '--queue', queue, '--until-empty', '-q', '--', 'sh', '-c', `cat >/dev/null; printf '%s' "$0" >&2; exit 65`, error);
    return id;
  }

  async write(name, text) {
    await writeFile(join(this.folder, name), text);
    return join(this.folder, name);
  }

  async close() {
    for (const child of this.running) {
      if (child.exitCode === null) {
        const ended = new Promise(resolve => child.once('exit', resolve));
        child.kill('SIGTERM');
        await ended;
      }
    }
    await rm(this.folder, { recursive: true });
  }
}

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
}

/** A page that keeps what it asked for and complained about. */
export async function look(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, timezoneId: 'UTC', locale: 'en-GB', ...options });
  context.setDefaultTimeout(Number(process.env.HONKER_TEST_TIMEOUT_MS || 120000));
  const page = await context.newPage();
  page.asked = [];
  page.complaints = [];
  page.on('request', request => page.asked.push(`${request.method()} ${request.url()}`));
  page.on('console', message => { if (message.type() === 'error') page.complaints.push(message.text()); });
  page.on('pageerror', error => page.complaints.push(String(error)));
  await page.goto(url);
  return page;
}

/** A file with some of everything, as a shop would have it. */
export async function shop(site) {
  const honker = (...args) => site.honker(...args);
  await honker('limit', 'emails', '--keep-done-s', '86400', '--max-attempts', '5', '-y');
  await site.dead('emails', 'mailbox does not exist', '{"to": "nobody@example.com"}');
  for (let n = 1; n <= 12; n++) await honker('enqueue', 'emails', JSON.stringify({ to: `customer-${n}@example.com`, order: 1000 + n }), '--metadata', 'tenant=acme');
  await honker('run', '--queue', 'emails', '--until-empty', '-q', '-c', '4', '--', 'sh', '-c', 'grep -q "customer-[47]@" && { echo "421 try again later, session 8811" >&2; exit 1; }; exit 0');
  for (let n = 1; n <= 7; n++) await honker('enqueue', 'emails', JSON.stringify({ to: `customer-${20 + n}@example.com`, order: 2000 + n }));
  await honker('enqueue', 'reports', '{"month": "2026-10", "format": "pdf"}', '--delay-s', '7200');
  await honker('enqueue', 'thumbnails', '{"image": 1}', '--delay-s', '90');
  await site.dead('thumbnails', 'image 31: cannot decode after 12 ms', '{"image": 31}');
  await site.dead('thumbnails', 'image 32: cannot decode after 9 ms', '{"image": 32}');
  await honker('schedule', 'add', 'nightly report', 'reports', 'CRON_TZ=Europe/Berlin 0 3 * * 1-5', '{}', '-y');
  await honker('schedule', 'add', 'feeds', 'feeds', '@every 90s', '{"all": true}', '--skip-overlap', '-y');
  for (let n = 1; n <= 5; n++) await honker('publish', 'orders', JSON.stringify({ id: n }));
  await honker('tail', 'orders', '--consumer', 'billing', '--no-follow');
  await honker('publish', 'orders', '{"id": 6}');
  await honker('notify', 'deploys', '{"version": 7}');
}

const beside = name => fileURLToPath(new URL(name, import.meta.url));

/** What starts a worker, by its language; undefined where the language is missing. */
export const LANGUAGES = {
  Python: process.env.PYTHON && [process.env.PYTHON, beside('worker.py')],
  Ruby: process.env.RUBY && [process.env.RUBY, '-I', beside('../../../bindings/ruby/lib'), beside('worker.rb')],
};

/** A worker of that language, whose handlers run until they are cancelled. `says` waits for lines of its output. */
export function foreignWorker(site, language, queue) {
  const [program, ...args] = LANGUAGES[language];
  const child = spawn(program, [...args, join(site.folder, 'app.db'), queue], { stdio: ['ignore', 'pipe', 'inherit'] });
  site.running.push(child);
  const said = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', line => said.push(line));
  return {
    said,
    async says(...expected) {
      while (!expected.every(line => said.includes(line))) await once(lines, 'line', { signal: AbortSignal.timeout(120_000) });
    },
  };
}

/** Workers that hold jobs until they are told to end. */
export async function workers(site) {
  for (const name of ['mail-1', 'mail-2']) {
    const child = spawn(process.env.HONKER, ['run', '--queue', 'emails', '--worker', name, '-c', '2', '-q', '--stop-timeout-s', '0', '--', 'sleep', '600'], { env: site.environment(), stdio: 'ignore' });
    site.running.push(child);
  }
  for (let n = 0; n < 500; n++) {
    const held = JSON.parse(await site.honker('jobs', '--state', 'processing', '--json'));
    if (held.length === 4) return;
  }
  throw new Error('the workers have no jobs');
}
