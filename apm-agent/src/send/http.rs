//! The HTTP client: APM Server's two addresses an agent needs.

use std::{io, path::Path, time::Duration};

use ureq::{
    Agent, Error,
    http::{HeaderValue, Uri},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::{
    OutputError,
    trouble::{Failure, Trouble},
};
use crate::{config::Outputs, intake::AGENT_VERSION, metadata::ServiceInstance};

/// Most bytes read of an answer.
const ANSWER_BYTES: u64 = 64 * 1024;

/// Most characters of a server's words in a sentence of ours.
const CAUSE: usize = 300;

/// Where Linux distributions keep the roots an administrator trusts.
const SYSTEM_ROOTS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Talks to one server over kept-alive connections.
pub(super) struct Client {
    agent: Agent,
    base: String,
    /// The base for people: without user info.
    shown: String,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    loopback: bool,
}

/// Body of an answer to a stream.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Answer {
    accepted: u64,
    errors: Vec<AnswerError>,
    error: Option<serde_json::Value>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct AnswerError {
    message: String,
}

#[derive(serde::Deserialize)]
struct Information {
    version: Option<String>,
}

impl Client {
    /// A client for `server_url`. Nothing is sent yet.
    pub fn new(url: &str, outputs: &Outputs) -> Result<Self, OutputError> {
        let base = url.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|_| OutputError::ServerUrl(url.to_owned()))?;
        let host = uri.host().filter(|_| matches!(uri.scheme_str(), Some("http" | "https")));
        let host = host.ok_or_else(|| OutputError::ServerUrl(url.to_owned()))?.to_owned();
        let loopback = is_loopback(&host);
        let mut config = Agent::config_builder().http_status_as_error(false).max_redirects(0).tls_config(tls(outputs)?);
        if loopback {
            // A proxy of the environment means other machines.
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            shown: shown(&base),
            base,
            authorization: authorization(outputs)?,
            timeout: outputs.server_timeout,
            loopback,
        })
    }

    /// The server is on this machine: compressing for it is a waste.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The server's address, for people.
    pub fn url(&self) -> &str {
        &self.shown
    }

    /// Asks for the server's version. `None`: it is there and does not tell (without credentials it does not).
    pub fn version(&self, at_most: Duration) -> Result<Option<String>, Failure> {
        let mut request = self.agent.get(format!("{}/", self.base)).header("Accept", "application/json");
        if let Some(value) = &self.authorization {
            request = request.header("Authorization", value);
        }
        let timeout = self.timeout.min(at_most);
        let mut response = request.config().timeout_global(Some(timeout)).build().call().map_err(failure)?;
        let status = response.status().as_u16();
        if status >= 500 {
            return Err(Failure {
                trouble: Trouble::of_status(status),
                cause: format!("status {status}"),
                accepted: 0,
            });
        }
        let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec().unwrap_or_default();
        Ok(serde_json::from_slice(&body).ok().and_then(|information: Information| information.version))
    }

    /// Sends a stream.
    pub fn post(
        &self,
        body: &[u8],
        encoding: Option<&str>,
        instance: &ServiceInstance,
        at_most: Duration,
    ) -> Result<(), Failure> {
        let mut request = self
            .agent
            .post(format!("{}/intake/v2/events", self.base))
            .header("Content-Type", "application/x-ndjson")
            .header("Accept", "application/json");
        if let Ok(value) = HeaderValue::from_bytes(user_agent(instance).as_bytes()) {
            request = request.header("User-Agent", value);
        }
        if let Some(encoding) = encoding {
            request = request.header("Content-Encoding", encoding);
        }
        if let Some(value) = &self.authorization {
            request = request.header("Authorization", value);
        }
        let timeout = self.timeout.min(at_most);
        let mut response = request.config().timeout_global(Some(timeout)).build().send(body).map_err(failure)?;
        let status = response.status().as_u16();
        let answer = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec();
        match status {
            200..=299 => Ok(()),
            _ => Err(refusal(status, &answer.unwrap_or_default())),
        }
    }
}

