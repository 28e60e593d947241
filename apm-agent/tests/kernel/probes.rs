//! User probes: set in a process that runs, small to the verifier, and gone when they are taken out.

use std::{fs, num::NonZeroU32};

use apm_agent::kernel::{GoProbes, Probe};
use apm_common::go::GoLayout;

use super::{loading::MOST_VERIFIED, stage::Stage};

/// Every user probe in the object.
const PROGRAMS: [&str; 18] = [
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
    "go_http2_handled",
    "go_gave_up",
    "go_hijack",
    "go_call",
    "go_round_trip",
    "go_panic",
    "go_recover",
];

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
