// What the tests of pages share: Chromium without a screen, and what every page must keep to.
//
//     const { visit, expect, equal } = require('./browser.js');
//     visit(process.argv[2], async (page, tools) => { await page.keyboard.press('Tab'); … });
//
// visit() opens the address, runs the steps, and ends the process: status 0 if the steps ran to
// their end, the page wrote no error to its console, threw none, and asked no other host.
// With SCREENSHOTS, a folder, in the environment, shot(page, "name") writes name.png there.
// SPDX-License-Identifier: MIT
'use strict';
const { chromium } = require('playwright-core');

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
               '--disable-background-networking', '--disable-component-update', '--disable-sync'];

function expect(condition, what) {
  if (!condition)
    throw new Error(what);
}

function equal(got, wanted) {
  const [left, right] = [JSON.stringify(got), JSON.stringify(wanted)];
  expect(left === right, `${left}, instead of ${right}`);
}

// Collects what a page does wrong. allowed: texts of console errors that a test provokes, such as
// that of the status 401.
function watch(context, address, faults, allowed) {
  const host = new URL(address).host;
  context.on('request', (request) => {
    const url = new URL(request.url());
    if (!['data:', 'blob:', 'about:'].includes(url.protocol) && url.host !== host)
      faults.push(`asked another host: ${url}`);
  });
  context.on('console', (message) => {
    const text = message.text();
    if (message.type() === 'error' && !allowed.some((each) => text.includes(each)))
      faults.push(`console: ${text}`);
  });
  context.on('weberror', (error) => faults.push(`thrown: ${error.error()}`));
}

// No sideways scrolling on the narrowest screens.
async function fits(page, width = 320) {
  const before = page.viewportSize();
  await page.setViewportSize({ width, height: 640 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  expect(wide <= width, `the page is ${wide} wide on a screen of ${width}`);
  if (before)
    await page.setViewportSize(before);
}

// Presses Tab until the element that a selector names has the focus.
async function tabTo(page, selector, most = 50) {
  for (let pressed = 0; pressed <= most; pressed++) {
    if (await page.evaluate((name) => document.activeElement?.matches(name) ?? false, selector))
      return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab does not lead to ${selector}`);
}

async function shot(page, name) {
  if (process.env.SCREENSHOTS)
    await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png`, fullPage: true });
}

async function visit(address, steps, options = {}) {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS,
                                          timeout: 0 });
  const faults = [];
  try {
    const context = await browser.newContext({ viewport: { width: 1000, height: 700 },
                                               ...options.context });
    context.setDefaultTimeout(0); // whoever runs the test ends what hangs
    watch(context, address, faults, options.allowed ?? []);
    const page = await context.newPage();
    await page.goto(address);
    await steps(page, { context, browser, faults, fits, tabTo, shot });
  } catch (error) {
    faults.push(error.stack);
  }
  await browser.close();
  for (const fault of faults)
    console.error(fault);
  process.exit(faults.length ? 1 : 0);
}

module.exports = { visit, expect, equal, fits, tabTo, shot };
