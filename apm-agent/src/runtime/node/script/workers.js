// Threads of `worker_threads`: each has modules and globals of its own, and gets a script of its own, through an
// inspector session within the process, which opens no port.

const { Worker, isMainThread } = builtin('worker_threads')

// A worker of a worker is online for somebody else: so many milliseconds after its beginning it has begun.
const BOOTED = 1000

// Milliseconds for which workers may go on to use our descriptor, to write what they have left.
const FAREWELL = 500

// Inspector sessions of the workers, by the workers' thread.
const workers = new Map()

// The session within the process. It is none of a worker's: those of all threads are seen from the main one.
let inspector

function watchWorkers () {
  if (!isMainThread) return
  const { Session } = builtin('inspector')
  inspector = new Session()
  inspector.connect()
  undo.push(() => inspector.disconnect())
  // Those that are there are told of at once.
  let there = true
  inspector.on('NodeWorker.attachedToWorker', ({ params: { sessionId, workerInfo } }) => {
    const thread = Number(workerInfo.workerId)
    workers.set(thread, sessionId)
    if (there) enter(thread)
    else outside(() => setTimeout(enter, BOOTED, thread).unref())
  })
  inspector.on('NodeWorker.detachedFromWorker', ({ params: { sessionId } }) => {
    for (const [thread, session] of workers) if (session === sessionId) workers.delete(thread)
  })
  inspector.post('NodeWorker.enable', { waitForDebuggerOnStart: false }, error => { if (error) bug(error) })
  there = false
  // Before it is online a worker is not to be disturbed.
  patch(Worker.prototype, 'emit', original => function (event) {
    if (active && event === 'online') {
      try { enter(this.threadId) } catch (error) { bug(error) }
    }
    return Reflect.apply(original, this, arguments)
  })
}

// Puts the script into a worker; where it is already, it only takes the new lease.
function enter (thread) {
  const sessionId = workers.get(thread)
  if (sessionId === undefined || fd < 0) return
  const own = { ...settings, fd, metrics_interval_ms: 0 }
  // In a turn of its own: it interrupts the worker, perhaps in the middle of loading a module.
  const expression = `new Promise(resolve => setImmediate(resolve)).then((require => () =>
    (${script})(require, ${JSON.stringify(own)}))(typeof require === 'function' ? require : undefined))
    //# sourceURL=${settings.source}`
  const params = { expression, includeCommandLineAPI: true, returnByValue: true, silent: true, awaitPromise: true }
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params })
  inspector.post('NodeWorker.sendMessageToWorker', { sessionId, message }, error => { if (error) bug(error) })
}

function enterAll () {
  for (const thread of workers.keys()) enter(thread)
}
