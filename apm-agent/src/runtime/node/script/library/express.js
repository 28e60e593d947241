// Express 4 and the router of Express 5. A route's pattern is what the application wrote; that of a router that is
// mounted has to be found again, for Express keeps it only as a regular expression.

libraries.push(
  { name: 'express', versions: [4, 4], files: { 'lib/router/layer.js': layer4 } },
  { name: 'express', package: 'router', versions: [2, 2], files: { 'lib/layer.js': layer5 } })

function layer4 ({ prototype }) { patchLayer(prototype, 'handle_request', mountedAt4) }

function layer5 ({ prototype }) { patchLayer(prototype, 'handleRequest', mountedAt5) }

// Several for each request: nothing is put together that the compiler would have to take apart.
function patchLayer (prototype, name, mountedAt) {
  patch(prototype, name, original => function (request, response, next) {
    let after = next
    if (active) {
      try { after = enterLayer(this, request, next, mountedAt) } catch (error) { bug(error) }
    }
    return Reflect.apply(original, this, [request, response, after])
  })
}

// The mounts of a request that Express has and no router below it.
const NOWHERE = []

// Gives what the layer is to call when it has done its part.
function enterLayer (layer, request, next, mountedAt) {
  const transaction = transactions.get(request)
  if (!transaction || transaction.ended !== 0 || typeof next !== 'function') return next
  if (transaction.mounts === undefined) transaction.mounts = NOWHERE
  const { mounts } = transaction
  const depth = mounts.length
  const base = depth ? mounts[depth - 1].base : ''
  if (layer.route) {
    transaction.route = routeName(mounts, layer.route.path)
  } else if (layer.name === 'serveStatic') {
    transaction.route = 'static file'
  } else if (request.baseUrl.length > base.length) {
    // Under this layer the path begins later than above it.
    mount(transaction, request.baseUrl, mountedAt(layer, request.baseUrl.slice(base.length), request.params))
  }
  return function (error) {
    if (active) {
      try { leaveLayer(layer, transaction, depth, error) } catch (failure) { bug(failure) }
    }
    return Reflect.apply(next, this, arguments)
  }
}

// What is mounted somewhere and answers without a route is named by its mount.
function mount (transaction, base, pattern) {
  if (transaction.mounts === NOWHERE) {
    transaction.mounts = []
    transaction.routed = mountsOf
  }
  transaction.mounts.push({ base, pattern })
}

function mountsOf ({ mounts }) { return mountedBelow(mounts) }

function leaveLayer (layer, transaction, depth, error) {
  const { mounts } = transaction
  if (mounts.length > depth) mounts.length = depth
  if (layer.name === 'serveStatic' && transaction.route === 'static file') transaction.route = undefined
  // These two words are none.
  if (error && error !== 'route' && error !== 'router') tellError(error, true, transaction)
}

function mountedBelow (mounts) { return mounts.map(({ pattern }) => pattern).join('') }

function routeName (mounts, path) {
  const own = path instanceof RegExp ? path.source : String(path)
  const whole = mountedBelow(mounts) + (own === '/' ? '' : own.startsWith('/') ? own : '/' + own)
  return whole || '/'
}

// A parameter as path-to-regexp has written it in the versions that Express 4 came with.
const PARAMETER = /\(\?:(\\\/)?\(\[\^\\?\/\]\+\?\)\)|\(\[\^\\?\/\]\+\?\)/g

// `^\/api\/(?:([^\/]+?))\/?(?=\/|$)` was `/api/:tenant`.
function mountedAt4 (layer, text, params) {
  let key = 0
  const pattern = layer.regexp.source
    .replace(/^\^/, '')
    .replace(/\\\/\?\(\?=\\\/\|\$\)$/, '')
    .replace(PARAMETER, (_, slash) => `${slash ? '/' : ''}:${(layer.keys[key++] || {}).name}`)
    .replace(/\\([/.-])/g, '$1')
  // An expression of the application's own, or one that is written otherwise.
  return /[\\^$*+?()[\]{}|]/.test(pattern) ? byValues(text, params) : pattern
}

// The router knows its pattern since 2.3.
function mountedAt5 (layer, text, params) {
  return typeof layer.rawPath === 'string' ? layer.rawPath.replace(/\/+$/, '') : byValues(text, params)
}

// The path as it matched, each part that is a parameter's value replaced by the parameter's name.
function byValues (text, params) {
  const names = new Map(Object.entries(params || {}).map(([name, value]) => [String(value), name]))
  const parts = text.split('/').map(part => {
    const name = names.get(decodeURIComponent(part))
    return part !== '' && name !== undefined ? ':' + name : part
  })
  return parts.join('/')
}
