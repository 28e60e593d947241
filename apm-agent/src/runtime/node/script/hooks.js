// Changes to the application's objects: each is noted, can be undone, and does nothing while we are not active.

// True between the end of attaching and the beginning of detaching.
let active = false

// Functions that undo what was done, in the order of doing.
const undo = []

function unwind (to = 0) {
  while (undo.length > to) {
    try { undo.pop()() } catch (error) { bug(error) }
  }
}

// Errors of our own: the application must never see one.
const bugs = []
function bug (error) {
  if (bugs.length < 10) bugs.push(String((error && error.stack) || error).slice(0, 400))
}

// A note on an object of the application's that nobody else can see, list or print: a private field, which a class puts
// on whatever its base class's constructor returns.
function notes () {
  return class extends function (object) { return object } {
    #note
    constructor (object, note) {
      super(object)
      this.#note = note
    }

    static get (object) { return #note in object ? object.#note : undefined }
    static set (object, note) {
      if (#note in object) object.#note = note
      else new this(object, note) // eslint-disable-line no-new
    }
  }
}

const originals = notes()

// Puts what `make(original)` returns in the place of a method. Throws when there is no such method.
function patch (object, name, make) {
  const original = object && object[name]
  if (typeof original !== 'function') throw new TypeError(`there is no method ${name}`)
  if (originals.get(original)) return
  const own = Object.getOwnPropertyDescriptor(object, name)
  if (own && !own.configurable) throw new TypeError(`the method ${name} cannot be changed`)
  const wrapper = make(original)
  Object.defineProperty(wrapper, 'name', { value: original.name, configurable: true })
  Object.defineProperty(wrapper, 'length', { value: original.length, configurable: true })
  originals.set(wrapper, original)
  const enumerable = own ? own.enumerable : false
  Object.defineProperty(object, name, { value: wrapper, writable: true, configurable: true, enumerable })
  undo.push(() => {
    // Somebody who has changed it since keeps his change, and below it our wrapper passes everything through.
    if (object[name] !== wrapper) return
    if (own) Object.defineProperty(object, name, own)
    else delete object[name]
  })
}

// Patches a method so that `before(self, args)` runs ahead of it and may change `args`. What it returns, unless
// undefined, goes to `after(state, result)`, which returns the result for the caller.
function hook (object, name, before, after) {
  patch(object, name, original => function (...args) {
    let state
    if (active) {
      try { state = before(this, args) } catch (error) { bug(error) }
    }
    const result = Reflect.apply(original, this, args)
    if (state === undefined || after === undefined) return result
    try { return after(state, result) } catch (error) { bug(error) }
    return result
  })
}

// Listens to a channel of `diagnostics_channel`.
function subscribe (name, listen) {
  const channel = builtin('diagnostics_channel').channel(name)
  const listener = message => {
    if (!active) return
    try { listen(message) } catch (error) { bug(error) }
  }
  channel.subscribe(listener)
  undo.push(() => channel.unsubscribe(listener))
}
