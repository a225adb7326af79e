// The page in a real browser.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import { LANGUAGES, Site, foreignWorker, launch, look, shop, workers } from './site.mjs';

let browser, site;
before(async () => { browser = await launch(); });
after(async () => { await browser.close(); });
beforeEach(async () => { site = await Site.open(); });
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  await site.close();
});

const live = page => page.getByText('live', { exact: true }).waitFor();

test('every screen shows what there is, asks nobody else, and breaks no policy', async () => {
  await shop(site);
  await workers(site);
  const { url } = await site.serve('--write');
  const page = await look(browser, url);
  await live(page);
  for (const [screen, texts] of Object.entries({
    overview: ['emails', 'thumbnails', 'mail-1', 'The last hour', 'Waiting, since the job was due'],
    jobs: ['customer-27@example.com', 'delayed', 'image 32: cannot decode after 9 ms'],
    dead: ['image #: cannot decode after # ms', 'mailbox does not exist'],
    schedules: ['Last fire', 'nightly report', 'at 03:00 on Monday to Friday (Europe/Berlin)', 'every 90s', 'Nobody leads'],
    streams: ['orders', 'billing'],
    notifications: ['{"version": 7}'],
    locks: ['Nobody has a lock.'],
  })) {
    await page.goto(`${url}#/${screen}`);
    for (const text of texts) await page.locator('main').getByText(text).first().waitFor();
    assert.equal(await page.title(), `honker: ${screen}`);
  }
  const dead = JSON.parse(await site.honker('dead', '--json'))[0];
  await page.goto(`${url}#/job/${dead.id}`);
  for (const text of ['What happened', 'died, after 1 of', dead.last_error, 'Edit and enqueue again']) await page.getByText(text).first().waitFor();
  const { host } = new URL(url);
  assert.deepEqual(page.asked.filter(one => !one.includes(host)), []);
  assert.deepEqual(page.complaints, []);
});

test('what another process commits is there within 200 ms, and nothing is asked before', async () => {
  const { url } = await site.serve();
  const page = await look(browser, `${url}#/jobs`);
  await live(page);
  await page.getByText('No job is like that.').waitFor();
  await page.evaluate(() => {
    window.seen = {};
    new MutationObserver(() => {
      for (const link of document.querySelectorAll('td a[href^="#/job/"]')) window.seen[link.textContent] ??= Date.now();
    }).observe(document.querySelector('main'), { childList: true, subtree: true });
  });
  // What it asks because of its start comes to an end.
  for (let quiet = false, tries = 0; !quiet; tries++) {
    const asked = page.asked.length;
    await page.waitForTimeout(4000);
    quiet = page.asked.length === asked;
    assert.ok(quiet || tries < 20, `it polls: ${page.asked.slice(asked)}`);
  }
  const took = [];
  // A loaded machine may be slow, for a while, but not each time.
  for (let n = 0; n < 200 && !took.some(ms => ms <= 200); n++) {
    // Its id is printed after the commit.
    const { id, at } = await new Promise((resolve, reject) => {
      const child = spawn(process.env.HONKER, ['enqueue', 'emails', '{}'], { env: site.environment() });
      child.stdout.once('data', data => resolve({ id: String(data).trim(), at: Date.now() }));
      child.once('error', reject);
    });
    await page.locator(`a[href="#/job/${id}"]`).waitFor();
    took.push((await page.evaluate(job => window.seen[job], id)) - at);
    await page.waitForTimeout(150);
  }
  assert.ok(took.at(-1) <= 200, `${took} ms`);
});

test('streams and locks move as well', async () => {
  await site.honker('publish', 'orders', '{}');
  const { url } = await site.serve();
  const page = await look(browser, `${url}#/streams`);
  await page.getByText('1 event', { exact: false }).waitFor();
  await site.honker('publish', 'orders', '{}');
  await page.getByText('2 events').waitFor();
  await site.honker('tail', 'orders', '--consumer', 'billing', '--no-follow');
  await page.getByRole('cell', { name: 'billing' }).waitFor();
});

test('a job that becomes due by itself moves the page', async () => {
  await site.honker('enqueue', 'q', '{}', '--delay-s', '3600');
  const { url } = await site.serve();
  const page = await look(browser, `${url}#/jobs`);
  await page.getByRole('cell', { name: 'delayed' }).waitFor();
  // Once the page looks: to load it may take longer than a delay lasts. After this nobody commits anything.
  await site.honker('enqueue', 'q', '{}', '--delay-s', '3');
  await page.getByRole('cell', { name: 'due', exact: true }).waitFor();
});

