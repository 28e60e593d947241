//! The script for Node.js alone, in each major, with what it tells read by the agent's own reader.

use anyhow::{Context as _, Result, ensure};
use apm_agent::{
    bridge::{Context, RequestEnded, Route, Said, SpanEnded, Threw},
    runtime::node::{
        Telling,
        script::{self, ScriptSettings},
    },
};
use apm_tests::{
    node::{self, Libraries, Major, Ran, Scenario},
    postgres::Postgres,
    turn::{self, Need},
};
use serde_json::Value;

mod aws;
mod calls;
mod databases;
mod graphql;
mod harm;
mod kafka;
mod routes;
mod settings;
mod truth;

const NEEDS: &[Need] = &[Need::NodeMajors];

/// Runs a test in every major with every set of libraries that runs in it, when they are installed.
fn on_each(test: impl Fn(Major, Libraries) -> Result<()>) -> Result<()> {
    if !turn::can_run(NEEDS) {
        return Ok(());
    }
    for major in Major::ALL {
        let newer = (major >= Major(20)).then_some(Libraries::Newer);
        for libraries in [Some(Libraries::Older), newer].into_iter().flatten() {
            test(major, libraries).with_context(|| format!("Node.js {} with {libraries:?} libraries", major.0))?;
        }
    }
    Ok(())
}

/// Runs a test in every major, and with libraries in one file in some.
fn on_each_and_bundled(test: impl Fn(Major, Libraries) -> Result<()>) -> Result<()> {
    on_each(&test)?;
    on_bundles(test)
}

/// Runs a test with libraries in one file, in an old major and in a new one.
fn on_bundles(test: impl Fn(Major, Libraries) -> Result<()>) -> Result<()> {
    if !turn::can_run(NEEDS) {
        return Ok(());
    }
    for (major, libraries) in [(18, Libraries::BundledOlder), (24, Libraries::BundledNewer)] {
        test(Major(major), libraries).with_context(|| format!("Node.js {major} with {libraries:?} libraries"))?;
    }
    Ok(())
}

/// Runs a test with the newest libraries, in the majors that all of them run in.
fn on_newest(test: impl Fn(Major, Libraries) -> Result<()>) -> Result<()> {
    if !turn::can_run(NEEDS) {
        return Ok(());
    }
    for major in Major::ALL.into_iter().filter(|major| *major >= Major(22)) {
        test(major, Libraries::Newest).with_context(|| format!("Node.js {} with the newest libraries", major.0))?;
    }
    Ok(())
}

/// A scenario with the script, which tells everything.
fn with_script(name: &str, major: Major, libraries: Libraries) -> Result<Scenario> {
    with_settings(name, major, libraries, ScriptSettings { all_facts: true, ..ScriptSettings::default() })
}

fn with_settings(name: &str, major: Major, libraries: Libraries, settings: ScriptSettings) -> Result<Scenario> {
    let scenario = Scenario::new(name, major, libraries)?;
    let settings = ScriptSettings { output: Some(scenario.output()), ..settings };
    scenario.expression(&script::expression(&settings))
}

/// What a script told.
struct Told(Vec<Said>);

impl Told {
    fn by(ran: &Ran) -> Result<Self> {
        let (mut telling, mut told) = (Telling::default(), Vec::new());
        for batch in node::batches(&ran.records)? {
            telling.told(batch, &mut |_, said| told.push(said));
        }
        ensure!(telling.lost == 0, "{} records lost", telling.lost);
        Ok(Self(told))
    }

    fn requests(&self) -> impl Iterator<Item = &RequestEnded> {
        self.0.iter().filter_map(|said| if let Said::RequestEnded(ended) = said { Some(&**ended) } else { None })
    }

    fn spans(&self) -> impl Iterator<Item = &SpanEnded> {
        self.0.iter().filter_map(|said| if let Said::SpanEnded(ended) = said { Some(&**ended) } else { None })
    }

    fn errors(&self) -> impl Iterator<Item = &Threw> {
        self.0.iter().filter_map(|said| if let Said::Threw(threw) = said { Some(&**threw) } else { None })
    }

    /// The request for this target.
    fn request(&self, target: &str) -> Result<&RequestEnded> {
        let fits = |request: &&RequestEnded| request.facts.as_ref().is_some_and(|facts| facts.target == target);
        self.requests().find(fits).with_context(|| format!("no request for {target} was told"))
    }

    /// The calls made in the request for this target.
    fn calls(&self, target: &str) -> Result<Vec<&SpanEnded>> {
        let context = self.request(target)?.context.context("requests have a context")?;
        let within =
            |span: &&SpanEnded| span.context.trace == context.trace && span.context.parent == Some(context.span);
        Ok(self.spans().filter(within).collect())
    }

    /// A call was told before the request with this context, which can count it then.
    fn is_before(&self, call: &SpanEnded, request: Context) -> bool {
        let at = |is: &dyn Fn(&Said) -> bool| self.0.iter().position(is);
        let ended = at(&|said| matches!(said, Said::SpanEnded(span) if span.context == call.context));
        ended < at(&|said| matches!(said, Said::RequestEnded(ended) if ended.context == Some(request)))
    }

    /// The errors in the request for this target.
    fn errors_in(&self, target: &str) -> Result<Vec<&Threw>> {
        let context = self.request(target)?.context.context("requests have a context")?;
        Ok(self.errors().filter(|threw| threw.context == Some(context)).collect())
    }
}

fn attribute<'a>(span: &'a SpanEnded, name: &str) -> &'a str {
    span.attributes.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
}

fn route(request: &RequestEnded) -> &str {
    match &request.route {
        Some(Route::Named(name)) => name,
        _ => "",
    }
}

/// Codes of the errors a call ended with.
fn codes_of<'a>(told: &'a Told, call: &SpanEnded) -> Vec<&'a str> {
    let errors = told.errors().filter(|threw| threw.context.is_some_and(|at| at.span == call.context.span));
    errors.map(|threw| threw.thrown.code.as_deref().unwrap_or_default()).collect()
}
