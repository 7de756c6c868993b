// The list of files, the player, and uploads with progress. Files go one after another, each as a
// form of its own; XMLHttpRequest, since fetch() tells no progress of what it sends. All that comes
// from somebody else is put into the page as text.
// SPDX-License-Identifier: MIT
'use strict';

const VIDEO = /\.(mp4|m4v|webm|ogv|mov|mkv)$/i;
const AUDIO = /\.(mp3|m4a|ogg|oga|opus|wav|flac|aac)$/i;
const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];

const find = (selector, within = document) => within.querySelector(selector);
const address = (name) => `/files/${encodeURIComponent(name)}`;
const say = (text) => { find('#status').textContent = text; };

function readable(bytes) {
  let unit = 0;
  for (; bytes >= 1000 && unit < UNITS.length - 1; unit++)
    bytes /= 1024;
  return `${bytes.toFixed(unit > 0 && bytes < 10 ? 1 : 0)} ${UNITS[unit]}`;
}

function copy(template, name, size) {
  const item = find(template).content.firstElementChild.cloneNode(true);
  find('.name', item).textContent = name;
  find('.size', item).textContent = size;
  return item;
}

// --- the player ---

let playing = null;

function stop() {
  for (const media of [find('video'), find('audio')]) {
    media.pause();
    media.removeAttribute('src');
    media.load(); // which ends its download
    media.hidden = true;
  }
  find('#player').hidden = true;
  playing = null;
}

function play(name) {
  stop();
  const media = find(VIDEO.test(name) ? 'video' : 'audio');
  playing = name;
  find('#playing').textContent = name;
  find('#player').hidden = media.hidden = false;
  media.src = address(name);
  media.focus();
  media.play().catch(() => {}); // it may have to be asked for
}

for (const media of [find('video'), find('audio')]) {
  media.addEventListener('error', () => {
    if (media.hasAttribute('src'))
      say(`This browser cannot play ${playing}.`);
  });
}

// --- the list ---

let limits = { file_max: Infinity };

function row(file) {
  const when = new Date(file.modified * 1000).toLocaleString();
  const item = copy('#row', file.name, `${readable(file.size)} · ${when}`);
  const start = find('.play', item);
  const download = find('.download', item);
  const remove = find('.delete', item);
  start.hidden = !VIDEO.test(file.name) && !AUDIO.test(file.name);
  start.addEventListener('click', () => play(file.name));
  download.href = address(file.name);
  download.download = file.name;
  remove.addEventListener('click', () => askToDelete(file.name));
  for (const [control, verb] of [[start, 'Play'], [download, 'Download'], [remove, 'Delete']])
    control.setAttribute('aria-label', `${verb} ${file.name}`);
  return item;
}

async function refresh() {
  try {
    const answer = await fetch('/files');
    if (!answer.ok)
      throw new Error(answer.statusText);
    limits = await answer.json();
  } catch (error) {
    say(`The list cannot be had: ${error.message}`);
    return;
  }
  const focused = document.activeElement.getAttribute('aria-label'); // of a button that goes
  find('#list').replaceChildren(...limits.files.map(row));
  if (focused)
    find(`#list [aria-label="${CSS.escape(focused)}"]`)?.focus();
  find('#empty').hidden = limits.files.length > 0;
  find('#room').textContent =
    `Up to ${readable(limits.file_max)} each; ` +
    `${readable(Math.max(0, limits.total_max - limits.used))} are free.`;
}

// --- deleting ---

const dialog = find('#confirm');

function askToDelete(name) {
  find('#doomed').textContent = name;
  dialog.returnValue = 'keep';
  dialog.showModal();
  dialog.onclose = () => dialog.returnValue === 'delete' && remove(name);
}

async function remove(name) {
  if (playing === name)
    stop();
  let result = `${name} is deleted.`;
  try {
    const answer = await fetch(address(name), { method: 'DELETE' });
    if (!answer.ok)
      result = `${name}: ${answer.statusText}.`;
  } catch (error) {
    result = `${name}: ${error.message}`;
  }
  await refresh();
  say(result);
  find('#files').focus(); // the button is gone
}

// --- uploads ---

const waiting = [];
let busy = false;

function send(file, item) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append('file', file, file.name);
    request.upload.addEventListener('progress', (event) => {
      if (!event.lengthComputable)
        return;
      find('progress', item).value = event.loaded / event.total;
      find('.size', item).textContent = `${readable(event.loaded)} of ${readable(event.total)}`;
    });
    request.addEventListener('load', () => resolve(request.status === 201 ? '' :
      request.responseText.trim() || request.statusText));
    request.addEventListener('error', () => resolve('the connection broke off'));
    request.addEventListener('abort', () => resolve('cancelled'));
    request.open('POST', '/files');
    find('.cancel', item).onclick = () => request.abort();
    request.send(form);
  });
}

async function work() {
  if (busy)
    return;
  busy = true;
  for (let next; (next = waiting.shift());) {
    const wrong = next.file.size > limits.file_max ? 'the file is too large' :
      await send(next.file, next.item);
    next.item.remove();
    await refresh();
    say(wrong ? `${next.file.name}: ${wrong}` : `${next.file.name} is here.`);
  }
  busy = false;
}

function add(files) {
  for (const file of files) {
    const entry = { file, item: copy('#bar', file.name, readable(file.size)) };
    find('progress', entry.item).setAttribute('aria-label', `Sending ${file.name}`);
    find('.cancel', entry.item).setAttribute('aria-label', `Cancel ${file.name}`);
    find('.cancel', entry.item).onclick = () => { // it has not begun
      waiting.splice(waiting.indexOf(entry), 1);
      entry.item.remove();
    };
    find('#uploads').append(entry.item);
    waiting.push(entry);
  }
  work();
}

const form = find('#upload');

find('#files').addEventListener('change', (event) => {
  add(event.target.files);
  form.reset(); // so that the same file can be chosen again
});
form.addEventListener('submit', (event) => event.preventDefault());
form.addEventListener('dragover', (event) => {
  event.preventDefault();
  form.classList.add('over');
});
form.addEventListener('dragleave', () => form.classList.remove('over'));
form.addEventListener('drop', (event) => {
  event.preventDefault();
  form.classList.remove('over');
  add(event.dataTransfer.files);
});
find('#stop').addEventListener('click', () => {
  stop();
  find('#files').focus();
});

refresh();
