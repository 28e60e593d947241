//! When counters are told: at the end, on SIGUSR1, and every ten seconds to a file.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::Counters;
use crate::config::Reporting;

/// Time between two writings of the file.
const EVERY: Duration = Duration::from_secs(10);

/// Tells counters.
#[derive(Debug)]
pub struct Reporter {
    at_end: bool,
    file: Option<PathBuf>,
    next: Instant,
    asked: Arc<AtomicBool>,
    failed: bool,
}

impl Reporter {
    /// Listens for SIGUSR1 and writes the file for the first time, so that a wrong path is told at the start.
    ///
    /// # Errors
    /// When the file cannot be written or the signal cannot be listened for.
    pub fn start(settings: &Reporting) -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&asked))?;
        if let Some(path) = &settings.stats_file {
            write(path, &Counters::default())?;
        }
        Ok(Self {
            at_end: settings.stats,
            file: settings.stats_file.clone(),
            next: Instant::now() + EVERY,
            asked,
            failed: false,
        })
    }

    /// Tells what is due; cheap when nothing is. `collect` is called only then.
    pub fn tick(&mut self, now: Instant, collect: impl FnOnce() -> Counters) {
        let asked = self.asked.swap(false, Ordering::Relaxed);
        let due = self.file.is_some() && now >= self.next;
        if !asked && !due {
            return;
        }
        let counters = collect();
        if asked {
            print(&counters);
        }
        if due {
            self.next = now + EVERY;
            self.store(&counters);
        }
    }

    /// Tells the last counters.
    pub fn finish(mut self, counters: &Counters) {
        if self.at_end {
            print(counters);
        }
        self.store(counters);
    }

    fn store(&mut self, counters: &Counters) {
        let Some(path) = &self.file else { return };
        let result = write(path, counters);
        // Told once, not every ten seconds.
        if let (Err(error), false) = (&result, self.failed) {
            tracing::warn!("cannot write counters to `{}`: {error}", path.display());
        }
        self.failed = result.is_err();
    }
}

fn print(counters: &Counters) {
    let _ = write!(io::stderr(), "{}", counters.table());
}

/// Replaces the file as a whole: a reader sees the old counters or the new ones, never half of them.
fn write(path: &Path, counters: &Counters) -> io::Result<()> {
    let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(".new");
    let beside = path.with_file_name(name);
    fs::write(&beside, counters.json() + "\n")?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(value: u64) -> Counters {
        let mut counters = Counters::default();
        counters.add("a", value);
        counters
    }

    #[test]
    fn writes_when_due_and_at_the_end() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("stats.json");
        let settings = Reporting { stats: false, stats_file: Some(path.clone()) };
        let mut reporter = Reporter::start(&settings).expect("started");
        let read = || fs::read_to_string(&path).expect("written");
        assert_eq!(read(), "{}\n");
        reporter.tick(Instant::now(), || unreachable!("nothing is due"));
        reporter.tick(Instant::now() + EVERY, || counters(1));
        assert_eq!(read(), "{\n  \"a\": 1\n}\n");
        reporter.finish(&counters(2));
        assert_eq!(read(), "{\n  \"a\": 2\n}\n");
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_wrong_path_is_told_at_the_start() {
        let settings = Reporting { stats: false, stats_file: Some("/nonexistent/folder/stats.json".into()) };
        assert!(Reporter::start(&settings).is_err());
    }

    #[test]
    fn a_signal_asks() {
        let mut reporter = Reporter::start(&Reporting::default()).expect("started");
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::USR1).expect("sent");
        let mut told = false;
        crate::process::tests::wait_for(|| {
            reporter.tick(Instant::now(), || {
                told = true;
                Counters::default()
            });
            told.then_some(())
        });
    }
}
