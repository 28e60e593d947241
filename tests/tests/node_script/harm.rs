//! What the script changes of a process: nothing that can be seen, and nothing that stays.

use super::*;

#[test]
fn nothing_is_left() -> Result<()> {
    on_each(|major, libraries| {
        let ran = with_script("nothing_left.js", major, libraries)?.succeed()?;
        ensure!(ran.result["ok"] == true, "{}", ran.output);
        Ok(())
    })
}

/// What was printed, whichever of the two outputs was read first.
fn lines(ran: &Ran) -> Vec<&str> {
    let mut lines: Vec<_> = ran.output.lines().collect();
    lines.sort_unstable();
    lines
}

/// Thrown, thrown as a text, rejected; and the first and last of these with the application's own handler.
#[test]
fn a_process_ends_as_it_would_and_its_error_is_told() -> Result<()> {
    on_each(|major, libraries| {
        if libraries == Libraries::Newer {
            // No library is used.
            return Ok(());
        }
        for (way, message, handled) in [
            ("throw", "thrown", false),
            ("text", "only a text", false),
            ("reject", "rejected", false),
            ("caught", "caught", true),
            ("heard", "heard", true),
        ] {
            let without = Scenario::new("errors.js", major, libraries)?.variable("WAY", way).run()?;
            let with = with_script("errors.js", major, libraries)?.variable("WAY", way).run()?;
            ensure!(without.status == with.status, "{way}: {} and {}", without.status, with.status);
            ensure!(lines(&without) == lines(&with), "{way}:\n{}\n{}", without.output, with.output);
            ensure!(without.status.success() == handled, "{way}: {}", without.output);
            let told = Told::by(&with)?;
            let errors: Vec<_> = told.errors().collect();
            let [threw] = errors[..] else { anyhow::bail!("{way}: {errors:?}") };
            ensure!(threw.thrown.message == message && threw.handled == handled, "{way}: {threw:?}");
            let context = threw.context.with_context(|| format!("{way}: it happened in a request"))?;
            if handled {
                ensure!(told.request("/boom")?.context == Some(context), "{way}: {context:?}");
            }
            if way != "text" {
                let culprit = threw.thrown.culprit.as_deref().unwrap_or_default();
                ensure!(culprit.contains("errors.js"), "{way}: {culprit}");
            }
        }
        Ok(())
    })
}
