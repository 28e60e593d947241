//! Putting the script into a process: one evaluate through its inspector, which is closed again on every path.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::{
    guard::{self, Refusal},
    inspector::{Inspector, Signalled, USUAL_PORT},
    script::Status,
    session::{Session, SessionError},
};
use crate::{
    kernel::{Diversion, Tools},
    process::Process,
    runtime::own::OwnConnections,
};

/// Where inspectors listen while we use them. An address of the loopback device that nobody else uses.
const PLACE: Ipv4Addr = Ipv4Addr::new(127, 66, 23, 9);

/// How often what may pass is tried, and the pause before each further time.
const ATTEMPTS: u32 = 4;
const AGAIN: Duration = Duration::from_secs(1);

/// Conversations tried before one attempt has failed: one in some hundreds of correct upgrades is answered by 400.
const CONVERSATIONS: u32 = 3;

/// Time after which a signal that opened nothing at the usual place opened it somewhere else, or not at all.
const USUAL_ANSWER: Duration = Duration::from_secs(3);

/// Longest time for which others of the network namespace wait where the kernel cannot move the inspector.
const LONGEST_TURN: Duration = Duration::from_secs(30);

/// Longest time until a worker has got the signal from its primary.
const WORKER_ANSWERS: Duration = Duration::from_secs(10);

/// Time for an inspector to close when we are to go.
const FAREWELL: Duration = Duration::from_secs(4);

/// Who is it?
const WHO: &str = "JSON.stringify({pid: process.pid, version: process.version})";

/// Why the script is not in the process.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// It was not tried.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The signal could not be sent.
    #[error("SIGUSR1 cannot be sent to it: {0}")]
    Signal(#[from] rustix::io::Errno),
    /// The signal opened no inspector.
    #[error("it opened no inspector on SIGUSR1")]
    Silent,
    /// The script would have nothing to hold on to.
    #[error("its loopback device cannot be listened on: {0}")]
    Lease(std::io::Error),
    /// The inspector cannot be talked to.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Somebody else answers.
    #[error("the inspector is that of process {found}, not of {wanted}")]
    Stranger {
        /// Process id that answers, in its own namespace.
        found: u64,
        /// The one that should.
        wanted: u32,
    },
    /// The script did not want to.
    #[error("the script is not in it: {0}")]
    Script(String),
    /// We were asked to go.
    #[error("it was left before it was reached")]
    Left,
}

impl AttachError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::Session(_) | Self::Silent)
    }
}

#[derive(Deserialize)]
struct Who {
    pid: u64,
    version: String,
}

/// What attaching needs.
pub struct Approach<'a> {
    /// The target. The calling thread is in its network namespace.
    pub process: &'a Process,
    /// The kernel's part.
    pub tools: &'a Tools,
    /// Where our connections are known.
    pub own: &'a Arc<OwnConnections>,
    /// We are asked to go.
    pub is_ending: &'a dyn Fn() -> bool,
}

