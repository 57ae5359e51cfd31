//! Sessions brought in agreement with the desired state: who stays, who is moved, who must go.

use jiff::{SignedDuration, Timestamp};

use super::{Admission, Inner, Move, Place, SLICE};
use crate::desired::{Desired, DesiredError, Difference};
use crate::segment::Segments;

/// How long after its time a session may be without a new proof: the access point needs a moment.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// How long after its time a session that nobody confirms to be over is kept. The access point was told
/// to ask again long before that.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(24);

impl Admission {
    /// Takes another desired state. Sessions that it does not admit must go from now on; how many.
    pub fn apply(&self, desired: Desired, now: Timestamp) -> usize {
        let mut inner = self.lock();
        let before = inner.segments();
        let is_first = inner.desired.replace(desired).is_none();
        let ending = self.settle_all(&mut inner, now);
        self.follow_confinement(&mut inner, &before);
        if is_first {
            // Sessions of an earlier run: the packet filter knows none of them yet.
            let places: Vec<_> = inner.sessions.all().keys().cloned().collect();
            for place in &places {
                inner.touch(self.0.rules.own.as_ref(), place);
            }
        }
        self.is_in_force_without_ports(&inner);
        drop(inner);
        self.tell();
        ending
    }

    /// Takes what changed in the desired state. Only sessions of what it names are looked at; how many
    /// must go.
    ///
    /// # Errors
    /// It does not begin at the state in force. Then nothing changed.
    pub fn apply_difference(
        &self,
        difference: Difference,
        now: Timestamp,
    ) -> Result<usize, DesiredError> {
        let mut inner = self.lock();
        let from = difference.from;
        let before = inner.segments();
        let desired = inner.desired.as_mut();
        let desired = desired.ok_or(DesiredError::OtherBeginning { from, ours: 0 })?;
        let changes = desired.apply(difference)?;
        let mut ending = 0;
        for credential in &changes.credentials {
            for place in inner.sessions.of_credential(credential) {
                ending += usize::from(self.settle(&mut inner, &place, now));
            }
        }
        for mac in &changes.stations {
            for place in inner.sessions.of_station(*mac) {
                ending += usize::from(self.settle(&mut inner, &place, now));
            }
        }
        if changes.segments {
            self.follow_confinement(&mut inner, &before);
        }
        self.is_in_force_without_ports(&inner);
        drop(inner);
        self.tell();
        Ok(ending)
    }

    /// Where a segment begins or ceases to confine, all that are in it at our own ports are touched: their
    /// segment is the same, what the filter does with them is not.
    fn follow_confinement(&self, inner: &mut Inner, before: &Segments) {
        let now = inner.segments();
        let Some(own) = self.0.rules.own.as_ref().filter(|_| *before != *now) else {
            return;
        };
        let is_other = |name: &String| before.reach(name).is_some() != now.reach(name).is_some();
        let there = inner.sessions.places_of(own.client);
        let there = there.filter(|(_, it)| it.segment.as_ref().is_some_and(is_other));
        let there: Vec<_> = there.map(|(place, _)| place.clone()).collect();
        for place in &there {
            inner.touch(Some(own), place);
        }
    }

    /// Ends what has run out by itself: decisions, and sessions that were not renewed. Whoever wants to come
    /// in meanwhile need not wait until all were looked at.
    pub fn look(&self, now: Timestamp) -> usize {
        let (mut ending, mut is_news) = (0, false);
        self.in_slices(|inner, slice| {
            for (place, until) in slice {
                if now < until {
                    continue;
                }
                ending += usize::from(self.settle(inner, &place, now));
                if now.duration_since(until) > FORGOTTEN {
                    tracing::warn!(
                        ?place,
                        "nobody confirmed the end of a session; forgetting it"
                    );
                    inner.sessions.remove(&place);
                    inner.touch(self.0.rules.own.as_ref(), &place);
                    is_news = true;
                }
            }
        });
        if ending > 0 || is_news {
            self.tell();
        }
        ending
    }

    /// Until when each session is good, some at a time, each time under the lock anew.
    pub(super) fn in_slices(&self, mut look: impl FnMut(&mut Inner, Vec<(Place, Timestamp)>)) {
        let mut behind = None;
        loop {
            let mut inner = self.lock();
            let slice = inner.sessions.behind(behind.as_ref()).take(SLICE);
            let slice: Vec<_> = slice.map(|(place, it)| (place.clone(), it.until)).collect();
            let Some((last, _)) = slice.last() else {
                return;
            };
            behind = Some(last.clone());
            look(&mut inner, slice);
        }
    }

