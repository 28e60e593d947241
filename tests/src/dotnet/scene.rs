//! .NET programs that one agent watches and listens to.

use std::{thread, time::Duration};

use anyhow::Result;

use crate::{
    documents::{Documents, text},
    http,
    programs::Program,
    wait,
    watch::{Seen, Watch},
};

/// Time between two looks at what the agent has sent.
const LOOK: Duration = Duration::from_millis(100);

/// Watched programs, and the agent.
#[derive(Debug)]
pub struct Scene {
    watch: Watch,
    programs: Vec<Program>,
}

/// What came of a scene.
#[derive(Debug)]
pub struct Played {
    /// Documents, and what the agent printed and counted.
    pub seen: Seen,
    /// Documents of each program, in the order in which they were given.
    pub of: Vec<Documents>,
}

impl Scene {
    /// Watches programs, with further arguments of `apm-agent run`, and waits until the agent listens to each of them:
    /// a request for `/static` has the name that only the program knows. There may be several such requests.
    ///
    /// # Errors
    /// If agent or decoder do not start, or a program does not let itself be listened to.
    pub fn listening(programs: Vec<Program>, arguments: &[&str]) -> Result<Self> {
        let scene = Self::watching(programs, arguments)?;
        wait::until("the agent to listen to all programs", wait::PATIENCE, || scene.is_heard().ok()?.then_some(()))?;
        Ok(scene)
    }

    /// Watches programs that the agent cannot, or shall not, listen to.
    ///
    /// # Errors
    /// If agent or decoder do not start.
    pub fn watching(programs: Vec<Program>, arguments: &[&str]) -> Result<Self> {
        let pids: Vec<String> = programs.iter().map(|program| program.pid().to_string()).collect();
        let chosen = ["--api-request-time", "100ms"].into_iter().chain(pids.iter().flat_map(|pid| ["--pid", pid]));
        let watch = Watch::start(&chosen.chain(arguments.iter().copied()).collect::<Vec<_>>())?;
        Ok(Self { watch, programs })
    }

    /// The programs, in the order in which they were given.
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The agent and the decoder.
    pub fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    fn is_heard(&self) -> Result<bool> {
        for program in &self.programs {
            http::get(program.port(), "/static")?;
        }
        let documents = self.watch.documents()?;
        let named = |program: &Program| {
            let of_program = documents.of_process(program.pid());
            of_program.requests().any(|request| text(request, "transaction.name") == "GET /static")
        };
        let all = self.programs.iter().all(named);
        if !all {
            thread::sleep(LOOK);
        }
        Ok(all)
    }

    /// Ends the agent, then the programs.
    ///
    /// # Errors
    /// If the agent ends badly or the decoder refused an event.
    pub fn finish(self) -> Result<Played> {
        let seen = self.watch.finish()?;
        let of = self.programs.iter().map(|program| seen.documents.of_process(program.pid())).collect();
        Ok(Played { seen, of })
    }
}
