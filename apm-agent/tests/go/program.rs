//! The smallest Go program that the reader takes: tables as Go 1.26 writes them for x86-64, put together by hand.
//!
//! `runtime.gopanic` and `main.serve`, which has a copy of `main.small`; the types `main.server`, a struct of a string,
//! `*main.server` and `string`.

/// Address of the first byte of the file.
pub const BASE: u64 = 0x40_0000;
/// Address of the first function, `runtime.gopanic`.
pub const PANIC: u64 = BASE + TEXT as u64 + 16;
/// Address of the second, `main.serve`.
pub const SERVE: u64 = PANIC + 32;
/// Address of the struct's descriptor.
pub const SERVER: u64 = BASE + TYPES as u64 + 64;

const BUILD_INFO: usize = 0x80;
const TEXT: usize = 0x100;
const LINES: usize = 0x180;
const MODULE: usize = 0x380;
const TYPES: usize = 0x580;
const TYPE_LINKS: usize = 0x7c0;
const INLINE_TREE: usize = 0x7e0;
const SECTIONS: usize = 0x800;
const SECTION_NAMES: usize = 0x900;
const LENGTH: usize = 0x940;

/// The file.
pub fn program() -> Vec<u8> {
    let mut file = File(vec![0; LENGTH]);
    file.header();
    file.put(BUILD_INFO, b"\xff Go buildinf:\x08\x02");
    file.put(BUILD_INFO + 32, b"\x08go1.26.8\x00");
    // cmp rsp,[r14+10h]; jbe; push rbp
    for function in [TEXT + 16, TEXT + 48] {
        file.put(function, &[0x49, 0x3b, 0x66, 0x10, 0x76, 0x10, 0x55, 0x48, 0x89, 0xe5]);
    }
    // call runtime.gopanic; test rax,rax; je
    file.put(TEXT + 48 + 10, &[0xe8, 0xd1, 0xff, 0xff, 0xff, 0x48, 0x85, 0xc0, 0x74, 0x02]);
    file.lines();
    file.module();
    file.types();
    file.sections();
    file.0
}

struct File(Vec<u8>);

impl File {
    fn put(&mut self, place: usize, bytes: &[u8]) {
        self.0[place..place + bytes.len()].copy_from_slice(bytes);
    }

    fn words(&mut self, place: usize, words: &[u64]) {
        for (index, word) in words.iter().enumerate() {
            self.put(place + 8 * index, &word.to_le_bytes());
        }
    }

    fn halves(&mut self, place: usize, halves: &[u32]) {
        for (index, half) in halves.iter().enumerate() {
            self.put(place + 4 * index, &half.to_le_bytes());
        }
    }

    fn header(&mut self) {
        self.put(0, b"\x7fELF\x02\x01\x01");
        // An executable for x86-64, version 1.
        self.put(16, &[2, 0, 62, 0, 1, 0, 0, 0]);
        self.words(24, &[BASE, 64, SECTIONS as u64]);
        // Sizes and counts: header, program headers, section headers.
        for (index, half) in [64_u16, 56, 1, 64, 4, 3].into_iter().enumerate() {
            self.put(52 + 2 * index, &half.to_le_bytes());
        }
        // PT_LOAD of everything, readable, writable and executable.
        self.halves(64, &[1, 7]);
        self.words(72, &[0, BASE, BASE, LENGTH as u64, LENGTH as u64, 4096]);
    }

    fn lines(&mut self) {
        let (names, units, files, values, functions) = (72, 112, 116, 124, 152);
        self.put(LINES, &[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
        self.words(LINES + 8, &[2, 1, 0, names, units, files, values, functions]);
        self.put(LINES + 72, b"runtime.gopanic\0main.serve\0main.small\0");
        self.put(LINES + 116, b"main.go\0");
        // From 1 on: files (always the first), lines (10, then 12), the inline tree (none, then its first call).
        self.put(LINES + 124, &[0, 2, 32, 0, 22, 16, 4, 16, 0, 0, 16, 2, 16, 0]);
        self.halves(LINES + 152, &[16, 24, 48, 104, 80]);
        // Offset, name, three of no interest, files, lines, tables, unit, first line, count of data; the tables; the data.
        let of_function = [0, 0, 0, 1, 4, 3, 0, 9, 4 << 24, 0, 0];
        self.halves(LINES + 152 + 24, &[16, 0]);
        self.halves(LINES + 152 + 32, &of_function);
        self.halves(LINES + 152 + 32 + 36, &[0, u32::MAX, u32::MAX, u32::MAX, u32::MAX]);
        self.halves(LINES + 152 + 104, &[48, 16]);
        self.halves(LINES + 152 + 112, &of_function);
        self.halves(LINES + 152 + 112 + 36, &[0, 0, 9, u32::MAX, u32::MAX, u32::MAX, 0]);
        // The inlined call: `main.small`, called 8 bytes into the function.
        self.halves(INLINE_TREE, &[0, 27, 8, 20]);
    }

    fn module(&mut self) {
        let at = |place: usize| BASE + place as u64;
        self.words(MODULE, &[at(LINES), at(LINES + 72)]);
        self.words(MODULE + 104, &[at(LINES + 152)]);
        self.words(MODULE + 176, &[at(TEXT), at(TEXT + 80)]);
        self.words(MODULE + 296, &[at(TYPES), at(TYPE_LINKS)]);
        self.words(MODULE + 320, &[at(INLINE_TREE)]);
        self.words(MODULE + 360, &[at(TYPE_LINKS), 1, 1]);
        // The one type the linker lists is the pointer.
        self.halves(TYPE_LINKS, &[192]);
    }

    fn types(&mut self) {
        let at = |place: usize| BASE + (TYPES + place) as u64;
        // The struct, its only field at 320, and its uncommon part.
        self.descriptor(64, [16, 8], [7, 25, 400], 192);
        self.words(TYPES + 64 + 56, &[at(320), 1, 1]);
        self.halves(TYPES + 64 + 80, &[420]);
        self.words(TYPES + 320, &[at(428), at(256), 0]);
        // The pointer, and the string.
        self.descriptor(192, [8, 8], [0, 22, 400], 0);
        self.words(TYPES + 192 + 48, &[at(64)]);
        self.descriptor(256, [16, 8], [4, 24, 436], 0);
        self.put(TYPES + 400, b"\x00\x0c*main.server");
        self.put(TYPES + 420, b"\x00\x04main");
        self.put(TYPES + 428, b"\x01\x04Name");
        self.put(TYPES + 436, b"\x00\x06string");
    }

    fn descriptor(&mut self, place: usize, sizes: [u64; 2], [flags, kind, name]: [u32; 3], pointer: u32) {
        self.words(TYPES + place, &sizes);
        self.halves(TYPES + place + 16, &[0x1234, flags | 8 << 8 | 8 << 16 | kind << 24]);
        self.halves(TYPES + place + 40, &[name, pointer]);
    }

    fn sections(&mut self) {
        let names = b"\0.go.buildinfo\0.gopclntab\0.shstrtab\0";
        self.put(SECTION_NAMES, names);
        // Name, kind, flags, address, offset, size.
        let all = [
            (1, 1, BUILD_INFO, TEXT - BUILD_INFO),
            (15, 1, LINES, MODULE - LINES),
            (26, 3, SECTION_NAMES, names.len()),
        ];
        for (index, (name, kind, place, size)) in all.into_iter().enumerate() {
            let header = SECTIONS + 64 * (index + 1);
            self.halves(header, &[name, kind]);
            self.words(header + 8, &[2, BASE + place as u64, place as u64, size as u64, 0, 1]);
        }
    }
}
