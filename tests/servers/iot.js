// The page of the devices, by keyboard: iot.js ADDRESS UDP_PORT
// Three datagrams have come: pump-7 with 20 and, two numbers later, 22; and one that is no reading.
// SPDX-License-Identifier: MIT
'use strict';
const dgram = require('node:dgram');
const { visit, expect, equal, fits, tabTo, shot } = require('./browser.js');

const [address, port] = process.argv.slice(2);

function text(page, selector, wanted) {
  return page.waitForFunction(([where, what]) =>
    document.querySelector(where)?.textContent.trim() === what, [selector, wanted]);
}

// Fifty at a time have room, and the next go when those are taken: nothing is dropped.
async function say(lines) {
  const socket = dgram.createSocket('udp4');
  const taken = async () => (await (await fetch(new URL('/state', address))).json()).udp.datagrams;
  for (let wanted = await taken(); lines.length > 0;) {
    const some = lines.splice(0, 50);
    for (const line of some)
      await new Promise((done) => socket.send(line, port, '127.0.0.1', done));
    wanted += some.length;
    while (await taken() < wanted);
  }
  socket.close();
}

async function steps(page) {
  await text(page, '#state', 'live');
  await text(page, '#received', '2');
  await text(page, '#lost', '2');
  await text(page, '#malformed', '1');
  await text(page, '#devices', '1 of 20,000');
  await text(page, '#broker', 'off');

  await tabTo(page, 'input[name=window]');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  equal(await page.inputValue('input[name=window]:checked'), 'total');
  await text(page, '#kinds tr', 'temperature2120222' + '0');

  await say(Array.from({ length: 500 }, (_, at) => `fan-${at} speed 1 ${at}`)); // and it moves
  await text(page, '#devices', '501 of 20,000');
  await page.waitForFunction(() => document.querySelectorAll('#kinds tr').length === 2);
  await page.waitForFunction(() => !document.querySelector('#most').textContent.endsWith(' 1'));

  await tabTo(page, '#name');
  await page.keyboard.type('pump-7');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => /^pump-7: temperature 22, .*2 received, 2 lost/
    .test(document.querySelector('#found').textContent));
  await shot(page, 'iot');

  await page.keyboard.press('Control+a');
  await page.keyboard.type('nobody');
  await page.keyboard.press('Enter');
  await text(page, '#found', 'No reading of such a device has come.');

  await fits(page);
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 320, height: 640 });
  await shot(page, 'iot-dark');
  expect((await page.locator('h1').count()) === 1, 'one heading of the first level');
}

visit(address, steps, { allowed: ['status of 404'] });
