//! The environment a process was started with.

/// Variables of a process, at most 1 MiB of them. Later changes by the process itself are not seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environ {
    variables: Vec<(String, String)>,
}

impl Environ {
    /// Reads `NAME=value` texts that end with NUL.
    pub fn parse(bytes: &[u8]) -> Self {
        let variables = bytes.split(|byte| *byte == 0).filter_map(|text| {
            let text = String::from_utf8_lossy(text);
            let (name, value) = text.split_once('=')?;
            Some((name.to_string(), value.to_string()))
        });
        Self { variables: variables.collect() }
    }

    /// A variable that is set and not empty; the first one counts, as with getenv(3).
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim())?;
        (!value.is_empty()).then_some(value)
    }

    /// A key of `OTEL_RESOURCE_ATTRIBUTES` (`key=value,key=value`, values percent-encoded as in W3C Baggage).
    pub fn resource_attribute(&self, key: &str) -> Option<String> {
        let pairs = self.get("OTEL_RESOURCE_ATTRIBUTES")?;
        let value = pairs.split(',').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            (name.trim() == key).then(|| percent_decode(value.trim()))
        })?;
        (!value.is_empty()).then_some(value)
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let decoded = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match decoded {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_variables() {
        let environ = Environ::parse(b"A=1\0B=x=y\0EMPTY=\0no equals\0A=2\0\xff=\xfe\0");
        assert_eq!(environ.get("A"), Some("1"));
        assert_eq!(environ.get("B"), Some("x=y"));
        assert_eq!(environ.get("EMPTY"), None);
        assert_eq!(environ.get("C"), None);
    }

    #[test]
    fn reads_resource_attributes() {
        let environ = Environ::parse(b"OTEL_RESOURCE_ATTRIBUTES=service.name=my%20shop, service.version = 1.2%,x\0");
        assert_eq!(environ.resource_attribute("service.name").as_deref(), Some("my shop"));
        assert_eq!(environ.resource_attribute("service.version").as_deref(), Some("1.2%"));
        assert_eq!(environ.resource_attribute("x"), None);
    }
}
