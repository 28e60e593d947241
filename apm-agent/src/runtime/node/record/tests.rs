use proptest::{collection::vec, prelude::*};

use super::*;

/// What `tests/apps/node-script/http.js` made the script write on Node.js 24.
pub(crate) const RECORDED: &[u8] = include_bytes!("../../../../tests/node/http.records");

/// A batch with these records.
pub(crate) fn batch(first: u32, thread: u32, records: &[Vec<u8>]) -> Vec<u8> {
    let body: Vec<u8> = records.iter().flat_map(|record| [&short(record.len())[..], record].concat()).collect();
    [b"APMN\x01\0", &short(body.len())[..], &first.to_le_bytes(), &thread.to_le_bytes(), &body].concat()
}

/// Values by name, at 7 ns.
pub(crate) fn metrics(samples: &[(&str, f64)]) -> Vec<u8> {
    let mut record = vec![4];
    record.extend(7_f64.to_le_bytes());
    record.push(samples.len() as u8);
    for (name, value) in samples {
        record.extend(short(name.len()));
        record.extend(name.as_bytes());
        record.extend(value.to_le_bytes());
    }
    record
}

fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_le_bytes()
}

/// Batches that were written one after the other.
pub(crate) fn batches(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut batches = Vec::new();
    while let Some(length) = bytes.get(6..8) {
        let (batch, rest) = bytes.split_at(HEAD + usize::from(u16::from_le_bytes([length[0], length[1]])));
        batches.push(batch);
        bytes = rest;
    }
    batches
}

fn all(bytes: &[u8]) -> Vec<Option<Record<'_>>> {
    Batch::read(bytes).unwrap().records().collect()
}

#[test]
fn a_batch_has_records_in_order() {
    let bytes = batch(3, 9, &[metrics(&[("a", 1.5), ("b", -2.0)]), metrics(&[])]);
    let read = Batch::read(&bytes).unwrap();
    assert_eq!((read.first, read.thread), (3, 9));
    let samples = vec![("a", 1.5), ("b", -2.0)];
    assert_eq!(
        all(&bytes),
        [Some(Record::Metrics { time: 7, samples }), Some(Record::Metrics { time: 7, samples: vec![] })]
    );
}

#[test]
fn what_the_script_wrote_is_read_whole() {
    let (mut requests, mut spans, mut errors) = (0, 0, 0);
    for batch in batches(RECORDED) {
        for record in all(batch) {
            match record.expect("every record can be read") {
                Record::Request(request) => {
                    requests += 1;
                    assert!(request.began < request.ended && request.port > 0);
                    let facts = request.facts.filter(|_| request.context.sampled);
                    assert!(facts.is_none_or(|facts| facts.scheme == "http" && facts.protocol == "HTTP/1.1"));
                }
                Record::Span(span) => {
                    spans += 1;
                    assert!(span.began < span.ended && span.context.parent.is_some());
                    assert!(span.attributes.contains(&("http.request.method", span.name)));
                }
                Record::Error(failure) => {
                    errors += 1;
                    assert_eq!((failure.code, failure.handled), ("ECONNREFUSED", true));
                }
                Record::Metrics { .. } => {}
            }
        }
    }
    assert!((20..40).contains(&requests) && (10..20).contains(&spans) && errors == 1, "{requests} {spans} {errors}");
}

#[test]
fn what_is_no_batch_is_not_read() {
    let good = batch(0, 0, &[metrics(&[])]);
    assert!(Batch::read(&good).is_some());
    for cut in 0..good.len() {
        assert_eq!(Batch::read(&good[..cut]), None);
    }
    for (place, byte) in [(0, b'B'), (4, 2)] {
        let mut bad = good.clone();
        bad[place] = byte;
        assert_eq!(Batch::read(&bad), None);
    }
}

#[test]
fn a_record_that_makes_no_sense_spoils_no_other() {
    let unknown = vec![99, 1, 2, 3];
    let not_a_number = metrics(&[("a", f64::NAN)]);
    let short_of_bytes = metrics(&[("abc", 1.0)])[..14].to_vec();
    let bytes = batch(0, 0, &[unknown, not_a_number, short_of_bytes, vec![], metrics(&[("a", 1.0)])]);
    let read = all(&bytes);
    assert_eq!(read.len(), 5);
    assert!(read[..4].iter().all(Option::is_none) && read[4].is_some());
}

#[test]
fn times_are_never_before_the_beginning() {
    for (time, expected) in [(-1.0, None), (f64::INFINITY, None), (0.0, Some(0)), (1e300, Some(u64::MAX))] {
        let mut record = metrics(&[]);
        record[1..9].copy_from_slice(&f64::to_le_bytes(time));
        let bytes = batch(0, 0, &[record]);
        let [read] = &all(&bytes)[..] else { panic!("one record") };
        let expected = expected.map(|time| Record::Metrics { time, samples: vec![] });
        assert_eq!(*read, expected, "{time}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in vec(any::<u8>(), 0..200), records in vec(vec(any::<u8>(), 0..80), 0..5)) {
        if let Some(batch) = Batch::read(&bytes) {
            prop_assert!(batch.records().count() <= bytes.len());
        }
        let whole = batch(0, 0, &records);
        prop_assert_eq!(Batch::read(&whole).unwrap().records().count(), records.len());
    }

    #[test]
    fn what_was_changed_on_the_way_is_read_without_harm(places in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..9)) {
        for batch in batches(RECORDED) {
            let mut changed = batch.to_vec();
            for (place, byte) in &places {
                changed[place.index(batch.len())] = *byte;
            }
            if let Some(batch) = Batch::read(&changed) {
                prop_assert!(batch.records().count() <= changed.len());
            }
        }
    }
}
