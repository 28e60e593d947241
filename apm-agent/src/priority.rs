//! Who goes first on a processor that many want.
//!
//! On a busy machine with many threads an ordinary thread is given too little of a processor to empty the kernel's buffer,
//! and events are lost, although few are enough to cause it. What the agent has to do is little, and has to be done
//! soon.

use rustix::process::{getpriority_process, setpriority_process};

/// Niceness of threads that must not wait; those of the target have 0, as a rule.
const EAGER: i32 = -10;

/// The calling thread, and threads it will start, go ahead of others. Who started the agent with a niceness of his own
/// keeps it; without `CAP_SYS_NICE` nothing changes.
pub fn go_ahead() {
    change(0, EAGER);
}

/// The calling thread is in no hurry: takes back [`go_ahead`].
pub fn take_turns() {
    change(EAGER, 0);
}

fn change(from: i32, to: i32) {
    // To the kernel "no process" is the calling thread (setpriority(2), "C library/kernel differences").
    if getpriority_process(None) == Ok(from)
        && let Err(error) = setpriority_process(None, to)
    {
        tracing::debug!("the priority stays at {from}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_goes_ahead_and_takes_turns_again() {
        let thread = std::thread::spawn(|| {
            go_ahead();
            let ahead = getpriority_process(None);
            take_turns();
            (ahead, getpriority_process(None))
        });
        let privileged = rustix::process::geteuid().is_root();
        let before = getpriority_process(None);
        let expected = if privileged && before == Ok(0) { Ok(EAGER) } else { before };
        assert_eq!(thread.join().expect("no panic"), (expected, before));
    }
}
