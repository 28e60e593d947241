use std::fs;

use super::*;
use crate::{
    metric::{Value, system::MemoryInfo},
    process::tests::FakeProc,
};

/// A process of `/proc` with its CPU time and memory.
pub(crate) fn write(fake: &FakeProc, pid: u32, ticks: (u64, u64), status: &str) {
    let root = fake.folder.path().join(pid.to_string());
    fs::create_dir_all(&root).unwrap();
    let (user, system) = ticks;
    let stat = format!("{pid} (a) R 1 1 1 0 -1 4194304 0 0 0 0 {user} {system} 0 0 20 0 1 0 5000 0 0\n");
    fs::write(root.join("stat"), stat).unwrap();
    fs::write(root.join("status"), status).unwrap();
}

fn system(total: u64, busy: u64) -> System {
    let memory = MemoryInfo { total: Some(1000), available: None };
    System { cpu: Some(CpuTime { total, busy }), memory }
}

fn stream(agent_name: &str) -> (Stream, Instant) {
    let instance = ServiceInstance { agent_name: agent_name.into(), ..ServiceInstance::default() };
    let now = Instant::now();
    (Stream::new(Arc::new(instance), &system(1000, 100), now, Duration::from_secs(30)), now)
}

fn samples(stream: &mut Stream, system: &System, proc: &Proc) -> Vec<(String, Value)> {
    let set = stream.report((system, 7), Instant::now(), proc, &Mounts::default());
    set.map(|set| set.samples.into_iter().map(|one| (one.name.into_owned(), one.value)).collect()).unwrap_or_default()
}

fn expected(list: &[(&str, Value)]) -> Vec<(String, Value)> {
    list.iter().map(|(name, value)| (name.to_string(), *value)).collect()
}

#[test]
fn processes_of_an_instance_are_summed() {
    let fake = FakeProc::new();
    let memory = "VmSize: 4 kB\nVmRSS: 2 kB\n";
    write(&fake, 7, (10, 0), memory);
    write(&fake, 8, (5, 5), memory);
    let (mut stream, _) = stream("python");
    stream.enter(7, &fake.proc());
    stream.enter(8, &fake.proc());
    write(&fake, 7, (15, 1), memory);
    write(&fake, 8, (8, 6), memory);
    let found = samples(&mut stream, &system(1100, 150), &fake.proc());
    let common = [
        ("system.cpu.total.norm.pct", Value::Real(0.5)),
        ("system.memory.total", Value::Whole(1000)),
        ("system.process.cpu.total.norm.pct", Value::Real(0.1)),
        ("system.process.memory.size", Value::Whole(8192)),
        ("system.process.memory.rss.bytes", Value::Whole(4096)),
    ];
    assert_eq!(found, expected(&common));
    // Ended and not yet waited for: its CPU time counts, memory it has none.
    write(&fake, 8, (18, 6), "State: Z\n");
    stream.leave(8, &fake.proc());
    stream.leave(9, &fake.proc());
    let found = samples(&mut stream, &system(1200, 150), &fake.proc());
    assert_eq!(found[0].1, Value::Real(0.0));
    assert_eq!(found[2].1, Value::Real(0.1), "{found:?}");
    assert_eq!(found[3].1, Value::Whole(4096), "{found:?}");
}

#[test]
fn node_tells_user_and_system_time_apart() {
    let fake = FakeProc::new();
    write(&fake, 7, (0, 0), "");
    let (mut stream, _) = stream("nodejs");
    stream.enter(7, &fake.proc());
    write(&fake, 7, (30, 10), "");
    let found = samples(&mut stream, &system(1100, 200), &fake.proc());
    let cpu = [
        ("system.process.cpu.total.norm.pct", Value::Real(0.4)),
        ("system.process.cpu.user.norm.pct", Value::Real(0.3)),
        ("system.process.cpu.system.norm.pct", Value::Real(0.1)),
    ];
    assert_eq!(found[2..], expected(&cpu));
}

#[test]
fn what_cannot_be_read_is_left_out() {
    let fake = FakeProc::new();
    let (mut stream, _) = stream("go");
    stream.enter(7, &fake.proc());
    assert_eq!(samples(&mut stream, &system(1100, 200), &fake.proc()), [], "no process can be read");
    write(&fake, 7, (9999, 0), "VmRSS: \nVmSize: x kB\n");
    let names = |list: Vec<(String, Value)>| list.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let found = names(samples(&mut stream, &system(1200, 200), &fake.proc()));
    assert_eq!(found, ["system.cpu.total.norm.pct", "system.memory.total"], "the first reading of the process");
    let found = names(samples(&mut stream, &System::default(), &fake.proc()));
    assert_eq!(found, [""; 0], "the machine cannot be read");
    let root = fake.folder.path().join("7/stat");
    let other = fs::read_to_string(&root).unwrap().replace("5000", "6000");
    samples(&mut stream, &system(1300, 200), &fake.proc());
    fs::write(&root, other).unwrap();
    let found = names(samples(&mut stream, &system(1400, 200), &fake.proc()));
    assert_eq!(found, ["system.cpu.total.norm.pct", "system.memory.total"], "the id is another process's now");
}

#[test]
fn a_share_of_less_than_a_second_is_not_told() {
    let (stream, start) = stream("go");
    assert!(!stream.has_lasted(start + Duration::from_millis(999)));
    assert!(stream.has_lasted(start + SHORTEST));
    assert!(!stream.has_lasted(start - Duration::from_secs(1)));
}
