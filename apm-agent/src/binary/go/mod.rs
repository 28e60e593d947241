//! Go programs: their functions, types and lines out of the tables that the run time itself needs, which neither `strip`
//! nor `-s -w` takes away. No symbols, no DWARF, and no list of offsets by version of a library.
//!
//! Addresses are those of the file; a position-independent program runs at some distance from them.

use std::{
    collections::HashSet,
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Arc, OnceLock},
};

use object::{Architecture, Object, ObjectSection, ReadCache};

use super::{LARGEST_FILE, Parsed};

pub mod buildinfo;
mod calls;
mod contexts;
mod descriptor;
mod functions;
mod globals;
mod image;
mod inline;
mod itabs;
mod kind;
mod landing;
mod moduledata;
mod names;
mod pclntab;
mod refusal;
mod site;
#[cfg(test)]
mod tests;
mod types;
mod version;

pub use buildinfo::{GoBuild, GoModule};
pub use contexts::ContextType;
pub use descriptor::GoField;
pub use functions::Function;
pub use globals::Globals;
pub use inline::Frame;
pub use itabs::Itab;
pub use kind::Kind;
pub use landing::Landings;
pub use refusal::Refusal;
pub use site::{Price, Site};
pub use version::GoVersion;

use descriptor::Descriptors;
use functions::{FunctionIndex, Table};
use image::Image;
use inline::InlineIndex;
use landing::{CallIndex, Search};
use moduledata::ModuleData;
use pclntab::LineTable;
use types::TypeIndex;

/// A function of every Go program; where it has another name, names were replaced.
const ALWAYS_THERE: &str = "runtime.gopanic";

/// A type of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoType {
    /// Address of its descriptor, as the file lays it out.
    pub address: u64,
    /// Kind.
    pub kind: Kind,
    /// Bytes of a value.
    pub size: u64,
    /// Name as Go's `reflect` gives it, such as `*http.Request`.
    pub name: String,
    /// Import path of its package; none for types without a name and those of the language.
    pub package: Option<String>,
    /// Address of the type of its elements: what a pointer points to, what a slice, array, map or channel holds.
    pub element: Option<u64>,
}

/// A Go program, read.
///
/// Keeps some bytes for each function and type, and what it has read of the file until [`Self::forget`].
#[derive(Debug)]
pub struct GoBinary {
    build: GoBuild,
    version: GoVersion,
    is_x86: bool,
    image: Image,
    lines: LineTable,
    module: ModuleData,
    functions: Arc<FunctionIndex>,
    types: Arc<TypeIndex>,
    inlined: OnceLock<InlineIndex>,
    calls: OnceLock<CallIndex>,
}

impl GoBinary {
    /// Reads a file by its path.
    ///
    /// # Errors
    /// When it cannot be read or is no Go program that can be hooked.
    pub fn open(path: &Path) -> Result<Self, Refusal> {
        Self::read(&File::open(path)?)
    }

    /// Reads an open file. Takes tens of milliseconds for a large program.
    ///
    /// # Errors
    /// When it cannot be read or is no Go program that can be hooked.
    pub fn read(file: &File) -> Result<Self, Refusal> {
        if file.metadata()?.len() > LARGEST_FILE {
            return Err(Refusal::TooLarge);
        }
        let cache = ReadCache::new(file.try_clone()?);
        let parsed = object::File::parse(&cache).map_err(|_| Refusal::Architecture)?;
        let is_x86 = match (&parsed, parsed.architecture()) {
            (object::File::Elf64(elf), Architecture::X86_64) if elf.is_little_endian() => true,
            (object::File::Elf64(elf), Architecture::Aarch64) if elf.is_little_endian() => false,
            _ => return Err(Refusal::Architecture),
        };
        let image = Image::new(file.try_clone()?, &parsed).ok_or(Refusal::Architecture)?;
        let build = build_info(&parsed, &image).ok_or_else(|| nothing_of_go(file))?;
        let version = GoVersion::parse(&build.version).ok_or(Refusal::Garbled)?;
        if version.minor < 17 {
            return Err(Refusal::TooOld(version));
        }
        let section = |name: &str| parsed.section_by_name(name).map(|section| section.address());
        let lines = LineTable::find(&image, section).ok_or_else(|| {
            // Garble replaces the first bytes of the table.
            if section(".gopclntab").is_some() { Refusal::Garbled } else { Refusal::Damaged("table of functions") }
        })?;
        let module = ModuleData::find(&image, &lines, version, section).ok_or(Refusal::Damaged("module data"))?;
        let functions = FunctionIndex::build(&Table { image: &image, lines: &lines, code: module.code });
        let types = TypeIndex::build(&Descriptors { image: &image, module, version });
        let types = types.ok_or(Refusal::Damaged("type descriptors"))?;
        let binary = Self {
            build,
            version,
            is_x86,
            image,
            lines,
            module,
            functions: Arc::new(functions),
            types: Arc::new(types),
            inlined: OnceLock::new(),
            calls: OnceLock::new(),
        };
        if binary.function(ALWAYS_THERE).is_none() { Err(Refusal::Garbled) } else { Ok(binary) }
    }

