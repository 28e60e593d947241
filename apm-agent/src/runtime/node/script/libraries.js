// Libraries: each has a file in `library/` that puts itself in this list.
//
// `name` is what the user switches off; `versions` the first and last major that were tried; `files` says which of its
// package's modules are changed, by a function that gets the module's exports and throws when they are not as expected.
// `classes` says the same of bundles: a class is met at the first call of `method`, has a method `like` of its own, too,
// and is given as if it were the module's exports, with the object. Of a pool it is the method that all who wait pass.
const libraries = []

// The last `node_modules` of a path is the one that counts.
const MODULE = /^(.*[\\/]node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+))[\\/](.*)$/

// What was changed, and what was not and why.
const patched = new Set()
const refused = new Map()

// Modules to change, by package and file.
const wanted = new Map()

function watchModules () {
  for (const library of libraries) {
    if (settings.off.includes(library.name)) continue
    for (const [file, change] of Object.entries(library.files)) {
      wanted.set(`${library.package || library.name}/${file}`, { library, change })
    }
  }
  for (const module of Object.values(cache)) {
    if (module && module.loaded) consider(module)
  }
  // Called once for each module that is really loaded, not for each `require` of it.
  patch(builtin('module').prototype, 'load', original => function () {
    const result = Reflect.apply(original, this, arguments)
    if (active) {
      try { consider(this) } catch (error) { bug(error) }
    }
    return result
  })
}

function consider (module) {
  const parts = MODULE.exec(module.filename)
  if (!parts) return
  const [, root, name, file] = parts
  const entry = wanted.get(`${name}/${file}`.replaceAll('\\', '/'))
  if (!entry) return
  const { library, change } = entry
  const version = versionOf(root)
  const label = name === library.name ? `${name} ${version}` : `${library.name} (${name} ${version})`
  const major = parseInt(version)
  const [first, last] = library.versions
  if (!(major >= first && major <= last)) {
    refused.set(label, `only versions ${first} to ${last} are known`)
    return
  }
  changeLibrary(label, () => change(module.exports, major))
}

// All of it or nothing.
function changeLibrary (label, change) {
  const before = undo.length
  try {
    change()
    patched.add(label)
  } catch (error) {
    unwind(before)
    refused.set(label, String(error && error.message))
  }
}

const versions = new Map()

function versionOf (root) {
  let version = versions.get(root)
  if (version === undefined) {
    try {
      version = JSON.parse(builtin('fs').readFileSync(`${root}/package.json`, 'utf8')).version
    } catch {
      version = 'of unknown version'
    }
    versions.set(root, version)
  }
  return version
}
