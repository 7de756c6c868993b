// The page of the dashboard: what comes, what is drawn of it, and the button.
//
// Events are listened to first, and the last two minutes asked for once they are: what comes twice
// is known by its number, and nothing can be missed in between. After a lost connection the browser
// says by itself which event it saw last, and gets those after it; "lost" says that they are gone,
// or that the server is another by now, and then all is asked for again.
// SPDX-License-Identifier: MIT
'use strict';

const $ = (id) => document.getElementById(id);
const KEEP = 121;

const charts = [
  ['loop', { title: 'Lag of a timer', unit: 'ms', least: 1, series: [
    ['median', (each) => each.loop.lag], ['99 %', (each) => each.loop.lag99],
    ['worst', (each) => each.loop.lagMost]] }],
  ['loop', { title: 'Time at work', unit: 'percent', least: 5, series: [
    ['awake', (each) => each.loop.busy]] }],
  ['loop', { title: 'Turns and callbacks', unit: 'rate', least: 10, series: [
    ['turns', (each) => each.loop.turns], ['callbacks', (each) => each.loop.callbacks]] }],
  ['loop', { title: 'Handles', unit: 'count', least: 4, series: [
    ['active', (each) => each.loop.handles]] }],
  ['server', { title: 'Work', unit: 'rate', least: 1, series: [
    ['requests', (each) => each.server.requests], ['by the pool', (each) => each.pool.done]] }],
  ['server', { title: 'Thread pool', unit: 'count', least: 4, series: [
    ['threads', (each) => each.pool.threads], ['at work', (each) => each.pool.running],
    ['jobs waiting', (each) => each.pool.queued]] }],
  ['server', { title: 'Who is here', unit: 'count', least: 4, series: [
    ['connections', (each) => each.server.connections],
    ['in flight', (each) => each.server.active],
    ['dashboards', (each) => each.server.viewers]] }],
  ['server', { title: 'Traffic', unit: 'byteRate', least: 1024, series: [
    ['in', (each) => each.server.in], ['out', (each) => each.server.out]] }],
  ['machine', { title: 'Processors', unit: 'percent', top: () => 100, series: [
    ['programs', (each) => each.machine.cpu.user],
    ['kernel', (each) => each.machine.cpu.system],
    ['disk wait', (each) => each.machine.cpu.disk]] }],
  ['machine', { title: 'Memory', unit: 'bytes', top: (each) => each.machine.memory.all, series: [
    ['used', (each) => each.machine.memory.used],
    ['swapped out', (each) => each.machine.memory.swap]] }],
  ['machine', { title: 'Load', unit: 'load', least: 1, series: [
    ['1 min', (each) => each.machine.load[0]], ['5 min', (each) => each.machine.load[1]],
    ['15 min', (each) => each.machine.load[2]]] }],
  ['machine', { title: 'Network', unit: 'byteRate', least: 1024, series: [
    ['in', (each) => each.machine.net.in], ['out', (each) => each.machine.net.out]] }],
].map(([place, options]) => new Chart($(place), options));

let samples = [];
let paused = false;

// --- drawing ---

// Who wants little motion gets a new picture every five seconds.
const still = matchMedia('(prefers-reduced-motion: reduce)');

function draw() {
  if (paused || samples.length === 0)
    return;
  const newest = samples[samples.length - 1];
  document.documentElement.dataset.newest = newest.n;
  document.documentElement.dataset.missing = newest.n - samples[0].n + 1 - samples.length;
  if (still.matches && Number(document.documentElement.dataset.drawn) > newest.n - 5)
    return;
  document.documentElement.dataset.drawn = newest.n;
  for (const chart of charts)
    chart.draw(samples);
  if ($('numbers').open)
    drawTable();
}

function drawTable() {
  const rows = charts.flatMap((chart) => chart.series.map(([name, read]) => {
    const row = document.createElement('tr');
    const numbers = samples.map(read);
    element('th', `${chart.title}: ${name}`, row).scope = 'row';
    for (const number of [numbers[numbers.length - 1], Math.min(...numbers), Math.max(...numbers)])
      element('td', chart.write(number), row);
    return row;
  }));
  $('rows').replaceChildren(...rows);
}

// --- what comes ---

function take(some) {
  const known = new Map(samples.map((each) => [each.n, each]));
  for (const each of some)
    known.set(each.n, each);
  samples = [...known.values()].sort((a, b) => a.n - b.n).slice(-KEEP);
  draw();
}

async function askForAll() {
  const answer = await fetch('/samples');
  if (answer.ok)
    take(await answer.json());
}

function listen() {
  const events = new EventSource('/events');
  events.onopen = () => $('state').textContent = 'Live';
  events.addEventListener('open', () => askForAll().catch(() => {}), // then the events will do
                          { once: true });
  events.onmessage = (event) => take([JSON.parse(event.data)]);
  events.addEventListener('lost', () => {
    samples = [];
    delete document.documentElement.dataset.drawn;
    askForAll();
  });
  events.onerror = () => {
    $('state').textContent = 'Not connected: trying again…';
    if (events.readyState === EventSource.CLOSED)
      setTimeout(listen, 3000); // it has given up, we have not
  };
}

// --- what is done ---

async function block() {
  $('block').disabled = true;
  setTimeout(() => $('block').disabled = false, 2000);
  try {
    const answer = await fetch('/block', { method: 'POST' });
    $('blocked').textContent = answer.ok
      ? 'Nothing moved for 50 ms. Look at the worst lag: everybody had to wait that long.'
      : `No: ${(await answer.text()).trim()}`;
  } catch {
    $('blocked').textContent = 'The server does not answer.';
  }
}

$('block').addEventListener('click', block);

$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', String(paused));
  $('pause').textContent = paused ? 'Go on' : 'Pause';
  delete document.documentElement.dataset.drawn;
  draw();
});

$('numbers').addEventListener('toggle', () => samples.length && drawTable());

listen();
