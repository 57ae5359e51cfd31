//! A pledge without a disk: the agent's exchange, for load.
//!
//! 1. Provisional TLS with the IDevID; voucher request; voucher, server chain, voucher_status.
//! 2. csrattrs, simpleenroll with a new key; the certificate is checked.
//! 3. enrollstatus on a new connection with the LDevID.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use jiff::SignedDuration;
use vouchsafe_brski::csrattrs::CsrAttributes;
use vouchsafe_brski::pledge::{
    NoncelessVouchers, PledgeRequest, VoucherRules, reverify_server_chain, verify_voucher,
};
use vouchsafe_brski::telemetry::{self, StatusReport};
use vouchsafe_brski::{
    Compatibility, Encoding, Nonce, PATH_ENROLL_STATUS, PATH_REQUEST_VOUCHER, PATH_VOUCHER_STATUS,
    est,
};
use vouchsafe_net::{
    Clock, Connection, Connector, ConnectorOptions, Identity, Origin, ServerTrust,
};
use vouchsafe_trust::{
    Anchors, Certificate, CertificateRequest, Name, PathRules, RequestContent, Signer,
    SoftwareSigner, Usage, oid, verify_path,
};

/// A device as the factory left it.
#[derive(Debug, Clone)]
pub(crate) struct Pledge {
    pub(crate) chain: Vec<Certificate>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) masa: Anchors,
}

/// What one onboarding took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) time: Duration,
    /// Both directions, both connections, TLS included; the registrar's way to the MASA not.
    pub(crate) bytes: u64,
}

impl Pledge {
    /// The whole exchange.
    pub(crate) async fn onboard(&self, registrar: &Origin) -> anyhow::Result<Measured> {
        Ok(self.onboard_for(registrar).await?.0)
    }

    /// The same, with what the device has afterwards.
    pub(crate) async fn onboard_for(
        &self,
        registrar: &Origin,
    ) -> anyhow::Result<(Measured, Identity)> {
        let begun = Instant::now();
        let clock = Clock::system();
        let compatibility = Compatibility::default();
        let idevid = self.chain.first().context("no IDevID")?;
        // 1
        let identity = Identity::new(self.chain.clone(), self.signer.clone())?;
        let options = ConnectorOptions::new(ServerTrust::Provisional).with_identity(identity);
        let mut line = Connector::new(options).connect(registrar).await?;
        let presented = line
            .server_chain()
            .first()
            .context("no certificate")?
            .clone();
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| anyhow::anyhow!("no randomness"))?;
        let nonce = Nonce::fresh(&random, Encoding::CmsJson)?;
        let request = PledgeRequest {
            idevid_chain: &self.chain,
            nonce: &nonce,
            created_on: Some(clock.now()),
            registrar: &presented,
        }
        .sign(Encoding::CmsJson, self.signer.as_ref(), &compatibility)?;
        let media_type = Encoding::CmsJson.media_type();
        let answer = post(&mut line, PATH_REQUEST_VOUCHER, media_type, request).await?;
        let now = clock.now();
        let voucher = verify_voucher(
            answer.body(),
            Encoding::CmsJson,
            &VoucherRules {
                masa: &self.masa,
                idevid,
                nonce: Some(&nonce),
                now: Some(now),
                skew: SignedDuration::from_mins(5),
                nonceless: NoncelessVouchers::Refuse,
                compatibility: &compatibility,
            },
        )?;
        reverify_server_chain(&voucher, line.server_chain(), Some(now))?;
        let pin = voucher.pinned_domain_cert.as_deref().context("no pin")?;
        let domain = Anchors::one(Certificate::from_der(pin)?);
        let report = StatusReport::success().to_json();
        post(
            &mut line,
            PATH_VOUCHER_STATUS,
            telemetry::MEDIA_TYPE,
            report.clone(),
        )
        .await?;
        // 2
        let attributes = get(&mut line, &format!("{}/csrattrs", est::PATH)).await?;
        let wanted = CsrAttributes::from_der(&est::decode_body(attributes.body())?)?;
        let made = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .ok()
            .and_then(|pair| pair.to_pkcs8v1().ok())
            .context("no key")?;
        let key = SoftwareSigner::from_pkcs8_der(made.as_ref())?;
        let serial = idevid.subject_serial_number().context("no serial number")?;
        let mut own = RequestContent::new(Name::new(&[(oid::SERIAL_NUMBER, serial)])?);
        own.challenge_password = Some(est::channel_binding(&line.exporter()));
        let content = wanted.request_content(&own, key.public_key())?;
        let request = est::encode_body(&CertificateRequest::build(&content, &key)?);
        let path = format!("{}/simpleenroll", est::PATH);
        let answer = post(
            &mut line,
            &path,
            est::MEDIA_TYPE_REQUEST,
            request.into_bytes(),
        )
        .await?;
        let mut issued = est::parse_certs_only(answer.body())?;
        let ldevid = issued.swap_remove(0);
        ensure!(
            ldevid.public_key() == key.public_key(),
            "a certificate for another key"
        );
        let rules = PathRules::strict(clock.now(), Usage::TlsClient);
        verify_path(&ldevid, &[], &domain, &rules)?;
        let first = line.bytes();
        drop(line);
        // 3
        let identity = Identity::new(vec![ldevid], Arc::new(key))?;
        let options =
            ConnectorOptions::new(ServerTrust::Registrar(domain)).with_identity(identity.clone());
        let mut line = Connector::new(options).connect(registrar).await?;
        post(&mut line, PATH_ENROLL_STATUS, telemetry::MEDIA_TYPE, report).await?;
        let second = line.bytes();
        let measured = Measured {
            time: begun.elapsed(),
            bytes: first.sent + first.received + second.sent + second.received,
        };
        Ok((measured, identity))
    }
}

async fn post(
    line: &mut Connection,
    path: &str,
    kind: &str,
    body: Vec<u8>,
) -> anyhow::Result<Response<Bytes>> {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, kind)
        .body(Bytes::from(body))?;
    good(path, line.request(request).await?)
}

async fn get(line: &mut Connection, path: &str) -> anyhow::Result<Response<Bytes>> {
    let request = Request::get(path).body(Bytes::new())?;
    good(path, line.request(request).await?)
}

fn good(path: &str, answer: Response<Bytes>) -> anyhow::Result<Response<Bytes>> {
    if answer.status() != StatusCode::OK {
        let said = String::from_utf8_lossy(answer.body()).into_owned();
        bail!("{path}: {} {said}", answer.status());
    }
    Ok(answer)
}
