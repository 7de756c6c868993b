// The login server as somebody without a mouse has it: login.js ADDRESS NAME PASSWORD
// SPDX-License-Identifier: MIT
'use strict';
const { visit, expect, equal, fits, tabTo, shot } = require('./browser.js');

const [address, name, password] = process.argv.slice(2);

// What is typed into the form, and sent by Enter. The focus is in the name from the beginning.
async function logIn(page, secret) {
  await page.waitForFunction(() => document.activeElement.id === 'name');
  await page.keyboard.press('Control+a');
  await page.keyboard.type(name);
  await page.keyboard.press('Tab');
  equal(await page.evaluate(() => document.activeElement.id), 'password');
  await page.keyboard.type(secret);
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
}

async function steps(page) {
  equal(new URL(page.url()).pathname, '/login');
  equal(await page.title(), 'Log in');
  await fits(page);
  await shot(page, 'login');

  await logIn(page, 'wrong');
  equal(await page.textContent('[role=alert]'), 'This name or this password is wrong.');
  equal(await page.inputValue('#name'), name);
  equal(await page.inputValue('#password'), '');
  await fits(page);
  await shot(page, 'login-wrong');

  await logIn(page, password);
  equal(new URL(page.url()).pathname, '/members');
  equal(await page.textContent('h1 .name'), name);
  equal(await page.evaluate(() => document.cookie), ''); // out of reach of scripts
  await fits(page);
  await shot(page, 'members');

  await page.reload();
  equal(await page.textContent('h1 .name'), name);
  await tabTo(page, 'button');
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  equal(new URL(page.url()).pathname, '/login');

  await page.goBack();
  equal(new URL(page.url()).pathname, '/login');
  expect(!(await page.content()).includes('members only'), 'the back button shows it');

  await page.goto(address);
  for (let tries = 0; !(await page.textContent('[role=alert]')).includes('Too many'); tries++) {
    expect(tries < 20, 'twenty attempts are not too many');
    await logIn(page, 'wrong');
  }
  await shot(page, 'login-too-many');
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize({ width: 320, height: 640 });
  await shot(page, 'login-dark');
}

visit(address, steps, { allowed: ['status of 403', 'status of 429'] });