/// Reads what a server says about a stream it did not take as a whole.
fn refusal(status: u16, body: &[u8]) -> Failure {
    let answer: Answer = serde_json::from_slice(body).unwrap_or_default();
    let message = answer.errors.into_iter().map(|error| error.message).find(|message| !message.is_empty());
    let message = message.or_else(|| answer.error.and_then(|error| Some(error.as_str()?.to_owned())));
    let cause = match message {
        Some(message) => format!("status {status}: {}", one_line(&message)),
        None => format!("status {status}"),
    };
    Failure { trouble: Trouble::of_status(status), cause, accepted: answer.accepted }
}

fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(CAUSE).collect()
}

fn failure(error: Error) -> Failure {
    let trouble = match &error {
        Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => Trouble::Unreachable,
        Error::Timeout(_) => Trouble::TimedOut,
        Error::HostNotFound | Error::ConnectionFailed => Trouble::Unreachable,
        Error::Tls(_) | Error::Rustls(_) | Error::Pem(_) => Trouble::Tls,
        Error::Io(error) => of_io(error),
        Error::Protocol(_) => Trouble::CutShort,
        _ => Trouble::Other,
    };
    Failure { trouble, cause: one_line(&error.to_string()), accepted: 0 }
}

fn of_io(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::NotFound => Trouble::Unreachable,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Trouble::TimedOut,
        io::ErrorKind::InvalidData => Trouble::Tls,
        _ => Trouble::CutShort,
    }
}

/// `apm-agent-ebpf/1.0.0 (shop 1.2)`: characters an HTTP comment cannot hold become `_` (RFC 9110 section 5.6.5).
pub(super) fn user_agent(instance: &ServiceInstance) -> String {
    let comment = |text: &str| -> String {
        let allowed = |character| matches!(character, '\t' | ' '..='\'' | '*'..='[' | ']'..='~' | '\u{80}'..);
        text.chars().map(|character| if allowed(character) { character } else { '_' }).collect()
    };
    let service = match instance.version.as_deref().filter(|version| !version.is_empty()) {
        Some(version) => format!("{} {}", comment(&instance.name), comment(version)),
        None => comment(&instance.name),
    };
    format!("apm-agent-ebpf/{AGENT_VERSION} ({service})")
}

/// `Authorization`: the API key wins over the secret token.
fn authorization(outputs: &Outputs) -> Result<Option<HeaderValue>, OutputError> {
    let present = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let text = match (present(&outputs.api_key), present(&outputs.secret_token)) {
        (Some(key), _) => format!("ApiKey {key}"),
        (None, Some(token)) => format!("Bearer {token}"),
        (None, None) => return Ok(None),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| OutputError::Credential)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn tls(outputs: &Outputs) -> Result<TlsConfig, OutputError> {
    let mut roots = Vec::new();
    if let Some(path) = &outputs.server_ca_cert_file {
        let unreadable = |cause: io::Error| OutputError::Certificates { path: path.clone(), cause };
        roots = certificates(path).map_err(unreadable)?;
        if roots.is_empty() {
            return Err(unreadable(io::Error::other("it holds no certificate in PEM form")));
        }
    }
    // What the machine trusts counts too; where it keeps no list, Mozilla's list in the program does.
    let system = SYSTEM_ROOTS.iter().find_map(|path| certificates(Path::new(path)).ok()).unwrap_or_default();
    let known = if roots.is_empty() && system.is_empty() {
        RootCerts::WebPki
    } else {
        roots.extend(system);
        RootCerts::new_with_certs(&roots)
    };
    Ok(TlsConfig::builder().root_certs(known).disable_verification(!outputs.verify_server_cert).build())
}

fn certificates(path: &Path) -> io::Result<Vec<Certificate<'static>>> {
    let pem = std::fs::read(path)?;
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        Ok(_) | Err(_) => None,
    };
    Ok(parse_pem(&pem).filter_map(certificate).collect())
}

