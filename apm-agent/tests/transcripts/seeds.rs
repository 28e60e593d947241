//! Seeds of the fuzz targets (`apm-agent/fuzz`), from the transcripts. Written into the folder `$APM_WRITE_SEEDS` names,
//! as `cargo xtask test --fuzz` asks for.

use std::path::Path;

use apm_agent::{
    exchange::Side,
    protocol::{Join, PROTOCOLS},
};
use apm_common::{
    ABI_VERSION,
    event::{ROLE_CLIENT, kind},
};

use crate::script::{self, Event, Script};

#[allow(dead_code, reason = "the reader's unit tests use all of it")]
#[path = "../go/program.rs"]
mod go;

/// Longest payload in a seed; libFuzzer's inputs are short.
const LONGEST: usize = 1500;

/// As `Reader` of `apm-agent/fuzz/src/lib.rs` reads it.
fn of_protocol(script: &Script) -> Vec<u8> {
    let mut seed = vec![u8::from(script.join == Join::Late)];
    for step in &script.steps {
        match &step.event {
            Event::Feed { from, bytes } => {
                let bytes = &bytes[..bytes.len().min(LONGEST)];
                seed.push(0b1000 | u8::from(*from == Side::Server));
                seed.extend((bytes.len() as u16).to_be_bytes());
                seed.extend(bytes);
            }
            Event::Gap { from, length } => {
                let shift = length.checked_ilog2().unwrap_or(0).saturating_sub(7).min(15) as u8;
                seed.extend([shift << 4 | 0b1100 | u8::from(*from == Side::Server), (length >> shift) as u8]);
            }
            Event::Close { by: Some(side) } => seed.push(0b1110 | u8::from(*side == Side::Server)),
            Event::Close { by: None } => seed.push(0b1_1110),
        }
    }
    seed
}

/// As `play` of `apm-agent/fuzz/src/pipeline.rs` reads it: the watched process 1 is the server or the client.
fn of_pipeline(script: &Script, role: u8) -> Vec<u8> {
    let mut seed = Vec::new();
    let mut add = |kind: u16, flags: u8, body: &[u8]| {
        let length = (body.len() as u16).to_be_bytes();
        seed.extend([kind as u8, flags, 0x11, 1, 0, length[0], length[1]]);
        seed.extend(body);
    };
    add(kind::OPEN, u8::from(script.join == Join::Late), &opened(role));
    for step in &script.steps {
        match &step.event {
            Event::Feed { from, bytes } => {
                let outgoing = (*from == Side::Client) == (role == ROLE_CLIENT);
                add(kind::DATA, u8::from(outgoing), &bytes[..bytes.len().min(LONGEST)]);
            }
            Event::Gap { .. } => {}
            Event::Close { .. } => add(kind::CLOSE, 1, &[]),
        }
    }
    seed
}

/// A `ConnectionBody` after its first number: an IPv4 connection between two ends.
fn opened(role: u8) -> Vec<u8> {
    let mut body = vec![0; 160];
    body[8..12].copy_from_slice(&[127, 0, 0, 1]);
    body[24..28].copy_from_slice(&[127, 0, 0, 2]);
    body[40..46].copy_from_slice(&[80, 0, 99, 99, libc::AF_INET as u8, 0]);
    body[46] = role;
    body
}

/// A recording (`recording.rs`) of one service and one connection.
fn of_recording(script: &Script) -> Vec<u8> {
    let mut seed = b"apm-agent events".to_vec();
    seed.extend(ABI_VERSION.to_ne_bytes());
    seed.extend([0; 16]);
    let mut frame = |kind: u8, bytes: &[u8]| {
        seed.push(kind);
        seed.extend((bytes.len() as u32).to_ne_bytes());
        seed.extend(bytes);
    };
    let instance = apm_agent::metadata::ServiceInstance::default();
    frame(2, &serde_json::to_vec(&(1, instance)).expect("it serialises"));
    let mut positions = [0_u64; 2];
    for step in &script.steps {
        let Event::Feed { from, bytes } = &step.event else { continue };
        let bytes = &bytes[..bytes.len().min(LONGEST)];
        let outgoing = u16::from(*from == Side::Server);
        let position = &mut positions[usize::from(outgoing)];
        let mut record = step.at.time.to_ne_bytes().to_vec();
        record.extend([1_u32.to_ne_bytes(), 1_u32.to_ne_bytes()].concat());
        record.extend([kind::DATA.to_ne_bytes(), outgoing.to_ne_bytes()].concat());
        record.extend((bytes.len() as u32).to_ne_bytes());
        record.extend([7_u64.to_ne_bytes(), position.to_ne_bytes()].concat());
        record.extend(bytes);
        *position += bytes.len() as u64;
        frame(1, &record);
    }
    frame(4, &9_u64.to_ne_bytes());
    seed
}

