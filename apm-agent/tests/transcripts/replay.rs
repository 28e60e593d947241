//! Replays steps into a parser, whole or disturbed, and checks what every replay must keep.

use crate::script::{Event, Script, Step};
use apm_agent::exchange::{Exchange, Signal, Stamp};
use apm_agent::protocol::{Join, Protocol};

/// Plays the steps into a fresh conversation, then finishes it.
pub fn play(protocol: &dyn Protocol, join: Join, steps: &[Step], end: Stamp) -> Vec<Signal> {
    let mut conversation = protocol.conversation(join);
    let mut signals = Vec::new();
    for step in steps {
        match &step.event {
            Event::Feed { from, bytes } => conversation.feed(*from, bytes, step.at, &mut signals),
            Event::Gap { from, length } => conversation.gap(*from, *length, step.at, &mut signals),
            Event::Close { by } => conversation.close(*by, step.at, &mut signals),
        }
    }
    conversation.finish(end, &mut signals);
    signals
}

/// Plays a script as it was recorded.
pub fn play_whole(protocol: &dyn Protocol, script: &Script) -> Vec<Signal> {
    play(protocol, script.join, &script.steps, script.end())
}

/// Every `Opened` counts up from 0 and has exactly one `Done`; nothing else is done; a `Request` comes between.
pub fn check_pairing(signals: &[Signal]) -> Result<(), String> {
    let mut open: Vec<(u64, Stamp)> = Vec::new();
    let mut opened = 0;
    for signal in signals {
        match signal {
            Signal::Opened { serial, .. } if *serial != opened => {
                return Err(format!("opened {serial} after {opened}"));
            }
            Signal::Opened { serial, at } => {
                opened += 1;
                open.push((*serial, *at));
            }
            Signal::Request { serial, .. } if !open.iter().any(|(known, _)| known == serial) => {
                return Err(format!("request {serial} is not open"));
            }
            Signal::Done(exchange) => {
                let place = open.iter().position(|(serial, at)| (*serial, *at) == (exchange.serial, exchange.opened));
                open.remove(place.ok_or(format!("exchange {} is done but not open", exchange.serial))?);
            }
            _ => {}
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("never done: {open:?}")) }
}

/// The exchanges among the signals.
pub fn exchanges(signals: &[Signal]) -> Vec<&Exchange> {
    signals
        .iter()
        .filter_map(|signal| if let Signal::Done(exchange) = signal { Some(&**exchange) } else { None })
        .collect()
}

/// Replaces each feed by pieces; `cut` says how long the next piece is.
pub fn split(steps: &[Step], mut cut: impl FnMut(usize) -> usize) -> Vec<Step> {
    let mut pieces = Vec::new();
    for step in steps {
        let Event::Feed { from, bytes } = &step.event else {
            pieces.push(step.clone());
            continue;
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
            pieces.push(Step { at: step.at, event: Event::Feed { from: *from, bytes: piece.to_vec() } });
            rest = after;
        }
    }
    pieces
}

/// Replaces one feed by a gap of its length. `None`: the step is no feed.
pub fn with_gap(steps: &[Step], index: usize) -> Option<Vec<Step>> {
    let Event::Feed { from, bytes } = &steps[index].event else { return None };
    let mut changed = steps.to_vec();
    changed[index].event = Event::Gap { from: *from, length: bytes.len() as u64 };
    Some(changed)
}

/// Swaps a question with the answer that follows it. `None`: the steps are no such pair.
pub fn with_early_answer(steps: &[Step], index: usize) -> Option<Vec<Step>> {
    use apm_agent::exchange::Side::{Client, Server};
    let is_feed = |place: usize, side| {
        matches!(&steps.get(place)?.event, Event::Feed { from, .. } if *from == side).then_some(())
    };
    is_feed(index, Client)?;
    is_feed(index + 1, Server)?;
    let mut changed = steps.to_vec();
    changed.swap(index, index + 1);
    Some(changed)
}
