//! Names of routes.

/// temporary
pub fn of_controller(_values: &[(String, String)]) -> Option<String> {
    None
}
