//! Agents that are already inside a process: whoever runs two gets everything twice.

use super::Subject;

/// Signs of an agent: where to look, what is there, whose it is.
const SIGNS: &[(Place, &str, &str)] = &[
    (Place::Variable("NODE_OPTIONS"), "elastic-apm-node", "Elastic's Node.js agent"),
    (Place::Variable("NODE_OPTIONS"), "@opentelemetry", "OpenTelemetry for Node.js"),
    (Place::Variable("NODE_OPTIONS"), "dd-trace", "Datadog's Node.js agent"),
    (Place::Variable("NODE_OPTIONS"), "newrelic", "New Relic's Node.js agent"),
    (Place::Argument, "elastic-apm-node", "Elastic's Node.js agent"),
    (Place::Argument, "@opentelemetry", "OpenTelemetry for Node.js"),
    (Place::Argument, "dd-trace", "Datadog's agent"),
    (Place::Variable("DOTNET_STARTUP_HOOKS"), "Elastic", "Elastic's .NET agent"),
    (Place::Variable("DOTNET_STARTUP_HOOKS"), "OpenTelemetry", "OpenTelemetry for .NET"),
    (Place::Variable("CORECLR_PROFILER"), "{FA65FE15-F085-4681-9B20-95E04F6C03CC}", "Elastic's .NET profiler"),
    (Place::Variable("CORECLR_PROFILER"), "{918728DD-259F-4A6A-AC2B-B85E1B658318}", "OpenTelemetry's .NET profiler"),
    (Place::Variable("JAVA_TOOL_OPTIONS"), "-javaagent", "a Java agent"),
    (Place::Argument, "-javaagent:", "a Java agent"),
    (Place::Argument, "opentelemetry-instrument", "OpenTelemetry for Python"),
    (Place::Argument, "elasticapm-run", "Elastic's Python agent"),
    (Place::Mapped, "elastic_apm_profiler", "Elastic's .NET profiler"),
    (Place::Mapped, "elastic-otel", "Elastic's OpenTelemetry agent"),
    (Place::Mapped, "liboneagent", "Dynatrace's agent"),
    (Place::Mapped, "newrelic", "New Relic's agent"),
];

#[derive(Clone, Copy, Debug)]
enum Place {
    Variable(&'static str),
    Argument,
    Mapped,
}

/// One sentence for each agent that shows itself.
pub fn present(subject: &Subject) -> Vec<String> {
    let mut found: Vec<String> = SIGNS.iter().filter_map(|sign| sentence(subject, *sign)).collect();
    found.dedup();
    found
}

fn sentence(subject: &Subject, (place, text, owner): (Place, &str, &str)) -> Option<String> {
    let sign = match place {
        Place::Variable(name) => {
            subject.environ.get(name).filter(|value| value.contains(text)).map(|_| format!("variable `{name}`"))
        }
        Place::Argument => {
            subject.arguments.iter().any(|word| word.contains(text)).then(|| format!("argument `{text}`"))
        }
        Place::Mapped => {
            let file = subject.mapped.iter().find(|file| file.to_string_lossy().contains(text));
            file.map(|file| format!("mapped file `{}`", file.display()))
        }
    };
    sign.map(|sign| format!("{owner} ({sign})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Environ;

    #[test]
    fn shows_what_is_inside() {
        let mut subject = Subject::of_binary(std::path::Path::new("/proc/self/exe")).expect("readable");
        assert_eq!(present(&subject), Vec::<String>::new());
        subject.environ = Environ::parse(b"NODE_OPTIONS=-r elastic-apm-node/start\0");
        subject.arguments = vec!["java".into(), "-javaagent:/x.jar".into()];
        subject.mapped = vec!["/opt/libelastic_apm_profiler.so".into()];
        assert_eq!(
            present(&subject),
            [
                "Elastic's Node.js agent (variable `NODE_OPTIONS`)",
                "a Java agent (argument `-javaagent:`)",
                "Elastic's .NET profiler (mapped file `/opt/libelastic_apm_profiler.so`)",
            ]
        );
    }
}
