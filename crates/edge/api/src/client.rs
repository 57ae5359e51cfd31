//! A typed client: one method for each operation, over any transport.
//!
//! The event stream is not here, because it never ends: [`Client::read_journal`] with the position
//! of the last entry gives the same entries.

mod call;
mod wifi;

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use serde::de::DeserializeOwned;

use self::call::Call;
use crate::route::{self, TEXT_CSV};
use crate::{
    AddGate, AddManufacturer, AddOwner, Approve, CheckPolicy, Checkpoint, Claim, ClaimAddress,
    CreateToken, CreatedToken, Credential, CredentialFilter, Device, DeviceFilter,
    DeviceJournalQuery, DryRun, DryRunPolicy, Gate, GateInvitation, ImportDevices, ImportManifest,
    ImportResult, JournalPage, JournalQuery, Manufacturer, Owner, Page, PageQuery, Policy,
    PolicyCheck, Problem, PutPolicy, PutSegment, Reasoned, Release, Released, RemoveAddress,
    Revoke, ScimError, Segment, Session, SessionFilter, SetTrust, Site, StateClaim, Status, Token,
    Verification, Version,
};

/// Carries one request to the controller and its response back.
///
/// The request's URI is a path with query; scheme and authority are the transport's business, as
/// are TLS, time-outs and the bound on the response's size.
pub trait Transport: Send + Sync {
    /// Why a request got no response.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Sends the request and waits for the whole response.
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Response<Bytes>, Self::Error>> + Send;
}

/// The secret of a token. Neither prints nor serializes.
#[derive(Clone)]
pub struct BearerToken(HeaderValue);

impl BearerToken {
    /// Takes the secret as it was shown; surrounding white space is dropped. `None` when it cannot
    /// be a token.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        let secret = secret.trim();
        let printable = |byte: u8| byte.is_ascii_graphic();
        if secret.is_empty() || !secret.bytes().all(printable) {
            return None;
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {secret}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("BearerToken(..)")
    }
}

/// Why an operation gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError<E: std::error::Error + 'static> {
    /// No response came.
    #[error("the controller did not answer")]
    Transport(#[source] E),
    /// The controller answered with a problem.
    #[error(transparent)]
    Problem(Box<Problem>),
    /// Something answered, and it does not speak this API.
    #[error("status {status} with a body that is not of this API")]
    Unexpected {
        /// The HTTP status.
        status: StatusCode,
    },
    /// The arguments make no request, such as an empty id.
    #[error("{0}")]
    Misuse(&'static str),
}

/// Something with the version it had when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged<T> {
    /// What was read.
    pub value: T,
    /// Its version, for If-Match.
    pub version: Option<Version>,
}

/// Calls the operations of [`route::ROUTES`].
#[derive(Debug, Clone)]
pub struct Client<T> {
    transport: T,
    token: Option<BearerToken>,
    wait: Option<u32>,
}

type Answer<O, T> = Result<O, ClientError<<T as Transport>::Error>>;

impl<T: Transport> Client<T> {
    /// A client that shows this token with every request; without one only open routes answer.
    pub fn new(transport: T, token: Option<BearerToken>) -> Self {
        Self {
            transport,
            token,
            wait: None,
        }
    }

    /// The same client, whose changes of a device's standing wait this many seconds for gates, 0 to 30.
    #[must_use]
    pub fn waiting(mut self, seconds: u32) -> Self {
        self.wait = Some(seconds);
        self
    }

    /// Lists devices. All operations fail as [`ClientError`] says.
    pub async fn list_devices(
        &self,
        filter: &DeviceFilter,
        page: &PageQuery,
    ) -> Answer<Page<Device>, T> {
        self.call(Call::new(route::LIST_DEVICES).query(filter).query(page))
            .await
    }

    /// Claims one device.
    pub async fn claim_device(&self, claim: &Claim) -> Answer<Device, T> {
        self.call(Call::new(route::CLAIM_DEVICE).json(claim)).await
    }

    /// Imports devices from a list; with `dry_run` only says what that would do.
    pub async fn import_devices(
        &self,
        devices: &ImportDevices,
        dry_run: bool,
    ) -> Answer<ImportResult, T> {
        self.call(
            Call::new(route::IMPORT_DEVICES)
                .json(devices)
                .dry_run(dry_run),
        )
        .await
    }

