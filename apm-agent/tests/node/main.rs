//! Attaching to real Node.js processes with a script that does nothing, and leaving them as they were.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use apm_agent::{
    kernel::{Admission, Kernel},
    process::{Proc, Process},
    runtime::{
        node::{Approach, AttachError, Refusal, script::Status},
        own::OwnConnections,
    },
};

/// The least a script has to say.
const NOTHING: &str = "JSON.stringify({ok: true, version: process.version, pid: process.pid, fd: 7})";

/// A server that says its port, and then answers.
const SERVER: &str = "const server = require('http').createServer((request, response) => response.end('hello'))\n\
    server.listen(0, '127.0.0.1', () => console.log('port', server.address().port))\n";

/// A kernel, held by one test at a time; the lock is that of all tests that attach.
struct Stage {
    kernel: Kernel,
    own: Arc<OwnConnections>,
    _lock: File,
}

impl Stage {
    /// `None`, with the reason printed, when the test cannot run.
    fn set() -> Option<Self> {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        let has_node = Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !rustix::process::geteuid().is_root() || !has_node {
            let _ = writeln!(std::io::stderr(), "SKIPPED {name}: it needs root and `node`");
            return None;
        }
        let path = std::env::temp_dir().join("apm-agent-tests.lock");
        let lock = File::options().create(true).append(true).open(path).expect("the lock file can be opened");
        lock.lock().expect("the lock can be taken");
        let kernel = Kernel::load(Admission::default()).expect("it loads");
        Some(Self { kernel, own: Arc::default(), _lock: lock })
    }

    fn attach(&self, process: &Process, expression: &str) -> Result<Status, AttachError> {
        let tools = self.kernel.tools();
        let approach = Approach { process, tools: &tools, own: &self.own, is_ending: &|| false };
        approach.attach(expression)
    }
}

/// A node.
struct Node {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Node {
    /// Runs `program` and waits for its first line.
    fn run(options: &[&str], program: &str) -> (Self, String) {
        Self::run_with("node", options, program)
    }

