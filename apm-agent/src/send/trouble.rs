//! What can go wrong with APM Server, in sentences: said once for each kind until it works again.

use std::collections::BTreeSet;

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// No connection.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// The connection ended before the answer.
    CutShort,
    /// TLS could not be agreed on.
    Tls,
    /// 400, with events that were refused.
    Invalid,
    /// 401
    Unauthorised,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 413
    TooLarge,
    /// 429
    RateLimited,
    /// 503
    Unavailable,
    /// Any other status.
    Other,
}

impl Trouble {
    pub fn of_status(status: u16) -> Self {
        match status {
            400 => Trouble::Invalid,
            401 => Trouble::Unauthorised,
            403 => Trouble::Forbidden,
            404 | 405 => Trouble::NotFound,
            413 => Trouble::TooLarge,
            429 => Trouble::RateLimited,
            503 => Trouble::Unavailable,
            _ => Trouble::Other,
        }
    }

    /// The server may be gone: ask for it before the next events are risked.
    pub fn is_absence(self) -> bool {
        matches!(
            self,
            Trouble::Unreachable | Trouble::TimedOut | Trouble::CutShort | Trouble::Tls | Trouble::Unavailable
        )
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Trouble::Unreachable => ("cannot be reached", "Check `server_url`, and that the server runs."),
            Trouble::TimedOut => ("did not answer in time", "Check the server's load, or raise `server_timeout`."),
            Trouble::CutShort => {
                ("closed the connection without an answer", "Check the server's log, and proxies before it.")
            }
            Trouble::Tls => (
                "offers no TLS connection we trust",
                "Name its certificate authority with `server_ca_cert_file`, or check that `server_url` means https.",
            ),
            Trouble::Invalid => {
                ("refused events as invalid", "Please report this: the agent should not make such events.")
            }
            Trouble::Unauthorised => ("does not accept our credentials", "Check `secret_token` or `api_key`."),
            Trouble::Forbidden => {
                ("forbids us to send events", "Check the privileges of `api_key`, or the server's anonymous access.")
            }
            Trouble::NotFound => (
                "knows no intake at this address",
                "Check that `server_url` is an APM Server, without a path of its own.",
            ),
            Trouble::TooLarge => (
                "refused a request as too large",
                "Lower `api_request_size`, or raise the limit of proxies before the server.",
            ),
            Trouble::RateLimited => {
                ("limits our rate", "Set `secret_token` or `api_key`, or lower `transaction_sample_rate`.")
            }
            Trouble::Unavailable => {
                ("is overloaded or shutting down", "Check the server's queue and its Elasticsearch.")
            }
            Trouble::Other => ("answered with an error", "Check the server's log."),
        }
    }
}

/// A request that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub trouble: Trouble,
    /// The cause, as the system or the server words it.
    pub cause: String,
    /// Events the server took all the same.
    pub accepted: u64,
}

impl Failure {
    /// Says what happened, why, and what to do.
    pub fn sentence(&self, url: &str) -> String {
        let (what, remedy) = self.trouble.words();
        let cause = if self.cause.is_empty() { String::new() } else { format!(" ({})", self.cause) };
        let events = match self.trouble.is_absence() {
            true => "events wait in the queue, and what does not fit is dropped and counted",
            false => "events of such a request are lost, and counted",
        };
        format!("APM Server at {url} {what}{cause}; {events}. {remedy}")
    }
}

/// Which failures have been told.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeSet<Trouble>);

impl Told {
    /// The failure is new.
    pub fn is_new(&mut self, trouble: Trouble) -> bool {
        self.0.insert(trouble)
    }

    /// It works: absence may be told again. `true` when there was any to take back.
    pub fn recover(&mut self) -> bool {
        let before = self.0.len();
        self.0.retain(|trouble| !trouble.is_absence());
        self.0.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_why_and_what_to_do() {
        let failure = Failure { trouble: Trouble::Unreachable, cause: "connection refused".into(), accepted: 0 };
        assert_eq!(
            failure.sentence("http://127.0.0.1:8200"),
            "APM Server at http://127.0.0.1:8200 cannot be reached (connection refused); events wait in the queue, and what \
             does not fit is dropped and counted. Check `server_url`, and that the server runs."
        );
        for status in [400, 401, 403, 404, 413, 429, 500, 503] {
            let failure = Failure { trouble: Trouble::of_status(status), cause: String::new(), accepted: 0 };
            let sentence = failure.sentence("u");
            assert!(sentence.ends_with('.') && !sentence.contains("()"), "{sentence}");
        }
    }

    #[test]
    fn tells_once_until_it_works_again() {
        let mut told = Told::default();
        assert!(told.is_new(Trouble::Unreachable));
        assert!(!told.is_new(Trouble::Unreachable));
        assert!(told.is_new(Trouble::Invalid));
        assert!(told.recover());
        assert!(!told.recover());
        assert!(told.is_new(Trouble::Unreachable));
        assert!(!told.is_new(Trouble::Invalid), "one wrong event among good ones is told once");
    }
}
