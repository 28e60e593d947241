// Ends in the way it is asked for by the path, without an answer.
//
// /timer      a timer throws
// /rejection  a promise is rejected, and nobody hears
// /event      an emitter has an error, and nobody listens
// /handler    the handler is asynchronous, and throws
// /exit       a handler for what nobody catches exits with a code of its own
'use strict';

const { EventEmitter } = require('node:events');
const http = require('node:http');

const ways = {
  timer: () => setTimeout(() => { throw new RangeError('by timer'); }, 1),
  rejection: () => setTimeout(() => Promise.reject(new RangeError('by rejection')), 1),
  event: () => setTimeout(() => new EventEmitter().emit('error', new RangeError('by event')), 1),
  handler: async () => {
    await new Promise((resolve) => { setTimeout(resolve, 1); });
    throw new RangeError('by handler');
  },
  exit: () => {
    process.on('uncaughtException', (error) => {
      console.log(`last words: ${error.message}`);
      process.exit(7);
    });
    setTimeout(() => { throw new RangeError('by exit'); }, 1);
  },
};

process.on('exit', (code) => console.log(`exit ${code}`));
http.createServer((request) => ways[request.url.slice(1)]()).listen(Number(process.env.PORT), '127.0.0.1');
