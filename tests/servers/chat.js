// The chat in two tabs, by keyboard: chat.js ADDRESS
// SPDX-License-Identifier: MIT
'use strict';
const { visit, expect, equal, fits, tabTo, shot } = require('./browser.js');
const { behindProxy } = require('./proxy.js');

const EVIL = '<img src=x onerror=alert(1)>';

async function join(page, name) {
  await page.waitForFunction(() => document.activeElement.id === 'name');
  await page.keyboard.type(name);
  await page.keyboard.press('Enter');
  await page.waitForSelector('#inside:not([hidden])');
  equal(await page.evaluate(() => document.activeElement.id), 'text');
}

async function say(page, text) {
  await tabTo(page, '#text');
  await page.keyboard.type(text);
  await page.keyboard.press('Enter');
}

// Until a line of the messages holds a text.
async function hears(page, text) {
  await page.waitForFunction((wanted) => [...document.querySelectorAll('#messages li')]
    .some((line) => line.textContent.includes(wanted)), text);
}

const joined = (page) => page.evaluate(() => Number(document.documentElement.dataset.joined));

const isJoined = (times) => Number(document.documentElement.dataset.joined) >= times;

async function names(page, count) {
  await page.waitForFunction((wanted) => document.getElementById('count').textContent === wanted,
                             String(count));
  return page.locator('#people li').allTextContents();
}

async function steps(page, context, proxy) {
  await fits(page);
  await shot(page, 'chat-door');
  await join(page, 'Ann');

  const other = await context.newPage();
  await other.goto(page.url());
  equal(await other.inputValue('#room'), 'lobby');
  await join(other, EVIL);
  equal((await names(page, 2)).sort(), [EVIL, 'Ann'].sort());
  await hears(page, `${EVIL} has joined`);

  await say(page, 'Hello! Who is there?');
  await hears(other, 'Hello! Who is there?');
  await say(other, `${EVIL} & "quotes"`);
  await hears(page, `${EVIL} & "quotes"`);
  equal(await page.locator('#messages img').count(), 0);
  equal(await page.locator('.message.own .name').allTextContents(), ['Ann']);

  await tabTo(page, '#text');
  await page.keyboard.type('Two lines,');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('of which this is the second.');
  await page.keyboard.press('Enter');
  await hears(other, 'Two lines,\nof which');
  // In one go: keys may come slowly enough to be allowed, and whoever types clears the complaint.
  await page.evaluate(() => {
    for (let number = 0; number < 50; number++) {
      document.getElementById('text').value = `quickly ${number}`;
      document.getElementById('say').requestSubmit();
    }
  });
  await page.waitForFunction(() => document.getElementById('refused').textContent);
  expect((await page.textContent('#refused')).includes('too fast'), 'no word of being too fast');
  await fits(page);
  await shot(page, 'chat');
  await page.setViewportSize({ width: 320, height: 640 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await shot(page, 'chat-dark-320');
  await page.setViewportSize({ width: 1000, height: 700 });

  await other.reload();
  await hears(page, `${EVIL} has left`);
  equal(await names(page, 1), ['Ann']);
  await other.bringToFront();
  await other.focus('#name');
  await other.keyboard.type('Ann');
  await other.keyboard.press('Enter');
  await other.waitForFunction(() => document.getElementById('fault').textContent);
  expect((await other.textContent('#fault')).includes('has that name'), 'two are called Ann');
  await other.keyboard.press('Control+a');
  await join(other, 'Bob');
  await hears(other, 'Hello! Who is there?'); // from before
  await hears(page, 'Bob has joined');

  // All connections are lost: both come back by themselves, and nothing is shown twice.
  const before = [await joined(page), await joined(other)];
  proxy.cut();
  await page.waitForFunction(isJoined, before[0] + 1);
  await other.waitForFunction(isJoined, before[1] + 1);
  await say(other, 'Back again');
  await hears(page, 'Back again');
  equal(await page.locator('.message', { hasText: 'Who is there?' }).count(), 1);

  await page.bringToFront();
  await tabTo(page, '#leave');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#door:not([hidden])');
  await hears(other, 'Ann has left');
  await other.close();
}

behindProxy(process.argv[2], (address, proxy) =>
  visit(address, (page, { context }) => steps(page, context, proxy),
        { allowed: ['WebSocket connection'] }));