    /// The same program for another process that runs it: what took long to find out is shared.
    pub fn another(&self) -> Self {
        Self {
            build: self.build.clone(),
            version: self.version,
            is_x86: self.is_x86,
            image: self.image.another(),
            lines: self.lines.clone(),
            module: self.module,
            functions: Arc::clone(&self.functions),
            types: Arc::clone(&self.types),
            inlined: OnceLock::new(),
            calls: OnceLock::new(),
        }
    }

    /// Lets go of what was read of the file: what is asked for later is read again.
    pub fn forget(&mut self) {
        self.image.forget();
        self.calls = OnceLock::new();
    }

    /// Version of Go that built it.
    pub fn version(&self) -> GoVersion {
        self.version
    }

    /// Build information.
    pub fn build(&self) -> &GoBuild {
        &self.build
    }

    /// The main module and those it is built with; empty in builds without modules.
    pub fn modules(&self) -> &[GoModule] {
        &self.build.modules
    }

    /// Place in the file of an address.
    pub fn file_offset(&self, address: u64) -> Option<u64> {
        self.image.file_offset(address)
    }

    /// The function of this name. Folders of vendored packages do not count, nor does a major version (`/v5`) that only
    /// one side tells.
    pub fn function(&self, name: &str) -> Option<Function> {
        self.functions_named(name).into_iter().next()
    }

    /// All functions that [`Self::function`] may mean: a program may have a package in several major versions.
    pub fn functions_named(&self, name: &str) -> Vec<Function> {
        self.functions.find(&self.table(), name)
    }

    /// The function that has an address.
    pub fn function_at(&self, address: u64) -> Option<Function> {
        let table = self.table();
        table.function(self.lines.index_at(&self.image, self.module.code, address)?)
    }

    /// How many functions it has.
    pub fn function_count(&self) -> usize {
        self.functions.count()
    }

    /// All functions, in order of address.
    pub fn functions(&self) -> impl Iterator<Item = Function> {
        let table = self.table();
        (0..self.lines.count).filter_map(move |index| table.function(index))
    }

    /// Where a probe in a function is cheap and sees its arguments; none for arm64 and outside of the file's code.
    pub fn site(&self, function: &Function) -> Option<Site> {
        let code = self.code(function)?;
        let (address, price, repeats) = site::find(&code, function.entry);
        Some(Site { address, offset: self.file_offset(address)?, price, repeats })
    }

    /// Where the results of a function are seen after its calls, while the first `results` registers of results (at most
    /// nine) hold them. Searches all code the first time. None for arm64.
    pub fn landings(&self, function: &Function, results: usize) -> Option<Landings> {
        let results = site::ARGUMENTS.get(..results.min(9)).filter(|_| self.is_x86)?;
        let calls = self.calls.get_or_init(|| {
            let table = self.table();
            let entry = |index| self.text_distance(table.entry(index)?.start);
            let entries = (0..self.lines.count).filter_map(entry).collect();
            CallIndex::build(&self.image, self.module.code.text, self.module.text_end, &entries)
        });
        let found = Landings::default();
        let mut search =
            Search { binary: self, calls, results, seen: HashSet::new(), budget: landing::MOST_CODE, found };
        let is_complete = search.callers_of(function, 0);
        let mut found = Landings { is_complete, ..search.found };
        found.sites.sort_unstable_by_key(|site| site.address);
        found.sites.dedup();
        Some(found)
    }

