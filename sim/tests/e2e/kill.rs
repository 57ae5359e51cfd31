//! Power cuts. Each walk onboards one device a step; at step k a program is killed with `kill -9`
//! when the k-th answer is about to reach the one who asked, so the work is done and nobody knows
//! (see [`crate::relay`]). The program starts again, the device just tries again, and must get in.
//! A walk ends with the first k that an onboarding does not reach.
//!
//! Afterwards: one credential a device, one voucher a nonce, and the journals verify.

use std::collections::BTreeSet;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use crate::process::{Ended, Killer, PATIENCE, Process};
use crate::relay::Relay;
use crate::world::{Controller, Device, Manufacturer, Place, impatiently};

/// Devices made for a walk: more than an onboarding has steps.
const STEPS: usize = 24;

/// How often a device tries after a power cut. A controller that lost its database finds out by one
/// request for each connection it kept.
const TRIES: usize = 24;

/// Where the steps are counted.
#[derive(Clone, Copy)]
enum Wire {
    /// Between device and registrar.
    Registrar,
    /// Between registrar and MASA.
    Masa,
}

/// Who loses power.
#[derive(Clone, Copy, PartialEq)]
enum Victim {
    Controller,
    Masa,
    Device,
}

/// What happens while a device comes in.
enum Happened {
    /// The trap: the victim is dead.
    Sprung,
    /// The agent ended.
    Ended(Ended),
}

#[test]
fn a_controller_killed_before_any_of_its_answers_issues_nothing_twice() {
    walk(Wire::Registrar, Victim::Controller, 8);
}

#[test]
fn a_controller_killed_while_it_talks_to_the_masa_issues_nothing_twice() {
    walk(Wire::Masa, Victim::Controller, 2);
}

#[test]
fn a_masa_killed_before_any_of_its_answers_issues_one_voucher_a_nonce() {
    walk(Wire::Masa, Victim::Masa, 2);
}

#[test]
fn a_device_killed_before_any_answer_reaches_it_completes_after_restart() {
    walk(Wire::Registrar, Victim::Device, 8);
}

/// The device has steps of its own between the answers: here it is killed as soon as it has said
/// that it came to the k-th.
#[test]
fn a_device_killed_at_each_step_it_reports_completes_after_restart() {
    let place = Place::new();
    let mut world = World::new(&place);
    let registrar = world.owner.registrar();
    let devices = world.devices.clone();
    for (step, device) in devices.iter().enumerate() {
        let mut agent = device.start(&registrar);
        let deadline = Instant::now() + PATIENCE;
        let reached = (0..=step)
            .take_while(|_| agent.next(deadline).is_some())
            .count();
        if reached <= step {
            let ended = agent.end_of_itself();
            assert!(ended.success(), "{}", ended.said());
            assert!(step >= 6, "an onboarding has more steps than {step}");
            world.afterwards(&devices[..=step]);
            return;
        }
        agent.kill();
        insist(device, &registrar);
        world.owner.assert_onboarded_once(&device.serial);
    }
    panic!("an onboarding has more than {STEPS} steps");
}

fn walk(wire: Wire, victim: Victim, least: usize) {
    let place = Place::new();
    let mut world = World::new(&place);
    let registrar = world.owner.registrar();
    let devices = world.devices.clone();
    for (step, device) in devices.iter().enumerate() {
        let (happened, happens) = channel();
        let (killer, killers) = channel::<Killer>();
        let sprung = happened.clone();
        // Whoever keeps connections begins each step with new ones, so that steps can be compared.
        world.relay(Wire::Masa).cut();
        world.relay(wire).trap(step as u64, move || {
            let killer = killers.recv().unwrap();
            // Said first: a device that is killed is seen to end by somebody else.
            sprung.send(Happened::Sprung).unwrap();
            killer.kill();
        });
        let agent = device.start(&registrar);
        killer
            .send(world.killer(victim).unwrap_or(agent.killer()))
            .unwrap();
        let mut tries = 1;
        let mut died = false;
        come_in(agent, happened.clone());
        loop {
            match happens.recv_timeout(PATIENCE).unwrap() {
                Happened::Sprung => {
                    died = true;
                    world.restart(victim);
                }
                Happened::Ended(ended) if ended.success() => break,
                Happened::Ended(ended) => {
                    assert!(
                        died && tries < TRIES,
                        "{}: step {step}: {}",
                        device.serial,
                        ended.said()
                    );
                    tries += 1;
                    come_in(device.start(&registrar), happened.clone());
                }
            }
        }
        world.owner.assert_onboarded_once(&device.serial);
        if !world.relay(wire).has_sprung() {
            assert!(step >= least, "an onboarding has more steps than {step}");
            println!("{step} power cuts survived");
            world.afterwards(&devices[..=step]);
            return;
        }
    }
    panic!("an onboarding has more than {STEPS} steps");
}

/// Waits for the agent elsewhere.
fn come_in(agent: Process, happened: Sender<Happened>) {
    thread::spawn(move || {
        // Nobody listens any more once the test is over.
        let _ = happened.send(Happened::Ended(impatiently(agent)));
    });
}

/// The device tries until it is in.
pub(crate) fn insist(device: &Device<'_>, registrar: &str) {
    let mut ended = impatiently(device.start(registrar));
    for _ in 1..TRIES {
        if ended.success() {
            break;
        }
        ended = impatiently(device.start(registrar));
    }
    assert!(ended.success(), "{}: {}", device.serial, ended.said());
}

struct World<'a> {
    maker: Manufacturer<'a>,
    owner: Controller<'a>,
    devices: Vec<Device<'a>>,
}

impl<'a> World<'a> {
    fn new(place: &'a Place) -> Self {
        let maker = Manufacturer::start(place, &[]);
        let owner = Controller::start(place, "owner", &[]);
        let serials: Vec<String> = (0..STEPS).map(|number| format!("L-{number:02}")).collect();
        let serials: Vec<&str> = serials.iter().map(String::as_str).collect();
        let devices = maker.provision_all(&serials);
        owner.buy(&maker, &serials);
        Self {
            maker,
            owner,
            devices,
        }
    }

    fn relay(&self, wire: Wire) -> &Relay {
        match wire {
            Wire::Registrar => &self.owner.relay,
            Wire::Masa => &self.maker.relay,
        }
    }

    fn killer(&self, victim: Victim) -> Option<Killer> {
        match victim {
            Victim::Controller => Some(self.owner.killer()),
            Victim::Masa => Some(self.maker.killer()),
            Victim::Device => None,
        }
    }

    /// Starts the dead program again; a device is started by whoever waits for it.
    fn restart(&mut self, victim: Victim) {
        match victim {
            Victim::Controller => {
                self.owner.kill();
                self.owner.serve();
            }
            Victim::Masa => {
                self.maker.kill();
                self.maker.serve();
            }
            Victim::Device => {}
        }
    }

    /// What must hold after a walk.
    fn afterwards(&mut self, devices: &[Device<'_>]) {
        self.maker.verify_journal();
        self.maker.stop();
        for device in devices {
            self.owner.assert_onboarded_once(&device.serial);
            let nonces = self.maker.nonces(&self.owner.api().device(&device.serial));
            let different: BTreeSet<&String> = nonces.iter().collect();
            assert!(!nonces.is_empty(), "{}", device.serial);
            assert_eq!(
                different.len(),
                nonces.len(),
                "{}: {nonces:?}",
                device.serial
            );
        }
        self.owner.api().verify_journal();
        self.owner.stop();
    }
}
