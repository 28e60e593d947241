// Libraries inside bundles: no module says where they are, but methods keep their names. The debugger within the process
// gets a breakpoint at the beginning of a method of each class that is wanted. Its condition hands `this` to us at the
// first call, and is false: nothing ever stops.

// Scripts of the program's own that are as long as this (UTF-16 units) may be put together from many.
const SHORTEST = 64 * 1024
const LONGEST = 32 * 1024 * 1024

// Milliseconds for which classes are waited for: while the debugger is on, each promise costs more.
const WAITING = 60000

// Most scripts that are looked into, most breakpoints, and most steps from an object to the class it is of.
const SCRIPTS = 100
const PLACES = 100
const STEPS = 8

// UTF-16 units within which a class has its other methods.
const NEAR = 64 * 1024

// For each breakpoint the engine looks through the heap. So many times as long the program goes on then.
const REST = 4

// Where breakpoints are; their conditions know the numbers.
const places = []

function watchBundles () {
  if (!settings.bundles || !mayBeBundled()) return
  const { Session } = builtin('inspector')
  const session = new Session()
  session.connect()
  undo.push(() => session.disconnect())
  const scripts = []
  session.on('Debugger.scriptParsed', ({ params }) => {
    if (isLongAndOwn(params) && scripts.length < SCRIPTS) scripts.push(params)
  })
  session.post('Debugger.enable')
  // A `debugger` of the program's own would stop it, and nobody would let it go on.
  session.post('Debugger.setSkipAllPauses', { skip: true })
  const steps = search(session, scripts)
  const step = () => {
    const begun = clock()
    if (!steps.next().done) later(session, step, 1 + REST * (clock() - begun))
    else if (places.length === 0) session.disconnect()
    else waitForClasses(session)
  }
  later(session, step, 1)
}

function waitForClasses (session) {
  patched.add('what is met of bundles')
  later(session, () => session.disconnect(), WAITING)
}

function later (session, work, milliseconds) {
  outside(() => setTimeout(() => {
    if (!active) return
    try {
      work()
    } catch (error) {
      bug(error)
      session.disconnect()
    }
  }, milliseconds).unref())
}

function mayBeBundled () {
  const { statSync } = builtin('fs')
  const isLong = file => {
    try { return statSync(file).size >= SHORTEST } catch { return false }
  }
  const own = Object.keys(cache).filter(file => !MODULE.test(file))
  return isSingleExecutable() || [...own, process.argv[1]].slice(-1000).some(isLong)
}

// From Node.js 20 on.
function isSingleExecutable () {
  try { return builtin('node:sea').isSea() } catch { return false }
}

// Node's own scripts, and ours, have a scheme; that of a single executable has the name it was built from.
function isLongAndOwn ({ url, length }) {
  return length >= SHORTEST && length <= LONGEST && !MODULE.test(url) && !/^(?!file:)[\w-]{2,}:/.test(url)
}

// Sets breakpoints in these scripts, and in those that are found meanwhile.
function * search (session, scripts) {
  const sought = soughtClasses()
  if (sought.size === 0) return
  const names = [...sought.keys()].join('|')
  const definition = new RegExp(
    `(?:(?<![\\w$.#])(${names})\\s*\\(|\\.(${names})\\s*=\\s*(?:[\\w$]+\\()?(?:async\\s*)?function\\b[^()]{0,100}\\()[^()]{0,500}\\)\\s*\\{`, 'g')
  for (let script = scripts.shift(); script; script = scripts.shift()) {
    const { scriptSource } = ask(session, 'Debugger.getScriptSource', { scriptId: script.scriptId })
    yield
    for (const match of scriptSource.matchAll(definition)) {
      if (places.length >= PLACES) return
      const around = scriptSource.slice(Math.max(0, match.index - NEAR), match.index + NEAR)
      const classes = sought.get(match[1] || match[2]).filter(({ like }) => around.includes(like))
      if (classes.length === 0) continue
      setBreakpoint(session, script, scriptSource.slice(0, match.index + match[0].length), classes)
      yield
    }
  }
}

// Classes by the method at which each is met.
function soughtClasses () {
  const sought = new Map()
  for (const library of libraries) {
    if (settings.off.includes(library.name)) continue
    for (const known of library.classes || []) {
      sought.set(known.method, [...(sought.get(known.method) || []), { ...known, library }])
    }
  }
  return sought
}

// A session within the process answers before `post` returns.
function ask (session, method, params) {
  let answer
  session.post(method, params, (error, result) => {
    if (error) throw new Error(`${method}: ${error.message}`)
    answer = result
  })
  return answer
}

// Behind this beginning of a script.
function setBreakpoint (session, { scriptId, startLine, startColumn }, above, classes) {
  const lines = above.split('\n')
  const last = lines[lines.length - 1].length
  const location = {
    scriptId,
    lineNumber: startLine + lines.length - 1,
    columnNumber: lines.length === 1 ? startColumn + last : last
  }
  const place = { classes, over: false }
  const met = `globalThis[Symbol.for('${KEY.description}')].met(${places.push(place) - 1}, this)`
  const condition = `(() => { try { ${met} } catch {} return false })()`
  const { breakpointId } = ask(session, 'Debugger.setBreakpoint', { location, condition })
  place.leave = () => later(session, () => {
    if (places.every(({ over }) => over)) session.disconnect()
    else session.post('Debugger.removeBreakpoint', { breakpointId })
  }, 0)
}

// A method is called for the first time.
function met (number, object) {
  const place = places[number]
  if (!active || place.over) return
  place.over = true
  place.leave()
  for (const known of place.classes) meet(known, object)
}

function meet ({ library, method, like, change }, object) {
  const { isProxy } = builtin('util').types
  let prototype = object
  for (let step = 0; step < STEPS && prototype && !isProxy(prototype); step++) {
    prototype = Object.getPrototypeOf(prototype)
    if (!prototype || !Object.hasOwn(prototype, method) || !Object.hasOwn(prototype, like)) continue
    const found = prototype
    const { name, package: part } = library
    changeLibrary(part ? `${name} (${part}, bundled)` : `${name} (bundled)`, () => change({ prototype: found }, undefined, object))
    // Who waits in a pool would go on in the name of whoever gives something back to it.
    certainFrom = now()
    return
  }
}