    /// Imports devices from comma-separated text with a header line.
    pub async fn import_csv(&self, csv: Bytes, dry_run: bool) -> Answer<ImportResult, T> {
        self.call(
            Call::new(route::IMPORT_DEVICES)
                .body(TEXT_CSV, csv)
                .dry_run(dry_run),
        )
        .await
    }

    /// Imports devices from a manufacturer's signed manifest.
    pub async fn import_manifest(
        &self,
        manifest: &ImportManifest,
        dry_run: bool,
    ) -> Answer<ImportResult, T> {
        self.call(
            Call::new(route::IMPORT_MANIFEST)
                .json(manifest)
                .dry_run(dry_run),
        )
        .await
    }

    /// Shows one device.
    pub async fn show_device(&self, id: &str) -> Answer<Tagged<Device>, T> {
        self.call_tagged(Call::new(route::SHOW_DEVICE).id(id)).await
    }

    /// Lets a waiting device in.
    pub async fn approve_device(
        &self,
        id: &str,
        approve: &Approve,
        version: Option<Version>,
    ) -> Answer<Device, T> {
        self.call(
            Call::new(route::APPROVE_DEVICE)
                .id(id)
                .json(approve)
                .if_match(version),
        )
        .await
    }

    /// Keeps a waiting device out.
    pub async fn deny_device(
        &self,
        id: &str,
        reason: &Reasoned,
        version: Option<Version>,
    ) -> Answer<Device, T> {
        self.call(
            Call::new(route::DENY_DEVICE)
                .id(id)
                .json(reason)
                .if_match(version),
        )
        .await
    }

    /// Revokes all credentials of a device.
    pub async fn revoke_device(
        &self,
        id: &str,
        revoke: &Revoke,
        version: Option<Version>,
    ) -> Answer<Device, T> {
        self.call(
            Call::new(route::REVOKE_DEVICE)
                .id(id)
                .json(revoke)
                .wait(self.wait)
                .if_match(version),
        )
        .await
    }

    /// Keeps a device apart.
    pub async fn quarantine_device(
        &self,
        id: &str,
        reason: &Reasoned,
        version: Option<Version>,
    ) -> Answer<Device, T> {
        self.call(
            Call::new(route::QUARANTINE_DEVICE)
                .id(id)
                .json(reason)
                .wait(self.wait)
                .if_match(version),
        )
        .await
    }

    /// Lets a quarantined device back.
    pub async fn restore_device(
        &self,
        id: &str,
        reason: &Reasoned,
        version: Option<Version>,
    ) -> Answer<Device, T> {
        self.call(
            Call::new(route::RESTORE_DEVICE)
                .id(id)
                .json(reason)
                .wait(self.wait)
                .if_match(version),
        )
        .await
    }

    /// Says what giving a device up would come to; nothing changes, and nothing is signed.
    pub async fn rehearse_release(
        &self,
        id: &str,
        release: &Release,
        version: Option<Version>,
    ) -> Answer<Released, T> {
        self.call(
            Call::new(route::RELEASE_DEVICE)
                .id(id)
                .json(release)
                .dry_run(true)
                .if_match(version),
        )
        .await
    }

    /// Gives a device up for another owner.
    pub async fn release_device(
        &self,
        id: &str,
        release: &Release,
        version: Option<Version>,
    ) -> Answer<Released, T> {
        self.call(
            Call::new(route::RELEASE_DEVICE)
                .id(id)
                .json(release)
                .wait(self.wait)
                .if_match(version),
        )
        .await
    }

    /// Ends a device's life.
    pub async fn retire_device(
        &self,
        id: &str,
        reason: &Reasoned,
        version: Option<Version>,
    ) -> Answer<Device, T> {
        self.call(
            Call::new(route::RETIRE_DEVICE)
                .id(id)
                .json(reason)
                .wait(self.wait)
                .if_match(version),
        )
        .await
    }

    /// Shows the journal of one device behind the entry with this number; an empty stretch is its end.
    pub async fn device_journal(&self, id: &str, after: i64) -> Answer<JournalPage, T> {
        let query = DeviceJournalQuery { after: Some(after) };
        self.call(Call::new(route::DEVICE_JOURNAL).id(id).query(&query))
            .await
    }

    /// Lists manufacturers.
    pub async fn list_manufacturers(&self, page: &PageQuery) -> Answer<Page<Manufacturer>, T> {
        self.call(Call::new(route::LIST_MANUFACTURERS).query(page))
            .await
    }

