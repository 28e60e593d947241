//! System calls that move bytes.

use apm_agent::kernel::When;
use apm_common::{
    event::{CLOSE_LAST, DATA_END, DATA_ERROR, DATA_POLLED},
    limits::{CHUNK_BYTES, MESSAGES, REQUEST_BUDGET, RESPONSE_BUDGET, TAIL_BYTES},
};

use super::{
    seen::{
        Seen::{Close, In, Out},
        pattern,
    },
    stage::Stage,
};

/// Orders with the pieces their bytes come in. Each moves 120 bytes of one pattern.
const SENDERS: [(&str, usize); 5] =
    [("write a 120", 1), ("writev a 120 4", 4), ("send a 120", 1), ("sendmsg a 120 3", 3), ("writev a 120 8", 8)];
const RECEIVERS: [(&str, usize); 5] =
    [("read b 120", 1), ("readv b 120 4", 4), ("recv b 120", 1), ("recvmsg b 120 3", 3), ("readv b 120 1", 1)];

#[test]
fn every_call_that_moves_bytes_shows_them() {
    every_call_shows_its_bytes(0);
}

#[test]
fn where_sockets_do_not_tell_lengths_calls_do() {
    every_call_shows_its_bytes(1);
}

#[test]
fn where_memory_must_be_probed_it_is() {
    every_call_shows_its_bytes(2);
}

fn every_call_shows_its_bytes(skipped: usize) {
    let Some(mut stage) = Stage::with_pair_without(skipped) else { return };
    let lengths = stage.kernel.programs().iter().any(|program| program.when == When::Lengths);
    assert_eq!(lengths, skipped == 0, "this kernel's sockets tell lengths");
    for (round, ((send, sent), (receive, received))) in SENDERS.into_iter().zip(RECEIVERS).enumerate() {
        stage.acts(&[(send, 120), (receive, 120)]);
        let start = 1 + 120 * round as u64;
        let pieces = |count: usize, make: fn(char, u64, Vec<u8>, u16) -> _, name| {
            let (bytes, each) = (pattern(120), 120 / count);
            let piece =
                |index: usize| make(name, start + (index * each) as u64, bytes[index * each..][..each].to_vec(), 0);
            (0..count).map(piece).collect::<Vec<_>>()
        };
        let expected = [pieces(sent, Out, 'a'), pieces(received, In, 'b')].concat();
        assert_eq!(stage.passed(), expected, "{send}, {receive}");
    }
    assert_eq!(stage.counter("kernel.read_faults"), 0);
    assert_eq!(stage.counter("kernel.kernel_read_faults"), 0);
}

#[test]
fn several_messages_in_a_call_are_seen_one_by_one() {
    let Some(mut stage) = Stage::with_pair() else { return };
    stage.acts(&[("sendmmsg a 50 3", 3), ("recvmmsg b 50 3", 3)]);
    let expected: Vec<_> = (0..3)
        .map(|index| Out('a', 1 + 50 * index, pattern(50), 0))
        .chain((0..3).map(|index| In('b', 1 + 50 * index, pattern(50), 0)))
        .collect();
    assert_eq!(stage.passed(), expected);
}

#[test]
fn messages_beyond_those_looked_at_become_a_gap() {
    let Some(mut stage) = Stage::with_pair() else { return };
    let count = u64::from(MESSAGES) + 2;
    stage.acts(&[(&format!("sendmmsg a 50 {count}"), count as i64), ("write a 7", 7)]);
    let passed = stage.passed();
    assert_eq!(passed.len(), MESSAGES as usize + 2, "{passed:?}");
    assert_eq!(passed[MESSAGES as usize], Out('a', 1 + 50 * count, Vec::new(), 0), "how far the stream has come");
    assert_eq!(passed.last(), Some(&Out('a', 1 + 50 * count, pattern(7), 0)));
    assert_eq!(stage.counter("kernel.vectors_truncated"), 2);
}

#[test]
fn bytes_that_never_lie_in_user_memory_are_a_gap() {
    let Some(mut stage) = Stage::with_pair() else { return };
    stage.acts(&[("sendfile a 300", 300), ("splice_in b 200", 200), ("read b 300", 100), ("splice_out b 40", 40)]);
    let gaps = [
        Out('a', 301, Vec::new(), 0),
        In('b', 201, Vec::new(), 0),
        In('b', 201, pattern(300)[200..].to_vec(), 0),
        Out('b', 41, Vec::new(), 0),
    ];
    assert_eq!(stage.passed(), gaps);
    stage.acts(&[("write a 5", 5)]);
    assert_eq!(stage.passed(), [Out('a', 301, pattern(5), 0)], "positions go on");
}

#[test]
fn a_look_that_consumes_nothing_does_not_count() {
    let Some(mut stage) = Stage::with_pair() else { return };
    stage.acts(&[("write a 10", 10), ("peek b 10", 10), ("peekmsg b 10 2", 10), ("read b 0", 0), ("recv b 0", 0)]);
    stage.acts(&[("read b 10", 10), ("write b 0", 0)]);
    assert_eq!(stage.passed(), [Out('a', 1, pattern(10), 0), In('b', 1, pattern(10), 0)]);
}

#[test]
fn more_vectors_than_are_looked_at_become_a_gap() {
    let Some(mut stage) = Stage::with_pair() else { return };
    stage.acts(&[("writev a 120 12", 120), ("write a 3", 3)]);
    let pieces = (0..8).map(|index| Out('a', 1 + 10 * index as u64, pattern(120)[index * 10..][..10].to_vec(), 0));
    let rest = [Out('a', 121, Vec::new(), 0), Out('a', 121, pattern(3), 0)];
    assert_eq!(stage.passed(), pieces.chain(rest).collect::<Vec<_>>());
    assert_eq!(stage.counter("kernel.vectors_truncated"), 4);
}

