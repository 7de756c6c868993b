// A network that can be broken: between a page and its server, it passes everything on, until cut()
// breaks all connections that are there. New ones are passed on as before. From hold() to release()
// nothing of the page is read, so what it sends gets as far as the buffers of sockets reach.
//
//     behindProxy('http://127.0.0.1:8080/', (address, proxy) => { …; proxy.cut(); … });
// SPDX-License-Identifier: MIT
'use strict';
const net = require('node:net');

// A side that ends is passed on by pipe(), behind all that came before. One that is gone wants no
// more of the other: what has come of it goes on, and that is its end, too.
function connect(client, server) {
  for (const [one, other] of [[client, server], [server, client]]) {
    one.on('error', () => {}).on('close', (failed) => {
      if (failed || one === client)
        other.destroySoon();
      else
        other.resume(); // or nobody would read its end
    });
  }
  server.pipe(client);
}

function makeProxy(port) {
  const sockets = new Set();
  const pairs = new Map(); // the clients, and their servers
  let held = false;
  const proxy = net.createServer((client) => {
    const server = net.connect(port, '127.0.0.1');
    for (const socket of [client, server])
      sockets.add(socket.on('close', () => sockets.delete(socket)));
    pairs.set(client, server);
    client.on('close', () => pairs.delete(client));
    connect(client, server);
    if (!held)
      client.pipe(server);
  });
  proxy.cut = () => sockets.forEach((socket) => socket.destroy());
  proxy.hold = () => {
    held = true;
    pairs.forEach((server, client) => client.unpipe(server).pause());
  };
  proxy.release = () => {
    held = false;
    pairs.forEach((server, client) => client.pipe(server));
  };
  return proxy;
}

function behindProxy(address, use) {
  const proxy = makeProxy(Number(new URL(address).port));
  proxy.listen(0, '127.0.0.1', () => use(`http://127.0.0.1:${proxy.address().port}/`, proxy));
}

module.exports = { behindProxy };
