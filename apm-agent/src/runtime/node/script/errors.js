// Errors: those that frameworks and calls tell of, and those that nobody catches. They are seen, never handled: what the
// process does next, prints and exits with is what it would be without us.

const ERROR = 3

const HANDLED = 1
const IN_REQUEST = 2

const reported = notes()

// `within`: the id of the span it happened in, which ended at `over`; or else the transaction itself.
function tellError (error, handled, transaction, within, over) {
  if (transaction && !transaction.sampled) return
  if (typeof error === 'object' && error !== null) {
    // It goes through many hands, and may be kept and thrown again in another request. That it ended the process is worth
    // a second report.
    const before = reported.get(error)
    if (handled && before && (!transaction || before === transaction.id)) return
    reported.set(error, transaction ? transaction.id : true)
  }
  const { kind, message, code, stack } = describe(error)
  begin(ERROR, 64 + room(kind) + room(code) + room(message, 2048) + room(stack, LONG))
  putTime(over || now())
  putByte((handled ? HANDLED : 0) | (transaction ? IN_REQUEST : 0))
  putTrace(transaction)
  putId(transaction && (within || transaction.id))
  putId(transaction && !within ? transaction.parent : undefined)
  putText(kind)
  putText(code)
  putText(message, 2048)
  putText(stack, LONG)
  end()
}

// Anything may be thrown.
function describe (error) {
  if (typeof error !== 'object' || error === null) return { kind: typeof error, message: String(error) }
  const { name, message, code, stack } = error
  return {
    kind: typeof name === 'string' ? name : 'Error',
    message: typeof message === 'string' ? message : '',
    code: typeof code === 'string' || typeof code === 'number' ? String(code) : undefined,
    stack: typeof stack === 'string' ? stack : undefined
  }
}

function watchErrors () {
  const uncaught = error => {
    if (!active) return
    try {
      tellError(error, process.listenerCount('uncaughtException') > 0, concerned())
      flush()
    } catch (failure) {
      bug(failure)
    }
  }
  process.on('uncaughtExceptionMonitor', uncaught)
  undo.push(() => process.removeListener('uncaughtExceptionMonitor', uncaught))
  // A listener of our own for rejections would keep the process from ending. Without one of the application's the
  // rejection comes again, as an uncaught exception.
  patch(process, 'emit', original => function (event, first) {
    const heard = Reflect.apply(original, this, arguments)
    if (active) {
      try {
        if (event === 'unhandledRejection' && heard) tellError(first, true, concerned())
        else if (event === 'exit') flush()
      } catch (error) {
        bug(error)
      }
    }
    return heard
  })
}
