//! Packets with something wrong, made by hand.

use vouchsafe_radius::eap::{Body, Packet as Eap, TlsMessage};
use vouchsafe_radius::{Client, Code, Open, Sent, Step, eap};

use crate::world::{Site, attributes, random, shared};

/// A station that says what it is told to say.
pub(crate) struct Puppet {
    pub(crate) client: Client,
    identifier: u8,
    eap_identifier: u8,
}

impl Puppet {
    /// A puppet that was already invited to begin EAP-TLS.
    pub(crate) fn invited(site: &mut Site) -> Self {
        let mut puppet = Self {
            client: Client::new(shared(), attributes()),
            identifier: 0,
            eap_identifier: 1,
        };
        let request = puppet.say(site, eap::IDENTITY, b"@example.org");
        assert_eq!(request, Heard::Request(vec![0x20]));
        puppet
    }

    /// Sends the data of an EAP response and hears the answer.
    pub(crate) fn say(&mut self, site: &mut Site, method: u8, data: &[u8]) -> Heard {
        let response = Eap::Response(Body {
            identifier: self.eap_identifier,
            method,
            data,
        });
        self.send(site, &response.encode())
    }

    /// Sends an EAP-TLS message.
    pub(crate) fn tls(&mut self, site: &mut Site, message: &TlsMessage<'_>) -> Heard {
        self.say(site, eap::TLS, &message.encode())
    }

    pub(crate) fn send(&mut self, site: &mut Site, packet: &[u8]) -> Heard {
        self.identifier += 1;
        let (datagram, open) = self
            .client
            .request(self.identifier, packet, random())
            .unwrap();
        self.hear(site, &datagram, &open)
    }

    pub(crate) fn hear(&mut self, site: &mut Site, datagram: &[u8], open: &Open) -> Heard {
        match site.handle(datagram) {
            Step::Send(answer, Sent::Reject(rejection)) => {
                let answer = self.client.answer(open, &answer).unwrap();
                assert_eq!(answer.code, Code::AccessReject);
                Heard::Rejected(rejection.reason.reason_code())
            }
            Step::Send(answer, _) => {
                let answer = self.client.answer(open, &answer).unwrap();
                let eap = answer.eap.unwrap();
                match Eap::parse(&eap).unwrap() {
                    Eap::Request(body) => {
                        self.eap_identifier = body.identifier;
                        Heard::Request(body.data.to_vec())
                    }
                    _ => panic!("in by accident"),
                }
            }
            Step::Discard(error) => Heard::Nothing(error.reason_code()),
            Step::Decide(_) => unreachable!(),
        }
    }
}

/// What the puppet heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A request of EAP-TLS, with this data.
    Request(Vec<u8>),
    /// It may not come in; the server's reason.
    Rejected(&'static str),
    /// Nothing; the server's reason.
    Nothing(&'static str),
}

pub(crate) fn piece(length: Option<u32>, more: bool, data: &[u8]) -> TlsMessage<'_> {
    TlsMessage {
        start: false,
        more,
        length,
        data,
    }
}