test('all dead jobs that match are retried at once, and a group', async () => {
  for (let n = 0; n < 3; n++) await site.dead('emails', `timeout after ${n} s`);
  await site.dead('reports', 'no paper');
  const { url } = await site.serve('--write');
  const page = await look(browser, `${url}#/jobs?state=dead&queue=emails`);
  await page.getByRole('checkbox', { name: 'all that match' }).check();
  await page.getByRole('button', { name: 'Retry' }).click();
  await page.getByText('Retry 3 jobs?').waitFor();
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.getByText('3 jobs retried').waitFor();
  await page.getByText('No job is like that.').waitFor();
  await page.goto(`${url}#/dead`);
  await page.getByRole('button', { name: 'Retry all' }).click();
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.getByText('No job is dead.').waitFor();
  assert.equal(JSON.parse(await site.honker('jobs', '--state', 'due', '--json')).length, 4);
});

test('what is chosen one by one is moved, and no is no', async () => {
  const ids = [];
  for (let n = 0; n < 3; n++) ids.push(await site.honker('enqueue', 'emails', '{}'));
  const { url } = await site.serve('--write');
  const page = await look(browser, `${url}#/jobs`);
  await page.getByRole('checkbox', { name: `job ${ids[0]}` }).check();
  await page.getByRole('checkbox', { name: `job ${ids[2]}` }).check();
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('button', { name: 'No', exact: true }).click();
  await page.getByRole('button', { name: 'Move …' }).click();
  await page.locator('#value').fill('slow');
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.getByText('2 jobs moved').waitFor();
  assert.deepEqual(JSON.parse(await site.honker('jobs', '--json')).map(job => job.queue), ['slow', 'emails', 'slow']);
});

test('a job is edited and enqueued again, a queue paused, a schedule run', async () => {
  const id = await site.honker('enqueue', 'emails', '{"to": "ada"}', '--priority', '7', '--metadata', 'tenant=acme', '--concurrency-key', 'acme', '--unique-key', 'ada');
  await site.honker('schedule', 'add', 'nightly', 'reports', '@daily', '{}', '-y');
  const { url } = await site.serve('--write');
  const page = await look(browser, `${url}#/job/${id}`);
  await page.locator('#again-payload').fill('{"to": "grace"}');
  await page.getByRole('button', { name: 'Enqueue' }).click();
  await page.getByText('enqueued', { exact: false }).last().waitFor();
  await page.goto(`${url}#/overview`);
  await page.getByRole('button', { name: 'Pause' }).first().click();
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.getByRole('button', { name: 'Resume' }).waitFor();
  assert.equal(JSON.parse(await site.honker('queues', '--json'))[0].paused, true);
  await page.goto(`${url}#/schedules`);
  await page.getByRole('button', { name: 'Run now' }).click();
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.getByText(/job \d+ enqueued/).waitFor();
  const all = JSON.parse(await site.honker('jobs', '--json'));
  assert.deepEqual(all.map(job => [job.queue, job.payload]), [['reports', '{}'], ['emails', '{"to": "grace"}'], ['emails', '{"to": "ada"}']]);
  assert.deepEqual([all[1].priority, all[1].metadata, all[1].concurrency_key, all[1].unique_key], [7, { tenant: 'acme' }, 'acme', null]);
});

test('the dead of one queue are retried, and the others stay', async () => {
  for (const queue of ['emails', 'reports']) await site.dead(queue, 'timeout after 30 s');
  const { url } = await site.serve('--write');
  const page = await look(browser, `${url}#/dead`);
  await page.getByText('timeout after # s').waitFor();
  await page.locator('#dead-of').selectOption('reports');
  await page.getByRole('button', { name: 'Retry all' }).click();
  await page.getByText('Retry 1 job of “reports” that died').waitFor();
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.getByText('1 job retried').waitFor();
  assert.deepEqual(JSON.parse(await site.honker('dead', '--json')).map(job => job.queue), ['emails']);
});

test('a filter offers what jobs have, and finds by it', async () => {
  await site.dead('emails', 'mailbox is full');
  await site.honker('enqueue', 'emails', '{}', '--metadata', 'tenant=acme', '--unique-key', 'order-7');
  const { url } = await site.serve();
  const page = await look(browser, `${url}#/jobs`);
  for (const [field, value] of [['error', 'mailbox is full'], ['metadata', '{"tenant":"acme"}'], ['unique_key', 'order-7']]) {
    await page.locator(`#filter-${field}`).focus();
    await page.locator(`#values-${field} option`).first().waitFor({ state: 'attached' });
    assert.equal(await page.locator(`#values-${field} option`).first().getAttribute('value'), value);
    await page.locator(`#filter-${field}`).fill(value);
    await page.keyboard.press('Enter');
    await page.waitForURL(new RegExp(field));
    await page.getByRole('cell', { name: field === 'error' ? 'dead' : 'due', exact: true }).waitFor();
    // What was shown before is gone.
    await page.waitForFunction(() => document.querySelectorAll('tbody tr').length === 1);
    await page.goto(`${url}#/jobs`);
    await page.locator('tbody tr').nth(1).waitFor();
  }
});

