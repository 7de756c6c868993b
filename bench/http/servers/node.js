// The server on Node: its own http, or the package ws for WebSocket.
//
// Node writes Date, Connection and Keep-Alive itself. ws is the one that most programs use; it is
// told not to compress, as libloop does not.
//
// SPDX-License-Identifier: MIT
'use strict';
const http = require('http');

const text = 'Hello, world!';
const headers = {
    'Server': 'benchmark',
    'Content-Type': 'text/plain',
    'Content-Length': text.length,
};

const server = http.createServer((req, res) => {
    res.writeHead(200, headers);
    res.end(text);
});
server.keepAliveTimeout = 75000;

if (process.argv[2] === 'websocket') {
    const { WebSocketServer } = require('ws');
    const sockets = new WebSocketServer({ server, perMessageDeflate: false });
    sockets.on('connection', (socket) => {
        socket.on('message', (data, binary) => socket.send(data, { binary }));
    });
}
server.listen(0, '127.0.0.1', 511, () => console.log(server.address().port));
