// A plain `http` service: what the agent sees of Node.js without Node's own bridge is the wire.
//
// /item/ID     answers with the ID
// /error       500
// /call?url=U  an outgoing HTTP request; its status is passed on
// /slow?ms=N   an answer that takes N ms
// /chunked     a body in chunks
'use strict';

const http = require('node:http');

function call(url, response) {
  http.get(url, (upstream) => {
    upstream.resume();
    upstream.on('end', () => response.writeHead(upstream.statusCode).end('called'));
  }).on('error', (error) => response.writeHead(502).end(error.message));
}

http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const [, name, rest] = url.pathname.split('/');
  request.resume();
  if (name === 'item') {
    const body = `item ${rest}`;
    response.writeHead(200, { 'content-length': body.length }).end(body);
  } else if (name === 'error') {
    response.writeHead(500).end('broken');
  } else if (name === 'call') {
    call(url.searchParams.get('url'), response);
  } else if (name === 'slow') {
    setTimeout(() => response.end('slow'), Number(url.searchParams.get('ms')));
  } else if (name === 'chunked') {
    response.write('first ');
    response.write('second ');
    response.end('third');
  } else {
    response.writeHead(404).end('not found');
  }
}).listen(Number(process.env.PORT), '127.0.0.1');
