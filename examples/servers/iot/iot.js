// Shows what the server counts. Its state comes at once, and then each second as an event; the
// browser comes back by itself when the connection breaks.
// SPDX-License-Identifier: MIT
'use strict';

const element = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat('en');
const digits = new Intl.NumberFormat('en', { maximumFractionDigits: 2 });
let last = null;

function put(id, text) {
  if (element(id).textContent !== text)
    element(id).textContent = text;
}

function showRates(rates) {
  const most = Math.max(1, ...rates);
  const step = 590 / (rates.length - 1);
  const points = rates.map((rate, at) => `${(at * step).toFixed(1)} ` +
                                         `${(98 - 94 * rate / most).toFixed(1)}`);
  element('line').setAttribute('d', `M${points.join('L')}`);
  element('area').setAttribute('d', `M0 100L${points.join('L')}L590 100Z`);
  put('rate', whole.format(rates[rates.length - 1]));
  put('most', `at most ${whole.format(most)}`);
}

function showCounts(state) {
  put('devices', `${whole.format(state.devices)} of ${whole.format(state.devices_max)}`);
  for (const name of ['received', 'lost', 'late', 'twice'])
    put(name, whole.format(state.readings[name]));
  put('malformed', whole.format(state.malformed));
  put('refused', whole.format(state.refused));
  put('dropped', whole.format(state.udp.dropped));
  put('broker', state.mqtt.state);
  for (const each of document.querySelectorAll('#counts .bad'))
    each.classList.toggle('some', each.querySelector('dd').textContent !== '0');
}

function cells(kind, chosen) {
  const part = kind[chosen];
  const value = (number) => number === undefined ? '–' : digits.format(number);
  return [kind.name, value(part.mean), value(part.min), value(part.max), whole.format(part.count),
          whole.format(part.late)];
}

function showKinds(kinds) {
  const chosen = document.querySelector('input[name=window]:checked').value;
  element('kinds').replaceChildren(...kinds.map((kind) => {
    const row = document.createElement('tr');
    row.append(...cells(kind, chosen).map((text, at) => {
      const cell = document.createElement(at === 0 ? 'th' : 'td');
      if (at === 0)
        cell.scope = 'row';
      cell.textContent = text;
      return cell;
    }));
    return row;
  }));
}

function show(state) {
  last = state;
  showRates(state.rates);
  showCounts(state);
  showKinds(state.kinds);
}

function setLive(live) {
  put('state', live ? 'live' : 'the server is away');
  element('state').classList.toggle('away', !live);
}

async function find(name) {
  try {
    const answer = await fetch(`/devices/${encodeURIComponent(name)}`);
    if (!answer.ok)
      return await answer.text();
    const device = await answer.json();
    const { received, lost, late } = device.readings;
    return `${device.name}: ${device.kind} ${digits.format(device.value)}, ` +
           `${digits.format(device.seconds_ago)} s ago; ${whole.format(received)} received, ` +
           `${whole.format(lost)} lost, ${whole.format(late)} late`;
  } catch {
    return 'The server does not answer.';
  }
}

element('find').addEventListener('submit', async (event) => {
  event.preventDefault();
  put('found', await find(element('name').value));
});

for (const radio of document.querySelectorAll('input[name=window]'))
  radio.addEventListener('change', () => last && showKinds(last.kinds));

const events = new EventSource('/events');
events.onmessage = (event) => show(JSON.parse(event.data));
events.onerror = () => setLive(false);
events.onopen = async () => {
  setLive(true);
  const answer = await fetch('/state').catch(() => null);
  if (answer?.ok)
    show(await answer.json());
};
