// What the run time knows of itself, under the names of Elastic's agent, and the share of time the loop was busy.

const METRICS = 4

// Resolution of the loop's delay in milliseconds: a loop that never waits for anybody is seen to be that late.
const RESOLUTION = 10

function measure () {
  if (!settings.metrics_interval_ms) return
  const { monitorEventLoopDelay } = builtin('perf_hooks')
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION })
  delay.enable()
  undo.push(() => delay.disable())
  const collections = outside(countCollections)
  let busy = performance.eventLoopUtilization()
  const tell = () => {
    if (!active) return
    try {
      const since = busy
      busy = performance.eventLoopUtilization()
      tellMetrics({ ...sample(delay, performance.eventLoopUtilization(busy, since).utilization), ...collections() })
      delay.reset()
    } catch (error) {
      bug(error)
    }
  }
  const interval = outside(() => setInterval(tell, settings.metrics_interval_ms).unref())
  undo.push(() => clearInterval(interval))
}

// Gives the number of garbage collections since it was last called, and their milliseconds.
function countCollections () {
  let [count, time] = [0, 0]
  const add = entries => {
    count += entries.length
    for (const { duration } of entries) time += duration
  }
  const observer = new (builtin('perf_hooks').PerformanceObserver)(list => add(list.getEntries()))
  observer.observe({ entryTypes: ['gc'] })
  undo.push(() => observer.disconnect())
  return () => {
    add(observer.takeRecords())
    const counted = { 'nodejs.gc.count': count, 'nodejs.gc.time': time };
    [count, time] = [0, 0]
    return counted
  }
}

function sample (delay, utilization) {
  const memory = process.memoryUsage()
  const counted = name => typeof process[name] === 'function' ? process[name]().length : undefined
  return {
    'nodejs.handles.active': counted('_getActiveHandles'),
    'nodejs.requests.active': counted('_getActiveRequests'),
    // No sample at all gives NaN.
    'nodejs.eventloop.delay.avg.ms': Math.max(0, delay.mean / 1e6 - RESOLUTION) || 0,
    'nodejs.eventloop.utilization': utilization,
    'nodejs.memory.heap.allocated.bytes': memory.heapTotal,
    'nodejs.memory.heap.used.bytes': memory.heapUsed,
    'nodejs.memory.external.bytes': memory.external,
    'nodejs.memory.arrayBuffers.bytes': memory.arrayBuffers
  }
}

function tellMetrics (samples) {
  const known = Object.entries(samples).filter(([, value]) => value !== undefined)
  begin(METRICS, 16 + known.reduce((bytes, [name]) => bytes + room(name) + 8, 0))
  putTime(now())
  putByte(known.length)
  for (const [name, value] of known) {
    putText(name)
    putNumber(value)
  }
  end()
}
