//! Replays the transcripts of every protocol: whole, byte by byte, split at random, with a gap, joined late, with an
//! answer before its question. `README.md` beside this file says how to add one.

mod replay;
mod script;
mod seeds;
mod truth;

use apm_agent::exchange::Signal;
use apm_agent::protocol::{Join, PROTOCOLS, Protocol, Verdict};
use replay::{check_pairing, exchanges, play, play_whole};
use script::{Script, Step};

/// Runs a check on every transcript and reports all that fail.
fn for_each_script(check: impl Fn(&dyn Protocol, &Script) -> Result<(), String>) {
    let mut failures = Vec::new();
    for protocol in PROTOCOLS {
        for script in script::scripts(protocol.name()) {
            if let Err(fault) = check(*protocol, &script) {
                failures.push(format!("{}/{}.txt: {fault}", protocol.name(), script.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Plays disturbed steps and compares with the whole replay. `what` names the disturbance in the message.
fn check_disturbed(
    protocol: &dyn Protocol,
    script: &Script,
    join: Join,
    steps: &[Step],
    what: &str,
) -> Result<(), String> {
    let whole = play_whole(protocol, script);
    let disturbed = play(protocol, join, steps, script.end());
    check_pairing(&disturbed)
        .and_then(|()| truth::check(&exchanges(&disturbed), &exchanges(&whole)))
        .map_err(|fault| format!("{what}: {fault}\nplayed:\n{}", script::write(steps)))
}

#[test]
fn played_whole_they_yield_the_reviewed_signals() {
    for_each_script(|protocol, script| {
        let signals = play_whole(protocol, script);
        check_pairing(&signals)?;
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(script::folder().join(protocol.name()));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_json_snapshot!(script.name.clone(), signals));
        Ok(())
    });
}

#[test]
fn cut_anywhere_they_yield_the_same() {
    for_each_script(|protocol, script| {
        check_split(protocol, script, "byte by byte", |_| 1)?;
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            // Short and long pieces alike: the exponent is drawn, not the length.
            let cut = |rest: usize| {
                let longest = rest.min(1 << random.u32(0..13));
                random.usize(1..=longest)
            };
            check_split(protocol, script, &format!("seed {seed}"), cut)?;
        }
        Ok(())
    });
}

/// Where bytes were missed, a write's beginning is evidence, so cuts may cost knowledge; elsewhere they change nothing.
fn check_split(
    protocol: &dyn Protocol,
    script: &Script,
    what: &str,
    cut: impl FnMut(usize) -> usize,
) -> Result<(), String> {
    let steps = replay::split(&script.steps, cut);
    if script.join == Join::Late || !script.is_gapless() {
        return check_pairing(&play(protocol, script.join, &steps, script.end()));
    }
    let whole = without_skips(play_whole(protocol, script));
    let cut = without_skips(play(protocol, script.join, &steps, script.end()));
    if whole == cut { Ok(()) } else { Err(format!("{what}: yields {cut:#?} instead of {whole:#?}")) }
}

/// Drops the counts of skipped bytes, which may be reported in one piece or in several.
fn without_skips(mut signals: Vec<Signal>) -> Vec<Signal> {
    signals.retain(|signal| !matches!(signal, Signal::Resynchronised { .. }));
    signals
}

#[test]
fn with_a_gap_they_yield_nothing_wrong() {
    for_each_script(|protocol, script| {
        for index in 0..script.steps.len() {
            let Some(steps) = replay::with_gap(&script.steps, index) else { continue };
            check_disturbed(protocol, script, script.join, &steps, &format!("gap in place of step {index}"))?;
        }
        Ok(())
    });
}

#[test]
fn with_many_gaps_they_yield_nothing_wrong() {
    for_each_script(|protocol, script| {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut steps = script.steps.clone();
            for index in 0..steps.len() {
                if random.u8(0..4) == 0 {
                    steps = replay::with_gap(&steps, index).unwrap_or(steps);
                }
            }
            if script.pipelined {
                check_pairing(&play(protocol, script.join, &steps, script.end()))?;
            } else {
                check_disturbed(protocol, script, script.join, &steps, &format!("many gaps, seed {seed}"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn joined_late_they_yield_nothing_wrong() {
    for_each_script(|protocol, script| {
        for missed in 0..script.steps.len() {
            let steps = &script.steps[missed..];
            if script.pipelined {
                check_pairing(&play(protocol, Join::Late, steps, script.end()))?;
            } else {
                check_disturbed(protocol, script, Join::Late, steps, &format!("joined after {missed} steps"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn with_an_early_answer_they_yield_nothing_wrong() {
    for_each_script(|protocol, script| {
        if script.join == Join::Late || !script.is_gapless() {
            return Ok(());
        }
        for index in 0..script.steps.len() {
            let Some(steps) = replay::with_early_answer(&script.steps, index) else { continue };
            check_disturbed(protocol, script, script.join, &steps, &format!("step {index} after its answer"))?;
        }
        Ok(())
    });
}

#[test]
fn they_are_recognised_by_their_protocol_alone() {
    for_each_script(|owner, script| {
        let client = script.stream_of(apm_agent::exchange::Side::Client);
        let server = script.stream_of(apm_agent::exchange::Side::Server);
        let verdict = owner.recognise(&client, &server, script.join);
        let wanted = if script.join == Join::Start { verdict == Verdict::Yes } else { verdict != Verdict::No };
        if !wanted {
            return Err(format!("its own protocol says {verdict:?}"));
        }
        for other in PROTOCOLS.iter().filter(|other| other.name() != owner.name()) {
            if other.recognise(&client, &server, script.join) == Verdict::Yes {
                return Err(format!("{} says Yes to it", other.name()));
            }
        }
        check_prefixes(owner, script, &client, &server)
    });
}

/// With fewer bytes the verdict may be open, never the opposite: `No` to a prefix would lose the connection.
fn check_prefixes(owner: &dyn Protocol, script: &Script, client: &[u8], server: &[u8]) -> Result<(), String> {
    for length in 0..client.len().min(300) {
        let verdict = owner.recognise(&client[..length], b"", script.join);
        if script.join == Join::Start && verdict == Verdict::No {
            return Err(format!("its own protocol says No to the client's first {length} bytes"));
        }
    }
    for length in 0..server.len().min(300) {
        if script.join == Join::Start && owner.recognise(client, &server[..length], script.join) == Verdict::No {
            return Err(format!("its own protocol says No to the server's first {length} bytes"));
        }
    }
    Ok(())
}

#[test]
fn every_protocol_has_all_its_pieces() {
    let mut missing = Vec::new();
    let targets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    for protocol in PROTOCOLS {
        let name = protocol.name();
        let pieces = [
            (
                "a name in lower case",
                !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')),
            ),
            ("a title", !protocol.title().is_empty()),
            ("a text of what it covers", !protocol.coverage().is_empty()),
            ("transcripts", script::scripts(name).len() >= 5),
            ("a fuzz target", targets.join(format!("{name}.rs")).is_file()),
        ];
        missing.extend(pieces.iter().filter(|(_, there)| !there).map(|(what, _)| format!("`{name}` lacks {what}")));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
