//! The ports of this machine: what the packet filter is to do there, and which version is in force with it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Admission, Inner, Place, Touched, Wanted};
use crate::desired::Desired;
use crate::segment::Segments;

/// The ports of this machine. There a session is moved to another segment as it is; at other access
/// points the device goes out and comes in again.
#[derive(Debug, Clone)]
pub struct OwnPorts {
    /// The RADIUS client that asks for them. Another one that calls itself like a port is not there.
    pub client: u32,
    /// Their names.
    pub names: BTreeSet<String>,
}

impl OwnPorts {
    pub(super) fn has(&self, place: &Place) -> bool {
        let name = place.access_point.as_ref();
        place.client == self.client && name.is_some_and(|name| self.names.contains(name))
    }
}

impl Admission {
    /// Tells of each version of which everything is in force.
    pub fn in_force(&self) -> watch::Receiver<Option<u64>> {
        self.0.in_force.subscribe()
    }

    /// What belongs to a station at a port of this machine.
    pub fn wanted_at(&self, port: &str, mac: [u8; 6]) -> Option<Wanted> {
        let place = self.own_place(port, mac)?;
        Some(self.lock().wanted(place))
    }

    /// What changed at the ports of this machine since this was last asked, at most at so many places, and what
    /// must go. Whoever asks says with [`Admission::carried_out`] what came of all that was told.
    pub fn take_touched(&self, most: usize) -> Touched {
        let mut inner = self.lock();
        let touched = match inner.touched.iter().nth(most).cloned() {
            Some(next) => {
                let later = inner.touched.split_off(&next);
                std::mem::replace(&mut inner.touched, later)
            }
            None => std::mem::take(&mut inner.touched),
        };
        inner.under_way.extend(touched.iter().cloned());
        let desired = inner.desired.as_ref();
        let own = self.0.rules.own.as_ref();
        let ending = own.into_iter().flat_map(|own| {
            let ending = inner.sessions.ending(own.client, None);
            ending.filter(|(place, _)| own.has(place))
        });
        Touched {
            version: desired.map(|it| it.version),
            segments: inner.segments(),
            ending: ending
                .map(|(place, session)| (place.clone(), session.clone()))
                .collect(),
            has_more: !inner.touched.is_empty(),
            places: touched.into_iter().map(|it| inner.wanted(it)).collect(),
        }
    }

    /// What [`Admission::take_touched`] told was done, but for what `failed`: that is told again. With
    /// nothing left to do `version` is in force; without one nothing is.
    pub fn carried_out(&self, version: Option<u64>, failed: BTreeSet<Place>) {
        let mut inner = self.lock();
        inner.under_way.clear();
        if failed.is_empty() && version.is_some() {
            self.put_in_force(version);
        }
        inner.touched.extend(failed);
    }

    /// The place of a station at a port of this machine.
    pub fn own_place(&self, port: &str, mac: [u8; 6]) -> Option<Place> {
        let place = Place {
            client: self.0.rules.own.as_ref()?.client,
            access_point: Some(port.to_owned()),
            mac: Some(mac),
            port: None,
        };
        self.0.rules.own.as_ref()?.has(&place).then_some(place)
    }

    /// Whether a place is a port of this machine.
    pub fn is_own(&self, place: &Place) -> bool {
        self.0.rules.own.as_ref().is_some_and(|own| own.has(place))
    }

    /// Elsewhere than at our own ports a session that belongs elsewhere ends, and is told until it has.
    pub(super) fn is_in_force_without_ports(&self, inner: &Inner) {
        if self.0.rules.own.is_none() {
            self.put_in_force(inner.desired.as_ref().map(|it| it.version));
        }
    }

    pub(super) fn put_in_force(&self, version: Option<u64>) {
        self.0.in_force.send_if_modified(|before| {
            let is_news = *before != version;
            *before = version;
            is_news
        });
    }
}

impl Inner {
    pub(super) fn wanted(&self, place: Place) -> Wanted {
        let session = self.sessions.find(&place).cloned();
        let segment = session.as_ref().and_then(|it| it.segment.as_deref());
        let segments = self.desired.as_ref().map(Desired::segments);
        let is_confined = |name: &&str| segments.is_some_and(|it| it.reach(name).is_some());
        Wanted {
            confined: segment.filter(is_confined).map(str::to_owned),
            place,
            session,
        }
    }

    /// The segments of the state.
    pub(super) fn segments(&self) -> Arc<Segments> {
        let desired = self.desired.as_ref();
        desired.map(|it| it.segments().clone()).unwrap_or_default()
    }

    pub(super) fn touch(&mut self, own: Option<&OwnPorts>, place: &Place) {
        if own.is_some_and(|own| own.has(place)) {
            self.touched.insert(place.clone());
        }
    }
}