/// What other readers read, from this very machine.
fn of_files() -> Vec<(&'static str, Vec<u8>)> {
    let files = ["stat", "status", "cgroup", "mountinfo", "net/tcp", "net/tcp6"];
    let mut all: Vec<_> = files
        .into_iter()
        .filter_map(|file| Some(("proc", std::fs::read(Path::new("/proc/self").join(file)).ok()?)))
        .collect();
    all.extend(std::fs::read("/bin/true").map(|bytes| ("binary", bytes)));
    all.push(("go_binary", go::program()));
    all.push(("proc", b"A=1\0OTEL_RESOURCE_ATTRIBUTES=service.name=my%20shop,x=1\0".to_vec()));
    all.push(("trace_context", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\nes=s:0.5,a=b\n".to_vec()));
    all.push(("sql", b"SELECT a, 'it''s', $1, \"T\".x FROM public.\"T\" -- end".to_vec()));
    all.push(("sql", b"WITH x AS (SELECT 1) INSERT INTO a.b (c) VALUES (E'\\'', $$x$$) /* y */".to_vec()));
    all.push(("url", b"http://user:pass@[::1]:80/a?b=c#d\nHost: example.org:8080\nCookie: a=b; c=d".to_vec()));
    all.push(("yaml", b"targets:\n  ports: [8080, 80]\noutputs:\n  file: x\nlog_level: info\n".to_vec()));
    // The first byte of this target is the size of pieces.
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nettrace/small10.nettrace");
    all.extend(std::fs::read(recorded).map(|bytes| ("nettrace", [&[0xff][..], &bytes].concat())));
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/http.records");
    all.extend(std::fs::read(recorded).map(|bytes| ("node", bytes)));
    let btf = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 24, 0, 0, 0, 5, 0, 0, 0];
    let structure = [1, 0, 0, 0, 1, 0, 0, 4, 8, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    all.push(("btf", [&btf[..], &structure, b"\0a\0b\0"].concat()));
    all
}

#[test]
fn seeds_of_the_fuzz_targets_are_made_of_transcripts() {
    let mut seeds: Vec<(&str, Vec<u8>)> = of_files();
    for protocol in PROTOCOLS {
        for script in script::scripts(protocol.name()) {
            seeds.push((protocol.name(), of_protocol(&script)));
            seeds.push(("event", of_pipeline(&script, ROLE_CLIENT)));
            seeds.push(("event", of_pipeline(&script, apm_common::event::ROLE_SERVER)));
            seeds.push(("recording", of_recording(&script)));
        }
    }
    let target = |name: &str| seeds.iter().filter(|(target, _)| *target == name).count();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    for entry in std::fs::read_dir(folder).expect("the fuzz targets") {
        let path = entry.expect("readable").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        assert!(target(name) > 0, "the fuzz target `{name}` has no seed");
    }
    for (_, seed) in seeds.iter().filter(|(target, _)| *target == "recording") {
        let mut replay = apm_agent::recording::Replay::read(&seed[..]).expect("a recording");
        while replay.frame().expect("every frame can be read").is_some() {}
    }
    let Some(folder) = std::env::var_os("APM_WRITE_SEEDS") else { return };
    for (number, (target, seed)) in seeds.iter().enumerate() {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder).expect("a folder for seeds");
        std::fs::write(folder.join(format!("seed-{number:04}")), seed).expect("a seed is written");
    }
}
