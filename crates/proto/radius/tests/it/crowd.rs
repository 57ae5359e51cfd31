//! Many stations at once, good and bad, over a wire that loses, repeats, reorders and alters: everybody who
//! may come in does, and nobody else.
//!
//! `VOUCHSAFE_CROWD` sets how many, `VOUCHSAFE_SEED` the order of things.

use jiff::SignedDuration;
use vouchsafe_radius::{
    Client, Code, FragmentSize, Open, Peer, PeerStep, Step, Versions, attribute,
};
use vouchsafe_trust::Validity;

use crate::world::{Identity, Site, World, device_profile, issue, key, later, now, random, shared};

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap())
}

/// Numbers that only look random, so that a failure can be repeated (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % most
    }

    fn one_in(&mut self, most: usize) -> bool {
        self.below(most) == 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Revoked,
    Expired,
    NotYet,
    Stranger,
    Thief,
}

const KINDS: [Kind; 8] = [
    Kind::Good,
    Kind::Revoked,
    Kind::Good,
    Kind::Expired,
    Kind::Good,
    Kind::Stranger,
    Kind::NotYet,
    Kind::Thief,
];

struct Station {
    kind: Kind,
    peer: Option<Box<Peer>>,
    client: Client,
    identifier: u8,
    waiting: Option<(Vec<u8>, Open)>,
    sent_at: usize,
    is_in: Option<bool>,
}

impl Station {
    fn new(world: &World, kind: Kind, device: &Identity, number: usize, dice: &mut Dice) -> Self {
        let versions = if dice.one_in(2) {
            Versions::Tls12
        } else {
            Versions::Tls13
        };
        let connector = world.connector(device).with_versions(versions);
        let size = FragmentSize::new([300, 1000][dice.below(2)]).unwrap();
        let mac = format!(
            "02-00-00-00-{:02X}-{:02X}",
            number / 256 % 256,
            number % 256
        );
        let attributes = vec![
            (attribute::CALLING_STATION_ID, mac.into_bytes()),
            (attribute::PROXY_STATE, number.to_be_bytes().to_vec()),
        ];
        let mut station = Self {
            kind,
            peer: Some(Box::new(Peer::new(connector, "@example.org", size))),
            client: Client::new(shared(), attributes),
            identifier: 0,
            waiting: None,
            sent_at: 0,
            is_in: None,
        };
        station.hear(&[1, 0, 0, 5, 1]);
        station
    }

    /// Takes an EAP packet, and has the answer to it ready.
    fn hear(&mut self, eap: &[u8]) {
        let peer = self.peer.take().unwrap();
        match peer.handle(now(), eap) {
            Ok(PeerStep::Respond(peer, response)) => {
                self.peer = Some(peer);
                self.identifier = self.identifier.wrapping_add(1);
                let request = self.client.request(self.identifier, &response, random());
                self.waiting = Some(request.unwrap());
                self.sent_at = 0;
            }
            Ok(PeerStep::Ignore(_)) => panic!("the server said something odd"),
            Ok(PeerStep::Done(_)) => self.is_in = Some(true),
            Err(_) => self.is_in = Some(false),
        }
    }

    /// Takes a datagram; what is not the answer is passed over.
    fn receive(&mut self, datagram: &[u8]) {
        let Some((_, open)) = self.waiting.clone() else {
            return;
        };
        let Ok(answer) = self.client.answer(&open, datagram) else {
            return;
        };
        self.waiting = None;
        let eap = answer.eap.clone().unwrap();
        if answer.code == Code::AccessAccept {
            let peer = self.peer.take().unwrap();
            let Ok(PeerStep::Done(proof)) = peer.handle(now(), &eap) else {
                panic!("accepted before the end");
            };
            let msk = proof.keys.msk.expose();
            self.client.check_keys(&open, &answer, msk).unwrap();
            self.is_in = Some(true);
        } else if answer.code == Code::AccessReject {
            self.is_in = Some(false);
        } else {
            self.hear(&eap);
        }
    }
}

/// Puts a packet on the wire: perhaps twice, perhaps altered, perhaps not at all.
fn put<T: Copy>(wire: &mut Vec<(T, Vec<u8>)>, to: T, packet: &[u8], dice: &mut Dice) {
    if dice.one_in(20) {
        return;
    }
    let mut packet = packet.to_vec();
    if dice.one_in(20) {
        wire.push((to, packet.clone()));
    }
    if dice.one_in(30) {
        let place = dice.below(packet.len());
        packet[place] ^= 1 << dice.below(8);
    }
    wire.push((to, packet));
}

fn identities(world: &mut World) -> Vec<(Kind, Identity)> {
    let during = |from, to| Validity::new(later(from), later(to));
    let revoked = world.device("revoked");
    world.revoke(&[&revoked]);
    let thief = Identity {
        key: key(),
        ..world.device("good")
    };
    let issued = |validity| issue(&world.authority, &device_profile("17"), validity);
    vec![
        (Kind::Good, world.device("good")),
        (Kind::Revoked, revoked),
        (Kind::Expired, issued(during(-500, -100))),
        (Kind::NotYet, issued(during(100_000, 200_000))),
        (Kind::Stranger, World::new().device("17")),
        (Kind::Thief, thief),
    ]
}

#[test]
fn everybody_who_may_comes_in_and_nobody_else_over_a_bad_wire() {
    let many = usize::try_from(setting("VOUCHSAFE_CROWD", 240)).unwrap();
    let seed = setting("VOUCHSAFE_SEED", 0x5eed);
    let mut dice = Dice(seed | 1);
    let mut world = World::new();
    let identities = identities(&mut world);
    let mut site: Site = world.site();
    let mut begun = 0;
    let mut stations: Vec<Station> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    // Towards the server or a station: its number, and the packet.
    let mut wire: Vec<((bool, usize), Vec<u8>)> = Vec::new();
    let mut counts = [0, 0];
    let mut tick = 0;
    while begun < many || !open.is_empty() {
        tick += 1;
        site.now += SignedDuration::from_micros(100);
        site.server.expire(site.now);
        // Forty at a time.
        while begun < many && open.len() < 40 {
            let kind = KINDS[dice.below(KINDS.len())];
            let device = identities.iter().find(|(of, _)| *of == kind);
            let device = &device.unwrap().1;
            stations.push(Station::new(&world, kind, device, begun, &mut dice));
            open.push(begun);
            begun += 1;
        }
        for number in &open {
            let station = &mut stations[*number];
            if station.sent_at == 0 || tick - station.sent_at > 400 {
                if let Some((datagram, _)) = &station.waiting {
                    put(&mut wire, (true, *number), datagram, &mut dice);
                }
                station.sent_at = tick;
            }
        }
        if !wire.is_empty() {
            let ((to_server, number), packet) = wire.swap_remove(dice.below(wire.len()));
            if to_server {
                if let Step::Send(answer, _) = site.handle(&packet) {
                    put(&mut wire, (false, number), &answer, &mut dice);
                }
            } else {
                stations[number].receive(&packet);
            }
        }
        open.retain(|number| {
            let station = &mut stations[*number];
            let Some(is_in) = station.is_in else {
                return true;
            };
            let expected = station.kind == Kind::Good;
            assert_eq!(is_in, expected, "{:?}, seed {seed}", station.kind);
            counts[usize::from(is_in)] += 1;
            station.peer = None;
            false
        });
        assert!(tick < many * 10_000, "no end, seed {seed}");
    }
    println!("{} in, {} refused, in {tick} steps", counts[1], counts[0]);
    assert!(counts[0] > many / 4 && counts[1] > many / 8);
}
