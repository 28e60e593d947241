//! Questions seen while it is not known which answer is whose: joined late, or after a loss.
//!
//! What is uncertain there is only the answer. Such a question is reported with its text and [`Ending::Lost`], without
//! rows and error, and ends with the answer that settles the doubt (the server is idle), at a gap or with the session:
//! its duration reaches up to there.

use super::flight::{Flight, Pending};
use super::framing::{Framer, Step};
use super::recognise::weigh_frontend;
use super::talk::Talk;
use crate::exchange::{Ending, Side, Signal, Stamp};
use crate::protocol::Evidence;

/// Most such questions; the oldest ends first.
const DOUBTED: usize = 1024;

impl Talk {
    /// The client speaks at an unknown place. Takes the questions if these are certainly whole messages, and returns
    /// how many bytes were not understood.
    ///
    /// Names of statements hold within this turn only: whether an earlier Parse succeeded is not known, but one that
    /// fails takes the rest of its turn with it.
    pub(super) fn doubt_turn(&mut self, bytes: &[u8], at: Stamp, signals: &mut Vec<Signal>) -> u64 {
        if weigh_frontend(bytes) != Evidence::Strong {
            return bytes.len() as u64;
        }
        let mut input = bytes;
        let mut rest = bytes.len();
        self.doubt(at, signals, |reader, signals| {
            let mut framer = Framer::new(Side::Client, true);
            while let Step::Message(message) = framer.step(&mut input, at) {
                reader.ask(&message, at, signals);
                rest = input.len();
            }
        });
        rest as u64
    }

    /// Lets `read` ask in a session of its own, and takes the questions from there.
    pub(super) fn doubt(
        &mut self,
        at: Stamp,
        signals: &mut Vec<Signal>,
        read: impl FnOnce(&mut Talk, &mut Vec<Signal>),
    ) {
        let certain = self.flight.take_queue();
        let mut reader = Talk { flight: std::mem::take(&mut self.flight), ..Talk::default() };
        read(&mut reader, signals);
        self.flight = reader.flight;
        self.flight.doubt_all(at, signals);
        self.flight.put_queue(certain);
    }

    /// An idle server has answered everything, also what is in doubt.
    pub(super) fn settle_doubt(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        if self.is_idle() {
            self.flight.finish_doubted(Ending::Lost, at, signals);
        }
    }
}

impl Flight {
    /// No answer can be told to belong to what is awaited.
    pub(super) fn doubt_all(&mut self, at: Stamp, signals: &mut Vec<Signal>) {
        self.answering = None;
        for awaited in self.take_queue() {
            if let Some(pending) = awaited.into_pending() {
                self.doubted.push_back(Pending { rows: None, error: None, ..*pending });
            }
            if self.doubted.len() > DOUBTED {
                self.finish_first_doubted(Ending::Lost, at, signals);
            }
        }
    }

    /// Ends every question in doubt.
    pub(super) fn finish_doubted(&mut self, ending: Ending, closed: Stamp, signals: &mut Vec<Signal>) {
        while !self.doubted.is_empty() {
            self.finish_first_doubted(ending, closed, signals);
        }
    }

    fn finish_first_doubted(&mut self, ending: Ending, closed: Stamp, signals: &mut Vec<Signal>) {
        // What comes in is the answer to another question, or not known to be the answer to this one.
        let answering = self.answering.take();
        if let Some(pending) = self.doubted.pop_front() {
            self.finish(pending, ending, closed, signals);
        }
        self.answering = answering;
    }
}
