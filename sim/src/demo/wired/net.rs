//! The ports, and a network namespace behind each.

use std::path::Path;

use crate::demo::admission::device::{Access, Place};
use crate::demo::admission::site::Backbone;
use crate::wired::space::Space;

/// How many ports there are.
const PORTS: usize = 5;

/// All of it.
pub(super) struct Net {
    pub(super) backbone: Backbone,
    /// One for each device.
    pub(super) ports: Vec<Port>,
}

/// A port and what is plugged into it.
pub(super) struct Port {
    /// The gateway's end.
    pub(super) name: String,
    /// The device's own network; its end is `eth0`.
    space: Space,
    /// The device's MAC address.
    mac: String,
}

impl Net {
    /// Makes everything.
    pub(super) fn lay(simulator: &Path) -> anyhow::Result<Self> {
        let backbone = Backbone::lay(simulator)?;
        let ports: anyhow::Result<Vec<Port>> = (1..=PORTS)
            .map(|number| plug(simulator, &backbone.gateway, number))
            .collect();
        Ok(Self {
            backbone,
            ports: ports?,
        })
    }
}

impl Port {
    /// The device's side.
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            space: &self.space,
            interface: "eth0",
            mac: &self.mac,
            by: Access::Wired,
        }
    }
}

fn plug(simulator: &Path, gateway: &Space, number: usize) -> anyhow::Result<Port> {
    let port = Port {
        name: format!("p{number}"),
        space: Space::new(simulator)?,
        mac: format!("02:00:00:00:00:{number:02x}"),
    };
    let (name, mac) = (&port.name, &port.mac);
    gateway.ip(&format!(
        "link add {name} type veth peer name eth0 netns {}\n\
         link set {name} master br0\n\
         link set {name} up\n",
        port.space.id()
    ))?;
    // As if DHCP had given it.
    port.space.ip(&format!(
        "link set eth0 address {mac}\n\
         addr add 10.77.0.{}/24 dev eth0\n\
         link set eth0 up\n",
        10 + number
    ))?;
    Ok(port)
}