    /// Functions that have an inlined copy of this one, so that a probe in it does not see their calls.
    pub fn inlined_copies(&self, name: &str) -> u32 {
        let table = self.table();
        self.inlined.get_or_init(|| InlineIndex::build(&table)).copies(&table, name)
    }

    /// True when some function has an inlined copy of this one.
    pub fn is_inlined(&self, name: &str) -> bool {
        self.inlined_copies(name) > 0
    }

    /// The functions that have the instruction at an address, inlined ones first; empty outside of Go's code. Of a
    /// return address, ask for the byte before it.
    pub fn symbolise(&self, address: u64) -> Vec<Frame> {
        inline::frames(&self.table(), address)
    }

    /// Address of a named type's descriptor; names compare as those of functions do.
    pub fn type_address(&self, name: &str) -> Option<u64> {
        self.types.find(&self.descriptors(), name)
    }

    /// The type whose descriptor is at an address.
    pub fn type_at(&self, address: u64) -> Option<GoType> {
        let descriptors = self.descriptors();
        let descriptor = descriptors.read(address)?;
        Some(GoType {
            address,
            kind: descriptor.kind,
            size: descriptor.size,
            name: descriptors.name(&descriptor)?,
            package: descriptors.package(&descriptor),
            element: descriptors.element(&descriptor),
        })
    }

    /// How many types it has.
    pub fn type_count(&self) -> usize {
        self.types.all.len()
    }

    /// All types, in order of address.
    pub fn types(&self) -> impl Iterator<Item = GoType> {
        self.types.all.iter().filter_map(|offset| self.type_at(self.descriptors().at(*offset)?))
    }

    /// Import path and name of the type at an address, such as `net/http.Request`; `*` in front for a pointer to one.
    pub fn type_name(&self, address: u64) -> Option<String> {
        let descriptors = self.descriptors();
        let descriptor = descriptors.read(address)?;
        if let Some(name) = descriptors.full_name(&descriptor) {
            return Some(name);
        }
        let pointed = descriptors.element(&descriptor).filter(|_| descriptor.kind == Kind::Pointer);
        let pointed = pointed.and_then(|address| descriptors.full_name(&descriptors.read(address)?));
        pointed.map(|name| format!("*{name}")).or_else(|| descriptors.name(&descriptor))
    }

    /// Address of the pointer type to a type.
    pub fn pointer_to(&self, address: u64) -> Option<u64> {
        self.types.pointer_to(&self.descriptors(), address)
    }

    /// Address of the type of a map's groups of slots; none before Go 1.24.
    pub fn map_group(&self, address: u64) -> Option<u64> {
        let descriptor = self.descriptors().read(address).filter(|descriptor| descriptor.kind == Kind::Map)?;
        self.image.u64(descriptor.address + 64).filter(|_| self.version.minor >= 24)
    }

    /// Bytes of a value of a named type.
    pub fn size_of(&self, name: &str) -> Option<u64> {
        self.descriptors().read(self.type_address(name)?).map(|descriptor| descriptor.size)
    }

    /// The fields of the struct whose descriptor is at an address; empty when it is no struct.
    pub fn fields(&self, address: u64) -> Vec<GoField> {
        let descriptors = self.descriptors();
        let descriptor = descriptors.read(address);
        descriptor.and_then(|descriptor| descriptors.fields(&descriptor)).unwrap_or_default()
    }

