//! Requests that their run time names.

use super::Tracer;

impl Tracer {
    /// The run time of `pid` begins to handle a request that came on a connection.
    pub fn request_handled(&mut self, pid: u32, name: u64, connection: u64) {
        let found = self.requests.names.handled((pid, name), connection);
        match found.and_then(|key| self.requests.get_mut(key)) {
            Some(request) => {
                request.name = name;
                self.counters.requests_named += 1;
            }
            None => self.counters.requests_unplaced += 1,
        }
    }

    /// The route of a request is known: the pattern of Go's `ServeMux`, `[METHOD ][HOST]/[PATH]`. Elastic's names have the
    /// method in front anyway, and no host.
    pub fn request_routed(&mut self, pid: u32, name: u64, pattern: &str) {
        let Some(key) = self.requests.names.get((pid, name)) else { return };
        if let (Some(request), Some(path)) = (self.requests.get_mut(key), pattern.find('/')) {
            request.route = pattern.get(path..).map(str::to_owned);
        }
    }
}
