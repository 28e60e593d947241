// The end of the function that begin.js begins: everything or nothing.

const CORE = { http: [serveHttp, callHttp], http2: [serveHttp2, callHttp2], undici: [callUndici] }

function attach () {
  openChannel()
  for (const [name, changes] of Object.entries(CORE)) {
    if (settings.off.includes(name)) continue
    for (const change of changes) change()
    patched.add(name)
  }
  watchErrors()
  watchModules()
  watchBundles()
  measure()
  watchWorkers()
  Object.defineProperty(globalThis, KEY, { value: { build: settings.build, again, detach, met }, configurable: true })
  undo.push(() => delete globalThis[KEY])
  active = true
  holdLease()
}

// Everything is as it was before.
function detach () {
  if (!active) return
  flush()
  active = false
  endLease()
  unwind()
  store.disable()
}

// An agent finds us here already.
function again (fresh) {
  settings.lease_port = fresh.lease_port
  // A worker's script may be older than that of the main thread, whose descriptor it uses.
  if (fresh.fd !== undefined) fd = settings.fd = fresh.fd
  endLease()
  holdLease()
  enterAll()
  return status()
}

function status () {
  return JSON.stringify({
    ok: true,
    version: process.version,
    pid: process.pid,
    fd,
    patched: [...patched],
    refused: [...refused].map(([library, reason]) => ({ library, reason })),
    bugs
  })
}

try {
  attach()
  return status()
} catch (error) {
  active = false
  unwind()
  return JSON.stringify({ ok: false, reason: String((error && error.stack) || error).slice(0, 400) })
}
