//! The sessions, and how to find them: by place, by credential, by device, those that must go, and those of
//! which there is news.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use jiff::Timestamp;

use super::{MAX_SESSIONS, Place, Session};
use crate::event::mac_text;

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_place: BTreeMap<Place, Session>,
    by_credential: BTreeMap<String, Vec<Place>>,
    by_device: BTreeMap<String, Vec<Place>>,
    ending: BTreeSet<Place>,
    moving: BTreeSet<Place>,
    news: Option<News>,
}

/// Where something is to be told, for somebody who tells it.
#[derive(Debug, Default)]
struct News {
    changed: BTreeSet<Place>,
    /// Where nothing changed but octets.
    counted: BTreeSet<Place>,
    /// It was too much to be kept: anything may have changed.
    is_over: bool,
}

impl News {
    fn changed(&mut self, place: &Place) {
        if self.changed.len() >= MAX_NEWS {
            *self = Self::of_everything();
        }
        if !self.is_over {
            self.changed.insert(place.clone());
        }
    }

    fn of_everything() -> Self {
        Self {
            is_over: true,
            ..Self::default()
        }
    }
}

/// Most places at which news is kept one by one, while nobody takes it.
const MAX_NEWS: usize = 2 * MAX_SESSIONS;

impl Sessions {
    pub(super) fn of(sessions: BTreeMap<Place, Session>) -> Self {
        let mut all = Self::default();
        for (place, session) in sessions {
            all.insert(place, session);
        }
        all
    }

    pub(super) fn len(&self) -> usize {
        self.by_place.len()
    }

    pub(super) fn all(&self) -> &BTreeMap<Place, Session> {
        &self.by_place
    }

    /// Those behind a place, in order.
    pub(super) fn behind(&self, place: Option<&Place>) -> impl Iterator<Item = (&Place, &Session)> {
        let begin = place.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_place.range::<Place, _>((begin, Bound::Unbounded))
    }

    /// From now on news is kept, until somebody takes it. All that is there is news.
    pub(super) fn keep_news(&mut self) {
        self.news = Some(News::of_everything());
    }

    /// Where there is news since the last time; where octets were counted only `with_octets`. `told` are the
    /// places that whoever tells it knows of.
    pub(super) fn take_news(
        &mut self,
        with_octets: bool,
        told: impl FnOnce() -> BTreeSet<Place>,
    ) -> BTreeSet<Place> {
        let Some(news) = &mut self.news else {
            return BTreeSet::new();
        };
        if std::mem::take(&mut news.is_over) {
            let mut places = told();
            places.extend(self.by_place.keys().cloned());
            return places;
        }
        let mut places = std::mem::take(&mut news.changed);
        if with_octets {
            places.append(&mut news.counted);
        }
        places
    }

    fn changed(&mut self, place: &Place) {
        if let Some(news) = &mut self.news {
            news.changed(place);
        }
    }

    pub(super) fn find(&self, place: &Place) -> Option<&Session> {
        self.by_place.get(place)
    }

    /// What an access point tells of a session. Neither its owner nor its end.
    pub(super) fn note(
        &mut self,
        place: &Place,
        seen: Timestamp,
        octets: (u64, u64),
        name: Option<&String>,
    ) {
        if let Some(session) = self.by_place.get_mut(place) {
            session.seen = seen;
            session.octets = octets;
            session.name = name.cloned();
            if let Some(news) = self.news.as_mut().filter(|it| !it.is_over) {
                news.counted.insert(place.clone());
            }
        }
    }

    /// A station was seen; a weak session is good until then, of which word is given now and then only.
    pub(super) fn saw(&mut self, place: &Place, seen: Timestamp, until: Timestamp) {
        let Some(session) = self.by_place.get_mut(place) else {
            return;
        };
        session.seen = seen;
        let half = until.duration_since(seen) / 2;
        if session.is_weak() && session.until.duration_since(seen) < half {
            session.until = until;
            self.changed(place);
        }
    }

    /// It is good no longer than this.
    pub(super) fn limit(&mut self, place: &Place, until: Timestamp) {
        if let Some(session) = self.by_place.get_mut(place)
            && session.until > until
        {
            session.until = until;
            self.changed(place);
        }
    }

    pub(super) fn move_to(&mut self, place: &Place, segment: Option<String>) {
        if let Some(session) = self.by_place.get_mut(place) {
            session.segment = segment;
            self.changed(place);
        }
    }

