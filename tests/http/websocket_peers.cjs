// Other people's WebSockets, for websocket_peers.py, which sets NODE_PATH to where they are.
//
//     node websocket_peers.cjs ws URL | undici URL    a client that checks an echoing server: TAP
//     node websocket_peers.cjs serve [deflate]        prints a port, echoes, ends with its input
//
// SPDX-License-Identifier: MIT
'use strict';

const checks = [];
const check = (name, run) => checks.push({ name: name.replaceAll(' ', '_'), run });
const expect = (truth, what) => { if (!truth) throw new Error(what); };
const once = (target, event) =>
  new Promise((resolve) => target.addEventListener(event, resolve, { once: true }));

async function open(Socket, url, protocols) {
  const socket = new Socket(url, protocols);
  socket.binaryType = 'arraybuffer';
  const closed = once(socket, 'close');
  await Promise.race([once(socket, 'open'), closed.then((event) => {
    throw new Error(`closed with ${event.code}`);
  })]);
  return { socket, closed };
}

async function echoed(socket, data) {
  const next = once(socket, 'message');
  socket.send(data);
  return (await next).data;
}

// What any client with the interface of browsers can check.
function everyClient(name, Socket, url) {
  check(`${name} has messages of all sizes echoed`, async () => {
    const { socket, closed } = await open(Socket, url);
    for (const size of [0, 1, 125, 126, 127, 65535, 65536, 1000000]) {
      const text = 'x'.repeat(size);
      expect(await echoed(socket, text) === text, `text of ${size}`);
      const bytes = new Uint8Array(size).map((_, i) => i * 7);
      const back = Buffer.from(await echoed(socket, bytes));
      expect(back.equals(Buffer.from(bytes)), `bytes of ${size}`);
    }
    socket.close(1000);
    expect((await closed).code === 1000, 'the code');
  });
  check(`${name} has text of all planes echoed`, async () => {
    const { socket, closed } = await open(Socket, url);
    for (const text of ['äöü', 'κόσμε', '\u{10ffff}', '𝄞 and 😀', '\0'])
      expect(await echoed(socket, text) === text, text);
    socket.close(4000, 'tschüss');
    const event = await closed;
    expect(event.code === 4000 && event.wasClean, 'the close');
  });
  check(`${name} agrees on deflated messages`, async () => {
    const { socket, closed } = await open(Socket, url);
    expect(socket.extensions.includes('permessage-deflate'), socket.extensions);
    for (const size of [1023, 1024, 5000, 300000]) {
      const text = Array.from({ length: size }, (_, i) => (i * i) % 10).join('');
      expect(await echoed(socket, text) === text, `text of ${size}`);
      expect(await echoed(socket, text) === text, `the same text of ${size}`);
    }
    socket.close(1000);
    expect((await closed).code === 1000, 'the code');
  });
  check(`${name} agrees on a subprotocol`, async () => {
    const { socket, closed } = await open(Socket, url, ['other', 'echo.v1']);
    expect(socket.protocol === 'echo.v1', socket.protocol);
    socket.close();
    await closed;
  });
  check(`${name} is told of a message that is too big`, async () => {
    const { socket, closed } = await open(Socket, url);
    socket.send(new Uint8Array(1024 * 1024 + 1));
    expect((await closed).code === 1009, 'the code');
  });
}

