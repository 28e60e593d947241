// Koa 2 and 3, with @koa/router or koa-router, which leave the route's pattern on the context.

libraries.push({
  name: 'koa',
  versions: [2, 3],
  files: { 'lib/application.js': koaApplication, 'lib/context.js': koaContext },
  classes: [{ method: 'handleRequest', like: 'createContext', change: koaBundled }]
})

// The application's context is made from the library's.
function koaBundled (exports, major, application) {
  koaApplication(exports)
  koaContext(Object.getPrototypeOf(application.context))
}

function koaApplication ({ prototype }) {
  hook(prototype, 'handleRequest', (application, [context]) => {
    const transaction = transactions.get(context.req)
    if (transaction) transaction.routed = () => context._matchedRoute
  })
}

function koaContext (context) {
  hook(context, 'onerror', (self, [error]) => {
    // Those that are meant for the client are not the application's.
    if (error && error.status !== 404 && !error.expose) tellError(error, true, transactions.get(self.req))
  })
}
