use std::fs;

use super::*;
use crate::{metric::stream::tests::write, process::tests::FakeProc};

const MEMORY: &str = "VmSize: 4 kB\nVmRSS: 2 kB\n";

/// Keeps what is published: of which service, and the names.
#[derive(Default)]
struct Kept(Vec<(String, Vec<String>)>);

impl Output for Kept {
    fn publish(&mut self, instance: &Arc<ServiceInstance>, document: &Document) {
        let Document::Metrics(set) = document else { panic!("{document:?}") };
        assert!(set.timestamp > 1_700_000_000_000_000);
        let names = set.samples.iter().map(|sample| sample.name.to_string()).collect();
        self.0.push((instance.name.clone(), names));
    }

    fn finish(&mut self) {}
}

impl Kept {
    fn services(&mut self) -> Vec<String> {
        let mut all: Vec<String> = std::mem::take(&mut self.0).into_iter().map(|(service, _)| service).collect();
        all.sort();
        all
    }
}

struct Setting {
    fake: FakeProc,
    collector: Collector,
    services: Services,
    kept: Kept,
    start: Instant,
}

impl Setting {
    fn new(interval: &str, disabled: &[&str]) -> Self {
        let fake = FakeProc::new();
        fs::write(fake.folder.path().join("meminfo"), "MemTotal: 4 kB\nMemAvailable: 2 kB\n").unwrap();
        let settings = config::Metrics {
            interval: config::value::duration(interval).unwrap(),
            disabled: disabled.iter().map(ToString::to_string).collect(),
        };
        let collector = Collector::at(fake.proc(), &settings);
        let setting = Self { fake, collector, services: Services::new(), kept: Kept::default(), start: Instant::now() };
        setting.machine(0);
        setting
    }

    fn machine(&self, seconds: u64) {
        let stat = format!("cpu {} 0 0 {} 0 0 0 0 0 0\n", 50 * seconds, 150 * seconds);
        fs::write(self.fake.folder.path().join("stat"), stat).unwrap();
    }

    fn start(&mut self, pid: u32, instance: &Arc<ServiceInstance>) {
        write(&self.fake, pid, (0, 0), MEMORY);
        self.services.insert(pid, Arc::clone(instance));
    }

    /// Ticks at this second; the services that were reported.
    fn tick(&mut self, second: u64) -> Vec<String> {
        self.machine(second);
        let now = self.start + Duration::from_secs(second);
        self.collector.tick(now, &self.services, &mut self.kept);
        self.kept.services()
    }

    fn end(&mut self, second: u64, pid: u32) -> Vec<String> {
        self.machine(second);
        self.services.remove(&pid);
        self.collector.leave(self.start + Duration::from_secs(second), pid, &mut self.kept);
        self.kept.services()
    }
}

fn instance(name: &str) -> Arc<ServiceInstance> {
    Arc::new(ServiceInstance { name: name.into(), ..ServiceInstance::default() })
}

#[test]
fn each_instance_is_reported_an_interval_after_it_came_and_at_its_end() {
    let mut setting = Setting::new("30s", &[]);
    let (a, b) = (instance("a"), instance("b"));
    setting.start(1, &a);
    assert_eq!(setting.tick(0), [""; 0]);
    setting.start(2, &b);
    setting.start(3, &b);
    assert_eq!(setting.tick(10), [""; 0]);
    assert_eq!(setting.tick(29), [""; 0]);
    assert_eq!(setting.tick(30), ["a"]);
    assert_eq!(setting.tick(40), ["b"]);
    assert_eq!(setting.tick(59), [""; 0]);
    assert_eq!(setting.end(59, 2), [""; 0], "another process is left");
    assert_eq!(setting.end(59, 3), ["b"]);
    assert_eq!(setting.end(59, 3), [""; 0]);
    assert_eq!(setting.tick(60), ["a"]);
    assert_eq!(setting.tick(200), ["a"], "one for all that were missed");
    assert_eq!(setting.tick(201), [""; 0]);
    let at = |second| setting.start + Duration::from_secs(second);
    setting.collector.finish(at(205), &mut setting.kept);
    setting.collector.finish(at(206), &mut setting.kept);
    assert_eq!(setting.kept.services(), ["a"]);
    assert_eq!(setting.collector.counters(), [("metrics.sets", 6)]);
}

#[test]
fn what_lived_less_than_a_second_is_not_reported() {
    let mut setting = Setting::new("30s", &[]);
    setting.start(1, &instance("a"));
    setting.tick(0);
    assert_eq!(setting.end(0, 1), [""; 0]);
}

#[test]
fn a_process_that_becomes_another_service_moves() {
    let mut setting = Setting::new("5s", &[]);
    setting.start(1, &instance("shell"));
    setting.tick(0);
    setting.start(1, &instance("shop"));
    assert_eq!(setting.tick(2), ["shell"]);
    assert_eq!(setting.tick(5), [""; 0]);
    assert_eq!(setting.tick(7), ["shop"]);
}

#[test]
fn options_are_heard() {
    let mut off = Setting::new("0s", &[]);
    off.start(1, &instance("a"));
    off.tick(0);
    assert_eq!(off.tick(1000), [""; 0]);
    let mut quick = Setting::new("1ms", &["system.process.*", "*free"]);
    quick.start(1, &instance("a"));
    quick.tick(0);
    quick.machine(1);
    quick.collector.tick(quick.start + SHORTEST, &quick.services, &mut quick.kept);
    let names = ["system.cpu.total.norm.pct", "system.memory.total"].map(String::from);
    assert_eq!(std::mem::take(&mut quick.kept.0), [("a".to_string(), names.to_vec())]);
    assert_eq!(quick.tick(1), [""; 0], "at most once a second");
}

#[test]
fn foreign_metrics_are_published_apart() {
    let mut setting = Setting::new("30s", &["shop.secret"]);
    let mut set = Metricset::new(1_800_000_000_000_000);
    for name in ["clr.gc.count", "shop.orders", "shop.secret"] {
        set.add(name, Some(1));
    }
    setting.collector.publish(&instance("a"), set, &mut setting.kept);
    let published: Vec<_> = setting.kept.0.into_iter().map(|(_, names)| names).collect();
    assert_eq!(published, [["clr.gc.count"], ["shop.orders"]]);
}
