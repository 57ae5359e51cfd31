//! Network namespaces and the links between them.

use crate::wired::space::Space;

/// How many ports there are.
pub(super) const PORTS: usize = 5;

/// Where the service behind the uplink is.
pub(super) const SERVICE: &str = "10.77.0.100:7777";
/// Where devices that are quarantined may still go.
pub(super) const REMEDIATION: &str = "10.77.0.110:7070";
/// The gateway, as devices see it.
pub(super) const GATEWAY: &str = "10.77.0.1";
/// The office, as the gateway sees it.
pub(super) const OFFICE: &str = "10.99.0.2";

/// All of them.
pub(super) struct Net {
    /// The bridge with its ports.
    pub(super) gateway: Space,
    /// Factory and controller; devices have no way to it.
    pub(super) office: Space,
    /// What devices want to reach.
    pub(super) uplink: Space,
    /// One for each port, and the address of each.
    pub(super) ports: Vec<Port>,
}

/// A port and what is plugged into it.
pub(super) struct Port {
    /// The gateway's end.
    pub(super) name: String,
    /// The device's own network; its end is `eth0`.
    pub(super) space: Space,
    /// The device's MAC address.
    pub(super) mac: String,
    /// The device's address, as if DHCP had given it.
    pub(super) address: String,
}

impl Net {
    /// Makes everything.
    pub(super) fn lay() -> anyhow::Result<Self> {
        let gateway = Space::new()?;
        let office = Space::new()?;
        let uplink = Space::new()?;
        // No way leads from the devices to the office but the join proxy.
        gateway.set("ipv4/ip_forward", "0")?;
        gateway.ip(&format!(
            "link add br0 type bridge forward_delay 0 mcast_snooping 0\n\
             addr add {GATEWAY}/24 dev br0\n\
             link set br0 up\n\
             link add up0 type veth peer name eth0 netns {}\n\
             link set up0 master br0\n\
             link set up0 up\n\
             link add mgmt0 type veth peer name mgmt0 netns {}\n\
             addr add 10.99.0.1/30 dev mgmt0\n\
             link set mgmt0 up\n",
            uplink.id(),
            office.id()
        ))?;
        uplink.ip("addr add 10.77.0.100/24 dev eth0\n\
             addr add 10.77.0.110/24 dev eth0\n\
             link set eth0 up\n")?;
        office.ip(&format!(
            "addr add {OFFICE}/30 dev mgmt0\n\
             link set mgmt0 up\n"
        ))?;
        let ports: anyhow::Result<Vec<Port>> = (1..=PORTS).map(|it| plug(&gateway, it)).collect();
        Ok(Self {
            gateway,
            office,
            uplink,
            ports: ports?,
        })
    }
}

fn plug(gateway: &Space, number: usize) -> anyhow::Result<Port> {
    let port = Port {
        name: format!("p{number}"),
        space: Space::new()?,
        mac: format!("02:00:00:00:00:{number:02x}"),
        address: format!("10.77.0.{}", 10 + number),
    };
    let (name, mac) = (&port.name, &port.mac);
    gateway.ip(&format!(
        "link add {name} type veth peer name eth0 netns {}\n\
         link set {name} master br0\n\
         link set {name} up\n",
        port.space.id()
    ))?;
    port.space.ip(&format!(
        "link set eth0 address {mac}\n\
         addr add {}/24 dev eth0\n\
         link set eth0 up\n",
        port.address
    ))?;
    Ok(port)
}