    pub(super) fn insert(&mut self, place: Place, session: Session) {
        self.remove(&place);
        let credential = key(&place, &session);
        let of_credential = self.by_credential.entry(credential);
        of_credential.or_insert_with(one).push(place.clone());
        let of_device = self.by_device.entry(session.device.clone());
        of_device.or_insert_with(one).push(place.clone());
        if session.ending.is_some() {
            self.ending.insert(place.clone());
        }
        if session.moving {
            self.moving.insert(place.clone());
        }
        self.changed(&place);
        self.by_place.insert(place, session);
    }

    pub(super) fn remove(&mut self, place: &Place) -> Option<Session> {
        let session = self.by_place.remove(place)?;
        leave(&mut self.by_credential, &key(place, &session), place);
        leave(&mut self.by_device, &session.device, place);
        self.ending.remove(place);
        self.moving.remove(place);
        if let Some(news) = &mut self.news {
            news.counted.remove(place);
            news.changed(place);
        }
        Some(session)
    }

    /// From `at` on it must go; or it may stay after all.
    pub(super) fn set_ending(&mut self, place: &Place, at: Option<Timestamp>) {
        if let Some(session) = self.by_place.get_mut(place) {
            session.ending = at;
            if at.is_some() {
                self.ending.insert(place.clone());
            } else {
                self.ending.remove(place);
            }
        }
    }

    /// From now on it must go, whatever anybody says.
    pub(super) fn dismiss(&mut self, place: &Place, now: Timestamp) {
        if let Some(session) = self.by_place.get_mut(place) {
            session.dismissed = true;
        }
        self.set_ending(place, Some(now));
    }

    /// Its access point is to move it, or has.
    pub(super) fn set_moving(&mut self, place: &Place, moving: bool) {
        if let Some(session) = self.by_place.get_mut(place) {
            session.moving = moving;
            if moving {
                self.moving.insert(place.clone());
            } else {
                self.moving.remove(place);
            }
        }
    }

    /// Where a credential is.
    pub(super) fn of_credential(&self, credential: &str) -> Vec<Place> {
        let places = self.by_credential.get(credential);
        places.into_iter().flatten().cloned().collect()
    }

    /// Where a station is that came in by its MAC address.
    pub(super) fn of_station(&self, mac: [u8; 6]) -> Vec<Place> {
        self.of_credential(&mac_text(mac))
    }

    /// Where a device is.
    pub(super) fn of_device(&self, device: &str) -> impl Iterator<Item = (&Place, &Session)> {
        let places = self.by_device.get(device).into_iter().flatten();
        places.filter_map(|place| Some((place, self.by_place.get(place)?)))
    }

    /// Those of a client that must go: first the ones behind a place, then the ones up to it.
    pub(super) fn ending(
        &self,
        client: u32,
        behind: Option<&Place>,
    ) -> impl Iterator<Item = (&Place, &Session)> {
        self.round(&self.ending, client, behind)
    }

    /// Those of a client that it is to move, and that need not go; in the same order.
    pub(super) fn moving(
        &self,
        client: u32,
        behind: Option<&Place>,
    ) -> impl Iterator<Item = (&Place, &Session)> {
        let moving = self.round(&self.moving, client, behind);
        moving.filter(|(_, session)| session.ending.is_none())
    }

    fn round<'a>(
        &'a self,
        places: &'a BTreeSet<Place>,
        client: u32,
        behind: Option<&Place>,
    ) -> impl Iterator<Item = (&'a Place, &'a Session)> {
        let first = first_of(client);
        let last = behind.filter(|it| it.client == client).unwrap_or(&first);
        let later = places.range((Bound::Excluded(last), Bound::Unbounded));
        let later = later.take_while(move |place| place.client == client);
        let earlier = places.range((Bound::Included(&first), Bound::Included(last)));
        later
            .chain(earlier)
            .filter_map(|place| Some((place, self.by_place.get(place)?)))
    }

    pub(super) fn places_of(&self, client: u32) -> impl Iterator<Item = (&Place, &Session)> {
        let of_client = self.by_place.range(first_of(client)..);
        of_client.take_while(move |(place, _)| place.client == client)
    }
}

/// Ahead of all places of a client.
fn first_of(client: u32) -> Place {
    Place {
        client,
        access_point: None,
        mac: None,
        port: None,
    }
}

/// A certificate's serial number, or the MAC address of a station that came in by it: that has colons.
fn key(place: &Place, session: &Session) -> String {
    match place.mac {
        Some(mac) if session.is_weak() => mac_text(mac),
        _ => session.credential.clone(),
    }
}

/// Nearly every device is at one place, and there are many devices.
fn one() -> Vec<Place> {
    Vec::with_capacity(1)
}

fn leave(index: &mut BTreeMap<String, Vec<Place>>, key: &str, place: &Place) {
    if let Some(places) = index.get_mut(key) {
        places.retain(|it| it != place);
        if places.is_empty() {
            index.remove(key);
        }
    }
}
