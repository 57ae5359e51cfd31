//! MAC authentication bypass: an access point asks for a station that shows nothing but its address.
//!
//! Only clients that are configured for it may ask, only stations that the desired state names come in, and
//! none by the address of one that has proved itself. The request must carry a Message-Authenticator as any
//! other.

use jiff::Timestamp;
use vouchsafe_radius::attribute::{self, mac_address};
use vouchsafe_radius::{Code, Draft, Packet, Station};

use crate::admission::{Denial, Place};
use crate::clients::RadiusClient;
use crate::event::{Event, mac_text, station_text};
use crate::radius::Desk;
use crate::random;

/// What a datagram is.
pub(crate) enum Heard {
    /// Not such a request: it is the authentication server's.
    Another,
    /// Nothing is answered.
    Nothing,
    /// Send this.
    Answer(Vec<u8>),
}

impl Desk {
    /// Answers a request without EAP of a client that may make such.
    pub(crate) fn by_address(
        &self,
        client: &RadiusClient,
        number: u32,
        datagram: &[u8],
        now: Timestamp,
    ) -> Heard {
        let Ok(packet) = Packet::parse(datagram) else {
            return Heard::Another;
        };
        if !client.mac
            || packet.code() != Code::AccessRequest
            || !matches!(packet.eap_message(), Ok(None))
        {
            return Heard::Another;
        }
        if let Err(error) = client.shared.check_access_request(&packet) {
            let name = client.name.as_str();
            tracing::warn!(client = name, code = error.reason_code(), "dropped");
            return Heard::Nothing;
        }
        let station = Station::of(&packet);
        let draft = match self.draft(number, &packet, &station, now) {
            Ok(draft) => draft,
            Err(denial) => {
                let event = Event::Refused {
                    identity: packet
                        .text(attribute::USER_NAME)
                        .unwrap_or_default()
                        .to_owned(),
                    station: station_text(station.mac),
                    access_point: station.access_point.unwrap_or_default(),
                    reason: denial.code().to_owned(),
                };
                self.events.tell(now, event);
                Draft::new(Code::AccessReject, packet.identifier())
            }
        };
        match client.shared.finish_response(draft, &packet) {
            Ok(answer) => Heard::Answer(answer),
            Err(_) => Heard::Nothing,
        }
    }

    fn draft(
        &self,
        number: u32,
        packet: &Packet,
        station: &Station,
        now: Timestamp,
    ) -> Result<Draft, Denial> {
        let named = packet.text(attribute::USER_NAME).and_then(mac_address);
        if named.is_none() || named != station.mac {
            return Err(Denial::NotAdmitted);
        }
        // A repeated request is answered with the class of the session that it began.
        let place = Place::of(number, station);
        let before = self.admission.find(&place);
        let before = before.filter(|it| it.is_weak() && it.ending.is_none());
        let class = match &before {
            Some(session) => session.class.clone(),
            None => random::bytes::<16>()
                .map(hex::encode)
                .map_err(|_| Denial::Full)?,
        };
        let (grant, entry) = self
            .admission
            .decide_station(number, station, &class, now)?;
        let mut draft = Draft::new(Code::AccessAccept, packet.identifier())
            .with(attribute::USER_NAME, entry.device.as_bytes())
            .with(attribute::CLASS, class.as_bytes());
        if let Some(seconds) = grant.session_seconds {
            draft = draft
                .with_integer(attribute::SESSION_TIMEOUT, seconds)
                .with_integer(attribute::TERMINATION_ACTION, 1);
        }
        if let Some(segment) = &grant.segment {
            // RFC 3580 §3.31: type VLAN, medium 802.
            draft = draft
                .with_integer(attribute::TUNNEL_TYPE, 13)
                .with_integer(attribute::TUNNEL_MEDIUM_TYPE, 6)
                .with(
                    attribute::TUNNEL_PRIVATE_GROUP_ID,
                    segment.as_str().as_bytes(),
                );
        }
        if before.is_none() {
            let event = Event::Accepted {
                device: entry.device,
                station: station.mac.map(mac_text).unwrap_or_default(),
                access_point: station.access_point.clone().unwrap_or_default(),
                segment: entry.segment.map(|it| it.as_str().to_owned()),
                seconds: grant.session_seconds.unwrap_or_default(),
            };
            self.events.tell(now, event);
        }
        Ok(draft)
    }
}