for (const [language, there] of Object.entries(LANGUAGES)) test(`a worker in ${language} hears of what is done on the page`, { skip: there ? false : `there is no ${language}` }, async () => {
  const worker = foreignWorker(site, language, 'orders');
  const ids = [await site.honker('enqueue', 'orders', '{}'), await site.honker('enqueue', 'orders', '{}')];
  await worker.says(`begun ${ids[0]}`, `begun ${ids[1]}`);
  const { url } = await site.serve('--write');
  const page = await look(browser, url);
  await page.getByRole('heading', { name: 'Workers, and what they hold' }).waitFor();
  for (const id of ids) await page.locator(`a[href="#/job/${id}"]`).waitFor();
  await page.locator(`a[href="#/job/${ids[1]}"]`).click();
  await page.getByText('for attempt 1 of 3').waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.getByText('1 job cancelled').waitFor();
  await worker.says(`cancelled ${ids[1]}`);
  // A queue that is paused begins nothing, in that process too.
  await page.goto(`${url}#/overview`);
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.getByRole('button', { name: 'Resume' }).waitFor();
  const later = await site.honker('enqueue', 'orders', '{}');
  await page.goto(`${url}#/job/${later}`);
  await page.getByText('due', { exact: true }).waitFor();
  assert.ok(!worker.said.includes(`begun ${later}`));
  await page.goto(`${url}#/overview`);
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.getByRole('button', { name: 'Yes' }).click();
  await worker.says(`begun ${later}`);
  assert.ok(!worker.said.includes(`cancelled ${ids[0]}`));
});

test('without --write nothing can be changed', async () => {
  await site.dead('emails', 'x');
  const { url } = await site.serve();
  const page = await look(browser, `${url}#/jobs`);
  await page.getByRole('cell', { name: 'emails' }).waitFor();
  for (const screen of ['jobs', 'dead', 'overview']) {
    await page.goto(`${url}#/${screen}`);
    await page.getByRole('cell', { name: 'emails' }).first().waitFor();
    assert.equal(await page.locator('main').getByRole('button').count(), 0, screen);
  }
});

test('it is used by keyboard alone', async () => {
  await site.honker('enqueue', 'emails', '{}');
  const id = await site.honker('enqueue', 'reports', '{}');
  const { url } = await site.serve('--write');
  const page = await look(browser, url);
  await live(page);
  const focused = () => page.evaluate(() => document.activeElement.dataset.key || document.activeElement.id || document.activeElement.textContent);
  const tab = async to => {
    for (let n = 0; n < 60; n++) {
      await page.keyboard.press('Tab');
      if ((await focused()) === to) return;
    }
    assert.fail(`Tab does not reach ${to}`);
  };
  await page.keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to content');
  await page.keyboard.press('3');
  await page.getByText('No job is dead.').waitFor();
  await page.keyboard.press('/');
  await page.waitForFunction(() => document.activeElement.id === 'filter-queue');
  await page.keyboard.type('reports');
  await page.keyboard.press('Enter');
  await page.waitForURL(/queue=reports/);
  await page.locator(`a[href="#/job/${id}"]`).waitFor();
  await tab(`box-${id}`);
  await page.keyboard.press('Space');
  // It is drawn anew, and the focus stays.
  assert.equal(await focused(), `box-${id}`);
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Shift+Tab');
  assert.equal(await focused(), 'cancel');
  await page.keyboard.press('Enter');
  await page.getByText('Cancel 1 job?').waitFor();
  await page.keyboard.press('Enter');
  await page.getByText('1 job cancelled').waitFor();
  assert.deepEqual(JSON.parse(await site.honker('jobs', '--json')).map(job => job.queue), ['emails']);
});

