// The same server in Node: node hello.js [PORT]
// SPDX-License-Identifier: MIT
const http = require('node:http');

const server = http.createServer((req, res) => {
  res.setHeader('Content-Type', 'text/plain; charset=utf-8');
  res.end('Hello, world\n');
});

server.listen(process.argv[2] ?? 8080, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
