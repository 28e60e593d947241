//! The Node.js service in as many processes as are compared: one that is watched, one that never is, and one with
//! Elastic's agent in it.

use anyhow::{Context as _, Result};
use apm_tests::{decoder::Decoder, express, node::Major, postgres::Postgres, process, programs::Program, redis::Redis};

use super::{
    AGENT_CORE,
    pair::Side,
    scenario::{PINNED, pinned_database},
};

/// The processes, on the load's core.
pub struct Shops {
    /// Our script is put into the one that is watched.
    pub bridge: bool,
    watched: Program,
    twin: Program,
    /// The process, and where its agent sends to.
    pub elastic: Option<(Program, Decoder)>,
    /// What they ask; ends with them.
    _stores: (Postgres, Redis),
}

impl Shops {
    /// Starts them; without the bridge there is nothing to compare Elastic's agent with.
    ///
    /// # Errors
    /// If one does not start.
    pub fn open(major: Major, bridge: bool) -> Result<Self> {
        let stores = (pinned_database(AGENT_CORE)?, Redis::start()?);
        process::pin(stores.1.pid(), AGENT_CORE)?;
        let start = |elastic: Option<&Decoder>| express::start_shop(&PINNED, major, (&stores.0, &stores.1), elastic);
        let decoder = bridge.then(Decoder::start).transpose()?;
        let elastic = match decoder {
            Some(decoder) => {
                process::pin(decoder.pid(), AGENT_CORE)?;
                Some((start(Some(&decoder))?, decoder))
            }
            None => None,
        };
        let (watched, twin) = (start(None)?, start(None)?);
        Ok(Self { bridge, watched, twin, elastic, _stores: stores })
    }

    /// Arguments of `apm-agent` that choose the one to be watched.
    pub fn selection(&self) -> Vec<String> {
        vec!["--pid".to_owned(), self.watched.pid().to_string(), format!("--node-bridge={}", self.bridge)]
    }

    /// One of them.
    ///
    /// # Errors
    /// If there is none with Elastic's agent.
    pub fn at(&self, side: Side) -> Result<&Program> {
        Ok(match side {
            Side::Bare => &self.twin,
            Side::Watched => &self.watched,
            Side::Elastic => &self.elastic.as_ref().context("Elastic's agent runs in none")?.0,
        })
    }
}
