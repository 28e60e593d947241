//! What the kernel does for bridges: who handles SIGUSR1, channels, inspectors that open elsewhere.

use std::{
    fs,
    net::Ipv4Addr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use apm_agent::event::{Event, decode};
use apm_common::{counter::Counter, limits::CHANNEL_BYTES};

use super::{seen::pattern, stage::Stage};

/// Descriptor of the actor's socket with this inode number.
fn descriptor(pid: u32, inode: i64) -> u32 {
    let wanted = format!("socket:[{inode}]");
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    let is_it = |entry: &fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|link| link.to_string_lossy() == wanted);
    let entry = entries.into_iter().find(is_it).expect("it is open");
    entry.file_name().to_str().and_then(|name| name.parse().ok()).expect("a number")
}

/// Batches in the ring buffer.
fn batches(stage: &mut Stage) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    stage.kernel.drain(usize::MAX, |record| {
        if let Some((_, Event::Written { batch })) = decode(record) {
            found.push(batch.to_vec());
        }
    });
    found
}

fn counted(stage: &Stage, counter: Counter) -> u64 {
    let (_, name) = Counter::ALL.into_iter().find(|(one, _)| *one == counter).expect("it has a name");
    stage.kernel.counters().into_iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| value)
}

#[test]
fn handlers_of_a_signal_are_told() {
    let Some(stage) = Stage::set() else { return };
    let tools = stage.kernel.tools();
    let handler = |script: &str| {
        let mut child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().expect("a shell");
        let deadline = Instant::now() + Duration::from_secs(10);
        let wanted = !script.starts_with(':');
        let told = loop {
            let told = tools.usr1_handler(child.id()).expect("the kernel tells");
            if !wanted || told.is_some_and(|handler| handler != 0) || Instant::now() > deadline {
                break told;
            }
        };
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        told
    };
    assert_eq!(handler(": default; read line"), Some(0));
    assert_eq!(handler("trap '' USR1; read line"), Some(1), "ignored");
    assert!(handler("trap 'true' USR1; read line").is_some_and(|address| address > 4096));
    assert_eq!(tools.usr1_handler(u32::MAX).expect("the kernel tells"), None, "there is no such process");
}

#[test]
fn what_is_written_to_a_channel_comes_whole() {
    let Some(mut stage) = Stage::set() else { return };
    stage.acts(&[("pair a b", 0)]);
    let pid = stage.actor.pid();
    let inode = stage.actor.act("inode a");
    let fd = descriptor(pid, inode);
    stage.acts(&[("write a 5", 5)]);
    assert_eq!(batches(&mut stage), Vec::<Vec<u8>>::new(), "it is no channel yet");
    let tools = stage.kernel.tools();
    let channel = tools.open_channel(pid, fd).expect("a channel");
    stage.acts(&[("write a 1", 1), ("write a 700", 700), (&format!("write a {CHANNEL_BYTES}"), CHANNEL_BYTES as i64)]);
    assert_eq!(batches(&mut stage), [pattern(1), pattern(700), pattern(CHANNEL_BYTES)]);
    stage.acts(&[(&format!("write a {}", CHANNEL_BYTES + 1), CHANNEL_BYTES as i64 + 1), ("write b 3", 3)]);
    assert_eq!(batches(&mut stage), Vec::<Vec<u8>>::new(), "too long; another descriptor");
    assert_eq!(counted(&stage, Counter::BatchesTooLong), 1);
    drop(channel);
    stage.acts(&[("write a 5", 5)]);
    assert_eq!(batches(&mut stage), Vec::<Vec<u8>>::new(), "it is none any more");
}

#[test]
fn an_inspector_opens_where_it_is_sent() {
    let Some(stage) = Stage::set() else { return };
    let tools = stage.kernel.tools();
    let server = "import socket, sys\nsys.stdin.readline()\ns = socket.socket()\ns.bind(('127.0.0.1', int(sys.argv[1])))\n\
        print(*s.getsockname(), flush=True)";
    let bound = |port: &str, diverted: bool| {
        let mut command = Command::new("python3");
        command.args(["-c", server, port]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().expect("python");
        let place = Ipv4Addr::new(127, 66, 23, 9);
        let diversion = diverted.then(|| tools.divert_inspector(child.id(), place).expect("a diversion"));
        let output = child.wait_with_output().expect("it ends");
        drop(diversion);
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let moved = bound("9229", true);
    assert!(moved.starts_with("127.66.23.9 ") && !moved.ends_with(" 9229"), "{moved}");
    assert_eq!(bound("39229", true), "127.0.0.1 39229", "another port");
    assert_eq!(bound("9229", false), "127.0.0.1 9229", "another process");
}
