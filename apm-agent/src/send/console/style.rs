//! Colours, or none.

use crate::build::Outcome;

/// Paints text for a terminal when it is to be coloured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub colored: bool,
}

impl Style {
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// Green, red or yellow.
    pub fn outcome(self, outcome: Outcome, text: &str) -> String {
        match outcome {
            Outcome::Success => self.paint("32", text),
            Outcome::Failure => self.red(text),
            Outcome::Unknown => self.paint("33", text),
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self.colored && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// Text from outside for a terminal: control characters would be obeyed by it, so they are shown as a middle dot.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '·' } else { character }).collect()
}
