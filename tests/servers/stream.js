// Sending, playing and deleting as somebody without a mouse does it: stream.js ADDRESS FOLDER
// The dialog that chooses a file is the browser's own; the driver answers in its place.
// SPDX-License-Identifier: MIT
'use strict';
const path = require('node:path');
const { visit, expect, equal, fits, tabTo, shot } = require('./browser.js');
const { behindProxy } = require('./proxy.js');

const [address, folder] = process.argv.slice(2);
const ODD = 'video & <b>.txt';
const LARGE = 'large.bin'; // than all that sockets have room for
const SOUND = 300 * 44100 * 4 + 44; // the size of silence.wav

const said = (page, text) =>
  page.waitForFunction((wanted) => document.querySelector('#status').textContent === wanted, text);

// Listened for from the beginning: a dialog that nobody listens for is the real one.
let onChooser;

async function choose(page, name) {
  await tabTo(page, '#files');
  const opened = new Promise((resolve) => { onChooser = resolve; });
  await page.keyboard.press('Enter');
  await (await opened).setFiles(path.join(folder, name));
}

// That it may go on from anywhere is what a part says. A seek itself is not made here: of those that
// were, a few in a hundred never ended in Chromium on a busy machine, whatever had come.
async function play(page) {
  const part = page.waitForResponse((answer) => answer.status() === 206);
  await tabTo(page, '#list .play');
  await page.keyboard.press('Enter');
  equal((await part).headers()['content-range'], `bytes 0-${SOUND - 1}/${SOUND}`);
  await page.waitForFunction(() => document.querySelector('audio').readyState >= 2);
  equal(await page.evaluate(() => document.activeElement.tagName), 'AUDIO');
  equal(await page.evaluate(() => Math.round(document.querySelector('audio').duration)), 300);
}

async function steps(page, proxy) {
  page.on('filechooser', (chooser) => onChooser(chooser));
  await page.waitForSelector('#list li');
  equal(await page.$$eval('#list .name', (all) => all.map((each) => each.textContent)),
        ['silence.wav']);
  await play(page);
  await shot(page, 'stream-playing');
  await tabTo(page, '#stop');
  await page.keyboard.press('Enter');
  expect(await page.isHidden('#player'), 'the player stays');

  await choose(page, ODD);
  await said(page, `${ODD} is here.`);
  equal(await page.$$eval('#list .name', (all) => all.map((each) => each.textContent)),
        [ODD, 'silence.wav']);
  equal(await page.isHidden('#list li .play'), true); // it is no video, whatever it is called
  await choose(page, 'too large.bin');
  await said(page, 'too large.bin: the file is too large');
  await fits(page);
  await shot(page, 'stream');

  for (const [key, left] of [['Escape', 2], ['Enter', 2], ['Delete', 1]]) {
    await tabTo(page, '#list .delete');
    await page.keyboard.press('Enter');
    await page.waitForSelector('dialog[open]');
    equal(await page.textContent('#doomed'), ODD);
    await shot(page, 'stream-confirm');
    if (key === 'Delete')
      await page.keyboard.press('Tab');
    await page.keyboard.press(key === 'Delete' ? 'Enter' : key); // the focus is on "Keep it"
    await page.waitForSelector('dialog', { state: 'hidden' });
    if (left === 1)
      await said(page, `${ODD} is deleted.`);
    await page.waitForFunction((count) =>
      document.querySelectorAll('#list li').length === count, left);
  }
  await cancel(page, proxy);
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 320, height: 640 });
  await shot(page, 'stream-dark');
}

// An upload that is held up in the middle, and cancelled there.
async function cancel(page, proxy) {
  proxy.hold();
  await choose(page, LARGE);
  await page.waitForFunction(() => {
    const bar = document.querySelector('#uploads progress');
    return bar.value > 0 && bar.value < 1;
  });
  await fits(page);
  await shot(page, 'stream-sending');
  await tabTo(page, '#uploads .cancel');
  await page.keyboard.press('Enter');
  proxy.release(); // the page asks for its list before it says so
  await said(page, `${LARGE}: cancelled`);
  equal(await page.$$eval('#uploads li', (all) => all.length), 0);
}

behindProxy(address, (through, proxy) => visit(through, (page) => steps(page, proxy)));