    /// Adds a manufacturer.
    pub async fn add_manufacturer(&self, add: &AddManufacturer) -> Answer<Manufacturer, T> {
        self.call(Call::new(route::ADD_MANUFACTURER).json(add))
            .await
    }

    /// Shows one manufacturer.
    pub async fn show_manufacturer(&self, id: &str) -> Answer<Tagged<Manufacturer>, T> {
        self.call_tagged(Call::new(route::SHOW_MANUFACTURER).id(id))
            .await
    }

    /// Sets how far a manufacturer is trusted, if this is still its version.
    pub async fn set_manufacturer_trust(
        &self,
        id: &str,
        trust: &SetTrust,
        version: Version,
    ) -> Answer<Manufacturer, T> {
        let call = Call::new(route::SET_MANUFACTURER_TRUST).id(id).json(trust);
        self.call(call.if_match(Some(version))).await
    }

    /// Lists segments.
    pub async fn list_segments(&self, page: &PageQuery) -> Answer<Page<Segment>, T> {
        self.call(Call::new(route::LIST_SEGMENTS).query(page)).await
    }

    /// Adds a segment.
    pub async fn add_segment(&self, segment: &PutSegment) -> Answer<Segment, T> {
        self.call(Call::new(route::ADD_SEGMENT).json(segment)).await
    }

    /// Shows one segment.
    pub async fn show_segment(&self, name: &str) -> Answer<Tagged<Segment>, T> {
        self.call_tagged(Call::new(route::SHOW_SEGMENT).id(name))
            .await
    }

    /// Changes a segment.
    pub async fn put_segment(
        &self,
        segment: &PutSegment,
        version: Version,
    ) -> Answer<Tagged<Segment>, T> {
        self.call_tagged(
            Call::new(route::PUT_SEGMENT)
                .id(&segment.name)
                .json(segment)
                .if_match(Some(version)),
        )
        .await
    }

    /// Removes a segment.
    pub async fn remove_segment(&self, name: &str, version: Option<Version>) -> Answer<(), T> {
        let call = Call::new(route::REMOVE_SEGMENT).id(name).if_match(version);
        self.exchange(call).await.map(drop)
    }

    /// Lists gates.
    pub async fn list_gates(&self, page: &PageQuery) -> Answer<Page<Gate>, T> {
        self.call(Call::new(route::LIST_GATES).query(page)).await
    }

    /// Adds a gate; the token with which it enrols is in the answer, and nowhere else.
    pub async fn add_gate(&self, gate: &AddGate) -> Answer<GateInvitation, T> {
        self.call(Call::new(route::ADD_GATE).json(gate)).await
    }

    /// Shows one gate.
    pub async fn show_gate(&self, name: &str) -> Answer<Tagged<Gate>, T> {
        self.call_tagged(Call::new(route::SHOW_GATE).id(name)).await
    }

    /// Makes another token for a gate.
    pub async fn invite_gate(&self, name: &str) -> Answer<GateInvitation, T> {
        self.call(Call::new(route::INVITE_GATE).id(name)).await
    }

    /// Ends trust in a gate.
    pub async fn remove_gate(&self, name: &str, version: Option<Version>) -> Answer<(), T> {
        let call = Call::new(route::REMOVE_GATE).id(name).if_match(version);
        self.exchange(call).await.map(drop)
    }

    /// Says that a MAC address is a device's.
    pub async fn claim_address(&self, id: &str, claim: &ClaimAddress) -> Answer<Device, T> {
        self.call(Call::new(route::CLAIM_ADDRESS).id(id).json(claim))
            .await
    }

    /// Takes a MAC address away from a device.
    pub async fn remove_address(&self, id: &str, remove: &RemoveAddress) -> Answer<Device, T> {
        let call = Call::new(route::REMOVE_ADDRESS).id(id).json(remove);
        self.call(call.wait(self.wait)).await
    }

    /// States something of a device, or takes a statement back.
    pub async fn state_claim(&self, id: &str, claim: &StateClaim) -> Answer<Device, T> {
        self.call(Call::new(route::STATE_CLAIM).id(id).json(claim))
            .await
    }

    /// Lists sessions.
    pub async fn list_sessions(
        &self,
        filter: &SessionFilter,
        page: &PageQuery,
    ) -> Answer<Page<Session>, T> {
        self.call(Call::new(route::LIST_SESSIONS).query(filter).query(page))
            .await
    }

    /// Shows one session.
    pub async fn show_session(&self, id: &str) -> Answer<Session, T> {
        self.call(Call::new(route::SHOW_SESSION).id(id)).await
    }