impl Approach<'_> {
    /// Evaluates the script in the process.
    ///
    /// # Errors
    /// Why it is not in it.
    pub fn attach(&self, expression: &str) -> Result<Status, AttachError> {
        let mut attempt = 1;
        loop {
            match self.try_once(expression) {
                Err(error) if error.may_pass() && attempt < ATTEMPTS && !(self.is_ending)() => {
                    tracing::debug!(pid = self.process.pid, attempt, "{error}");
                    self.wait(AGAIN * attempt);
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn try_once(&self, expression: &str) -> Result<Status, AttachError> {
        guard::alone(self.process)?;
        if let Some(inspector) = Inspector::of_user(self.process, self.own) {
            return self.put(&inspector, expression);
        }
        let _family = Turn::take(Queue::Family(guard::eldest(self.process)));
        let diverted = self.tools.divert_inspector(self.process.pid, PLACE);
        let _turn = match &diverted {
            Ok(_) => None,
            Err(failure) => {
                tracing::debug!("inspectors open at their usual place, one at a time: {failure}");
                Some(Turn::take(Queue::Namespace(self.process.namespace("net").unwrap_or_default())))
            }
        };
        let workers = self.workers()?;
        let inspector = self.open(diverted.is_ok())?;
        tracing::debug!(pid = self.process.pid, "its inspector listens on {}", inspector.address());
        let outcome = self.put(&inspector, expression);
        for worker in workers {
            self.close_of_worker(worker);
        }
        outcome
    }

    /// Workers whose inspectors open with that of the process.
    fn workers(&self) -> Result<Vec<Worker>, Refusal> {
        let prepare = |process: Process| {
            match guard::look(&process, self.tools) {
                // It is told when it has started.
                Ok(()) | Err(Refusal::NotHandled) => {}
                Err(refusal) => {
                    return Err(Refusal::Worker { worker: process.pid, refusal: Box::new(refusal) });
                }
            }
            let diversion = self.tools.divert_inspector(process.pid, PLACE).ok();
            let signalled = Signalled::before(&process, diversion.as_ref().map(|_| PLACE));
            Ok(Worker { process, signalled, _diversion: diversion })
        };
        guard::workers(self.process).into_iter().map(prepare).collect()
    }

    fn close_of_worker(&self, mut worker: Worker) {
        let until = Instant::now() + WORKER_ANSWERS;
        while Instant::now() < until && still_there(&worker.process).is_ok() {
            if let Some(inspector) = worker.signalled.look(&worker.process, self.own) {
                return self.close(&inspector, None);
            }
        }
    }

    /// The inspector, by signal. A program that is blocked in a call of its own answers when that is over, so that we
    /// have to be there then.
    fn open(&self, diverted: bool) -> Result<Inspector<'_>, AttachError> {
        guard::look(self.process, self.tools)?;
        let begun = Instant::now();
        let mut signalled = Inspector::signal(self.process, diverted.then_some(PLACE))?;
        loop {
            if let Some(inspector) = signalled.look(self.process, self.own) {
                return Ok(inspector);
            }
            self.still_there()?;
            let waited = begun.elapsed();
            let elsewhere = if waited > USUAL_ANSWER { self.opened_before() } else { None };
            if let Some(inspector) = elsewhere {
                return Ok(inspector);
            }
            if !diverted && waited > LONGEST_TURN {
                return Err(AttachError::Silent);
            }
            if (self.is_ending)() && waited > FAREWELL {
                return Err(AttachError::Left);
            }
        }
    }

    /// One that the program opened itself, at the usual place: the signal opens no second one.
    fn opened_before(&self) -> Option<Inspector<'_>> {
        Inspector::on_port(self.process, self.own, USUAL_PORT)
    }

    fn put(&self, inspector: &Inspector<'_>, expression: &str) -> Result<Status, AttachError> {
        let (session, outcome) = match self.converse(inspector) {
            Ok(mut session) => {
                let outcome = self.evaluate(inspector, &mut session, expression);
                (Some(session), outcome)
            }
            Err(error) => (None, Err(error.into())),
        };
        self.close(inspector, session);
        outcome
    }

    fn converse(&self, inspector: &Inspector<'_>) -> Result<Session, SessionError> {
        let mut left = CONVERSATIONS;
        loop {
            left -= 1;
            match inspector.converse() {
                Err(_) if left > 0 => std::thread::sleep(Duration::from_millis(20)),
                outcome => return outcome,
            }
        }
    }

    fn evaluate(
        &self,
        inspector: &Inspector<'_>,
        session: &mut Session,
        expression: &str,
    ) -> Result<Status, AttachError> {
        let who: Who = read(session.evaluate(WHO)?)?;
        let wanted = self.process.status().and_then(|status| status.pid_inside).unwrap_or(self.process.pid);
        if who.pid != u64::from(wanted) {
            return Err(AttachError::Stranger { found: who.pid, wanted });
        }
        guard::major(who.version.trim_start_matches('v'))?;
        inspector.limit(session)?;
        let status: Status = read(session.evaluate_in_turn(expression)?)?;
        if status.ok { Ok(status) } else { Err(AttachError::Script(status.reason)) }
    }

    /// Nothing is left open, however long the program is blocked.
    fn close(&self, inspector: &Inspector<'_>, session: Option<Session>) {
        let begun = Instant::now();
        let mut session = session;
        let mut said = false;
        while !inspector.close(session.take()) {
            if self.still_there().is_err() {
                return;
            }
            if (self.is_ending)() && begun.elapsed() > FAREWELL {
                tracing::warn!(pid = self.process.pid, "its inspector is still open: the program does not answer");
                return;
            }
            if !said {
                said = true;
                tracing::info!(pid = self.process.pid, "its inspector does not close yet: the program is busy");
            }
        }
    }

    fn still_there(&self) -> Result<(), Refusal> {
        still_there(self.process)
    }

    fn wait(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !(self.is_ending)() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A worker of a cluster, before its inspector opens.
struct Worker {
    process: Process,
    signalled: Signalled,
    _diversion: Option<Diversion>,
}

fn still_there(process: &Process) -> Result<(), Refusal> {
    let now = crate::process::Proc::default().process(process.pid);
    let is_same = |now: &Process| now.stat().start_ticks == process.stat().start_ticks && !now.stat().is_zombie();
    if now.is_ok_and(|now| is_same(&now)) { Ok(()) } else { Err(Refusal::Gone) }
}

/// The JSON text that an expression gave back.
fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, SessionError> {
    let text = value.as_str().unwrap_or_default();
    serde_json::from_str(text).map_err(|error| SessionError::Nonsense(error.to_string()))
}

/// Who goes one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Queue {
    /// Processes of a network namespace whose inspectors would open at the same place.
    Namespace(u64),
    /// A cluster's primary and its workers, by the eldest process.
    Family(u32),
}

static TAKEN: Mutex<BTreeSet<Queue>> = Mutex::new(BTreeSet::new());
static FREED: Condvar = Condvar::new();

/// Whose turn it is; dropping it lets the next one.
struct Turn(Queue);

impl Turn {
    fn take(queue: Queue) -> Self {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = |taken: &mut BTreeSet<Queue>| taken.contains(&queue);
        let (mut taken, _) =
            FREED.wait_timeout_while(taken, LONGEST_TURN, is_taken).unwrap_or_else(PoisonError::into_inner);
        taken.insert(queue);
        Self(queue)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        FREED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_taken_one_after_the_other() {
        let first = Turn::take(Queue::Family(1));
        let _elsewhere = Turn::take(Queue::Namespace(1));
        let second = std::thread::spawn(|| {
            let _turn = Turn::take(Queue::Family(1));
        });
        std::thread::sleep(Duration::from_millis(20));
        assert!(!second.is_finished());
        drop(first);
        second.join().expect("its turn");
    }
}
