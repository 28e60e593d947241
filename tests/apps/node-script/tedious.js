'use strict'
// Every way to ask SQL Server, one request each. The server is a small one made for the tests.

const http = require('http')

module.exports = async ({ load, attach, listen, get }) => {
  const { Connection, Request, TYPES } = load('tedious')
  const connect = () => new Promise((resolve, reject) => {
    const connection = new Connection({
      server: '127.0.0.1',
      authentication: { type: 'default', options: { userName: 'shop', password: 'secret' } },
      options: { port: Number(process.env.TDSPORT), database: 'shop', encrypt: false, trustServerCertificate: true }
    })
    connection.connect(error => error ? reject(error) : resolve(connection))
  })
  const connection = await connect()

  const request = (make, resolve, text, parameters = []) => {
    const rows = []
    const made = new Request(text, (error, count) => resolve(error ? error.message : [count, rows]))
    for (const [name, type, value] of parameters) made.addParameter(name, type, value)
    made.on('row', columns => rows.push(columns.map(({ value }) => value)))
    make(made)
  }
  const ways = {
    batch: resolve => request(made => connection.execSqlBatch(made), resolve, 'SELECT name FROM batch WHERE id = 1'),
    execute: resolve => request(made => connection.execSql(made), resolve, 'SELECT name FROM execute WHERE id = @id', [['id', TYPES.Int, 2]]),
    procedure: resolve => request(made => connection.callProcedure(made), resolve, 'procedure_of_shop', [['id', TYPES.Int, 3]]),
    failed: resolve => request(made => connection.execSql(made), resolve, 'SELECT name FROM missing_table WHERE id = 4'),
    // Asked for in the callback of another.
    inside: resolve => request(made => connection.execSql(made), () => {
      request(made => connection.execSql(made), resolve, 'SELECT name FROM inside WHERE id = 6')
    }, 'SELECT name FROM inside WHERE id = 5')
  }
  const port = await listen(http.createServer(async (request, response) => {
    response.end(JSON.stringify(await new Promise(resolve => ways[request.url.slice(1)](resolve))))
  }))
  const ask = async () => {
    const answers = {}
    for (const way of Object.keys(ways)) answers[way] = (await get(port, `/${way}`)).body
    return answers
  }
  const before = await ask()
  const status = attach()
  const after = await ask()
  connection.close()
  return { status, before, after }
}