    /// Ends a session.
    pub async fn end_session(&self, id: &str, reason: &Reasoned) -> Answer<Session, T> {
        self.call(
            Call::new(route::END_SESSION)
                .id(id)
                .json(reason)
                .wait(self.wait),
        )
        .await
    }

    /// Shows this domain.
    pub async fn show_site(&self) -> Answer<Site, T> {
        self.call(Call::new(route::SHOW_SITE)).await
    }

    /// Lists owners.
    pub async fn list_owners(&self, page: &PageQuery) -> Answer<Page<Owner>, T> {
        self.call(Call::new(route::LIST_OWNERS).query(page)).await
    }

    /// Adds another owner.
    pub async fn add_owner(&self, add: &AddOwner) -> Answer<Owner, T> {
        self.call(Call::new(route::ADD_OWNER).json(add)).await
    }

    /// Lists credentials.
    pub async fn list_credentials(
        &self,
        filter: &CredentialFilter,
        page: &PageQuery,
    ) -> Answer<Page<Credential>, T> {
        self.call(Call::new(route::LIST_CREDENTIALS).query(filter).query(page))
            .await
    }

    /// Shows one credential.
    pub async fn show_credential(&self, id: &str) -> Answer<Credential, T> {
        self.call(Call::new(route::SHOW_CREDENTIAL).id(id)).await
    }

    /// Revokes one credential.
    pub async fn revoke_credential(&self, id: &str, revoke: &Revoke) -> Answer<Credential, T> {
        self.call(
            Call::new(route::REVOKE_CREDENTIAL)
                .id(id)
                .json(revoke)
                .wait(self.wait),
        )
        .await
    }

    /// Shows the policy in force.
    pub async fn show_policy(&self) -> Answer<Tagged<Policy>, T> {
        self.call_tagged(Call::new(route::SHOW_POLICY)).await
    }

    /// Puts a policy in force, if the one in force still has this version.
    pub async fn put_policy(&self, policy: &PutPolicy, version: Version) -> Answer<Policy, T> {
        self.call(
            Call::new(route::PUT_POLICY)
                .json(policy)
                .if_match(Some(version)),
        )
        .await
    }

    /// Reads a policy and says what is wrong with it.
    pub async fn check_policy(&self, policy: &CheckPolicy) -> Answer<PolicyCheck, T> {
        self.call(Call::new(route::CHECK_POLICY).json(policy)).await
    }

    /// Says what a policy would change.
    pub async fn dry_run_policy(&self, policy: &DryRunPolicy) -> Answer<DryRun, T> {
        self.call(Call::new(route::DRY_RUN_POLICY).json(policy))
            .await
    }

    /// Shows the journal since a position.
    pub async fn read_journal(&self, query: &JournalQuery) -> Answer<JournalPage, T> {
        self.call(Call::new(route::READ_JOURNAL).query(query)).await
    }

    /// Verifies every chain of the journal.
    pub async fn verify_journal(&self) -> Answer<Verification, T> {
        self.call(Call::new(route::VERIFY_JOURNAL)).await
    }

    /// Shows the newest checkpoint.
    pub async fn show_checkpoint(&self) -> Answer<Checkpoint, T> {
        self.call(Call::new(route::SHOW_CHECKPOINT)).await
    }

    /// Signs a checkpoint of all chains now.
    pub async fn create_checkpoint(&self) -> Answer<Checkpoint, T> {
        self.call(Call::new(route::CREATE_CHECKPOINT)).await
    }

    /// Lists tokens.
    pub async fn list_tokens(&self, page: &PageQuery) -> Answer<Page<Token>, T> {
        self.call(Call::new(route::LIST_TOKENS).query(page)).await
    }

    /// Makes a token; its secret is in the answer and nowhere else.
    pub async fn create_token(&self, create: &CreateToken) -> Answer<CreatedToken, T> {
        self.call(Call::new(route::CREATE_TOKEN).json(create)).await
    }

    /// Revokes a token.
    pub async fn revoke_token(&self, id: &str) -> Answer<(), T> {
        self.exchange(Call::new(route::REVOKE_TOKEN).id(id))
            .await
            .map(drop)
    }

    /// Fetches the revocation list of this domain, DER.
    pub async fn show_crl(&self) -> Answer<Bytes, T> {
        Ok(self.exchange(Call::new(route::SHOW_CRL)).await?.into_body())
    }

