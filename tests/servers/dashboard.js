// The page of the dashboard, behind a proxy that can cut its connections: dashboard.js ADDRESS
// SPDX-License-Identifier: MIT
'use strict';
const { visit, expect, equal, fits, tabTo, shot } = require('./browser.js');
const { behindProxy } = require('./proxy.js');

// Until the newest sample that the page has is so many further.
async function wait(page, more) {
  const from = await page.evaluate(() => Number(document.documentElement.dataset.newest ?? 0));
  await page.waitForFunction((wanted) => Number(document.documentElement.dataset.newest) >= wanted,
                             from + more);
}

const paths = (page) => page.locator('.chart path.series')
  .evaluateAll((all) => all.map((each) => each.getAttribute('d')));

const missing = (page) => page.evaluate(() => Number(document.documentElement.dataset.missing));

const says = (page, state) => page.waitForFunction((wanted) =>
  document.getElementById('state').textContent.startsWith(wanted), state);

// However late the events begin: nothing of before is missing.
async function late(page) {
  const newest = async () => {
    const samples = await (await fetch(new URL('/samples', page.url()))).json();
    return samples.length > 0 ? samples[samples.length - 1].n : 0;
  };
  await page.route('**/events', async (route) => {
    for (const before = await newest(); await newest() < before + 2;);
    await route.continue();
  }, { times: 1 });
  await page.reload();
  await says(page, 'Live');
  await wait(page, 2);
  equal(await missing(page), 0);
}

async function steps(page, proxy) {
  await late(page);
  await says(page, 'Live');
  await wait(page, 2);
  equal(await page.locator('.chart').count(), 12);
  const before = await paths(page);
  await wait(page, 2);
  const after = await paths(page);
  expect(after.every((path, index) => path !== before[index]), 'a line does not move');
  expect(after.every((path) => /^M[\d. MLe-]+$/.test(path)), `not a path: ${after}`);
  expect(!(await page.textContent('main')).match(/NaN|undefined|Infinity/), 'not a number');

  await tabTo(page, '#block');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.getElementById('blocked').textContent);
  expect((await page.textContent('#blocked')).includes('50 ms'), 'the button does nothing');

  // The connection is lost, and what happened meanwhile is made up for.
  const lost = page.waitForFunction(() => document.documentElement.dataset.wasLost);
  await page.evaluate(() => new MutationObserver(() => {
    if (document.getElementById('state').textContent.startsWith('Not connected'))
      document.documentElement.dataset.wasLost = 'yes';
  }).observe(document.getElementById('state'), { childList: true }));
  proxy.cut();
  await lost;
  await says(page, 'Live');
  await wait(page, 3);
  equal(await missing(page), 0);

  await tabTo(page, '#pause');
  await page.keyboard.press('Enter');
  const paused = await paths(page);
  equal(await page.getAttribute('#pause', 'aria-pressed'), 'true');
  await page.keyboard.press('Enter');
  await wait(page, 1);
  expect((await paths(page))[0] !== paused[0], 'it does not go on');

  await tabTo(page, 'summary');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#rows tr');
  expect(await page.locator('#rows tr').count() >= 25, 'the table is not whole');
  await shot(page, 'dashboard');
  await fits(page);
  await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
  await page.setViewportSize({ width: 320, height: 640 });
  await shot(page, 'dashboard-dark-320');
}

behindProxy(process.argv[2], (address, proxy) =>
  visit(address, (page) => steps(page, proxy), { allowed: ['net::ERR_'] }));
