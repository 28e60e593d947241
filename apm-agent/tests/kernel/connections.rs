//! How connections come, and how attempts fail.

use apm_agent::build::destination::Endpoint;
use apm_common::event::{ROLE_CLIENT, ROLE_SERVER, ROLE_UNKNOWN};

use super::{
    seen::{
        Seen::{self, Close, Failed, Open, Out},
        ip, path, pattern,
    },
    stage::Stage,
};

const REFUSED: u32 = 111;

/// Role and ends of each connection announced.
fn announced(seen: &[Seen]) -> Vec<(char, u8, Endpoint, Endpoint, bool)> {
    let read = |seen: &Seen| match seen {
        Open(name, open, adopted) => {
            assert_eq!(open.error, 0);
            Some((*name, open.role, open.local.clone(), open.remote.clone(), *adopted))
        }
        _ => None,
    };
    seen.iter().filter_map(read).collect()
}

/// Connects and accepts; the events with the client's and the server's name known.
fn connected(stage: &mut Stage, accept: &str, address: &str) -> Vec<Seen> {
    stage.acts(&[(&format!("listen l {address}"), 0)]);
    stage.told();
    stage.acts(&[("connect c l", 0)]);
    assert!(stage.act(accept) > 0);
    stage.name("cs");
    stage.seen()
}

#[test]
fn tcp_connections_have_their_addresses_and_roles() {
    let Some(mut stage) = Stage::set() else { return };
    for (accept, address, host) in [("accept s l", "tcp4", "127.0.0.1"), ("accept4 s l", "tcp6", "::1")] {
        let seen = connected(&mut stage, accept, address);
        let (client, server) = (ip(host, stage.port('c')), ip(host, stage.port('l')));
        let expected =
            [('c', ROLE_CLIENT, client.clone(), server.clone(), false), ('s', ROLE_SERVER, server, client, false)];
        assert_eq!(announced(&seen), expected);
        let Some(Open(_, open, _)) = seen.first() else { panic!("{seen:?}") };
        assert!(open.started.is_some(), "it is known when connect was called");
        stage.acts(&[("close c", 0), ("close s", 0), ("close l", 0)]);
    }
}

#[test]
fn unix_connections_have_the_listeners_path() {
    let Some(mut stage) = Stage::set() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("socket").display().to_string();
    let name = format!("@apm-agent-test-{}", std::process::id());
    for address in [&file, &name] {
        let seen = connected(&mut stage, "accept s l", address);
        let expected =
            [('c', ROLE_CLIENT, path(""), path(address), false), ('s', ROLE_SERVER, path(address), path(""), false)];
        assert_eq!(announced(&seen), expected);
        stage.acts(&[("close c", 0), ("close s", 0), ("close l", 0)]);
    }
}

#[test]
fn a_connection_that_was_there_before_is_adopted() {
    let Some(mut stage) = Stage::unwatched(Default::default()) else { return };
    stage.acts(&[("listen l tcp4", 0), ("connect c l", 0)]);
    assert!(stage.act("accept s l") > 0);
    stage.acts(&[("write c 9", 9)]);
    stage.name("cs");
    assert_eq!(stage.told(), [], "nobody is watched");
    stage.watch();
    let (client, server) = (ip("127.0.0.1", stage.port('c')), ip("127.0.0.1", stage.port('l')));
    stage.acts(&[("write c 3", 3), ("read s 20", 12)]);
    let seen = stage.seen();
    let expected =
        [('c', ROLE_UNKNOWN, client.clone(), server.clone(), true), ('s', ROLE_UNKNOWN, server, client, true)];
    assert_eq!(announced(&seen), expected);
    assert_eq!(seen[1], Out('c', 0, pattern(3), 0), "positions count from the first byte seen");
}

/// Error and destination of failed attempts, and whether the beginning is known.
fn failures(seen: &[Seen]) -> Vec<(char, u32, Endpoint, bool)> {
    let read = |seen: &Seen| match seen {
        Failed(name, open) => Some((*name, open.error, open.remote.clone(), open.started.is_some())),
        _ => None,
    };
    seen.iter().filter_map(read).collect()
}

#[test]
fn refused_attempts_name_where_they_went() {
    let Some(mut stage) = Stage::set() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("socket").display().to_string();
    for (address, host) in [("tcp4", Some("127.0.0.1")), ("tcp6", Some("::1")), (&file, None)] {
        // Bound and not listening.
        assert!(stage.act(&format!("bind x {address}")) > 0);
        stage.acts(&[("connect c x", -i64::from(REFUSED))]);
        stage.name("c");
        let to = host.map_or_else(|| path(&file), |host| ip(host, stage.port('x')));
        assert_eq!(failures(&stage.seen()), [('c', REFUSED, to, true)]);
    }
}

#[test]
fn an_attempt_refused_while_it_begins_is_told() {
    let Some(mut stage) = Stage::set() else { return };
    assert!(stage.act("bind x tcp4") > 0);
    // On loopback the refusal is there before connect has returned that it will take a while.
    stage.acts(&[("connect_later c x", -115)]);
    stage.name("c");
    let to = ip("127.0.0.1", stage.port('x'));
    let seen = stage.seen();
    assert_eq!(failures(&seen), [('c', REFUSED, to, true)]);
    assert_eq!(announced(&seen), []);
}

#[test]
fn an_attempt_that_fails_later_is_told() {
    let Some(mut stage) = Stage::set() else { return };
    // The queue takes one; the second one's packets are dropped until nobody listens any more.
    stage.acts(&[("listen0 l tcp4", 0), ("connect d l", 0), ("connect_later c l", -115)]);
    stage.name("c");
    let to = ip("127.0.0.1", stage.port('l'));
    assert!(matches!(stage.seen()[..], [.., Open('c', ref open, false)] if open.remote == to));
    stage.acts(&[("close l", 0)]);
    let told = stage.wait_for(|told| matches!(told.what, Failed('c', _)));
    assert_eq!(told.pid, 0, "nobody knows on which thread");
    assert_eq!(failures(&[told.what]), [('c', REFUSED, to, false)]);
}

#[test]
fn a_descriptor_used_again_is_another_connection() {
    let Some(mut stage) = Stage::with_pair() else { return };
    stage.acts(&[("write a 10", 10), ("close a", 0), ("pair a c", 0), ("write a 3", 3)]);
    let before = stage.seen();
    assert_eq!(before[..2], [Out('a', 1, pattern(10), 0), Close('a', apm_common::event::CLOSE_LAST)]);
    assert!(matches!(before[2], Open('?', _, true)), "another one: {before:?}");
    assert_eq!(before[3], Out('?', 0, pattern(3), 0));
}
