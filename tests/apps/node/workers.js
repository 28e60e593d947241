// Threads of `worker_threads` that serve: one from the beginning, one that is asked for later.
//
// main:    /item/NAME  answers with NAME
//          /begin      begins the later worker
// workers: /work/NAME  asks the main thread for NAME
//          /ready      whether an agent's script is in the worker
'use strict';

const http = require('node:http');
const { Worker, isMainThread, workerData } = require('node:worker_threads');

const listen = (port, answer) => http.createServer(answer).listen(Number(port), '127.0.0.1');

if (isMainThread) {
  const begin = (port) => new Worker(__filename, { workerData: { port, main: process.env.PORT } });
  begin(process.env.WORKER_PORT);
  listen(process.env.PORT, (request, response) => {
    if (request.url === '/begin') begin(process.env.LATER_PORT);
    response.end(request.url);
  });
} else {
  listen(workerData.port, (request, response) => {
    if (request.url === '/ready') {
      response.end(String(Symbol.for('apm-agent.node') in globalThis));
      return;
    }
    http.get({ host: '127.0.0.1', port: workerData.main, path: request.url.replace('work', 'item') }, (answer) => answer.pipe(response));
  });
}
