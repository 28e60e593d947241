//! Payloads of the recorded streams (`tests/nettrace/ORIGIN.md`).

use super::*;
use crate::runtime::dotnet::{
    Event, Item, Reader,
    nettrace::{Field, Kind, Level, tests::recorded},
};

const BOTH: [&str; 2] = ["dotnet10.nettrace", "dotnet8.nettrace"];

/// What `read` finds in the events of a recorded stream.
fn found<T>(name: &str, mut read: impl FnMut(&Event<'_>) -> Option<T>) -> Vec<T> {
    let mut all = Vec::new();
    let mut reader = Reader::new();
    let told = |item: Item<'_>| {
        if let Item::Event(event) = item {
            all.extend(read(&event));
        }
    };
    reader.feed(&recorded(name), told).expect("readable");
    all
}

#[test]
fn activities_with_their_arguments() {
    for name in BOTH {
        let stops = found(name, |event| match SourceEvent::read(event)? {
            SourceEvent::Happened { told_as: "ActivityStop", source, name, arguments } => {
                let get = |name| arguments.get(name).map(|text| text.to_string());
                Some((
                    source.to_string(),
                    name.to_string(),
                    get("Kind"),
                    get("TraceId"),
                    get("ParentSpanId"),
                    get("SpanId"),
                ))
            }
            _ => None,
        });
        let request = "Microsoft.AspNetCore.Hosting.HttpRequestIn";
        let requests: Vec<_> = stops.iter().filter(|stop| stop.1 == request).collect();
        assert_eq!(requests.len(), 7, "{name}");
        assert!(requests.iter().all(|stop| stop.0 == "Microsoft.AspNetCore" && stop.2.as_deref() == Some("Server")));
        let call = stops.iter().find(|stop| stop.1 == "System.Net.Http.HttpRequestOut").expect("the call of /fan");
        assert_eq!(call.2.as_deref(), Some("Client"));
        assert_eq!(call.3.as_ref().map(String::len), Some(32));
        // The call's parent is one request, and its child another.
        assert!(requests.iter().any(|stop| stop.5 == call.4 && stop.3 == call.3), "{name}: {call:?}");
        assert!(requests.iter().any(|stop| stop.4 == call.5 && stop.3 == call.3), "{name}: {call:?}");
    }
}

#[test]
fn events_of_listeners_under_the_names_asked_for() {
    for name in BOTH {
        let (mut routes, mut stacks, mut messages) = (Vec::new(), Vec::new(), 0);
        let listeners = found(name, |event| match SourceEvent::read(event)? {
            SourceEvent::NewListener(name) => Some(name.to_string()),
            SourceEvent::Message(_) => {
                messages += 1;
                None
            }
            SourceEvent::Happened { told_as: "Activity1Stop", name, arguments, .. } => {
                assert!(name == "Microsoft.AspNetCore.Hosting.HttpRequestIn.Stop");
                let port: u16 = arguments.get("RemotePort")?.to_string().parse().expect("a port");
                assert!(port > 0 && arguments.get("Nothing").is_none());
                routes.push((arguments.get("Path")?.to_string(), arguments.get("RouteValues")?.to_string()));
                None
            }
            SourceEvent::Happened { told_as: "Event", source, arguments, .. } => {
                assert!(source == "Microsoft.AspNetCore");
                assert!(arguments.get("Message")? == "It went wrong: é");
                stacks.push(arguments.get("StackTrace")?.to_string());
                None
            }
            SourceEvent::Happened { .. } => None,
        });
        assert!(listeners.contains(&"Microsoft.AspNetCore".to_string()), "{name}: {listeners:?}");
        assert_eq!(messages, 26);
        let order = routes.iter().filter(|(path, values)| path.starts_with("/orders/") && values.starts_with("[id, "));
        assert_eq!((routes.len(), order.count()), (7, 2), "{routes:?}");
        assert!(stacks.len() == 1 && stacks[0].contains("Program.cs:line 8"), "{stacks:?}");
    }
}

#[test]
fn thrown_exceptions() {
    for name in BOTH {
        let thrown = found(name, |event| {
            let exception = Exception::read(event)?;
            assert!(event.level == Level::ERROR && exception.result & 0x8000_0000 != 0);
            Some((exception.class.to_string(), exception.message.to_string(), exception.has_inner()))
        });
        let has = |class: &str, message: &str, inner| thrown.contains(&(class.into(), message.into(), inner));
        assert!(has("System.ArgumentException", "inner one", false), "{name}: {thrown:?}");
        assert!(has("System.InvalidOperationException", "It went wrong: é", true), "{name}: {thrown:?}");
        assert!(has("System.TimeoutException", "too late", false), "{name}: {thrown:?}");
    }
}

