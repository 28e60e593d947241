'use strict'
// Ends in one of several ways; run with and without the script, what it prints and exits with must be the same.

const http = require('http')

class Broken extends Error {}

const ways = {
  throw () { throw new Broken('thrown') },
  text () { throw 'only a text' }, // eslint-disable-line no-throw-literal
  reject () { Promise.reject(new Broken('rejected')) },
  caught () { throw new Broken('caught') },
  heard () { Promise.reject(new Broken('heard')) }
}

module.exports = async ({ attach, listen, get }) => {
  const way = process.env.WAY
  if (way === 'caught') process.on('uncaughtException', (error, origin) => console.log('caught', error.message, origin))
  if (way === 'heard') process.on('unhandledRejection', error => console.log('heard', error.message))
  process.on('exit', code => console.log('exit', code))
  const server = http.createServer((request, response) => {
    setTimeout(ways[way], 1)
    setTimeout(() => { response.end('survived') }, 20)
  })
  const port = await listen(server)
  if (process.env.EXPRESSION) attach()
  const { body } = await get(port, '/boom')
  console.log(body)
  server.close()
  server.closeAllConnections()
  // Ends by itself.
}
