//! The lease: a connection that the script holds to us. When it ends, however we end, the script undoes all it did within
//! a second; the same connection takes commands.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::runtime::own::{Own, OwnConnections};

/// Most connections held: one for each thread of the process that runs JavaScript.
const MOST: usize = 256;

/// Pause between two looks whether the script has hung up.
const AGAIN: Duration = Duration::from_millis(5);

/// Holds the script's connections.
pub struct Lease {
    listener: TcpListener,
    holders: Vec<TcpStream>,
    _own: Own,
}

impl Lease {
    /// Begins to listen on the loopback device of the calling thread's network namespace, which is that of `pid`.
    ///
    /// # Errors
    /// When there is no such device, or no port.
    pub fn open(pid: u32, own: &Arc<OwnConnections>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, holders: Vec::new(), _own: own.add(pid, port) })
    }

    /// Port the script is to connect to.
    ///
    /// # Errors
    /// When the socket is broken.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Takes in new connections and lets go of those that ended; the number of those held.
    pub fn tend(&mut self) -> usize {
        while self.holders.len() < MOST
            && let Ok((stream, _)) = self.listener.accept()
        {
            if stream.set_nonblocking(true).is_ok() && stream.set_nodelay(true).is_ok() {
                self.holders.push(stream);
            }
        }
        self.holders.retain_mut(is_held);
        self.holders.len()
    }

    /// Tells the script to undo everything, and waits until it has hung up; false when it has not in time.
    pub fn end(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        self.tend();
        for holder in &mut self.holders {
            let _ = holder.write_all(b"detach\n");
        }
        while self.tend() > 0 {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(AGAIN);
        }
        true
    }
}

/// The other end is still there. It has nothing to say; what it says is thrown away, a little at a time.
fn is_held(holder: &mut TcpStream) -> bool {
    match holder.read(&mut [0; 256]) {
        Ok(read) => read > 0,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::BufRead as _, io::BufReader, thread};

    use super::*;

    #[test]
    fn a_holder_is_told_and_waited_for() {
        let mut lease = Lease::open(1, &Arc::default()).expect("a loopback device");
        assert_eq!(lease.tend(), 0);
        let script = TcpStream::connect((Ipv4Addr::LOCALHOST, lease.port().expect("bound"))).expect("connected");
        let told = thread::spawn(move || {
            let mut command = String::new();
            BufReader::new(script).read_line(&mut command).expect("told");
            command
        });
        while lease.tend() == 0 {}
        assert!(lease.end(Duration::from_secs(10)));
        assert_eq!(told.join().expect("it ended"), "detach\n");
    }

    #[test]
    fn a_holder_that_does_not_listen_is_not_waited_for() {
        let mut lease = Lease::open(1, &Arc::default()).expect("a loopback device");
        let script = TcpStream::connect((Ipv4Addr::LOCALHOST, lease.port().expect("bound"))).expect("connected");
        while lease.tend() == 0 {}
        assert!(!lease.end(Duration::from_millis(20)));
        drop(script);
        while lease.tend() > 0 {}
    }
}
