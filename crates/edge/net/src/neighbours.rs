//! Datagrams to all neighbours on a link: an IPv6 multicast group of link-local scope.
//!
//! What comes was sent by somebody on the very link: the source is a link-local address, which no router
//! forwards. That is all that is known of it.

use std::fs;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::UdpSocket;

/// Most interfaces that take part.
const MAX_LINKS: usize = 1024;

/// Hop limit of what is sent: a neighbour can see that it came from the link (RFC 5082).
const HOP_LIMIT: u32 = 255;

/// One interface, and this machine's own address on its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The interface's name.
    pub interface: String,
    /// Its index: the zone of link-local addresses.
    pub index: u32,
    /// This machine's link-local address there.
    pub address: Ipv6Addr,
}

/// A group on some links.
#[derive(Debug)]
pub struct Neighbours {
    socket: UdpSocket,
    group: Ipv6Addr,
    port: u16,
    links: Vec<Link>,
}

impl Neighbours {
    /// Joins `group` on these interfaces, or on `all` that have a link-local address. Other programs of
    /// this machine may use the same port. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// The socket cannot be made, or none of the interfaces is there.
    pub fn join(group: Ipv6Addr, port: u16, interfaces: &[String]) -> io::Result<Self> {
        let links = links(interfaces)?;
        if links.is_empty() {
            let why = format!("no interface with IPv6 among {}", interfaces.join(", "));
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_only_v6(true)?;
        socket.set_reuse_address(true)?;
        socket.set_multicast_hops_v6(HOP_LIMIT)?;
        socket.set_multicast_loop_v6(true)?;
        let anywhere = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
        socket.bind(&SockAddr::from(anywhere))?;
        for link in &links {
            socket.join_multicast_v6(&group, link.index)?;
        }
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            group,
            port,
            links,
        })
    }

    /// Where it takes part.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Sends to all neighbours on one link.
    ///
    /// # Errors
    /// The link is down.
    pub async fn send(&self, link: &Link, datagram: &[u8]) -> io::Result<()> {
        let to = SocketAddrV6::new(self.group, self.port, 0, link.index);
        self.socket.send_to(datagram, to).await.map(drop)
    }

    /// The next datagram from a neighbour: how long it is, and who sent it (with the zone). What is
    /// longer than `buffer` is cut.
    ///
    /// # Errors
    /// The socket's.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddrV6)> {
        loop {
            let (length, from) = self.socket.recv_from(buffer).await?;
            let SocketAddr::V6(from) = from else { continue };
            let is_neighbour = from.ip().is_unicast_link_local();
            if is_neighbour && self.links.iter().any(|it| it.index == from.scope_id()) {
                return Ok((length, from));
            }
        }
    }
}

/// The interfaces that have a link-local address, as the kernel lists them.
fn links(interfaces: &[String]) -> io::Result<Vec<Link>> {
    let is_wanted = |name: &str| {
        interfaces
            .iter()
            .any(|wanted| wanted == "all" || wanted == name)
    };
    let listed = fs::read_to_string("/proc/net/if_inet6")?;
    let mut links: Vec<Link> = Vec::new();
    for link in listed.lines().filter_map(parse) {
        let is_there = links.iter().any(|it| it.index == link.index);
        if is_wanted(&link.interface) && !is_there && links.len() < MAX_LINKS {
            links.push(link);
        }
    }
    Ok(links)
}

/// `fe80…01 02 40 20 80 eth0`: address, index, prefix, scope, flags, name.
fn parse(line: &str) -> Option<Link> {
    let mut words = line.split_whitespace();
    let address = Ipv6Addr::from_bits(u128::from_str_radix(words.next()?, 16).ok()?);
    let index = u32::from_str_radix(words.next()?, 16).ok()?;
    let interface = words.nth(3)?.to_owned();
    address.is_unicast_link_local().then_some(Link {
        interface,
        index,
        address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_of_addresses_is_read() {
        let link = parse("fe80000000000000005056fffec00001 02 40 20 80     eth0").unwrap();
        assert_eq!((link.index, &*link.interface), (2, "eth0"));
        assert_eq!(link.address.to_string(), "fe80::50:56ff:fec0:1");
        // Loopback, and global addresses.
        assert_eq!(
            parse("00000000000000000000000000000001 01 80 10 80 lo"),
            None
        );
        assert_eq!(
            parse("20010db8000000000000000000000001 02 40 00 80 eth0"),
            None
        );
        assert_eq!(parse("fe80"), None);
    }
}
