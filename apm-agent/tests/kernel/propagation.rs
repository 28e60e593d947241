//! Sockets that calls are written into: what else is sent on them arrives as it was sent, also when the programs go.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

use apm_agent::{
    config::Propagation as Ways,
    kernel::{Admission, Kernel},
};
use apm_common::propagation::{CONTINUE, Propagation};

use super::{seen::pattern, stage::Turn};

/// Bytes of the file that is sent, and turns of sending it.
const FILE_BYTES: usize = 300_000;
const TURNS: usize = 6;

#[test]
fn what_is_sent_arrives_with_and_without_the_programs() {
    let Some(_turn) = Turn::take() else { return };
    let mut kernel = Kernel::load(Admission::default()).expect("it loads");
    assert!(!kernel.carry_for(std::process::id(), 0..u64::MAX).expect("nothing was asked for"));
    kernel.propagate(Propagation::new([1, 2], 1.0, CONTINUE, "es=s:1"), Ways::Plain);
    assert!(kernel.carry_for(std::process::id(), 0..u64::MAX).expect("the programs show that they work here"));
    let counted = |kernel: &Kernel| -> u64 {
        let counters = kernel.counters().into_iter();
        counters.filter(|(name, _)| name.starts_with("propagation.")).map(|(_, value)| value).sum()
    };
    assert_eq!(counted(&kernel), 0, "what they wrote to show it does not count");

    let content = pattern(FILE_BYTES);
    let path = std::env::temp_dir().join(format!("apm-agent-sent-{}", std::process::id()));
    std::fs::write(&path, &content).expect("a file");
    let mut file = File::open(&path).expect("it is there");
    std::fs::remove_file(&path).expect("it is ours");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let mut ours = TcpStream::connect(listener.local_addr().expect("it has one")).expect("a connection");
    let (mut theirs, _) = listener.accept().expect("it comes");
    // Nothing says that a call begins: this is none.
    let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let turn = [&text[..], &content, text].concat();
    let reader = thread::spawn({
        let mut wanted = vec![0; turn.len() * TURNS];
        let mut theirs = theirs.try_clone().expect("it can be shared");
        move || theirs.read_exact(&mut wanted).map(|()| wanted)
    });
    let mut kernel = Some(kernel);
    for number in 0..TURNS {
        if number == TURNS / 2 {
            assert_eq!(kernel.take().map(|kernel| counted(&kernel)), Some(0), "and then they go");
        }
        ours.write_all(text).expect("it takes it");
        file.seek(SeekFrom::Start(0)).expect("a file");
        let mut left = FILE_BYTES;
        while left > 0 {
            left -= rustix::fs::sendfile(&ours, &file, None, left).expect("the kernel moves the file");
        }
        ours.write_all(text).expect("it takes it");
    }
    let arrived = reader.join().expect("it reads").expect("all of it");
    assert!(arrived == turn.repeat(TURNS), "something else arrived than was sent");
    theirs.write_all(text).expect("it takes it");
    let mut answer = vec![0; text.len()];
    ours.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, text);
}
