//! The load generator: stations and access points in this process.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use vouchsafe_net::Clock;
use vouchsafe_radius::{
    Answer, Client, Code, Connector, Draft, FragmentSize, Peer, PeerStep, Versions, attribute,
};

use super::PATIENCE;
use super::network::{Network, random};
use super::servers::Server;
use crate::bench::measure::cpu;

/// How long an answer is awaited before the request is repeated.
const REPEAT: Duration = Duration::from_secs(2);

/// The same on a bad wire, where much is lost.
const REPEAT_ON_BAD_WIRE: Duration = Duration::from_millis(20);

/// Of how many packets one is lost, sent twice, or altered.
const LOSS: u64 = 25;
const REPETITION: u64 = 25;
const ALTERATION: u64 = 40;

/// Most requests that one authentication may need.
const MAX_REQUESTS: u8 = 60;

/// What a run took.
#[derive(Default)]
pub(super) struct Measured {
    pub(super) elapsed: Duration,
    pub(super) cpu: Duration,
    pub(super) times: Vec<Duration>,
}

impl Measured {
    pub(super) fn add(&mut self, other: Self) {
        self.elapsed += other.elapsed;
        self.cpu += other.cpu;
        self.times.extend(other.times);
    }

    pub(super) fn count(&self) -> usize {
        self.times.len()
    }

    /// The server's CPU time for one authentication.
    pub(super) fn each(&self) -> Duration {
        self.cpu / u32::try_from(self.count()).unwrap_or(u32::MAX).max(1)
    }
}

/// Stations that come in at one server.
pub(super) struct Load<'a> {
    network: &'a Network,
    server: &'a Server,
    versions: Versions,
}

impl<'a> Load<'a> {
    pub(super) fn new(network: &'a Network, server: &'a Server, versions: Versions) -> Self {
        Self {
            network,
            server,
            versions,
        }
    }

    /// Lets `count` stations come in, `together` at a time.
    pub(super) fn run(&self, together: usize, count: usize) -> anyhow::Result<Measured> {
        let next = AtomicUsize::new(0);
        let told = self.server.told();
        let before = cpu(self.server.id());
        let begun = Instant::now();
        let times = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..together)
                .map(|_| scope.spawn(|| self.work(&next, count)))
                .collect();
            let mut times = Vec::with_capacity(count);
            for worker in workers {
                let done = worker
                    .join()
                    .map_err(|_| anyhow::anyhow!("a worker failed"))?;
                times.extend(done?);
            }
            anyhow::Ok(times)
        })?;
        let elapsed = begun.elapsed();
        if self.server.accounting.is_some() {
            // What is still being written counts as well.
            let end = Instant::now() + PATIENCE;
            while self.server.told() - told < count {
                ensure!(Instant::now() < end, "the gate told of too few");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(Measured {
            elapsed,
            cpu: cpu(self.server.id()).saturating_sub(before),
            times,
        })
    }

    fn work(&self, next: &AtomicUsize, count: usize) -> anyhow::Result<Vec<Duration>> {
        let mut station = Station::new(self.server.access)?;
        let accounting = match self.server.accounting {
            Some(address) => Some(socket(address)?),
            None => None,
        };
        let mut times = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(times);
            }
            let devices = &self.network.devices;
            let device = devices.get(number % devices.len()).context("no device")?;
            let connector = self.network.connector(device, self.versions);
            let begun = Instant::now();
            let outcome = station.come_in(connector, number)?;
            times.push(begun.elapsed());
            let answer = match outcome {
                Outcome::In(answer) => answer,
                Outcome::Refused(reason) => {
                    bail!(
                        "{} refuses a device that may come in: {reason}",
                        self.server.name
                    )
                }
            };
            if let Some(accounting) = &accounting {
                station.account(accounting, &answer, number)?;
            }
        }
    }

    /// Waits until the server serves, and makes sure that it looks into the list.
    pub(super) fn refuses_the_revoked(&self) -> anyhow::Result<()> {
        let device = self.network.devices.first().context("no device")?;
        let name = self.server.name;
        let try_in = |device| {
            let connector = self.network.connector(device, self.versions);
            Station::new(self.server.access)?.come_in(connector, 0)
        };
        let outcome = try_in(device).with_context(|| format!("{name} does not serve"))?;
        ensure!(
            matches!(outcome, Outcome::In(_)),
            "{name} refuses everybody"
        );
        let outcome = try_in(&self.network.revoked)?;
        ensure!(
            matches!(outcome, Outcome::Refused(_)),
            "{name} lets a revoked device in"
        );
        Ok(())
    }
}

/// How an attempt ended.
pub(super) enum Outcome {
    /// In, with the keys compared.
    In(Answer),
    /// The server said no, or the station did.
    Refused(String),
}

/// A station and the access point in front of it, with a socket of their own.
pub(super) struct Station {
    socket: UdpSocket,
    identifier: u8,
    buffer: Vec<u8>,
    /// What the wire does to it, if it is a bad one.
    pub(super) faults: Option<Faults>,
}

/// A wire that loses, repeats and alters.
#[derive(Default)]
pub(super) struct Faults {
    dice: u64,
    count: usize,
}