// What needs more than browsers give.
function wsClient(WebSocket, url) {
  check('ws has its pings answered', async () => {
    const { socket, closed } = await open(WebSocket, url);
    const pong = new Promise((resolve) => socket.once('pong', resolve));
    socket.ping('are you there');
    expect((await pong).toString() === 'are you there', 'the pong');
    socket.close();
    expect((await closed).code === 1005, 'the code');
  });
  for (const offer of [{ serverMaxWindowBits: 9 }, { clientMaxWindowBits: 9 },
                       { serverMaxWindowBits: 15, serverNoContextTakeover: true },
                       { threshold: 0, clientNoContextTakeover: true }, false])
    check(`ws deflates with ${JSON.stringify(offer).replace(/\W+/g, ' ').trim()}`, async () => {
      const options = { perMessageDeflate: offer && { threshold: 0, ...offer } };
      const socket = new WebSocket(url, options);
      await once(socket, 'open');
      const random = require('crypto').randomBytes(30000).toString('hex');
      for (const text of ['', 'x', 'x'.repeat(1000000), random, random])
        expect(await echoed(socket, text) === text, `text of ${text.length}`);
      expect(socket.extensions.includes('deflate') === Boolean(offer), socket.extensions);
      socket.terminate();
    });
  check('ws sends fragments', async () => {
    const { socket } = await open(WebSocket, url);
    const next = once(socket, 'message');
    socket.send('frag', { fin: false });
    socket.ping();
    socket.send('ment', { fin: true });
    expect((await next).data === 'fragment', 'the message');
    socket.terminate();
  });
  check('ws is told what is wrong with its text', async () => {
    const { socket, closed } = await open(WebSocket, url);
    socket.send(Buffer.from([0xed, 0xa0, 0x80]), { binary: false });
    expect((await closed).code === 1007, 'the code');
  });
  check('ws is told that it must mask', async () => {
    const { socket, closed } = await open(WebSocket, url);
    socket.send('plain', { mask: false });
    expect((await closed).code === 1002, 'the code');
  });
  check('ws from another site is refused', async () => {
    const socket = new WebSocket(url, { origin: 'https://elsewhere.example' });
    const response = await new Promise((resolve) =>
      socket.once('unexpected-response', (_, answer) => resolve(answer)));
    expect(response.statusCode === 403, `${response.statusCode}`);
    response.destroy();
  });
  check('ws asks for another version in vain', async () => {
    const socket = new WebSocket(url, { protocolVersion: 8 });
    const response = await new Promise((resolve) =>
      socket.once('unexpected-response', (_, answer) => resolve(answer)));
    expect(response.statusCode === 426, `${response.statusCode}`);
    expect(response.headers['sec-websocket-version'] === '13', 'the version');
    response.destroy();
  });
  check('ws has a thousand messages echoed in order', async () => {
    const { socket, closed } = await open(WebSocket, url);
    let got = 0;
    const all = new Promise((resolve, reject) => socket.on('message', (data) => {
      if (data.toString() !== `${got++}`) reject(new Error(`${data} for ${got - 1}`));
      if (got === 1000) resolve();
    }));
    for (let i = 0; i < 1000; i++) socket.send(`${i}`);
    await all;
    socket.close(1000);
    await closed;
  });
}

function serve(WebSocket, deflate) {
  const perMessageDeflate = deflate === 'deflate' ? { threshold: 100 } : false;
  const server = new WebSocket.Server({ host: '127.0.0.1', port: 0, perMessageDeflate });
  server.on('listening', () => console.log(server.address().port));
  server.on('connection', (socket) => {
    if (perMessageDeflate && !socket.extensions.includes('permessage-deflate')) socket.terminate();
    socket.on('message', (data, binary) => socket.send(data, { binary }));
  });
  process.stdin.on('end', () => process.exit(0)).resume();
}

async function run() {
  console.log(`1..${checks.length}`);
  for (const [index, { name, run: body }] of checks.entries()) {
    let problem;
    try { await body(); } catch (error) { problem = error; }
    console.log(`${problem ? 'not ok' : 'ok'} ${index + 1} - ${name}`);
    if (problem) console.log(`# ${problem.message}`);
    if (problem) process.exitCode = 1;
  }
  process.exit();
}

const [what, url] = process.argv.slice(2);
if (what === 'serve') {
  serve(require('ws'), url);
} else {
  const Socket = what === 'ws' ? require('ws') : require('undici').WebSocket;
  everyClient(what, Socket, url);
  if (what === 'ws') wsClient(Socket, url);
  run();
}