    fn run_with(node: &str, options: &[&str], program: &str) -> (Self, String) {
        let mut command = Command::new(node);
        command.args(options).args(["-e", program]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("node starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut node = Self { child, output };
        let line = node.line();
        (node, line)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it writes");
        line.trim().to_owned()
    }

    fn process(&self) -> Process {
        Proc::default().process(self.child.id()).expect("it runs")
    }

    /// Ends it; what it wrote to its standard output and error since.
    fn end(mut self) -> (String, String) {
        self.child.kill().expect("it ran");
        // Whatever it started goes with it, or its output does not end.
        let (mut output, mut errors) = (String::new(), String::new());
        self.output.read_to_string(&mut output).expect("text");
        self.child.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
        self.child.wait().expect("it ends");
        (output, errors)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ports(process: &Process) -> Vec<u16> {
    process.listening_ports()
}

#[test]
fn a_script_comes_in_and_the_inspector_goes() {
    let Some(stage) = Stage::set() else { return };
    let (node, line) = Node::run(&[], SERVER);
    let process = node.process();
    let before = (ports(&process), process.sockets().len());
    for _ in 0..3 {
        let status = stage.attach(&process, NOTHING).expect("attached");
        assert_eq!((status.ok, status.pid, status.fd), (true, process.pid, 7));
        assert_eq!((ports(&process), process.sockets().len()), before, "nothing is left");
    }
    let port = line.strip_prefix("port ").expect("a port");
    let mut client = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).expect("it answers");
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("answered");
    assert!(answer.ends_with("hello"), "{answer}");
    let (output, errors) = node.end();
    assert_eq!(output, "");
    assert_eq!(errors.matches("Debugger listening on").count(), 3, "the price: {errors}");
    assert!(errors.lines().count() <= 15 && !errors.contains("Error"), "{errors}");
}

#[test]
fn a_stripped_node_is_known_too() {
    let Some(stage) = Stage::set() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let stripped = folder.path().join("node");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg("/usr/bin/node").status();
    if !strip.is_ok_and(|status| status.success()) {
        let _ = writeln!(std::io::stderr(), "SKIPPED: it needs `strip` and /usr/bin/node");
        return;
    }
    let (node, _) = Node::run_with(stripped.to_str().expect("text"), &[], SERVER);
    assert!(stage.attach(&node.process(), NOTHING).expect("attached").ok);
    let handles = format!("process.on('SIGUSR1', () => console.log('signal'))\n{SERVER}");
    let (own, _) = Node::run_with(stripped.to_str().expect("text"), &[], &handles);
    let refused = stage.attach(&own.process(), NOTHING).expect_err("it handles the signal");
    assert!(matches!(refused, AttachError::Refused(Refusal::Own { .. })), "{refused}");
    assert_eq!(own.end().0, "");
}

#[test]
fn a_program_s_own_handler_is_not_run() {
    let Some(stage) = Stage::set() else { return };
    let program = format!("process.on('SIGUSR1', () => console.log('signal'))\n{SERVER}");
    let (node, _) = Node::run(&[], &program);
    let refused = stage.attach(&node.process(), NOTHING).expect_err("it handles the signal");
    assert!(refused.to_string().contains("the program handles SIGUSR1 itself (`uv__signal_handler`)"), "{refused}");
    assert_eq!(node.end(), (String::new(), String::new()));
    // One that was there and is not any more is no hindrance: libuv's handler goes, and with it node's.
    let program = format!("const f = () => {{}}\nprocess.on('SIGUSR1', f).off('SIGUSR1', f)\n{SERVER}");
    let (node, _) = Node::run(&[], &program);
    let outcome = stage.attach(&node.process(), NOTHING);
    assert!(matches!(outcome, Err(AttachError::Refused(Refusal::NotHandled))), "{outcome:?}");
    assert!(node.process().stat().state != 'Z', "and it lives");
}

#[test]
fn options_that_keep_the_inspector_shut_are_respected() {
    let Some(stage) = Stage::set() else { return };
    let (node, _) = Node::run(&["--experimental-permission", "--allow-fs-read=*"], SERVER);
    let refused = stage.attach(&node.process(), NOTHING).expect_err("it is shut");
    assert!(matches!(refused, AttachError::Refused(Refusal::Shut { option: "--experimental-permission" })));
    assert!(!node.end().1.contains("Debugger"));
}

#[test]
fn a_busy_program_and_a_blocked_one_are_waited_for() {
    let Some(stage) = Stage::set() else { return };
    let busy = "console.log('busy'); globalThis.busy = true; for (const end = Date.now() + 3000; Date.now() < end;);\n\
        globalThis.busy = false; console.log('done')\n";
    let (mut node, _) = Node::run(&[], &format!("{busy}{SERVER}"));
    let process = node.process();
    // Modules may be half loaded where a program is interrupted.
    let when = "JSON.stringify({ok: globalThis.busy === false, pid: process.pid})";
    stage.attach(&process, when).expect("attached, and not in the middle of something");
    assert_eq!(node.line(), "done");
    let port: u16 = node.line().strip_prefix("port ").and_then(|port| port.parse().ok()).expect("a port");
    assert_eq!(ports(&process), [port]);
    let blocked = "console.log('blocked'); require('child_process').execSync('sleep 4'); console.log('done')\n";
    let (node, _) = Node::run(&[], &format!("{blocked}{SERVER}"));
    let begun = Instant::now();
    stage.attach(&node.process(), NOTHING).expect("attached");
    assert!(begun.elapsed() > Duration::from_secs(2), "it could not answer before");
    let (output, _) = node.end();
    assert!(output.starts_with("done"), "{output}");
}

#[test]
fn several_are_attached_to_at_once() {
    let Some(stage) = Stage::set() else { return };
    let nodes: Vec<Node> = (0..4).map(|_| Node::run(&[], SERVER).0).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let attach = |node: &Node| {
            let process = node.process();
            let stage = &stage;
            scope.spawn(move || stage.attach(&process, NOTHING).map(|status| status.pid))
        };
        let threads: Vec<_> = nodes.iter().map(attach).collect();
        for (thread, node) in threads.into_iter().zip(&nodes) {
            assert_eq!(thread.join().expect("no panic").expect("attached"), node.child.id());
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    for node in nodes {
        assert_eq!(ports(&node.process()).len(), 1);
    }
}

#[test]
fn the_user_s_own_inspector_is_used_and_stays() {
    let Some(stage) = Stage::set() else { return };
    let (node, _) = Node::run(&["--inspect=127.0.0.1:39229"], SERVER);
    let process = node.process();
    stage.attach(&process, NOTHING).expect("attached");
    assert!(ports(&process).contains(&39229), "it is the user's");
    assert_eq!(ports(&process).len(), 2);
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let Some(stage) = Stage::set() else { return };
    let (node, _) = Node::run(&[], SERVER);
    let process = node.process();
    let thrown = stage.attach(&process, "(() => { throw new Error('no') })()").expect_err("it throws").to_string();
    assert!(thrown.contains("Error: no"), "{thrown}");
    let unwilling = "JSON.stringify({ok: false, reason: 'another agent is inside'})";
    let refused = stage.attach(&process, unwilling).expect_err("it does not want to").to_string();
    assert!(refused.contains("another agent is inside"), "{refused}");
    assert_eq!(ports(&process).len(), 1);
}
