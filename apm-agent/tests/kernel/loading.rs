//! Loading, twice and without a trace; and what the verifier had to do.

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use apm_agent::kernel::{Admission, Kernel};
use apm_common::event::{PROCESS_WATCHED, ProcessEntry};

use super::{
    seen::{Seen::Out, pattern},
    stage::{Stage, Turn},
};

/// Debian's.
const BPFTOOL: &str = "/usr/sbin/bpftool";

/// Most instructions the verifier may walk for one program. The kernel's limit is a million; a program that comes near
/// costs seconds to load, and has its captured state in registers instead of in the scratch record (`transfer.rs`).
const MOST_VERIFIED: u32 = 125_000;
/// Of all programs together.
const MOST_VERIFIED_TOGETHER: u32 = 800_000;

#[test]
fn every_program_is_loaded_and_small() {
    let Some(_turn) = Turn::take() else { return };
    let kernel = Kernel::load(Admission::default()).expect("it loads");
    let counts = kernel.verified_instructions();
    assert_eq!(counts.len(), kernel.programs().len());
    let large = |count: &Option<u32>| !(1..MOST_VERIFIED).contains(&count.expect("the kernel tells since 5.16"));
    assert!(!counts.iter().any(|(_, count)| large(count)), "instructions verified: {counts:?}");
    let together: u32 = counts.iter().filter_map(|(_, count)| *count).sum();
    assert!(together < MOST_VERIFIED_TOGETHER, "{together} instructions verified: {counts:?}");
}

#[test]
fn two_agents_see_the_same() {
    let Some(mut stage) = Stage::set() else { return };
    let mut second = Kernel::load(Admission::default()).expect("it loads a second time");
    let entry = ProcessEntry { start_time: 0, state: PROCESS_WATCHED, reserved: 0 };
    second.watch(stage.actor.pid(), entry).expect("room for one");
    stage.acts(&[("pair a b", 0), ("write a 5", 5)]);
    stage.name("a");
    std::mem::swap(&mut stage.kernel, &mut second);
    assert_eq!(stage.passed(), [Out('a', 0, pattern(5), 0)]);
    std::mem::swap(&mut stage.kernel, &mut second);
    drop(second);
    assert_eq!(stage.passed(), [Out('a', 0, pattern(5), 0)], "and one goes without the other");
    stage.acts(&[("write a 6", 6)]);
    assert_eq!(stage.passed(), [Out('a', 5, pattern(6), 0)]);
}

#[test]
fn nothing_is_left_when_it_goes() {
    let Some(_turn) = Turn::take() else { return };
    let kernel = Kernel::load(Admission { exec: true, listen: true }).expect("it loads");
    let ours = held();
    assert!(ours.len() > kernel.programs().len(), "programs, maps and links: {ours:?}");
    drop(kernel);
    assert_eq!(held(), BTreeSet::new(), "no descriptor");
    if !std::path::Path::new(BPFTOOL).exists() {
        return;
    }
    // The kernel frees programs after a grace period.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let left: Vec<_> = listed().intersection(&ours).cloned().collect();
        if left.is_empty() {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "still there: {left:?}");
        std::thread::yield_now();
    }
}

/// Programs, maps and links this process holds, as `kind id`.
fn held() -> BTreeSet<String> {
    let folder = fs::read_dir("/proc/self/fdinfo").expect("there is /proc");
    let texts = folder.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let ids = texts.flat_map(|text| {
        let id = |kind| {
            Some(format!(
                "{kind} {}",
                text.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix("_id:"))?.trim()
            ))
        };
        // A link tells its program's id as well.
        ["link", "prog", "map"].into_iter().filter_map(id).collect::<Vec<_>>()
    });
    ids.collect()
}

/// Those that exist, whoever holds them.
fn listed() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for kind in ["prog", "map", "link"] {
        let output = Command::new(BPFTOOL).args(["-j", kind, "list"]).output().expect("bpftool runs");
        let objects: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("bpftool prints JSON");
        all.extend(objects.iter().map(|object| format!("{kind} {}", object["id"])));
    }
    all
}
