//! Who listens at the other end of a Unix socket.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// Id of the process at the other end of a connected Unix socket: the one that called `listen` (`SO_PEERCRED`, unix(7)).
/// `None` when it is in no pid namespace that we see; rustix's own reader has no value for that.
///
/// # Errors
/// When the descriptor is no socket.
pub fn peer_pid(socket: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `credentials`, which has so many, and its length to `length`;
    // both live through the call, and a `ucred` of any bytes is valid.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u32::try_from(credentials.pid).ok().filter(|pid| *pid != 0))
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsFd, unix::net::UnixStream};

    use super::*;

    #[test]
    fn we_are_our_own_peer() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        assert_eq!(peer_pid(one.as_fd()).expect("a socket"), Some(std::process::id()));
        let file = std::fs::File::open("/dev/null").expect("there");
        assert!(peer_pid(file.as_fd()).is_err());
    }
}
