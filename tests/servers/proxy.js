// A network that can be broken: between a page and its server, it passes everything on, until cut()
// breaks all connections that are there. New ones are passed on as before.
//
//     behindProxy('http://127.0.0.1:8080/', (address, proxy) => { …; proxy.cut(); … });
// SPDX-License-Identifier: MIT
'use strict';
const net = require('node:net');

function makeProxy(port) {
  const sockets = new Set();
  const proxy = net.createServer((client) => {
    const server = net.connect(port, '127.0.0.1');
    for (const [one, other] of [[client, server], [server, client]]) {
      sockets.add(one);
      one.on('error', () => {}).on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  proxy.cut = () => sockets.forEach((socket) => socket.destroy());
  return proxy;
}

function behindProxy(address, use) {
  const proxy = makeProxy(Number(new URL(address).port));
  proxy.listen(0, '127.0.0.1', () => use(`http://127.0.0.1:${proxy.address().port}/`, proxy));
}

module.exports = { behindProxy };
