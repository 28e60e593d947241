//! (a colleague's; this stands in until the merge)
/// Stand-in.
pub fn signature(statement: &str) -> String {
    statement.split_whitespace().next().unwrap_or_default().to_uppercase()
}
