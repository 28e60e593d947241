//! What fuzzing has found stays found: recordings in `data/findings`, played as `apm-agent replay` plays them.

use std::{path::Path, sync::Arc, sync::mpsc, thread, time::Duration};

use apm_agent::{build::Document, config::Capture, engine, metadata::ServiceInstance, send::Output};

struct Nowhere;

impl Output for Nowhere {
    fn publish(&mut self, _: &Arc<ServiceInstance>, _: &Document) {}

    fn finish(&mut self) {}
}

#[test]
fn every_finding_is_played_to_its_end() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/findings");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the findings") {
        let path = entry.expect("readable").path();
        let (done, ended) = mpsc::channel();
        let played = path.clone();
        // On a thread of its own: one of the findings was an endless loop.
        thread::spawn(move || {
            // A finding may end in damage, which is an error, not a panic.
            let _ = engine::replay(&played, Capture::default(), &mut Nowhere);
            done.send(()).expect("somebody waits");
        });
        let name = path.display();
        assert_eq!(ended.recv_timeout(Duration::from_secs(20)), Ok(()), "{name} panics, or has no end");
        count += 1;
    }
    assert!(count > 0, "there are findings");
}
