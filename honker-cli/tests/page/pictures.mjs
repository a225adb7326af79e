// Pictures of the page and of `honker top`, for the documentation: node pictures.mjs FOLDER

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Site, launch, look, shop, workers } from './site.mjs';

const folder = process.argv[2];
const site = await Site.open();
const browser = await launch();
try {
  await shop(site);
  await workers(site);
  const { url } = await site.serve('--write');
  for (const [name, screen, options] of [
    ['page', 'overview', {}],
    ['page-dark', 'overview', { colorScheme: 'dark' }],
    ['page-jobs', 'jobs', {}],
    ['page-dead', 'dead', {}],
    ['page-schedules', 'schedules', {}],
  ]) {
    const page = await look(browser, `${url}#/${screen}`, { viewport: { width: 1200, height: 820 }, ...options });
    await page.getByText('live', { exact: true }).waitFor();
    await page.locator('main table').first().waitFor();
    // Where the file lies is nobody's business.
    await page.evaluate(() => { document.getElementById('file').textContent = '/srv/shop/app.db'; });
    await page.screenshot({ path: join(folder, `${name}.png`) });
    await page.context().close();
  }
  // A test runs it on a terminal, and writes down what is on the screen.
  const html = join(site.folder, 'top.html');
  execFileSync('cargo', ['test', '--quiet', '-p', 'honker-cli', '--test', 'cli', 'top::picture'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, HONKER_TOP_PICTURE: html, HONKER_TOP_DB: join(site.folder, 'app.db') },
  });
  // Where the file lies is nobody's business.
  writeFileSync(html, readFileSync(html, 'utf8').replace(site.folder, '/srv/shop'));
  const page = await look(browser, `file://${html}`, { timezoneId: 'UTC' });
  await page.locator('pre').screenshot({ path: join(folder, 'top.png') });
} finally {
  await browser.close();
  await site.close();
}