#[test]
fn counters_of_both_kinds() {
    for name in BOTH {
        let read = found(name, |event| {
            let counter = Counter::read(event)?;
            assert_eq!(counter.provider, "System.Runtime");
            assert!((0.5..2.0).contains(&counter.interval), "{counter:?}");
            Some((counter.name.to_string(), counter.unit.to_string(), counter.reading))
        });
        assert_eq!(read.len(), 54, "{name}: two intervals");
        let get = |name| read.iter().find(|counter| counter.0 == name).expect("a counter");
        let (_, unit, reading) = get("working-set");
        assert!(
            unit == "MB"
                && matches!(reading, Reading::Values { mean, count: 1, least, most } if *mean > 20.0 && least == most)
        );
        assert!(matches!(get("alloc-rate").2, Reading::Increment(bytes) if bytes >= 0.0));
        assert!(matches!(get("gen-0-gc-count").2, Reading::Increment(count) if count >= 0.0));
    }
}

#[test]
fn log_records_of_both_forms() {
    for name in BOTH {
        let newer = name == "dotnet10.nettrace";
        let (mut json, mut plain) = (0, 0);
        found(name, |event| {
            let record = LogRecord::read(event)?;
            assert_eq!(record.trace_id.is_some(), newer);
            if newer && record.logger == "ntapp" {
                assert_eq!(record.trace_id?.units(), 32);
                assert_eq!((record.span_id?.units(), record.trace_flags?.to_string().as_str()), (16, "1"));
            }
            if record.event_id == 42 {
                assert_eq!((record.level, record.event_name.to_string().as_str()), (LogLevel::Error, "Late"));
                assert!(record.message? == "Could not do it");
            }
            if let (42, Some(exception)) = (record.event_id, record.exception_json) {
                let exception: serde_json::Value = serde_json::from_str(&exception.to_string()).expect("JSON");
                assert_eq!(exception["TypeName"], "System.TimeoutException");
                assert_eq!(exception["Message"], "too late");
                json += 1;
            }
            if record.event_id == 42 && record.exception_json.is_none() {
                plain += 1;
            }
            if let (LogLevel::Warning, Some(arguments)) = (record.level, record.arguments_json) {
                let arguments: serde_json::Value = serde_json::from_str(&arguments.to_string()).expect("JSON");
                assert_eq!(arguments["{OriginalFormat}"], "Order {OrderId} asked for by {Who}");
                assert_eq!(arguments["Who"], "Zoë 🦀");
            }
            Some(())
        });
        assert_eq!((json, plain), (1, 1), "{name}");
    }
}

#[test]
fn garbage_collections() {
    for name in BOTH {
        let all = found(name, |event| Some((event.time, GarbageCollection::read(event)?)));
        let find = |wanted: fn(&GarbageCollection) -> bool| all.iter().find(|(_, what)| wanted(what)).expect("told");
        let start = find(|what| matches!(what, GarbageCollection::Start { generation: 2, .. }));
        let end = find(|what| matches!(what, GarbageCollection::End { generation: 2, .. }));
        let suspended = find(|what| matches!(what, GarbageCollection::Suspending));
        let restarted = find(|what| matches!(what, GarbageCollection::Restarted));
        assert!(suspended.0 < start.0 && start.0 < end.0 && end.0 < restarted.0, "{name}: {all:?}");
        let (_, GarbageCollection::Heap(heap)) = find(|what| matches!(what, GarbageCollection::Heap(_))) else {
            panic!("no heap")
        };
        let sizes: u64 = heap.generations.iter().map(|generation| generation.size).sum();
        assert!((500_000..50_000_000).contains(&sizes), "{name}: {heap:?}");
        assert!(heap.handles > 100 && heap.generations[4].size > 0, "{name}: {heap:?}");
    }
}

/// Every reader, over one event.
fn read_all(event: &Event<'_>) {
    if let Some(SourceEvent::Happened { arguments, .. }) = SourceEvent::read(event) {
        arguments.each(|_, _| {});
    }
    let _ = (Exception::read(event), Counter::read(event), LogRecord::read(event), GarbageCollection::read(event));
}

#[test]
fn cut_payloads_are_no_events() {
    for name in BOTH {
        found(name, |event| {
            for length in 0..event.payload.len().min(600) {
                read_all(&Event { payload: &event.payload[..length], ..*event });
            }
            Some(())
        });
    }
}

#[test]
fn arrays_of_a_great_many_take_no_longer_than_their_bytes() {
    let inner = Kind::Array(Box::new(Kind::Array(Box::new(Kind::String))));
    let fields = [Field { name: "Arguments".into(), kind: Kind::Array(Box::new(inner)) }];
    let payload = [0xff; 60_000];
    let mut zeros = payload;
    zeros[2..].fill(0);
    for payload in [payload, zeros] {
        let event = Event { fields: &fields, payload: &payload, ..BLANK };
        assert_eq!(super::fields(&event, |_, _| {}), None);
    }
}

const BLANK: Event<'static> = Event {
    provider: "",
    id: 0,
    name: "",
    version: 0,
    level: Level::ALWAYS,
    keywords: 0,
    time: 0,
    thread: 0,
    activity: [0; 16],
    fields: &[],
    payload: &[],
};

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Any bytes as a payload, under any description that was recorded.
    #[test]
    fn payloads_may_hold_anything(bytes: Vec<u8>) {
        found("dotnet10.nettrace", |event| {
            read_all(&Event { payload: &bytes, ..*event });
            Some(())
        });
    }
}
