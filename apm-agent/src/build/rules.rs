//! The user's settings for documents, prepared once.

use super::wildcard::Wildcards;
use crate::config::Capture;

/// Settings of [`Capture`] that naming, ignoring and sanitising need, with patterns ready to match.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Keep HTTP headers.
    pub headers: bool,
    /// Name transactions by their path when no route is known.
    pub use_path_as_name: bool,
    /// Paths that give no transaction.
    pub ignore_urls: Wildcards,
    /// Names of headers and cookies whose values are hidden.
    pub sanitize: Wildcards,
    /// Names that fall together.
    pub name_groups: Wildcards,
}

impl Rules {
    /// Prepares the settings.
    pub fn new(capture: &Capture) -> Self {
        Self {
            headers: capture.headers,
            use_path_as_name: capture.use_path_as_name,
            ignore_urls: Wildcards::new(&capture.ignore_urls),
            sanitize: Wildcards::new(&capture.sanitize_field_names),
            name_groups: Wildcards::new(&capture.name_groups),
        }
    }
}
