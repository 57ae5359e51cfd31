//! A controller's API as a stranger calls it: paths and JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use vouchsafe_net::{Connector, ConnectorOptions, Origin, ServerTrust};
use vouchsafe_trust::{Anchors, Certificate};

/// An answer: status and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Calls one API; a connection a call.
pub(crate) struct Api {
    runtime: Runtime,
    connector: Connector,
    origin: Origin,
    token: String,
}

impl Api {
    /// `ca_pem` is the CA of the API's certificate.
    pub(crate) fn new(url: &str, ca_pem: &str, token: &str) -> Self {
        let anchors = Anchors::new(Certificate::many_from_pem(ca_pem).unwrap()).unwrap();
        let options = ConnectorOptions::new(ServerTrust::Anchors(anchors));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            runtime,
            connector: Connector::new(options),
            origin: url.parse().unwrap(),
            token: token.trim().to_owned(),
        }
    }

    /// Any call.
    pub(crate) fn call(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", kind)
            .body(Bytes::copy_from_slice(body))
            .unwrap();
        let answer = self.runtime.block_on(async {
            let mut connection = self.connector.connect(&self.origin).await.unwrap();
            connection.request(request).await.unwrap()
        });
        Answer {
            status: answer.status().as_u16(),
            body: answer.body().to_vec(),
        }
    }

    /// The answer to a GET that must succeed.
    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.call("GET", path, "application/json", b"");
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }

    /// The answer to a POST that must succeed.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.call(
            "POST",
            path,
            "application/json",
            body.to_string().as_bytes(),
        );
        assert!(
            (200..300).contains(&answer.status),
            "POST {path}: {}",
            answer.text()
        );
        answer.json()
    }

    /// Reads a manifest in, and trusts its signer by `anchors_pem`.
    pub(crate) fn import(&self, manifest: &[u8], anchors_pem: &str) -> Value {
        let body = json!({ "manifest": STANDARD.encode(manifest), "anchors_pem": anchors_pem });
        self.post("/api/v1/imports/manifest", &body)
    }

    /// The device with this serial number.
    pub(crate) fn device(&self, serial: &str) -> Value {
        let page = self.get(&format!("/api/v1/devices?serial={serial}"));
        let devices = page["items"].as_array().unwrap();
        assert_eq!(devices.len(), 1, "{page}");
        devices[0].clone()
    }

    /// All credentials that a device ever had here.
    pub(crate) fn credentials(&self, device: &Value) -> Vec<Value> {
        let id = device["id"].as_str().unwrap();
        let page = self.get(&format!("/api/v1/credentials?device={id}"));
        page["items"].as_array().unwrap().clone()
    }

    /// The journal of a device.
    pub(crate) fn journal(&self, device: &Value) -> Vec<Value> {
        let id = device["id"].as_str().unwrap();
        let page = self.get(&format!("/api/v1/devices/{id}/journal"));
        page["entries"].as_array().unwrap().clone()
    }

    /// Every chain of the journal is whole.
    pub(crate) fn verify_journal(&self) {
        let verification = self.post("/api/v1/journal/verify", &json!({}));
        assert_eq!(verification["ok"], true, "{verification}");
    }
}
