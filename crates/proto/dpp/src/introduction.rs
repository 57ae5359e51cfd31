//! Network introduction: a station and an access point show each other their connectors and have
//! a key in common without a word more (Wi-Fi Easy Connect 3.0 §6.6).
//!
//! 1. The station sends a Peer Discovery Request with its connector ([`Member::request`]).
//! 2. The access point checks it against its own and answers with its connector, or with the reason
//!    why not ([`Member::answer`]).
//! 3. The station checks that one ([`Member::finish`]). Both have derived the same PMK.
//!
//! Nobody has proved anything yet: the four-way handshake that follows shows who has the private key.

use jiff::Timestamp;
use vouchsafe_trust::Secret;

use crate::attribute::{AttributeId, Attributes, put};
use crate::connector::{CSignPublicKey, Connector, VerifiedConnector};
use crate::curve::{Point, PrivateKey, sha256};
use crate::error::{Error, Refusal};
use crate::frame::{Frame, FrameType, begin};
use crate::schedule;
use crate::status::Status;

/// One side: its connector, proved to be for its own key, and whom it trusts.
#[derive(Debug)]
pub struct Member {
    connector: VerifiedConnector,
    key: PrivateKey,
    anchors: Vec<CSignPublicKey>,
    version: u8,
}

/// What an introduction leaves: the key for the four-way handshake.
#[derive(Debug)]
pub struct PairwiseKey {
    /// As long as the curve's hash.
    pub pmk: Secret,
    /// Its name.
    pub pmkid: [u8; 16],
    /// When the first of the two connectors expires.
    pub expiry: Option<Timestamp>,
    /// The peer's connector.
    pub peer: VerifiedConnector,
    /// The version that the peer says it speaks; 1 when it does not say.
    pub peer_version: u8,
}

impl Member {
    /// A side with this connector, which is checked first.
    ///
    /// # Errors
    /// As [`Connector::verify`] and [`VerifiedConnector::check_key`].
    pub fn new(
        connector: &Connector,
        key: PrivateKey,
        anchors: Vec<CSignPublicKey>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let connector = connector.verify(&anchors, now)?;
        connector.check_key(key.public())?;
        // §6.6.1: what the connector was issued for counts, whatever has been learned since.
        let version = connector.content().version;
        Ok(Self {
            version: version.unwrap_or(crate::authentication::VERSION),
            connector,
            key,
            anchors,
        })
    }

    /// Step 1: a Peer Discovery Request. `transaction` is any number that tells this one from others
    /// under way.
    ///
    /// # Errors
    /// [`crate::Misuse::Oversize`].
    pub fn request(&self, transaction: u8) -> Result<Vec<u8>, Error> {
        let mut frame = begin(FrameType::PeerDiscoveryRequest);
        put(&mut frame, AttributeId::TransactionId, &[transaction])?;
        self.put_connector(&mut frame)?;
        Ok(frame)
    }

    /// Step 2: checks a request and answers it.
    ///
    /// # Errors
    /// [`Error::reply`] is the answer that says why not: invalid connector, or no match. A request
    /// that is malformed has none.
    pub fn answer(&self, frame: &[u8], now: Timestamp) -> Result<(Vec<u8>, PairwiseKey), Error> {
        let frame = Frame::expect(frame, FrameType::PeerDiscoveryRequest)?;
        let attributes = frame.attributes();
        let [transaction] = attributes.require_array(AttributeId::TransactionId)?;
        attributes.require(AttributeId::Connector)?;
        let begin_answer = |status: Status| -> Result<Vec<u8>, Error> {
            let mut answer = begin(FrameType::PeerDiscoveryResponse);
            put(&mut answer, AttributeId::TransactionId, &[transaction])?;
            put(&mut answer, AttributeId::Status, &[status.number()])?;
            Ok(answer)
        };
        match self.introduce(attributes, now) {
            Ok(key) => {
                let mut answer = begin_answer(Status::Ok)?;
                self.put_connector(&mut answer)?;
                Ok((answer, key))
            }
            Err(error) => {
                let mut answer = begin_answer(status_of(&error))?;
                put(&mut answer, AttributeId::ProtocolVersion, &[self.version])?;
                Err(error.answered(answer))
            }
        }
    }

