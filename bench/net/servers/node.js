// The server on Node.
//
// A socket piped to itself is an echo with backpressure; a sink has a listener for 'data' that does
// nothing; a source writes its one piece until it is told to wait, and goes on when drained.
//
// SPDX-License-Identifier: MIT
'use strict';
const net = require('net');

const piece = Buffer.alloc(65536);

const roles = {
    echo(socket) {
        socket.pipe(socket);
    },
    sink(socket) {
        socket.on('data', () => {});
    },
    source(socket) {
        const feed = () => {
            while (socket.write(piece));
        };
        socket.on('drain', feed);
        feed();
    },
};

const serve = roles[process.argv[2]];
const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    serve(socket);
});
server.listen(0, '127.0.0.1', 511, () => console.log(server.address().port, 0));
