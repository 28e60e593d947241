//! Why the kernel side cannot work, in sentences.

use thiserror::Error;

/// What went wrong between us and the kernel.
#[derive(Debug, Error)]
pub enum KernelFailure {
    /// Not root, or a capability is missing.
    #[error("the kernel refused {what}: {source}")]
    Refused {
        /// What we tried.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// No BTF.
    #[error("the kernel does not describe its structures: {path}: {source}")]
    NoBtf {
        /// File looked for.
        path: String,
        /// Why it could not be read.
        source: std::io::Error,
    },
    /// BTF without something we need.
    #[error("the kernel's type information has no `{member}`")]
    MissingMember {
        /// `struct.member`
        member: String,
    },
    /// BTF that cannot be understood.
    #[error("the kernel's type information cannot be read: {reason}")]
    BadBtf {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// tracefs cannot be reached.
    #[error("tracefs is not mounted and cannot be mounted: {0}")]
    NoTracefs(std::io::Error),
    /// aya's own errors.
    #[error("the kernel programs could not be loaded: {0}")]
    Load(String),
    /// A program could not be attached.
    #[error("program `{program}` could not be attached to `{hook}`: {reason}")]
    Attach {
        /// Program's name.
        program: &'static str,
        /// Tracepoint.
        hook: String,
        /// Why.
        reason: String,
    },
    /// Loaded and attached, but our own bytes did not come back.
    #[error("the kernel programs run but do not see what they should: {0}")]
    SelfTest(&'static str),
}

impl KernelFailure {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Refused { .. } => {
                "run as root, or with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_SYS_ADMIN; `apm-agent doctor` says which is missing"
            }
            Self::NoBtf { .. } => "use a kernel built with CONFIG_DEBUG_INFO_BTF=y (every distribution's since 5.10)",
            Self::MissingMember { .. } | Self::BadBtf { .. } | Self::SelfTest(_) => {
                "this kernel lays out its structures in a way the agent does not know; please report its release with the output of `apm-agent doctor`"
            }
            Self::NoTracefs(_) => "mount it: `mount -t tracefs nodev /sys/kernel/tracing`",
            Self::Load(_) | Self::Attach { .. } => "`apm-agent doctor` says what this kernel allows",
        }
    }

    /// A right is missing, rather than a feature.
    pub fn is_privilege(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}
