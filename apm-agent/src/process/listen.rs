//! Who listens where: `/proc/PID/net/tcp` and `tcp6` (proc_pid_net(5)), one table per network namespace.

use std::{
    io::BufRead,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// `TCP_LISTEN` of include/net/tcp_states.h.
const LISTEN: &str = "0A";

/// Longest table read, bytes.
const LONGEST: u64 = 1 << 20;

/// Listening TCP sockets of one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenTable {
    sockets: Vec<Socket>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

impl ListenTable {
    /// Reads the two files as far as they tell of listening sockets; lines that are not understood are left out.
    pub fn parse(tcp: impl BufRead, tcp6: impl BufRead) -> Self {
        Self { sockets: listening(tcp).chain(listening(tcp6)).collect() }
    }

    /// A connection that arrived at this address and port was accepted from a listening socket. A socket bound to
    /// `::` takes IPv4 connections too (unless `IPV6_V6ONLY`, which the file does not tell).
    pub fn listens(&self, port: u16, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.sockets.iter().any(|socket| {
            let own = socket.address.to_canonical();
            let fits = own == address
                || own == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
                || own == Ipv4Addr::UNSPECIFIED && address.is_ipv4();
            socket.port == port && fits
        })
    }

    /// Ports of the listening sockets among `inodes`, ascending.
    pub fn ports_of(&self, inodes: &[u64]) -> Vec<u16> {
        let held = self.sockets.iter().filter(|socket| inodes.contains(&socket.inode));
        let mut ports: Vec<u16> = held.map(|socket| socket.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// Address of the listening socket with this inode number.
    pub fn address_of(&self, inode: u64) -> Option<SocketAddr> {
        let socket = self.sockets.iter().find(|socket| socket.inode == inode)?;
        Some(SocketAddr::new(socket.address, socket.port))
    }

    /// Inode numbers of the sockets that listen on one of these ports.
    pub fn inodes_on(&self, ports: &[u16]) -> Vec<u64> {
        self.sockets.iter().filter(|socket| ports.contains(&socket.port)).map(|socket| socket.inode).collect()
    }
}

/// The kernel lists listening sockets first (`tcp_seq_start` of net/ipv4/tcp_ipv4.c). The others are not read: a server
/// that takes a connection for each request leaves tens of thousands in TIME_WAIT.
fn listening(table: impl BufRead) -> impl Iterator<Item = Socket> {
    let lines = table.take(LONGEST).lines().map_while(Result::ok);
    lines.take_while(|line| !is_other(line)).filter_map(|line| Socket::parse(&line))
}

/// A socket that does not listen; the head of the table is none.
fn is_other(line: &str) -> bool {
    line.split_ascii_whitespace()
        .nth(3)
        .is_some_and(|state| state.len() == LISTEN.len() && state != LISTEN && state != "st")
}

impl Socket {
    /// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if fields.get(3) != Some(&LISTEN) {
            return None;
        }
        let (address, port) = fields.get(1)?.split_once(':')?;
        Some(Self {
            address: read_address(address)?,
            port: u16::from_str_radix(port, 16).ok()?,
            inode: fields.get(9)?.parse().ok()?,
        })
    }
}

/// Addresses are printed as 32-bit words in the machine's byte order, each word in hex.
fn read_address(text: &str) -> Option<IpAddr> {
    let word = |index: usize| Some(u32::from_str_radix(text.get(index * 8..index * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for (index, target) in bytes.chunks_exact_mut(4).enumerate() {
                target.copy_from_slice(&word(index)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
         0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0\n   \
         1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0 0 10 0\n   \
         2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 333 1 0 20 4 30 10 -1\n";
    const TCP6: &str = "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A \
         00000000:00000000 00:00000000 00000000     0        0 444 1 0 100 0 0 10 0\nrubbish\n0: 0 0 0A\n";

    const OTHERS: &str = "0: 0100007F:1F90 0100007F:9C40 06 00:00 00:00 00 0 0 0 1\n\
        1: 0100007F:0051 0100007F:0000 0A 00:00 00:00 00 0 0 555 1\n";

    #[test]
    fn knows_addresses_ports_and_holders() {
        let table = ListenTable::parse(TCP.as_bytes(), TCP6.as_bytes());
        let listens = |port, address: &str| table.listens(port, address.parse().expect("address"));
        assert!(listens(8080, "127.0.0.1"));
        assert!(listens(8080, "::ffff:127.0.0.1"));
        assert!(!listens(8080, "10.0.0.1"));
        assert!(listens(22, "10.0.0.1"));
        assert!(!listens(22, "::1"));
        assert!(listens(80, "::1") && listens(80, "127.0.0.1"));
        assert!(!listens(40_000, "127.0.0.1"));
        assert_eq!(table.ports_of(&[111, 444, 333]), [80, 8080]);
        assert_eq!(table.address_of(111), Some(([127, 0, 0, 1], 8080).into()));
        assert_eq!(table.address_of(333), None, "it is connected");
        assert_eq!(table.inodes_on(&[22, 80]), [222, 444]);
        let others = ListenTable::parse(TCP.as_bytes(), OTHERS.as_bytes());
        assert_eq!(others.inodes_on(&[22, 81]), [222], "what follows a connection is not read");
    }
}