    /// Bytes from the start of a named struct to a field; `path` may enter structs that are fields (`inner.field`).
    pub fn field(&self, structure: &str, path: &str) -> Option<u64> {
        let mut address = self.type_address(structure)?;
        let mut offset = 0_u64;
        for name in path.split('.') {
            let field = self.fields(address).into_iter().find(|field| field.name == name)?;
            offset = offset.checked_add(field.offset)?;
            address = field.type_address;
        }
        Some(offset)
    }

    /// Names of the methods of the type at an address.
    pub fn methods(&self, address: u64) -> Vec<String> {
        let descriptors = self.descriptors();
        descriptors.read(address).map(|descriptor| descriptors.methods(&descriptor)).unwrap_or_default()
    }

    /// Every pair of an interface and a type that the linker made.
    pub fn itabs(&self) -> Vec<Itab> {
        itabs::all(&self.descriptors())
    }

    /// Address of the itab for an interface and the type that implements it, by their full names: `io.Writer`,
    /// `*bufio.Writer`.
    pub fn itab(&self, interface: &str, concrete: &str) -> Option<u64> {
        let interface = self.type_address(interface)?;
        let concrete = match concrete.strip_prefix('*') {
            Some(pointed) => self.pointer_to(self.type_address(pointed)?)?,
            None => self.type_address(concrete)?,
        };
        let is_it = |itab: &Itab| itab.interface == interface && itab.concrete == concrete;
        self.itabs().into_iter().find(is_it).map(|itab| itab.address)
    }

    /// Types that carry a parent `context.Context`, with its place.
    pub fn context_types(&self) -> Vec<ContextType> {
        contexts::all(&self.descriptors(), &self.types)
    }

    /// The code of a function, for x86-64 only: nothing decodes arm64's.
    fn code(&self, function: &Function) -> Option<Vec<u8>> {
        let is_code = self.is_x86 && (self.module.code.text..self.module.text_end).contains(&function.entry);
        let length =
            function.end.checked_sub(function.entry).filter(|length| is_code && *length <= LONGEST_FUNCTION)?;
        self.image.bytes(function.entry, length)
    }

    /// Bytes from the start of the code.
    fn text_distance(&self, address: u64) -> Option<u32> {
        u32::try_from(address.checked_sub(self.module.code.text)?).ok()
    }

    fn text_address(&self, distance: u32) -> u64 {
        self.module.code.text.saturating_add(distance.into())
    }

    /// Some pointer in the file's data has this value.
    fn is_stored(&self, address: u64) -> bool {
        self.image.find(&address.to_le_bytes(), 8, false, |_| true).is_some()
    }

    fn table(&self) -> Table<'_> {
        Table { image: &self.image, lines: &self.lines, code: self.module.code }
    }

    fn descriptors(&self) -> Descriptors<'_> {
        Descriptors { image: &self.image, module: self.module, version: self.version }
    }
}

/// Code of a function at most.
const LONGEST_FUNCTION: u64 = 16 << 20;

/// Build information: by its section, else by how it begins.
fn build_info(parsed: &Parsed, image: &Image) -> Option<GoBuild> {
    let mut build = buildinfo::read(parsed).or_else(|| {
        let address = image.find(buildinfo::MAGIC, buildinfo::ALIGN, false, |_| true)?;
        buildinfo::parse(&image.bytes(address, buildinfo::LARGEST)?)
    })?;
    if build.version == buildinfo::OLD {
        let start = image.find(buildinfo::MAGIC, buildinfo::ALIGN, false, |_| true)?;
        // A pointer to the string's two words.
        let text = image.u64(start + 16)?;
        let (data, length) = (image.u64(text)?, image.u64(text.checked_add(8)?)?);
        build.version = String::from_utf8_lossy(&image.bytes(data, length.min(64))?).into_owned();
    }
    Some(build)
}

/// Why nothing says that Go built it.
fn nothing_of_go(file: &File) -> Refusal {
    let mut head = [0; 4096];
    let read = file.read_at(&mut head, 0).unwrap_or_default();
    let head = head.get(..read).unwrap_or_default();
    if memchr::memmem::find(head, b"UPX!").is_some() { Refusal::Packed } else { Refusal::NotGo }
}