    /// Step 3: checks the answer to the request with this `transaction`.
    ///
    /// # Errors
    /// [`Error::Peer`] when it says why not; [`Refusal::Transaction`]; otherwise as
    /// [`VerifiedConnector::matches`] and [`Connector::verify`].
    pub fn finish(
        &self,
        frame: &[u8],
        transaction: u8,
        now: Timestamp,
    ) -> Result<PairwiseKey, Error> {
        let frame = Frame::expect(frame, FrameType::PeerDiscoveryResponse)?;
        let attributes = frame.attributes();
        if attributes.require_array(AttributeId::TransactionId)? != [transaction] {
            return Err(Refusal::Transaction.into());
        }
        match attributes.status()? {
            Status::Ok => self.introduce(attributes, now),
            other => Err(Error::Peer(other)),
        }
    }

    fn put_connector(&self, frame: &mut Vec<u8>) -> Result<(), Error> {
        let connector = self.connector.connector().as_str();
        put(frame, AttributeId::Connector, connector.as_bytes())?;
        if self.version >= 2 {
            put(frame, AttributeId::ProtocolVersion, &[self.version])?;
        }
        Ok(())
    }

    fn introduce(&self, attributes: &Attributes<'_>, now: Timestamp) -> Result<PairwiseKey, Error> {
        let text = attributes.require(AttributeId::Connector)?;
        let text = std::str::from_utf8(text).map_err(|_| crate::Malformed::ConnectorEncoding)?;
        let peer = Connector::parse(text)?.verify(&self.anchors, now)?;
        self.connector.matches(&peer)?;
        let said = attributes.find_array(AttributeId::ProtocolVersion)?;
        let peer_version = said.map_or(1, |[version]| version);
        // §6.6.2: the signed version shows when the one in clear was lowered on the way.
        if let Some(signed) = peer.content().version
            && signed >= 2
            && signed != peer_version
        {
            return Err(Refusal::ConnectorVersion.into());
        }
        let own = &self.connector.content();
        let n_x = self.key.agree_x(&peer.content().net_access_key)?;
        let expiries = [own.expiry, peer.content().expiry];
        Ok(PairwiseKey {
            pmk: schedule::hkdf(self.key.curve(), n_x.expose(), b"DPP PMK"),
            pmkid: pmkid(&own.net_access_key, &peer.content().net_access_key),
            expiry: expiries.into_iter().flatten().min(),
            peer,
            peer_version,
        })
    }
}

/// The lower of the two x coordinates first; SHA-256 on every curve (§6.6.3).
fn pmkid(own: &Point, peer: &Point) -> [u8; 16] {
    let (low, high) = if own.x() <= peer.x() {
        (own.x(), peer.x())
    } else {
        (peer.x(), own.x())
    };
    let hash = sha256(&[low, high]);
    hash.first_chunk().copied().unwrap_or_default()
}