impl Faults {
    /// How many there were.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether this one of `many` is hit: numbers that only look random (splitmix64).
    fn one_in(&mut self, many: u64) -> bool {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let hit = (z ^ (z >> 31)).is_multiple_of(many);
        self.count += usize::from(hit);
        hit
    }

    /// Flips a bit somewhere.
    fn alter(&mut self, packet: &mut [u8]) {
        let place = usize::try_from(self.dice >> 32).unwrap_or(0) % packet.len().max(1);
        if let Some(octet) = packet.get_mut(place) {
            *octet ^= 1 << (self.dice & 7);
        }
    }
}

impl Station {
    pub(super) fn new(server: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            socket: socket(server)?,
            identifier: 0,
            buffer: vec![0; 5000],
            faults: None,
        })
    }

    /// One attempt by station `number`.
    pub(super) fn come_in(
        &mut self,
        connector: Connector,
        number: usize,
    ) -> anyhow::Result<Outcome> {
        let mut client = Client::new(Network::shared(), attributes(number));
        let mut peer = Box::new(Peer::new(connector, "@bench", FragmentSize::default()));
        let clock = Clock::system();
        let mut eap = vec![1, 0, 0, 5, 1];
        for _ in 0..MAX_REQUESTS {
            let response = match peer.handle(clock.now(), &eap) {
                Ok(PeerStep::Respond(next, response)) => {
                    peer = next;
                    response
                }
                Ok(_) => bail!("the server says something odd"),
                Err(error) => return Ok(Outcome::Refused(error.to_string())),
            };
            self.identifier = self.identifier.wrapping_add(1);
            let (datagram, open) = client.request(self.identifier, &response, random()?)?;
            let end = Instant::now() + PATIENCE;
            let answer = loop {
                ensure!(Instant::now() < end, "no answer");
                self.send(&datagram)?;
                if let Some(received) = self.receive()
                    && let Ok(answer) = client.answer(&open, received)
                {
                    break answer;
                }
            };
            eap = answer.eap.clone().context("an answer without EAP")?;
            match answer.code {
                Code::AccessAccept => {
                    let Ok(PeerStep::Done(proof)) = peer.handle(clock.now(), &eap) else {
                        bail!("accepted too early");
                    };
                    client.check_keys(&open, &answer, proof.keys.msk.expose())?;
                    return Ok(Outcome::In(answer));
                }
                Code::AccessReject => return Ok(Outcome::Refused("the server said no".to_owned())),
                _ => {}
            }
        }
        bail!("no end")
    }

    fn send(&mut self, datagram: &[u8]) -> anyhow::Result<()> {
        if let Some(faults) = &mut self.faults {
            self.socket.set_read_timeout(Some(REPEAT_ON_BAD_WIRE))?;
            if faults.one_in(LOSS) {
                return Ok(());
            }
            if faults.one_in(REPETITION) {
                self.socket.send(datagram)?;
            }
            if faults.one_in(ALTERATION) {
                let mut altered = datagram.to_vec();
                faults.alter(&mut altered);
                self.socket.send(&altered)?;
                return Ok(());
            }
        }
        self.socket.send(datagram)?;
        Ok(())
    }

    fn receive(&mut self) -> Option<&[u8]> {
        let length = self.socket.recv(&mut self.buffer).ok()?;
        let received = self.buffer.get_mut(..length)?;
        if let Some(faults) = &mut self.faults {
            if faults.one_in(LOSS) {
                return None;
            }
            if faults.one_in(ALTERATION) {
                faults.alter(received);
            }
        }
        Some(received)
    }

    /// The access point reports that the session began.
    fn account(&self, socket: &UdpSocket, answer: &Answer, number: usize) -> anyhow::Result<()> {
        let class = answer
            .packet
            .attribute(attribute::CLASS)
            .context("no class")?;
        let mut draft = Draft::new(Code::AccountingRequest, self.identifier)
            .with_integer(attribute::ACCT_STATUS_TYPE, 1)
            .with(attribute::CLASS, class.value);
        for (kind, value) in attributes(number) {
            draft = draft.with(kind, &value);
        }
        let datagram = Network::shared().finish_digest_request(draft)?;
        let mut buffer = [0; 4096];
        let end = Instant::now() + PATIENCE;
        loop {
            ensure!(Instant::now() < end, "no answer to accounting");
            socket.send(&datagram)?;
            if socket.recv(&mut buffer).is_ok() {
                return Ok(());
            }
        }
    }
}

fn socket(server: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(REPEAT))?;
    Ok(socket)
}

/// What an access point says of its station.
fn attributes(number: usize) -> Vec<(u8, Vec<u8>)> {
    let [.., a, b] = number.to_be_bytes();
    let mac = format!("02-00-00-00-{a:02X}-{b:02X}");
    vec![
        (attribute::USER_NAME, b"@bench".to_vec()),
        (attribute::NAS_IDENTIFIER, b"access-point".to_vec()),
        (attribute::CALLING_STATION_ID, mac.into_bytes()),
        (
            attribute::ACCT_SESSION_ID,
            format!("{number:016x}").into_bytes(),
        ),
    ]
}