    /// Says how the controller is doing.
    pub async fn show_status(&self) -> Answer<Status, T> {
        self.call(Call::new(route::SHOW_STATUS)).await
    }

    async fn call<O: DeserializeOwned>(&self, call: Call) -> Answer<O, T> {
        Ok(self.call_tagged(call).await?.value)
    }

    async fn call_tagged<O: DeserializeOwned>(&self, call: Call) -> Answer<Tagged<O>, T> {
        let response = self.exchange(call).await?;
        let value =
            serde_json::from_slice(response.body()).map_err(|_| ClientError::Unexpected {
                status: response.status(),
            })?;
        Ok(Tagged {
            value,
            version: Version::from_etag(response.headers()),
        })
    }

    async fn exchange(&self, call: Call) -> Answer<Response<Bytes>, T> {
        let request = call
            .into_request(self.token.as_ref())
            .map_err(ClientError::Misuse)?;
        let response = self
            .transport
            .send(request)
            .await
            .map_err(ClientError::Transport)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let body = response.body();
        let problem = serde_json::from_slice(body)
            .or_else(|_| serde_json::from_slice(body).map(|error: ScimError| error.problem()));
        match problem {
            Ok(problem) => Err(ClientError::Problem(Box::new(problem))),
            Err(_) => Err(ClientError::Unexpected {
                status: response.status(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;
    use crate::{Code, DeviceState};

    #[test]
    fn a_query_leaves_out_what_is_absent_and_escapes_the_rest() {
        let filter = DeviceFilter {
            state: Some(DeviceState::Onboarded),
            serial: Some("A&B 1/2".to_owned()),
            ..DeviceFilter::default()
        };
        let page = PageQuery {
            limit: Some(5),
            after: None,
        };
        let call = Call::new(route::LIST_DEVICES).query(&filter).query(&page);
        let request = call.into_request(None).unwrap();
        assert_eq!(
            request.uri(),
            "/api/v1/devices?serial=A%26B%201%2F2&state=onboarded&limit=5"
        );
    }

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        let request = Call::new(route::SHOW_DEVICE)
            .id("../tokens?x")
            .into_request(None)
            .unwrap();
        assert_eq!(request.uri(), "/api/v1/devices/..%2Ftokens%3Fx");
        assert!(
            Call::new(route::SHOW_DEVICE)
                .id("")
                .into_request(None)
                .is_err()
        );
    }

    #[test]
    fn a_token_does_not_print() {
        let token = BearerToken::new(" s3cret\n").unwrap();
        let request = Call::new(route::SHOW_STATUS)
            .into_request(Some(&token))
            .unwrap();
        assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer s3cret");
        assert!(!format!("{token:?} {request:?}").contains("s3cret"));
        assert!(BearerToken::new("two words").is_none());
        assert!(BearerToken::new("").is_none());
    }

    /// Answers everything with one response.
    struct Canned(StatusCode, &'static str);

    impl Transport for Canned {
        type Error = std::io::Error;

        async fn send(&self, _: Request<Bytes>) -> Result<Response<Bytes>, Self::Error> {
            let response = Response::builder()
                .status(self.0)
                .header(header::ETAG, "\"3\"");
            Ok(response
                .body(Bytes::from_static(self.1.as_bytes()))
                .unwrap())
        }
    }

    fn run<O>(future: impl Future<Output = O>) -> O {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(output) => output,
            std::task::Poll::Pending => panic!("a canned answer is never pending"),
        }
    }

    #[test]
    fn a_problem_arrives_as_one() {
        let text = r#"{"type":"x","title":"t","status":403,"code":"forbidden","detail":"d"}"#;
        let client = Client::new(Canned(StatusCode::FORBIDDEN, text), None);
        match run(client.show_site()) {
            Err(ClientError::Problem(problem)) => assert_eq!(problem.code, Code::Forbidden),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stranger_s_answer_is_told_apart() {
        let client = Client::new(Canned(StatusCode::BAD_GATEWAY, "<html>"), None);
        let status = match run(client.show_site()) {
            Err(ClientError::Unexpected { status }) => status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status, StatusCode::BAD_GATEWAY);
    }

    #[test]
    fn the_version_comes_with_what_was_read() {
        let text = r#"{"rego":"","sha256":"","updated_at":"2026-01-01T00:00:00Z",
            "updated_by":"default","version":3}"#;
        let client = Client::new(Canned(StatusCode::OK, text), None);
        assert_eq!(run(client.show_policy()).unwrap().version, Some(Version(3)));
    }
}
