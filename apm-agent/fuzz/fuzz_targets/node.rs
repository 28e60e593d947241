//! Fuzzes the reader of what the script writes in Node.js (`runtime::node`): records, and the stacks in them. The input is
//! one batch after the other, each as long as its head says.
#![no_main]

use apm_agent::runtime::node::{
    Telling,
    record::{Batch, HEAD, LARGEST_BATCH},
};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut telling = Telling::default();
    let mut rest = input;
    while !rest.is_empty() {
        let length =
            rest.get(6..8).map_or(rest.len(), |length| HEAD + usize::from(length[0]) + 256 * usize::from(length[1]));
        let (batch, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        let records = Batch::read(batch).map_or(0, |batch| batch.records().count());
        assert!(records <= batch.len().min(LARGEST_BATCH), "a record has a length");
        let mut said = 0;
        telling.told(batch, &mut |_, _| said += 1);
        assert!(said <= records, "a record says one thing");
    }
});