fn status_of(error: &Error) -> Status {
    match error.refusal() {
        Some(
            Refusal::ConnectorSigner
            | Refusal::ConnectorGroup
            | Refusal::ConnectorRole
            | Refusal::ConnectorVersion,
        ) => Status::NoMatch,
        _ => Status::InvalidConnector,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::ConnectorContent;
    use crate::curve::Curve;
    use crate::object::NetRole;
    use crate::recorded;

    const CURVES: [Curve; 5] = [
        Curve::P256,
        Curve::P384,
        Curve::P521,
        Curve::Bp256,
        Curve::Bp384,
    ];

    fn key(curve: Curve, seed: u8) -> PrivateKey {
        PrivateKey::from_seed(curve, &vec![seed; curve.seed_length()]).unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn member(role: NetRole, curve: Curve, change: impl Fn(&mut ConnectorContent)) -> Member {
        signed_by(1, role, curve, change)
    }

    fn signed_by(
        signer: u8,
        role: NetRole,
        curve: Curve,
        change: impl Fn(&mut ConnectorContent),
    ) -> Member {
        let signer = key(Curve::P256, signer);
        let own = key(curve, if role == NetRole::Station { 5 } else { 6 });
        let mut content = ConnectorContent::for_any_group(role, own.public().clone());
        content.version = Some(3);
        change(&mut content);
        let connector = Connector::issue_with_key(&content, &signer).unwrap();
        let anchors = vec![CSignPublicKey::new(signer.public().clone())];
        Member::new(&connector, own, anchors, now()).unwrap()
    }

    fn station() -> Member {
        member(NetRole::Station, Curve::P256, |_| ())
    }

    fn access_point() -> Member {
        member(NetRole::AccessPoint, Curve::P256, |_| ())
    }

    #[test]
    fn both_derive_the_same_key_on_every_curve() {
        let soon: Timestamp = "2026-11-22T13:00:00Z".parse().unwrap();
        for curve in CURVES {
            let station = member(NetRole::Station, curve, |content| {
                content.expiry = Some(soon)
            });
            let access_point = member(NetRole::AccessPoint, curve, |_| ());
            let request = station.request(7).unwrap();
            let (answer, theirs) = access_point.answer(&request, now()).unwrap();
            let ours = station.finish(&answer, 7, now()).unwrap();
            assert!(ours.pmk.ct_eq(theirs.pmk.expose()));
            assert_eq!(ours.pmk.len(), curve.hash_length());
            assert_eq!(ours.pmkid, theirs.pmkid);
            assert_eq!((ours.expiry, theirs.expiry), (Some(soon), Some(soon)));
            assert_eq!(ours.peer_version, 3);
        }
    }

    /// What Debian's hostap 2.10 did on simulated radios before a station associated.
    #[test]
    fn an_introduction_of_hostap_gives_its_key_at_both_ends() {
        let recording = include_str!("../tests/hostap/introduction-p256.txt");
        let octets = |name| recorded::octets(recording, name);
        let c_sign = recorded::key(recording, "c_sign_key");
        let member = |frame: &[u8], name| {
            let frame = Frame::read(frame).unwrap();
            let text = frame.attributes().require(AttributeId::Connector).unwrap();
            let connector = Connector::parse(std::str::from_utf8(text).unwrap()).unwrap();
            let anchors = vec![CSignPublicKey::new(c_sign.public().clone())];
            let key = recorded::key(recording, name);
            Member::new(&connector, key, anchors, now()).unwrap()
        };
        let (request, response) = (octets("request"), octets("response"));
        let station = member(&request, "station_key");
        let access_point = member(&response, "access_point_key");
        let ours = station.finish(&response, 1, now()).unwrap();
        let (_, theirs) = access_point.answer(&request, now()).unwrap();
        for key in [ours, theirs] {
            assert_eq!(key.pmk.expose(), octets("pmk"));
            assert_eq!(key.pmkid.to_vec(), octets("pmkid"));
            assert_eq!(key.peer_version, 2);
        }
    }

    #[track_caller]
    fn refused(station: &Member, reason: Refusal, status: Status) {
        let request = station.request(7).unwrap();
        let later: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let error = access_point().answer(&request, later).unwrap_err();
        assert_eq!(error.refusal(), Some(reason));
        let reply = error.reply().unwrap();
        let said = self::station().finish(reply, 7, now()).unwrap_err();
        assert_eq!(said, Error::Peer(status));
    }

    #[test]
    fn connectors_that_do_not_go_together_are_refused_section_6_6_2() {
        let make =
            |change: &dyn Fn(&mut ConnectorContent)| member(NetRole::Station, Curve::P256, change);
        let group = |id: &str, role| crate::connector::Group {
            id: id.into(),
            role,
        };
        refused(
            &signed_by(2, NetRole::Station, Curve::P256, |_| ()),
            Refusal::ConnectorSigner,
            Status::NoMatch,
        );
        refused(
            &make(&|content| content.expiry = Some(now())),
            Refusal::ConnectorExpired,
            Status::InvalidConnector,
        );
        refused(
            &make(&|content| content.groups = vec![group("*", NetRole::AccessPoint)]),
            Refusal::ConnectorRole,
            Status::NoMatch,
        );
        refused(
            &member(NetRole::Station, Curve::P384, |_| ()),
            Refusal::ConnectorCurve,
            Status::InvalidConnector,
        );
        let home = member(NetRole::AccessPoint, Curve::P256, |content| {
            content.groups = vec![group("home", NetRole::AccessPoint)];
        });
        let work = make(&|content| content.groups = vec![group("work", NetRole::Station)]);
        let error = home.answer(&work.request(7).unwrap(), now()).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::ConnectorGroup));
    }

    /// A frame without one attribute, or with another value for it.
    fn altered(frame: &[u8], id: AttributeId, value: Option<&[u8]>) -> Vec<u8> {
        let read = Frame::read(frame).unwrap();
        let mut out = begin(read.frame_type());
        for (number, old) in read.attributes().iter() {
            let known = AttributeId::from_number(number).unwrap();
            if known != id {
                put(&mut out, known, old).unwrap();
            } else if let Some(new) = value {
                put(&mut out, known, new).unwrap();
            }
        }
        out
    }

    fn fault(id: AttributeId, fault: crate::AttributeFault) -> Error {
        Error::Attribute { id, fault }
    }

    /// hostap's faults 60 to 64, 77 to 80, 82 and 92 to 95, which reach nobody over TCP.
    #[test]
    fn discoveries_with_the_faults_of_hostap_are_refused_section_6_6() {
        use crate::AttributeFault::{Length, Missing};
        use AttributeId::{Connector as Shown, ProtocolVersion, Status as Said, TransactionId};

        let request = station().request(7).unwrap();
        let (answer, _) = access_point().answer(&request, now()).unwrap();
        let shown = Frame::read(&answer).unwrap().attributes().require(Shown);
        let mut corrupt = shown.unwrap().to_vec();
        let middle = corrupt.len() - 20;
        corrupt[middle] = if corrupt[middle] == b'A' { b'B' } else { b'A' };
        for (id, value, reason) in [
            (TransactionId, None, fault(TransactionId, Missing)),
            (TransactionId, Some(&[][..]), fault(TransactionId, Length)),
            (Shown, None, fault(Shown, Missing)),
            (
                Shown,
                Some(&corrupt[..]),
                Refusal::ConnectorSignature.into(),
            ),
            (ProtocolVersion, None, Refusal::ConnectorVersion.into()),
            (
                ProtocolVersion,
                Some(&[1]),
                Refusal::ConnectorVersion.into(),
            ),
        ] {
            let refused = access_point().answer(&altered(&request, id, value), now());
            let refused = match refused.unwrap_err() {
                Error::Answered { error, .. } => *error,
                other => other,
            };
            assert_eq!(refused, reason, "request, {id}");
        }
        for (id, value, reason) in [
            (TransactionId, None, fault(TransactionId, Missing)),
            (TransactionId, Some(&[6][..]), Refusal::Transaction.into()),
            (Said, None, fault(Said, Missing)),
            (Said, Some(&[254]), Refusal::Status.into()),
            (Shown, None, fault(Shown, Missing)),
            (
                Shown,
                Some(&corrupt[..]),
                Refusal::ConnectorSignature.into(),
            ),
            (ProtocolVersion, None, Refusal::ConnectorVersion.into()),
            (
                ProtocolVersion,
                Some(&[1]),
                Refusal::ConnectorVersion.into(),
            ),
        ] {
            let refused = station().finish(&altered(&answer, id, value), 7, now());
            assert_eq!(refused.err(), Some(reason), "answer, {id}");
        }
    }

    /// §6.6.2: the version in clear is held against the signed one.
    #[test]
    fn a_lowered_version_is_refused() {
        let mut request = station().request(7).unwrap();
        *request.last_mut().unwrap() = 2;
        let error = access_point().answer(&request, now()).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::ConnectorVersion));
        request.truncate(request.len() - 5);
        let error = access_point().answer(&request, now()).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::ConnectorVersion));
        let old = member(NetRole::Station, Curve::P256, |content| {
            content.version = None
        });
        let mut request = old.request(7).unwrap();
        request.truncate(request.len() - 5);
        let (_, key) = access_point().answer(&request, now()).unwrap();
        assert_eq!(key.peer_version, 1);
    }

    #[test]
    fn an_answer_to_another_request_is_refused() {
        let (answer, _) = access_point()
            .answer(&station().request(7).unwrap(), now())
            .unwrap();
        assert_eq!(
            station().finish(&answer, 8, now()).err(),
            Some(Refusal::Transaction.into())
        );
        assert!(
            station()
                .finish(&station().request(7).unwrap(), 7, now())
                .is_err()
        );
        for length in 0..answer.len() {
            let cut = station().finish(&answer[..length], 7, now());
            // The version alone may be missing, and then the signed one tells.
            assert!(cut.is_err(), "cut at {length}");
        }
    }

    /// §6.4.5: a connector is worth something to the holder of its key alone.
    #[test]
    fn a_connector_of_another_key_makes_no_member() {
        let station = station();
        let made = Member::new(
            station.connector.connector(),
            key(Curve::P256, 99),
            station.anchors.clone(),
            now(),
        );
        assert_eq!(made.err(), Some(Refusal::ConnectorForeignKey.into()));
    }
}
