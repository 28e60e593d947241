//! Requests as they are laid out, and replies of every kind.

use std::io;

use super::*;

/// A connection that has its answer ready.
struct Answering(Vec<u8>, io::Cursor<Vec<u8>>);

impl Read for Answering {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1.read(buffer)
    }
}

impl Write for Answering {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn reply(command: u8, payload: &[u8]) -> Vec<u8> {
    Request { set: SERVER, command, payload: payload.to_vec() }.encode().expect("short")
}

fn ask(answer: &[u8]) -> Result<Vec<u8>, IpcError> {
    Request::process_info().exchange(&mut Answering(Vec::new(), io::Cursor::new(answer.to_vec())))
}

#[test]
fn requests_are_laid_out_as_the_protocol_says() {
    let provider = Provider { name: "A".into(), keywords: 0x803, level: 5, arguments: "k=é".into() };
    let asked = CollectTracing { buffer_mib: 64, rundown: true, stack_walk: false, providers: vec![provider] };
    let three = Request::collect_tracing_3(&asked).and_then(|request| request.encode()).expect("short");
    let expected: &[&[u8]] = &[
        b"DOTNET_IPC_V1\0\x3e\0\x02\x04\0\0",
        b"\x40\0\0\0\x01\0\0\0\x01\0\x01\0\0\0",
        b"\x03\x08\0\0\0\0\0\0\x05\0\0\0",
        b"\x02\0\0\0A\0\0\0",
        b"\x04\0\0\0k\0=\0\xe9\0\0\0",
    ];
    let expected = expected.concat();
    assert_eq!(three[20..], expected[20..]);
    assert_eq!(usize::from(three[14]), three.len());
    assert_eq!((&three[..14], &three[16..20]), (&MAGIC[..], &[2, 4, 0, 0][..]));
    let two = Request::collect_tracing_2(&asked).and_then(|request| request.encode()).expect("short");
    assert_eq!((two.len(), two[17], &two[20..29]), (three.len() - 1, 3, &three[20..29]));
    assert_eq!(two[29..], three[30..]);
    assert_eq!(
        Request::stop_tracing(7).encode().expect("short"),
        b"DOTNET_IPC_V1\0\x1c\0\x02\x01\0\0\x07\0\0\0\0\0\0\0"
    );
}

#[test]
fn a_request_that_does_not_fit_is_not_sent() {
    let provider = Provider { name: "A".into(), arguments: "x".repeat(40_000), ..Provider::default() };
    let asked = CollectTracing { buffer_mib: 1, providers: vec![provider], ..CollectTracing::default() };
    let sent = Request::collect_tracing_3(&asked).and_then(|request| request.encode());
    assert!(matches!(sent, Err(IpcError::TooLong { size }) if size > 80_000));
}

#[test]
fn what_could_do_harm_is_not_sent() {
    let provider = Provider { name: "A".into(), ..Provider::default() };
    let named = |name: &str| vec![Provider { name: name.into(), ..Provider::default() }];
    let asked = |buffer_mib, providers| CollectTracing { buffer_mib, providers, ..CollectTracing::default() };
    asked(1, vec![provider.clone()]).check().expect("fine");
    for harmful in [
        asked(0, vec![provider.clone()]),
        asked(2000, vec![provider.clone()]),
        asked(1, vec![]),
        asked(1, named("")),
        asked(1, named("a\0b")),
        asked(1, vec![Provider { level: 6, ..provider.clone() }]),
        asked(1, vec![Provider { arguments: "\0".into(), ..provider }]),
    ] {
        assert!(matches!(Request::collect_tracing_3(&harmful), Err(IpcError::Unsafe(_))), "{harmful:?}");
        assert!(matches!(Request::collect_tracing_2(&harmful), Err(IpcError::Unsafe(_))), "{harmful:?}");
    }
}

#[test]
fn replies_are_read_and_refusals_named() {
    assert_eq!(ask(&reply(OK, b"abc")).expect("a reply"), b"abc");
    let refused = ask(&reply(0xff, &0x8013_1385_u32.to_le_bytes())).expect_err("refused");
    assert_eq!(refused.to_string(), "the run time refused: it does not know the command");
    let other = ask(&reply(0xff, &1_u32.to_le_bytes())).expect_err("refused");
    assert_eq!(other.to_string(), "the run time refused: error 0x00000001");
    assert!(matches!(ask(b"HTTP/1.1 400 Bad Request\r\n"), Err(IpcError::Foreign)));
    assert!(matches!(ask(&reply(0xff, b"abc")), Err(IpcError::Garbled)));
    let mut small = reply(OK, b"");
    small[14] = 3;
    assert!(matches!(ask(&small), Err(IpcError::Garbled)));
    let whole = reply(OK, b"abc");
    for length in 0..whole.len() {
        assert!(matches!(ask(&whole[..length]), Err(IpcError::Closed)), "cut at {length}");
    }
}

#[test]
fn process_information_with_and_without_the_newer_fields() {
    let mut payload = 7_u64.to_le_bytes().to_vec();
    payload.extend([9; 16]);
    for text in ["dotnet a.dll", "linux", "x64"] {
        write_text(&mut payload, text);
    }
    let old = ProcessInfo::read(&payload).expect("whole");
    assert_eq!((old.pid, old.command_line.as_str(), old.runtime_version), (7, "dotnet a.dll", None));
    for text in ["a", "10.0.12"] {
        write_text(&mut payload, text);
    }
    let new = ProcessInfo::read(&payload).expect("whole");
    assert_eq!((new.entry_assembly.as_deref(), new.runtime_version.as_deref()), (Some("a"), Some("10.0.12")));
    assert!(matches!(ProcessInfo::read(&payload[..40]), Err(IpcError::Garbled)));
}
