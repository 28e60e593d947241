//! `apm-agent inspect`: what a process or binary is, what would be hooked in it, and at what cost.

use std::path::Path;

use clap::ArgMatches;

use go::GoProgram;

use super::{ExitCode, Failure, print};
use crate::{
    binary::BinaryError,
    config::Loaded,
    metadata::{Described, ServiceInstance},
    process::{Proc, Process},
    report::hooks::{HOOKS, Hook, TAX},
    runtime::{self, Detected, Subject, node::Installed},
};

mod go;
mod node;

pub(super) fn command(loaded: &Loaded, matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let subject = matches
        .get_one::<String>("subject")
        .ok_or_else(|| Failure::usage("nothing is named", "use `inspect PID|BINARY`"))?;
    let found = match subject.parse::<u32>() {
        Ok(pid) => inspect_process(&Proc::default().process(pid)?, loaded)?,
        Err(_) => inspect_binary(Path::new(subject))?,
    };
    if matches.get_flag("json") {
        let json = serde_json::to_string_pretty(&found).map_err(|error| Failure::internal(error.to_string()))?;
        print(&json);
    } else {
        print(&found.text());
    }
    Ok(ExitCode::Ok)
}

/// Everything that is told.
#[derive(Debug, serde::Serialize)]
struct Inspection {
    pid: Option<u32>,
    executable: String,
    architecture: String,
    libraries: Vec<String>,
    has_symbols: bool,
    has_debug_info: bool,
    build_id: Option<String>,
    runtime: &'static str,
    detected: Detected,
    service_name: Option<String>,
    service_name_source: Option<String>,
    instance: Option<ServiceInstance>,
    listening_ports: Vec<u16>,
    other_agents: Vec<String>,
    go: Option<GoProgram>,
    node_libraries: Option<Vec<Installed>>,
    bridge: Option<String>,
    hooks: &'static [Hook],
    tax: &'static str,
    limits: &'static [&'static str],
}

impl From<BinaryError> for Failure {
    fn from(error: BinaryError) -> Self {
        let remedy = match &error {
            BinaryError::Unreadable { .. } => "name an existing file you may read, or run as root",
            BinaryError::NotExecutable { .. } => "name an executable (of a script, its interpreter) or a process id",
        };
        Self::new(ExitCode::Target, error, remedy)
    }
}

fn inspect_process(process: &Process, loaded: &Loaded) -> Result<Inspection, Failure> {
    if process.is_kernel_thread() {
        let sentence = format!("process {} is a thread of the kernel", process.pid);
        return Err(Failure::new(ExitCode::Target, sentence, "name a process of user space"));
    }
    let subject = Subject::of_process(process)?;
    let described = ServiceInstance::of(process, (&loaded.settings).into());
    let mut found = inspection(&subject);
    found.pid = Some(process.pid);
    found.listening_ports = process.listening_ports();
    found.bridge = runtime::bridge_of(found.detected.agent_name).map(|bridge| {
        let is_on = bridge.is_on(&loaded.settings.bridges);
        if is_on { bridge.outlook(process) } else { "none: it is switched off".into() }
    });
    if found.detected.agent_name == runtime::node::AGENT_NAME {
        found.node_libraries = runtime::node::installed(&subject, &loaded.settings.bridges.left_alone);
    }
    let Described { instance, name_source, .. } = described;
    found.service_name = Some(instance.name.clone());
    found.service_name_source = Some(name_source);
    found.instance = Some(instance);
    Ok(found)
}

fn inspect_binary(path: &Path) -> Result<Inspection, Failure> {
    Ok(inspection(&Subject::of_binary(path)?))
}

fn inspection(subject: &Subject) -> Inspection {
    let (runtime, detected) = subject.runtime();
    let named = runtime.service(subject);
    let binary = &subject.binary;
    Inspection {
        pid: None,
        executable: subject.executable.display().to_string(),
        architecture: binary.architecture.clone(),
        libraries: binary.libraries.clone(),
        has_symbols: binary.has_symbols,
        has_debug_info: binary.has_debug_info,
        build_id: binary.build_id.clone(),
        runtime: runtime.name(),
        detected,
        service_name: named.as_ref().and_then(|named| crate::metadata::name::clean_service_name(&named.name)),
        service_name_source: named.map(|named| named.source),
        instance: None,
        listening_ports: Vec::new(),
        other_agents: runtime::agents::present(subject),
        go: go::read(binary),
        node_libraries: None,
        bridge: None,
        hooks: HOOKS,
        tax: TAX,
        limits: runtime.limits(),
    }
}

impl Inspection {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        let mut field = |name: &str, text: String| lines.push(format!("{name:<18}{text}"));
        if let Some(pid) = self.pid {
            field("process", pid.to_string());
        }
        field("executable", format!("{} ({})", self.executable, self.architecture));
        field("symbols", self.symbols());
        field("run time", self.runtime_text());
        field("recognised by", self.detected.evidence.clone());
        field("agent name", self.detected.agent_name.to_string());
        if let (Some(name), Some(source)) = (&self.service_name, &self.service_name_source) {
            field("service", format!("{name} ({source})"));
        }
        if let Some(instance) = &self.instance {
            field("version", or_none(instance.version.as_deref()));
            field("environment", or_none(instance.environment.as_deref()));
            field("container", or_none(instance.container_id.as_deref()));
            let pod = instance.kubernetes.as_ref().and_then(|pod| pod.pod_name.as_deref().or(pod.pod_uid.as_deref()));
            field("pod", or_none(pod));
            let ports: Vec<String> = self.listening_ports.iter().map(u16::to_string).collect();
            field("listens on", or_none(Some(ports.join(", ").as_str()).filter(|text| !text.is_empty())));
        }
        if let Some(bridge) = &self.bridge {
            lines.push(format!("{:<18}{bridge}", "bridge"));
        }
        lines.extend(self.sections());
        lines.join("\n")
    }

    fn symbols(&self) -> String {
        let symbols = if self.has_symbols { "yes" } else { "stripped" };
        let debug = if self.has_debug_info { ", with debug information" } else { "" };
        let build = self.build_id.as_ref().map(|id| format!(", build id {id}")).unwrap_or_default();
        format!("{symbols}{debug}{build}")
    }

    fn runtime_text(&self) -> String {
        match &self.detected.runtime {
            Some((_, version)) => format!("{} {version}", self.runtime),
            None => self.runtime.to_string(),
        }
    }

    fn sections(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.other_agents.is_empty() {
            lines.push("\nAgents inside already (everything they see would be told twice):".to_string());
            lines.extend(self.other_agents.iter().map(|agent| format!("  {agent}")));
        }
        lines.push(
            "\nWhat would be hooked (nothing in the process itself; prices are orders of magnitude):".to_string(),
        );
        for hook in self.hooks {
            lines.push(format!("  {}\n      when {}: {}", hook.place, hook.when, hook.price));
        }
        lines.push(format!("  {}", self.tax));
        lines.extend(self.go.iter().flat_map(GoProgram::lines));
        lines.extend(self.node_libraries.iter().flat_map(|libraries| node::lines(libraries)));
        if !self.limits.is_empty() {
            lines.push("\nWhat cannot be seen:".to_string());
            lines.extend(self.limits.iter().map(|limit| format!("  {limit}")));
        }
        lines
    }
}

fn or_none(text: Option<&str>) -> String {
    text.unwrap_or("none").to_string()
}
