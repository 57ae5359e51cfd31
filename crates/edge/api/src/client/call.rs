//! One request, from its parts.

use bytes::Bytes;
use http::{Request, header};
use serde::Serialize;

use super::BearerToken;
use crate::Version;
use crate::route::Route;

/// One request in the making.
pub(super) struct Call {
    route: Route,
    id: Option<String>,
    query: String,
    body: Option<(&'static str, Bytes)>,
    if_match: Option<Version>,
    fault: Option<&'static str>,
}

impl Call {
    pub(super) fn new(route: Route) -> Self {
        Self {
            route,
            id: None,
            query: String::new(),
            body: None,
            if_match: None,
            fault: None,
        }
    }

    pub(super) fn id(mut self, id: &str) -> Self {
        if id.is_empty() {
            self.fault = Some("the id is empty");
        }
        self.id = Some(escape(id));
        self
    }

    /// Adds the fields of a flat structure as query parameters; absent ones are left out.
    pub(super) fn query(mut self, parameters: &impl Serialize) -> Self {
        let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(parameters) else {
            self.fault = Some("the query is not a flat structure");
            return self;
        };
        for (name, value) in fields {
            let text = match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            self.query
                .push(if self.query.is_empty() { '?' } else { '&' });
            self.query.push_str(&name);
            self.query.push('=');
            self.query.push_str(&escape(&text));
        }
        self
    }

    pub(super) fn wait(mut self, seconds: Option<u32>) -> Self {
        if let Some(seconds) = seconds {
            self.query = format!("?wait={seconds}");
        }
        self
    }

    pub(super) fn dry_run(mut self, dry_run: bool) -> Self {
        if dry_run {
            self.query.push_str("?dry_run=true");
        }
        self
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body = Some(("application/json", bytes.into())),
            Err(_) => self.fault = Some("the body does not serialize"),
        }
        self
    }

    pub(super) fn json_as(self, media_type: &'static str, body: &impl Serialize) -> Self {
        let mut call = self.json(body);
        if let Some((kind, _)) = &mut call.body {
            *kind = media_type;
        }
        call
    }

    pub(super) fn body(mut self, media_type: &'static str, body: Bytes) -> Self {
        self.body = Some((media_type, body));
        self
    }

    pub(super) fn if_match(mut self, version: Option<Version>) -> Self {
        self.if_match = version;
        self
    }

    pub(super) fn into_request(
        self,
        token: Option<&BearerToken>,
    ) -> Result<Request<Bytes>, &'static str> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let path = match &self.id {
            Some(id) => self.route.path.replace("{id}", id),
            None => self.route.path.to_owned(),
        };
        let mut request = Request::builder()
            .method(http::Method::from(self.route.method))
            .uri(path + &self.query)
            .header(header::ACCEPT, "application/json, application/problem+json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token.0.clone());
        }
        if let Some(version) = self.if_match {
            request = request.header(header::IF_MATCH, version.to_string());
        }
        let body = match self.body {
            Some((media_type, body)) => {
                request = request.header(header::CONTENT_TYPE, media_type);
                body
            }
            None => Bytes::new(),
        };
        request
            .body(body)
            .map_err(|_| "the arguments make no request")
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986 §2.3).
fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