    /// The sessions of a client that it is to move, at most so many of those `wanted`; those `behind` a
    /// place first.
    pub fn some_moving(
        &self,
        client: u32,
        most: usize,
        behind: Option<&Place>,
        wanted: impl Fn(&Place) -> bool,
    ) -> Vec<Move> {
        let inner = self.lock();
        let Some(desired) = &inner.desired else {
            return Vec::new();
        };
        let moving = inner
            .sessions
            .moving(client, behind)
            .filter(|(place, _)| wanted(place))
            .filter_map(|(place, session)| {
                let segment = inner.entry(place, session)?.segment.as_ref()?;
                Some(Move {
                    place: place.clone(),
                    session: session.clone(),
                    segment: segment.as_str().to_owned(),
                    on_the_air: desired.segments().on_the_air(segment).clone(),
                })
            });
        moving.take(most).collect()
    }

    /// The access point moved a session; whether that is news. It may belong elsewhere again by now.
    pub fn moved(&self, to: &Move, now: Timestamp) -> bool {
        let mut inner = self.lock();
        let found = inner.sessions.find(&to.place);
        if !found.is_some_and(|it| it.class == to.session.class && it.moving) {
            return false;
        }
        inner.sessions.move_to(&to.place, Some(to.segment.clone()));
        inner.sessions.set_moving(&to.place, false);
        self.settle(&mut inner, &to.place, now);
        drop(inner);
        self.tell();
        true
    }

    /// A session goes, whatever the state says. Its device may come in anew.
    pub fn dismiss(&self, place: &Place, class: &str, now: Timestamp) {
        let mut inner = self.lock();
        let found = inner.sessions.find(place);
        if found.is_some_and(|it| it.class == class && it.ending.is_none()) {
            self.dismiss_at(&mut inner, place, now);
            drop(inner);
            self.tell();
        }
    }

    /// It goes, whatever the state says.
    pub(super) fn dismiss_at(&self, inner: &mut Inner, place: &Place, now: Timestamp) {
        inner.sessions.dismiss(place, now);
        inner.cut_off(place);
        inner.touch(self.0.rules.own.as_ref(), place);
    }

    pub(super) fn settle_all(&self, inner: &mut Inner, now: Timestamp) -> usize {
        let places: Vec<_> = inner.sessions.all().keys().cloned().collect();
        let mut ending = 0;
        for place in places {
            ending += usize::from(self.settle(inner, &place, now));
        }
        ending
    }

    /// Brings one session in agreement with the state; whether it must go from now on.
    pub(super) fn settle(&self, inner: &mut Inner, place: &Place, now: Timestamp) -> bool {
        let Some(session) = inner
            .sessions
            .find(place)
            .filter(|_| inner.desired.is_some())
        else {
            return false;
        };
        let entry = inner.entry(place, session);
        let is_overdue = now.duration_since(session.until) > GRACE;
        let entry = entry.filter(|entry| !is_overdue && entry.expires_at > now);
        let expires_at = entry.map(|it| it.expires_at);
        let segment = entry
            .and_then(|it| it.segment.as_ref())
            .map(|it| it.as_str().to_owned());
        let was_ending = session.ending.is_some();
        let is_elsewhere = segment != session.segment;
        // A device that belongs elsewhere now goes out to come in again: not every access point can move
        // it. Our own ports can, and some others when they are asked.
        let is_own = self.is_own(place);
        let is_movable =
            segment.is_some() && !was_ending && self.0.rules.movers.contains(&place.client);
        let can_be_there = is_own || is_movable || !is_elsewhere;
        let stays = entry.is_some() && !session.dismissed && can_be_there;
        // What is not looked at before its time is found in time.
        if let Some(expires_at) = expires_at {
            inner.sessions.limit(place, expires_at);
        }
        if stays && is_elsewhere && is_own {
            inner.sessions.move_to(place, segment);
            inner.touch(self.0.rules.own.as_ref(), place);
        } else if stays && is_elsewhere {
            inner.sessions.set_moving(place, true);
        }
        match (stays, was_ending) {
            (false, false) => {
                inner.sessions.set_ending(place, Some(now));
                inner.cut_off(place);
            }
            // It may stay after all, before anybody ended it.
            (true, true) => {
                inner.sessions.set_ending(place, None);
                if let Some(mac) = place.mac {
                    inner.spare(mac);
                }
            }
            _ => return false,
        }
        inner.touch(self.0.rules.own.as_ref(), place);
        !stays
    }
}
