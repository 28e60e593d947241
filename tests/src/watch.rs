//! Watching targets and sending what is seen to Elastic's decoder: what nearly every test does.

use anyhow::Result;

use crate::{
    agent::{Agent, Ended},
    decoder::Decoder,
    documents::Documents,
};

/// An agent that watches, and the decoder it sends to.
#[derive(Debug)]
pub struct Watch {
    agent: Agent,
    decoder: Decoder,
}

/// What came of it.
#[derive(Debug)]
pub struct Seen {
    /// Decoded documents; none was refused.
    pub documents: Documents,
    /// What the agent printed and counted.
    pub agent: Ended,
}

impl Watch {
    /// Watches with these arguments of `apm-agent run`, and waits until it does.
    ///
    /// # Errors
    /// If agent or decoder do not start.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let decoder = Decoder::start()?;
        let mut all = vec!["--server-url".to_owned(), decoder.url()];
        all.extend(arguments.iter().map(ToString::to_string));
        Ok(Self { agent: Agent::run(&all)?, decoder })
    }

    /// Watches one process and what it forks.
    ///
    /// # Errors
    /// Like [`Watch::start`].
    pub fn process(pid: u32) -> Result<Self> {
        Self::start(&["--pid", &pid.to_string()])
    }

    /// The agent's process id.
    pub fn pid(&self) -> u32 {
        self.agent.pid()
    }

    /// The agent.
    pub fn agent(&mut self) -> &mut Agent {
        &mut self.agent
    }

    /// What the decoder has got so far.
    ///
    /// # Errors
    /// If it refused an event.
    pub fn documents(&self) -> Result<Documents> {
        self.decoder.documents()
    }

    /// Kills the agent, which can do nothing any more.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub fn kill(self) -> Result<()> {
        self.agent.kill()
    }

    /// Ends the agent, which flushes, and returns what the decoder has got.
    ///
    /// # Errors
    /// If the agent ends badly or the decoder refused an event.
    pub fn finish(self) -> Result<Seen> {
        let agent = self.agent.stop()?;
        let documents = self.decoder.documents()?;
        Ok(Seen { documents, agent })
    }
}
