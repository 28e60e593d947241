// A small MongoDB made for the tests, by itself.
'use strict';

const { BSON } = require('mongodb');
const server = require('../node-script/mongodb_server.js');

server(BSON).listen(Number(process.env.PORT), '127.0.0.1');
