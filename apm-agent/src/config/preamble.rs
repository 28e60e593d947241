//! What the log says at the start: who we are and what was decided, with the origin of every value
//! (Elastic's agents' logging specification: always the first four options, of the others those that are not default).

use super::{Chosen, Origin};

/// Options that are told even when they are default.
const ALWAYS: [&str; 4] = ["server_url", "service_name", "service_version", "log_level"];

/// Lines of the preamble.
pub fn lines(version: &str, pid: u32, chosen: &[Chosen]) -> Vec<String> {
    let first = format!(
        "apm-agent {version} (pid {pid}, {} {}{})",
        std::env::consts::OS,
        std::env::consts::ARCH,
        kernel_release().map(|release| format!(", kernel {release}")).unwrap_or_default()
    );
    let told = |option: &&Chosen| ALWAYS.contains(&option.key) || option.origin != Origin::Default;
    let line = |option: &Chosen| match option.shown.as_str() {
        "" => format!("{} is not set", option.key),
        shown => format!("{}={shown:?} ({})", option.key, option.origin),
    };
    std::iter::once(first).chain(chosen.iter().filter(told).map(line)).collect()
}

/// Release of the running kernel, such as `6.1.0-18-amd64`.
pub fn kernel_release() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_four_and_what_is_not_default() {
        let option = |key, shown: &str, origin| Chosen { key, shown: shown.into(), origin };
        let chosen = [
            option("server_url", "", Origin::Default),
            option("api_key", "[REDACTED]", Origin::Environment("ELASTIC_APM_API_KEY")),
            option("max_queue_size", "8192", Origin::Default),
            option("log_level", "debug", Origin::Flag("log-level")),
        ];
        let lines = lines("1.2.3", 42, &chosen);
        assert!(lines[0].starts_with("apm-agent 1.2.3 (pid 42, linux"), "{}", lines[0]);
        assert_eq!(
            lines[1..],
            [
                "server_url is not set",
                "api_key=\"[REDACTED]\" (environment variable `ELASTIC_APM_API_KEY`)",
                "log_level=\"debug\" (flag `--log-level`)",
            ]
        );
    }
}