// The contrast of every text that is seen, by the formula of WCAG.
const contrasts = page => page.evaluate(() => {
  const parse = color => { const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
  const light = ({ r, g, b }) => [r, g, b].map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }).reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const back = node => {
    for (let at = node; at; at = at.parentElement) { const color = parse(getComputedStyle(at).backgroundColor); if (color.a === 1) return color; }
    return parse(getComputedStyle(document.documentElement).backgroundColor);
  };
  const bad = [];
  for (const node of document.querySelectorAll('body *')) {
    const said = [...node.childNodes].filter(child => child.nodeType === 3).map(child => child.textContent.trim()).join('');
    const svg = node instanceof SVGElement;
    if (!said || !node.getClientRects().length || node.closest(':disabled') || (svg && node.tagName !== 'text')) continue;
    const [one, other] = [light(parse(svg ? getComputedStyle(node).fill : getComputedStyle(node).color)), light(back(node))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) bad.push(`${said.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return bad;
});

test('light and dark have the contrast of WCAG AA, on every screen', async () => {
  await shop(site);
  const { url } = await site.serve('--write');
  for (const colorScheme of ['light', 'dark']) {
    const page = await look(browser, url, { colorScheme });
    await live(page);
    const back = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const [red] = back.match(/\d+/g).map(Number);
    assert.equal(red < 128, colorScheme === 'dark', back);
    for (const screen of ['overview', 'jobs', 'dead', 'schedules', 'streams', 'notifications', 'locks']) {
      await page.goto(`${url}#/${screen}`);
      await page.locator('main table, main p.quiet').first().waitFor();
      assert.deepEqual(await contrasts(page), [], `${colorScheme} ${screen}`);
    }
  }
});

test('nothing from the file is read as HTML', async () => {
  const evil = '<img src=x onerror="window.evil=1"><script>window.evil=1</script>';
  const id = await site.dead(evil, evil, evil);
  await site.honker('notify', evil, evil);
  await site.honker('publish', evil, evil);
  await site.honker('schedule', 'add', evil, evil, '@daily', evil, '-y');
  const { url } = await site.serve('--write');
  const page = await look(browser, url);
  await live(page);
  for (const screen of ['overview', 'jobs', `job/${id}`, 'dead', 'schedules', 'streams', 'notifications', 'locks']) {
    await page.goto(`${url}#/${screen}`);
    if (screen !== 'locks') await page.locator('main').locator('td, dd, pre, h2').filter({ hasText: '<img src=x' }).first().waitFor();
    assert.equal(await page.locator('main img, main script').count(), 0, screen);
  }
  assert.equal(await page.evaluate(() => window.evil), undefined);
  assert.deepEqual(page.complaints, []);
});

test('a hidden tab stops, and goes on when it is seen', async () => {
  const { url } = await site.serve();
  const page = await look(browser, `${url}#/jobs`);
  await live(page);
  const hide = hidden => page.evaluate(value => {
    Object.defineProperty(document, 'hidden', { value, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);
  await hide(true);
  await page.getByText('asleep').waitFor();
  const asked = page.asked.length;
  const id = await site.honker('enqueue', 'q', '{}');
  await page.waitForTimeout(1000);
  assert.deepEqual(page.asked.slice(asked), []);
  assert.equal(await page.locator(`a[href="#/job/${id}"]`).count(), 0);
  await hide(false);
  await page.locator(`a[href="#/job/${id}"]`).waitFor();
});

test('with a token a browser logs in by a form, and out again', async () => {
  const file = await site.write('token', 'a-token-of-some-length\n');
  const { url } = await site.serve('--token-file', file);
  const page = await look(browser, url);
  await page.waitForURL(/login/);
  await page.getByLabel('Token').fill('wrong');
  await page.keyboard.press('Enter');
  await page.waitForURL(/login\?wrong/);
  await page.getByLabel('Token').fill('a-token-of-some-length');
  await page.keyboard.press('Enter');
  await live(page);
  assert.ok(page.asked.every(one => !one.includes('a-token')));
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.waitForURL(/login/);
  await page.goto(url);
  await page.waitForURL(/login/);
});

test('it fits a telephone', async () => {
  await shop(site);
  const { url } = await site.serve('--write');
  const page = await look(browser, url, { viewport: { width: 380, height: 760 } });
  await live(page);
  for (const screen of ['overview', 'jobs', 'dead', 'schedules', 'streams', 'notifications', 'locks']) {
    await page.goto(`${url}#/${screen}`);
    await page.locator('main table, main p.quiet').first().waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${screen} is ${wide} pixels too wide`);
  }
});

test('it comes back by itself when the server does', async () => {
  const first = await site.serve();
  const page = await look(browser, `${first.url}#/jobs`);
  await live(page);
  const ended = once(first.child, 'exit');
  first.child.kill('SIGTERM');
  await page.getByText('not connected').waitFor();
  await ended; // its address is free then
  await site.serve('--listen', new URL(first.url).host);
  await live(page);
  const id = await site.honker('enqueue', 'q', '{}');
  await page.locator(`a[href="#/job/${id}"]`).waitFor();
});
