//! Processes that come and go.

use std::{
    net::TcpListener,
    process::{Command, Stdio},
};

use apm_agent::kernel::Admission;
use apm_common::event::{PROCESS_PENDING, PROCESS_WATCHED};

use super::{
    seen::Seen::{Exec, Exit, Fork, Listen},
    stage::Stage,
};

#[test]
fn a_child_is_watched_from_its_first_moment_to_its_last() {
    let Some(mut stage) = Stage::set() else { return };
    let child = u32::try_from(stage.act("fork - /bin/true")).expect("a process id");
    let forked = stage.wait_for(|told| told.what == Fork(child));
    assert!(stage.kernel.is_watched(child));
    stage.family.push(child);
    stage.acts(&[("reap -", 0)]);
    let seen = stage.told();
    let of_child: Vec<_> = seen.iter().filter(|told| told.pid == child).collect();
    let [exec, exit] = of_child[..] else { panic!("an exec and an exit, not {seen:?}") };
    assert_eq!((&exec.what, &exit.what), (&Exec(PROCESS_WATCHED), &Exit(0)));
    assert!(forked.start_time > 0, "since boot, in nanoseconds");
    assert_eq!([exec.start_time, exit.start_time], [forked.start_time; 2], "one process, one start");
    assert!(forked.time < exec.time && exec.time < exit.time);
    assert!(!stage.kernel.is_watched(child), "what has ended is taken out");
}

#[test]
fn the_status_of_an_exit_is_told() {
    let Some(mut stage) = Stage::set() else { return };
    stage.actor.order("exit - 42");
    let told = stage.wait_for(|told| matches!(told.what, Exit(_)));
    assert_eq!(told.what, Exit(42 << 8));
    assert!(!stage.kernel.is_watched(told.pid));
}

#[test]
fn a_thread_that_ends_is_not_its_process() {
    let Some(mut stage) = Stage::with_pair() else { return };
    // One of the actor's orders makes a thread.
    stage.acts(&[("hole a b", 8192)]);
    let seen = stage.seen();
    assert!(!seen.iter().any(|what| matches!(what, Exit(_) | Fork(_))), "{seen:?}");
}

#[test]
fn a_watched_process_stays_watched_when_it_execs() {
    let Some(mut stage) = Stage::set() else { return };
    stage.actor.order("exec -");
    // Answered by the new image.
    stage.act("inode -");
    assert_eq!(stage.seen(), [Exec(PROCESS_WATCHED)]);
}

#[test]
fn programs_that_start_are_pending_when_that_is_asked_for() {
    let Some(mut stage) = Stage::unwatched(Admission { exec: true, listen: false }) else { return };
    let mut child = Command::new("/bin/cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    stage.family.push(child.id());
    let told = stage.wait_for(|told| told.pid == child.id());
    assert_eq!(told.what, Exec(PROCESS_PENDING));
    assert!(stage.kernel.is_watched(child.id()), "captured until it is decided");
    stage.kernel.forget(child.id());
    assert!(!stage.kernel.is_watched(child.id()));
    drop(child.stdin.take());
    child.wait().expect("it ends");
    assert_eq!(stage.told(), [], "left alone from then on");
}

#[test]
fn programs_that_start_are_left_alone_otherwise() {
    let Some(mut stage) = Stage::unwatched(Admission::default()) else { return };
    let mut child = Command::new("/bin/true").spawn().expect("it starts");
    stage.family.push(child.id());
    child.wait().expect("it ends");
    assert_eq!(stage.told(), []);
}

#[test]
fn services_that_begin_are_pending_when_that_is_asked_for() {
    let Some(mut stage) = Stage::unwatched(Admission { exec: false, listen: true }) else { return };
    stage.acts(&[("listen l tcp4", 0), ("listen u @apm-agent-listen-test", 0)]);
    let port = stage.port('l');
    assert_eq!(stage.seen(), [Listen(port, PROCESS_PENDING), Listen(0, PROCESS_PENDING)]);
    // The agent itself is never watched.
    stage.family.push(std::process::id());
    drop(TcpListener::bind("127.0.0.1:0").expect("bound"));
    assert_eq!(stage.told(), []);
}

#[test]
fn a_watched_process_tells_where_it_listens() {
    let Some(mut stage) = Stage::set() else { return };
    stage.acts(&[("listen l tcp6", 0)]);
    let port = stage.port('l');
    assert_eq!(stage.seen(), [Listen(port, PROCESS_WATCHED)]);
}

#[test]
fn a_process_that_is_not_watched_is_not_seen() {
    let Some(mut stage) = Stage::unwatched(Admission::default()) else { return };
    let before = stage.counter("kernel.events.sent");
    stage.acts(&[("listen l tcp4", 0), ("connect c l", 0), ("pair a b", 0), ("write a 5", 5), ("read b 5", 5)]);
    assert!(stage.act("accept s l") > 0 && stage.act("fork -") > 0);
    stage.acts(&[("reap -", 7 << 8), ("close a", 0), ("shutdown b 1", 0), ("close_range c s", 0)]);
    assert_eq!(stage.counter("kernel.events.sent"), before);
}
