//! Input of one side that waits for the other side: early answers, and what follows a request to upgrade.

use crate::exchange::Stamp;

/// Most bytes held, with [`ITEM_BYTES`] for each piece.
const HELD_BYTES: usize = 64 * 1024;

/// What a piece costs beside its bytes.
const ITEM_BYTES: usize = 64;

/// Something that passed.
pub enum Passed {
    Bytes(Vec<u8>),
    Gap(u64),
}

/// Held input, in order.
#[derive(Default)]
pub struct Held {
    items: Vec<(Stamp, Passed)>,
    cost: usize,
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes held, as counted against the cap.
    #[cfg(test)]
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Holds bytes. False: there is no room.
    pub fn push_bytes(&mut self, bytes: &[u8], at: Stamp) -> bool {
        // Pieces of one write are one item, so that small reads cost no more than large ones.
        let joins = matches!(self.items.last(), Some((stamp, Passed::Bytes(_))) if *stamp == at);
        if !self.pay(bytes.len() + if joins { 0 } else { ITEM_BYTES }) {
            return false;
        }
        match self.items.last_mut() {
            Some((_, Passed::Bytes(held))) if joins => held.extend_from_slice(bytes),
            _ => self.items.push((at, Passed::Bytes(bytes.to_vec()))),
        }
        true
    }

    /// Holds a gap. False: there is no room.
    pub fn push_gap(&mut self, length: u64, at: Stamp) -> bool {
        let paid = self.pay(ITEM_BYTES);
        if paid {
            self.items.push((at, Passed::Gap(length)));
        }
        paid
    }

    fn pay(&mut self, cost: usize) -> bool {
        if self.cost + cost > HELD_BYTES {
            return false;
        }
        self.cost += cost;
        true
    }

    /// Takes all that is held.
    pub fn take(&mut self) -> Vec<(Stamp, Passed)> {
        self.cost = 0;
        std::mem::take(&mut self.items)
    }

    /// Drops all that is held; says how many bytes.
    pub fn drop_all(&mut self) -> u64 {
        let size = |item: (Stamp, Passed)| if let Passed::Bytes(bytes) = item.1 { bytes.len() as u64 } else { 0 };
        self.take().into_iter().map(size).sum()
    }
}
