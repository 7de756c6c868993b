// The list of a folder and a page in it, as somebody without a mouse has them: static.js ADDRESS
// SPDX-License-Identifier: MIT
'use strict';
const { visit, equal, fits, tabTo, shot } = require('./browser.js');

const [address] = process.argv.slice(2);

async function follow(page, selector) {
  await tabTo(page, selector);
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
}

const names = (page) => page.$$eval('tbody td:first-child', (all) =>
  all.map((each) => each.textContent));

async function steps(page) {
  equal(await page.title(), '/');
  await fits(page);
  await shot(page, 'static');
  equal((await names(page)).includes('<script>alert(1)<'), true);
  equal(await page.$('script'), null);
  const font = await page.$eval('body', (body) => getComputedStyle(body).fontFamily);
  equal(font, 'system-ui, sans-serif'); // the style sheet is there

  const before = await names(page);
  await follow(page, 'th a[href="?sort=-name"]');
  equal(await page.getAttribute('th:first-child', 'aria-sort'), 'descending');
  equal((await names(page)).sort(), before.sort());

  await follow(page, 'a[href="./sub/"]');
  equal(new URL(page.url()).pathname, '/sub/');
  await follow(page, 'a[href="./page.html"]');
  equal(await page.textContent('h1'), 'It works');
  await page.goBack();
  await follow(page, 'a[href="../"]');
  equal(new URL(page.url()).pathname, '/');

  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 320, height: 640 });
  await shot(page, 'static-dark');
  await page.goto(`${address}/missing`);
  equal(await page.textContent('h1'), 'Not found');
  await fits(page);
  await shot(page, 'static-missing');
  await follow(page, 'a');
  equal(await page.title(), '/');
}

visit(address, steps, { allowed: ['status of 404'] });