/// Hosts for which agents do not compress.
fn is_loopback(host: &str) -> bool {
    matches!(host.trim_matches(['[', ']']), "localhost" | "127.0.0.1" | "::1" | "0:0:0:0:0:0:0:1")
}

fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host)),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent_for(name: &str, version: Option<&str>) -> String {
        let version = version.map(Into::into);
        user_agent(&ServiceInstance { name: name.into(), version, ..ServiceInstance::default() })
    }

    #[test]
    fn agrees_with_user_agent_feature() {
        let prefix = format!("apm-agent-ebpf/{AGENT_VERSION} ");
        assert_eq!(agent_for("myService", None), format!("{prefix}(myService)"));
        assert_eq!(agent_for("myService/()<>@", None), format!("{prefix}(myService/__<>@)"));
        let feature = include_str!("../../tests/data/gherkin/user_agent.feature");
        let rows = feature.lines().filter(|line| line.trim().starts_with("| myService  "));
        let mut checked = 0;
        for row in rows {
            let cells: Vec<&str> = row.trim().trim_matches('|').split('|').map(str::trim).collect();
            let [name, escaped_name, version, escaped_version] = cells[..] else { panic!("{row}") };
            assert_eq!(agent_for(name, Some(version)), format!("{prefix}({escaped_name} {escaped_version})"));
            checked += 1;
        }
        assert_eq!(checked, 2);
    }

    #[test]
    fn agrees_with_api_key_feature() {
        let value = |api_key: Option<&str>, secret_token: Option<&str>| {
            let (api_key, secret_token) = (api_key.map(Into::into), secret_token.map(Into::into));
            authorization(&Outputs { api_key, secret_token, ..Outputs::default() }).unwrap()
        };
        assert_eq!(value(Some("RTNxMjlXNEJt"), None).unwrap(), "ApiKey RTNxMjlXNEJt");
        assert_eq!(value(None, Some("secr3tT0ken")).unwrap(), "Bearer secr3tT0ken");
        assert_eq!(value(Some("MjlXNEJasdfDt"), Some("secr3tT0ken")).unwrap(), "ApiKey MjlXNEJasdfDt");
        assert_eq!(value(None, Some("")), None);
        let broken = Outputs { secret_token: Some("a\nb".into()), ..Outputs::default() };
        assert!(matches!(authorization(&broken), Err(OutputError::Credential)));
    }

    #[test]
    fn reads_refusals() {
        let body = br#"{"accepted":3,"errors":[{"message":"bad\nline","document":"x"}]}"#;
        let refused = refusal(400, body);
        assert_eq!((refused.trouble, refused.accepted), (Trouble::Invalid, 3));
        assert_eq!(refused.cause, "status 400: bad line");
        assert_eq!(refusal(503, b"<html>").cause, "status 503");
        assert_eq!(refusal(401, br#"{"error":"unauthorized"}"#).cause, "status 401: unauthorized");
    }

    #[test]
    fn refuses_addresses_that_are_none() {
        for url in ["", "localhost:8200", "ftp://x", "/path"] {
            assert!(matches!(Client::new(url, &Outputs::default()), Err(OutputError::ServerUrl(_))), "{url}");
        }
        let client = Client::new("http://user:secret@localhost:8200/apm/", &Outputs::default()).unwrap();
        assert_eq!((client.url(), client.is_loopback()), ("http://localhost:8200/apm", true));
        assert!(!Client::new("https://apm.example", &Outputs::default()).unwrap().is_loopback());
    }

    #[test]
    fn wants_certificates_in_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let with = |path: &Path| Outputs { server_ca_cert_file: Some(path.into()), ..Outputs::default() };
        assert!(matches!(tls(&with(file.path())), Err(OutputError::Certificates { .. })));
        assert!(matches!(tls(&with(Path::new("/nowhere"))), Err(OutputError::Certificates { .. })));
    }
}
