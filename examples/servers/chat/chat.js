// The page of the chat: a door, and a room behind it.
//
// Whatever anybody has typed goes into the page as text (textContent) and never as markup. Messages
// are put in by their time, and each only once, so it does no harm to be sent one again: that is how
// coming back after a lost connection works. "../room.h" says what comes over the socket.
// SPDX-License-Identifier: MIT
'use strict';

const $ = (id) => document.getElementById(id);
const LINES_MAX = 500;
const PEOPLE_SHOWN = 200;

let socket = null;
let you = '';          // our id in this room
let wanted = null;     // {name, room}: where we want to be; null: outside
let attempts = 0;      // in a row, to come back
let joined = 0;        // times
let people = new Map(); // id → name
const seen = new Set(); // ids of messages

// --- what is seen ---

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined)
    made.textContent = text;
  return made;
}

function isAtEnd(list) {
  return list.scrollHeight - list.scrollTop - list.clientHeight < 80;
}

// Puts a line where its time belongs, and lets the oldest go.
function put(line, at) {
  const list = $('messages');
  const follow = isAtEnd(list);
  line.dataset.at = at;
  let before = list.lastElementChild;
  while (before && Number(before.dataset.at) > at)
    before = before.previousElementSibling;
  list.insertBefore(line, before ? before.nextSibling : list.firstChild);
  while (list.children.length > LINES_MAX)
    list.firstElementChild.remove();
  if (follow)
    list.scrollTop = list.scrollHeight;
}

function clock(at) {
  const time = element('time', '', new Date(at).toLocaleTimeString([], { hour: '2-digit',
                                                                         minute: '2-digit' }));
  time.dateTime = new Date(at).toISOString();
  return time;
}

function showMessage(message) {
  if (seen.has(message.id))
    return;
  seen.add(message.id);
  const line = element('li', message.from === you ? 'message own' : 'message');
  const name = element('bdi', 'name', message.name);
  const text = element('p', '', message.text);
  text.dir = 'auto';
  line.append(name, clock(message.at), text);
  put(line, message.at);
}

function showEvent(name, what) {
  const line = element('li', 'event');
  line.append(element('bdi', '', name), what);
  put(line, Date.now());
}

function showPeople() {
  $('count').textContent = people.size;
  const names = [...people.values()].sort((a, b) => a.localeCompare(b));
  const lines = names.slice(0, PEOPLE_SHOWN).map((name) => {
    const line = document.createElement('li');
    line.append(element('bdi', '', name));
    return line;
  });
  if (names.length > PEOPLE_SHOWN)
    lines.push(element('li', 'dim', `and ${names.length - PEOPLE_SHOWN} more`));
  $('people').replaceChildren(...lines);
}

function showState(text) {
  $('state').textContent = text;
}

function showShared(shared) {
  showState(shared === null ? '' : shared ? 'Shared with other servers'
    : 'Only people on this server can hear you now');
}

// --- what comes ---

function change({ id, name, here, quiet }) {
  const known = people.has(id);
  if (here)
    people.set(id, name);
  else
    people.delete(id);
  if (known !== here && id !== you && !quiet)
    showEvent(name, here ? ' has joined' : ' has left');
}

const heard = {
  welcome(message) {
    you = message.you;
    attempts = 0;
    document.documentElement.dataset.joined = ++joined;
    people = new Map(message.people.map(({ id, name }) => [id, name]));
    $('where').textContent = message.room;
    $('door').hidden = true;
    $('inside').hidden = false;
    $('say').querySelector('button').disabled = false;
    message.messages.forEach(showMessage);
    showPeople();
    showShared(message.shared);
    document.title = `#${message.room}`;
    $('text').focus();
  },
  messages: (message) => message.messages.forEach(showMessage),
  people(message) {
    message.changes.forEach(change);
    showPeople();
  },
  shared: (message) => showShared(message.shared),
  refused(message) {
    if (message.what === 'say')
      $('refused').textContent = message.why;
    else if ($('inside').hidden)
      goOut(message.why);
    else // our own name is still held by the connection that was lost: soon it will be noticed
      comeBack(message.why);
  },
};

// --- the socket ---

function connect() {
  const url = new URL('/socket', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const mine = socket = new WebSocket(url);
  mine.onopen = () => mine.send(JSON.stringify({ type: 'join', ...wanted }));
  mine.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (socket === mine)
      heard[message.type]?.(message);
  };
  mine.onclose = (event) => {
    if (socket === mine && wanted)
      comeBack(event.reason);
  };
}

// Later each time, and not all pages in the same moment.
function comeBack(reason) {
  const old = socket;
  socket = null;
  old.close();
  if ($('inside').hidden) {
    goOut(reason || 'The server does not answer.');
    return;
  }
  $('say').querySelector('button').disabled = true;
  const seconds = Math.min(2 ** attempts++, 30) * (0.5 + Math.random() / 2);
  showState(`Not connected${reason ? ` (${reason})` : ''}: trying again…`);
  setTimeout(() => wanted && !socket && connect(), seconds * 1000);
}

function goOut(why) {
  wanted = null;
  const old = socket;
  socket = null;
  old?.close();
  $('inside').hidden = true;
  $('door').hidden = false;
  $('fault').textContent = why;
  $('messages').replaceChildren();
  seen.clear();
  document.title = 'Chat';
  $('name').focus();
}

// --- what is done ---

$('join').addEventListener('submit', (event) => {
  event.preventDefault();
  wanted = { name: $('name').value, room: $('room').value };
  $('fault').textContent = '';
  history.replaceState(null, '', `#${wanted.room}`);
  connect();
});

$('say').addEventListener('submit', (event) => {
  event.preventDefault();
  $('refused').textContent = '';
  if (socket?.readyState !== WebSocket.OPEN || !$('text').value.trim())
    return;
  socket.send(JSON.stringify({ type: 'say', text: $('text').value }));
  $('text').value = '';
});

// Enter sends, Shift and Enter makes a new line; not while a word is being composed.
$('text').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $('say').requestSubmit();
  }
});

$('leave').addEventListener('click', () => goOut(''));

if (/^#[\w-]{1,32}$/.test(location.hash))
  $('room').value = location.hash.slice(1);
