//! What is known of a service instance: the first line of its intake stream.

pub mod container;
pub mod hostname;
pub mod instance;
pub mod name;

pub use instance::{Described, Overrides};

/// One service instance: a process, or the workers of one pre-fork server.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ServiceInstance {
    /// Service name: letters, digits, space, `_` and `-`.
    pub name: String,
    /// Service version.
    pub version: Option<String>,
    /// Environment.
    pub environment: Option<String>,
    /// Name of this instance among others of the service (`service.node.configured_name`).
    pub node_name: Option<String>,
    /// `go`, `nodejs`, `dotnet`, or `ebpf-<language>`/`ebpf` for the rest: what Kibana keys its pages on.
    pub agent_name: String,
    /// Language and its version.
    pub language: Option<(String, Option<String>)>,
    /// Run time and its version.
    pub runtime: Option<(String, String)>,
    /// Web framework and its version.
    pub framework: Option<(String, String)>,
    /// Process.
    pub process: ProcessInfo,
    /// Host.
    pub host: HostInfo,
    /// Container id.
    pub container_id: Option<String>,
    /// Kubernetes pod.
    pub kubernetes: Option<KubernetesInfo>,
    /// Global labels.
    pub labels: Vec<(String, String)>,
}

/// The process of a service instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProcessInfo {
    /// Process id in the process's own pid namespace.
    pub pid: u32,
    /// Parent's id, when it is known.
    pub ppid: Option<u32>,
    /// Executable's path or process title.
    pub title: Option<String>,
    /// Arguments.
    pub argv: Vec<String>,
}

/// The host of a service instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HostInfo {
    /// `amd64`, `x64`: as the agent of the run time writes it.
    pub architecture: String,
    /// `linux`
    pub platform: String,
    /// Host name set by the user.
    pub configured_hostname: Option<String>,
    /// Host name found.
    pub detected_hostname: Option<String>,
}

/// Kubernetes pod of a service instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KubernetesInfo {
    /// Namespace.
    pub namespace: Option<String>,
    /// Node's name.
    pub node_name: Option<String>,
    /// Pod's name.
    pub pod_name: Option<String>,
    /// Pod's uid.
    pub pod_uid: Option<String>,
}
