//! What is sent of ASP.NET Core programs that know nothing of the agent, on .NET 8 and 10: decoded by Elastic's own
//! decoder and compared with what its .NET agent is specified to send (`../shared/reference/elastic-spec.md`). Where
//! the documents differ on purpose, a comment says so.

use anyhow::{Context as _, Result, ensure};
use apm_tests::{
    documents::{Documents, field, text},
    dotnet::{Framework, Web, scene::Scene},
    http,
    postgres::DEBIAN_FOLDER,
    programs::Program,
    turn::Need,
};
use serde_json::Value;

mod activities;
mod calls;
mod errors;
mod queries;
mod requests;
mod wire;

const NEEDS: &[Need] = &[Need::Dotnet, Need::File(DEBIAN_FOLDER)];

/// A trace that a caller began, and its span there.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Starts a program on each framework, in the order of [`Framework::ALL`].
fn start_on_each(prepare: impl Fn(Web) -> Web) -> Result<Vec<Program>> {
    Framework::ALL.into_iter().map(|framework| prepare(Web::on(framework)).start()).collect()
}

/// Ends a scene whose programs were started by [`start_on_each`], and looks at the documents of each.
fn on_each(scene: Scene, check: impl Fn(Framework, &Documents) -> Result<()>) -> Result<()> {
    let played = scene.finish()?;
    for (framework, documents) in Framework::ALL.into_iter().zip(&played.of) {
        check(framework, documents).context(framework.moniker())?;
    }
    Ok(())
}

/// Requests all paths of a program; each answers with its status.
fn ask(program: &Program, paths: &[(&str, u16)]) -> Result<()> {
    for (path, status) in paths {
        let answer = http::get(program.port(), path)?;
        ensure!(answer.status == *status, "{path}: {}\n{}", answer.status, program.output());
    }
    Ok(())
}

/// Compares fields, by dotted paths; `null` is a field that is not there.
fn expect(document: &Value, expected: &Value) -> Result<()> {
    for (path, wanted) in expected.as_object().context("an object of fields")? {
        let found = field(document, path).unwrap_or(&Value::Null);
        let equal = match (found.as_f64(), wanted.as_f64()) {
            (Some(found), Some(wanted)) => (found - wanted).abs() < 1e-9,
            _ => found == wanted,
        };
        ensure!(equal, "{path} is {found}, not {wanted}: {document}");
    }
    Ok(())
}

/// Everything below the request for `path`, in the order of time.
fn spans_of<'a>(documents: &'a Documents, path: &str) -> Result<Vec<&'a Value>> {
    let mut spans: Vec<&Value> = documents.spans_of(documents.request(path)?).collect();
    spans.sort_by_key(|span| field(span, "timestamp.us").and_then(Value::as_u64));
    Ok(spans)
}

/// The only span of the request for `path`, its child.
fn only_span<'a>(documents: &'a Documents, path: &str) -> Result<&'a Value> {
    let spans = spans_of(documents, path)?;
    let [span] = spans.as_slice() else { anyhow::bail!("{} spans of {path}: {spans:?}", spans.len()) };
    ensure!(text(span, "parent.id") == text(documents.request(path)?, "transaction.id"), "{span}");
    Ok(span)
}

/// Errors in the request for `path`.
fn errors_of<'a>(documents: &'a Documents, path: &str) -> Result<Vec<&'a Value>> {
    let id = text(documents.request(path)?, "transaction.id");
    Ok(documents.errors().filter(|error| text(error, "transaction.id") == id).collect())
}
