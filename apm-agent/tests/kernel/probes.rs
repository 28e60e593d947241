//! User probes: set in a process that runs, small to the verifier, and gone when they are taken out.

use std::{fs, num::NonZeroU32};

use apm_agent::{
    config::Propagation as Ways,
    kernel::{GoProbes, Probe, Written},
};
use apm_common::{
    go::GoLayout,
    propagation::{CONTINUE, Propagation},
};

use super::stage::Stage;

/// Every user probe in the object but those that write into memory.
const PROGRAMS: [&str; 48] = [
    "go_handle",
    "go_handled",
    "go_closed",
    "go_route",
    "go_gorilla",
    "go_gin",
    "go_chi",
    "go_echo",
    "go_echo_failed",
    "go_answer",
    "go_put_back",
    "go_fasthttp_handle",
    "go_fasthttp_handled",
    "go_fiber2",
    "go_fiber3",
    "go_fiber_found",
    "go_fiber2_failed",
    "go_fiber3_failed",
    "go_http2_handled",
    "go_gave_up",
    "go_hijack",
    "go_grpc_handle",
    "go_grpc_status",
    "go_grpc_left",
    "go_grpc_call",
    "go_grpc_called",
    "go_grpc_fields",
    "go_grpc_fielded",
    "go_grpc_head",
    "go_grpc_headed_stopped",
    "go_http2_head_stopped",
    "go_tls_head_stopped",
    "go_http2_call",
    "go_http2_called",
    "go_tls_begin",
    "go_tls_write",
    "go_tls_read",
    "go_statement_text",
    "go_prepared_query",
    "go_statement_query",
    "go_statement_exec",
    "go_statement_prepare",
    "go_statement_done",
    "go_call",
    "go_round_trip",
    "go_made",
    "go_panic",
    "go_recover",
];

/// Those that do, which a kernel that is locked down refuses.
const WRITING: [&str; 3] = ["go_tls_head", "go_http2_head", "go_grpc_headed"];

/// Most instructions the verifier may walk for one of them: maps of headers are searched.
const MOST_VERIFIED: u32 = 250_000;

/// The actor is no Go program: probes in it find nothing to read, and it must not notice.
fn probes(offset: u64) -> GoProbes {
    let probes = PROGRAMS.map(|program| Probe { program, offset }).to_vec();
    GoProbes { layout: GoLayout { g_goid: 0, ..GoLayout::NONE }, contexts: vec![(4096, 8), (8192, 0)], probes }
}

/// Where the actor begins, in its file: a position-independent program of gcc's has its code at the same place in file and
/// memory.
fn entry(pid: u32) -> u64 {
    let header = fs::read(format!("/proc/{pid}/exe")).expect("readable");
    u64::from_le_bytes(header[24..32].try_into().expect("eight bytes"))
}

#[test]
fn probes_are_set_and_taken_out() {
    let Some(mut stage) = Stage::set() else { return };
    let pid = stage.actor.pid();
    let wanted = probes(entry(pid));
    for _ in 0..3 {
        stage.kernel.probe(pid, &wanted).expect("set");
        assert_eq!(stage.kernel.probes(), (1, PROGRAMS.len()));
        stage.acts(&[("pair a b", 0), ("write a 5", 5), ("read b 5", 5)]);
    }
    let verified = stage.kernel.verified_instructions();
    for name in PROGRAMS {
        let count = verified.iter().find(|(program, _)| *program == name).and_then(|(_, count)| *count);
        assert!(count.is_some_and(|count| (1..MOST_VERIFIED).contains(&count)), "{name}: {count:?}");
    }
    let links = links();
    stage.kernel.unprobe(pid);
    stage.kernel.unprobe(pid);
    assert_eq!(stage.kernel.probes(), (0, 0));
    assert_eq!(links - self::links(), PROGRAMS.len(), "links that went");
    stage.acts(&[("write a 6", 6), ("read b 6", 6)]);
}

#[test]
fn memory_is_written_into_where_the_kernel_lets_it() {
    let Some(mut stage) = Stage::set() else { return };
    stage.kernel.propagate(Propagation::new([1, 2], 1.0, CONTINUE, "es=s:1"), Ways::Full);
    let pid = stage.actor.pid();
    let offset = entry(pid);
    let writing = GoProbes { probes: WRITING.map(|program| Probe { program, offset }).to_vec(), ..probes(offset) };
    match stage.kernel.write_into_heads() {
        Ok(way) => {
            assert_eq!(way, Some(Written::Directly));
            stage.kernel.probe(pid, &writing).expect("set");
        }
        Err(refused) => {
            assert!(refused.to_string().contains("lock"), "{refused}");
            assert!(stage.kernel.probe(pid, &writing).is_err(), "they are refused, too");
        }
    }
    stage.acts(&[("pair a b", 0), ("write a 5", 5), ("read b 5", 5)]);
}

#[test]
fn nothing_is_left_of_what_cannot_be_set() {
    let Some(mut stage) = Stage::set() else { return };
    let before = links();
    let gone = NonZeroU32::new(4_194_303).expect("not zero").get();
    assert!(stage.kernel.probe(gone, &probes(4096)).is_err(), "there is no such process");
    let pid = stage.actor.pid();
    assert!(stage.kernel.probe(pid, &probes(u64::MAX / 2)).is_err(), "there is no such place");
    assert_eq!((stage.kernel.probes(), links()), ((0, 0), before));
    let unknown = GoProbes { probes: vec![Probe { program: "go_nothing", offset: 0 }], ..probes(0) };
    assert!(stage.kernel.probe(pid, &unknown).is_err(), "there is no such program");
    assert_eq!(stage.kernel.probes(), (0, 0));
}

/// Links to user probes that this process holds.
fn links() -> usize {
    let folder = fs::read_dir("/proc/self/fdinfo").expect("there is /proc");
    let texts = folder.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.filter(|text| text.contains("link_type:\tperf")).count()
}