#[test]
fn a_turn_over_budget_shows_its_head_and_the_tail_of_each_call() {
    let Some(mut stage) = Stage::with_pair() else { return };
    // The write is a new turn: the last bytes of `a` came in.
    stage.acts(&[("write a 100000", 100_000), ("write a 1000", 1000), ("read b 1", 1), ("write a 50", 50)]);
    let budget = REQUEST_BUDGET as usize;
    assert_eq!(head_and_tail('a', 1, 100_000, budget), stage_out(&mut stage, 'a', 13 - 1));
    assert_eq!(stage.counter("kernel.bytes.over_budget"), (100_000 - budget + 1000 + 50) as u64);
}

/// The first `count` outgoing events; those after them are checked to be the tails of 1000 and of 50 bytes.
fn stage_out(stage: &mut Stage, name: char, count: usize) -> Vec<super::seen::Seen> {
    let mut passed = stage.passed();
    passed.retain(|seen| matches!(seen, Out(found, ..) if *found == name));
    let rest = passed.split_off(count);
    let tail = pattern(1000)[1000 - TAIL_BYTES..].to_vec();
    assert_eq!(rest, [Out(name, 101_001 - TAIL_BYTES as u64, tail, 0), Out(name, 101_001, pattern(50), 0)]);
    passed
}

fn head_and_tail(name: char, start: u64, length: usize, budget: usize) -> Vec<super::seen::Seen> {
    let bytes = pattern(length);
    let mut expected: Vec<_> = bytes[..budget]
        .chunks(CHUNK_BYTES)
        .enumerate()
        .map(|(index, chunk)| Out(name, start + (index * CHUNK_BYTES) as u64, chunk.to_vec(), 0))
        .collect();
    let tail = length - TAIL_BYTES;
    expected.push(Out(name, start + tail as u64, bytes[tail..].to_vec(), 0));
    expected
}

#[test]
fn an_answer_has_the_smaller_budget_and_every_turn_a_new_one() {
    let Some(mut stage) = Stage::set() else { return };
    stage.acts(&[("listen l tcp4", 0), ("connect c l", 0)]);
    assert!(stage.act("accept s l") > 0);
    stage.name("cs");
    stage.told();
    for turn in 0..2_u64 {
        stage.acts(&[("write c 4", 4), ("read s 9", 4), ("write s 60000", 60_000)]);
        let mut passed = stage.passed();
        passed.retain(|seen| matches!(seen, Out('s', ..)));
        assert_eq!(passed, head_and_tail('s', turn * 60_000, 60_000, RESPONSE_BUDGET as usize));
        let mut left = 60_000;
        while left > 0 {
            left -= stage.act("read c 60000");
        }
        stage.told();
    }
}

#[test]
fn memory_that_is_gone_becomes_a_gap() {
    let Some(mut stage) = Stage::with_pair() else { return };
    stage.acts(&[("hole a b", 8192)]);
    let mut passed = stage.passed();
    passed.retain(|seen| matches!(seen, In(..)));
    assert_eq!(passed, [In('b', 4097, Vec::new(), 0), In('b', 4097, pattern(4096), 0)]);
    assert_eq!(stage.counter("kernel.read_faults"), 1);
}

#[test]
fn ends_and_errors_are_told() {
    let Some(mut stage) = Stage::set() else { return };
    stage.acts(&[("listen l tcp4", 0), ("connect c l", 0), ("connect d l", 0)]);
    assert!(stage.act("accept s l") > 0 && stage.act("accept t l") > 0);
    stage.name("cdst");
    stage.acts(&[("write c 5", 5), ("close c", 0), ("read s 9", 5), ("read s 9", 0)]);
    let mut passed = stage.passed();
    passed.retain(|seen| matches!(seen, In('s', ..)));
    assert_eq!(passed, [In('s', 0, pattern(5), 0), In('s', 5, Vec::new(), DATA_END)]);
    // Closed with bytes that nobody read: the peer is reset.
    stage.acts(&[("write d 5", 5), ("close t", 0), ("read d 9", -104), ("write d 5", -32)]);
    let mut passed = stage.passed();
    passed.retain(|seen| matches!(seen, In('d', ..) | Out('d', ..)));
    let expected =
        [Out('d', 0, pattern(5), 0), In('d', 0, Vec::new(), DATA_ERROR), Out('d', 5, Vec::new(), DATA_ERROR)];
    assert_eq!(passed, expected);
}

#[test]
fn a_socket_served_by_an_event_loop_is_marked() {
    let Some(mut stage) = Stage::with_pair() else { return };
    stage.acts(&[("epoll b", 0), ("write a 3", 3), ("read b 3", 3)]);
    assert_eq!(stage.passed(), [Out('a', 1, pattern(3), 0), In('b', 1, pattern(3), DATA_POLLED)]);
}

#[test]
fn a_connection_that_speaks_nothing_we_know_is_silent() {
    let Some(mut stage) = Stage::with_pair() else { return };
    let inode = stage.act("inode a");
    stage.kernel.ignore_connection(inode.cast_unsigned());
    stage.acts(&[("write a 3", 3), ("close a", 0), ("read b 3", 3)]);
    // Its end is told: user space keeps something of it, too.
    assert_eq!(stage.passed(), [Close('a', CLOSE_LAST), In('b', 1, pattern(3), 0)]);
}
