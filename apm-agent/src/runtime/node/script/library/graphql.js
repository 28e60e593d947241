// graphql: each operation that is executed. A request that Apollo Server answers is named by its operation.

libraries.push(
  { name: 'graphql', versions: [16, 16], files: { 'execution/execute.js': graphqlExecution } },
  { name: '@apollo/server', versions: [4, 5], files: { 'dist/cjs/ApolloServer.js': apolloServer } })

// The package's other modules look `execute` up here at each call.
function graphqlExecution (exports) {
  hook(exports, 'execute', (_, [asked]) => {
    const transaction = current()
    // It throws where there is no document.
    if (transaction === undefined || !asked || !asked.document) return
    const { name, fields } = askedFor(asked.document, asked.operationName)
    const prefix = name ? name + ' ' : ''
    if (transaction.servesGraphql && transaction.ended === 0) {
      transaction.operation = prefix + (fields || 'Unknown GraphQL query') + mountOf(transaction)
    }
    const span = new Span('graphql', `GraphQL: ${fields ? prefix + fields : 'Unknown Query'}`, transaction)
    return error => span.end(error !== undefined, error, [])
  }, (over, result) => {
    if (result && typeof result.then === 'function') return settle(result, over)
    over()
    return result
  })
}

function apolloServer ({ ApolloServer: { prototype } }) {
  hook(prototype, 'executeHTTPGraphQLRequest', () => {
    const transaction = current()
    if (transaction) transaction.servesGraphql = true
  })
}

// The operation's name and its fields, in order of the alphabet, as Elastic's agent has them.
function askedFor ({ definitions = [] }, wanted) {
  const operation = definitions.find(({ kind, name }) =>
    kind === 'OperationDefinition' && (!wanted || (name && name.value === wanted)))
  const selections = operation ? operation.selectionSet.selections : []
  const fields = selections.filter(({ name }) => name).map(({ name }) => name.value)
  return { name: wanted || (operation && operation.name && operation.name.value), fields: fields.sort().join(', ') }
}

// Where Express has it.
function mountOf (transaction) {
  return transaction.mounts ? ` (${routeOf(transaction) || '/'})` : ''
}
