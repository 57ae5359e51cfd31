//! The manufacturer's side of RFC 8995 §5.5 and §5.6.
//!
//! 1. [`verify_registrar_request`]: who asks (§5.5.3, §5.5.4), and whether a device of ours really
//!    asked them (§5.5.5, §5.5.6).
//! 2. The caller decides whether this domain may have this device.
//! 3. [`issue_voucher`]: names the domain to the device (§5.6).

use jiff::{SignedDuration, Timestamp};
use vouchsafe_trust::{
    Anchors, Certificate, EnvelopeError, IdevidRules, PathError, PathRules, Revocation, Signer,
    Usage, Verified, oid, verify_path,
};

use crate::compatibility::Compatibility;
use crate::envelope::{self, Signing, Unverified};
use crate::error::{Artifact, Error, Malformed, Refusal};
use crate::idevid;
use crate::leaf::Module;
use crate::pledge::{check_voucher_signer, later};
use crate::registrar::{PledgeVoucherRequest, check_pledge_content};
use crate::voucher::{Assertion, Encoding, Voucher, VoucherRequest};

/// Where trust in a registrar begins (RFC 8995 §5.5.4).
#[derive(Debug, Clone, Copy)]
pub enum RegistrarTrust<'a> {
    /// Only registrars of domains that are known here.
    Known(&'a Anchors),
    /// Any domain: the chain in the request is checked up to its own top. That proves one domain
    /// speaking, not which one, so requests without nonce are refused.
    Presented,
}

/// What to do where the pledge saw another registrar than the one that asks (RFC 8995 §5.5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProximityMismatch {
    /// Refuse: somebody may stand between them.
    #[default]
    Refuse,
    /// Go on, and never assert proximity. For registrars that sign with another key than they
    /// use for TLS, as in the JWS draft's example.
    Log,
}

/// What the MASA holds a registrar's request against.
#[derive(Debug, Clone, Copy)]
pub struct RegistrarRequestRules<'a> {
    /// Whom to take for a registrar.
    pub registrar: RegistrarTrust<'a>,
    /// The certificate that the TLS client showed, if any (RFC 8995 §5.4).
    pub tls_client: Option<&'a Certificate>,
    /// The anchors of the birth certificates that were issued here.
    pub manufacturer: &'a Anchors,
    /// How to judge birth certificates.
    pub idevid: &'a IdevidRules,
    /// Birth certificates known here, for requests that do not carry them (COSE).
    pub devices: &'a [Certificate],
    /// The anchors of our own vouchers, for renewals.
    pub vouchers: &'a Anchors,
    /// What is known about revoked registrars (RFC 8995 §5.5.3).
    pub revocation: &'a Revocation,
    /// The time.
    pub now: Timestamp,
    /// The oldest request that is answered (RFC 8995 §5.6: 403 for a stale one).
    pub max_age: SignedDuration,
    /// How far a registrar's clock may run ahead.
    pub skew: SignedDuration,
    /// About men in the middle.
    pub proximity_mismatch: ProximityMismatch,
    /// Tolerated variants.
    pub compatibility: &'a Compatibility,
}

/// A registrar's voucher request whose every rule holds.
#[derive(Debug, Clone)]
pub struct RegistrarVoucherRequest {
    /// What it says.
    pub request: VoucherRequest,
    /// How it was written.
    pub encoding: Encoding,
    /// The registrar's certificate.
    pub registrar: Certificate,
    /// The registrar's proved path, the anchor last.
    pub registrar_path: Vec<Certificate>,
    /// The certificates of that path which the request itself carried, in path order: these may be
    /// pinned (RFC 8995 §5.5.2).
    pub pinnable: Vec<Certificate>,
    /// Whether the domain's anchor was known here before.
    pub registrar_known: bool,
    /// The pledge's request inside, verified.
    pub pledge: Option<PledgeVoucherRequest>,
    /// The voucher to renew, verified.
    pub prior_voucher: Option<Voucher>,
    /// Whether the pledge is proved to have seen this registrar (RFC 8995 §5.5.5).
    pub proximity: bool,
}

impl RegistrarVoucherRequest {
    /// The certificate that stands for the domain: what a voucher would pin.
    #[must_use]
    pub fn domain(&self) -> Option<&Certificate> {
        lowest_ca(&self.pinnable).or_else(|| self.pinnable.first())
    }

    /// RFC 8995 §5.5, RFC 8366bis §6.1: the issuer named beside the serial number is that of the
    /// device's birth certificate, since the voucher copies it. Step 1 looked where the device's
    /// own request is inside; where it is not, the certificate on record decides.
    ///
    /// # Errors
    /// [`Refusal::IdevidIssuerMismatch`], [`Refusal::IdevidIssuerMissing`].
    pub fn check_issuer(
        &self,
        idevid: &Certificate,
        compatibility: &Compatibility,
    ) -> Result<(), Refusal> {
        check_issuer(&self.request, idevid, compatibility)
    }
}

/// Step 1: checks a registrar's request and the pledge's inside.
///
/// Fetching revocation lists is the caller's job: the registrar's certificates name them
/// (RFC 8995 §5.5.3), [`registrar_chain`] shows those before anything is proved.
///
/// # Errors
/// The rules of RFC 8995 §5.5.3 to §5.5.6, each with its reason.
pub fn verify_registrar_request(
    bytes: &[u8],
    encoding: Encoding,
    rules: &RegistrarRequestRules<'_>,
) -> Result<Verified<RegistrarVoucherRequest>, Error> {
    let artifact = Artifact::RegistrarRequest;
    let envelope = envelope::open(bytes, encoding, artifact, rules.compatibility)?;
    let request = envelope::read_request(envelope.content(), encoding, rules.compatibility)?;

    // RFC 8995 §5.5.3: signature and path of the registrar.
    let path_rules =
        PathRules::strict(rules.now, Usage::Any).with_revocation(rules.revocation.clone());
    let signed = match rules.registrar {
        RegistrarTrust::Known(anchors) => envelope.verify(anchors, &path_rules),
        RegistrarTrust::Presented => {
            let top = top_of_chain(&envelope)?;
            Anchors::new(vec![top])
                .map_err(EnvelopeError::from)
                .and_then(|anchors| envelope.verify(&anchors, &path_rules))
        }
    }
    .map_err(registrar_refused)?;

    signed.try_map(|signed| {
        let registrar = signed.signer;
        check_registrar(&request, &registrar, rules)?;
        check_tls_client(&signed.path, rules)?;
        check_registrar_dates(&request, rules)?;
        let inner = check_prior(&request, encoding, &signed.certificates, rules)?;
        let proximity = match &inner {
            Inner::Pledge(pledge) => check_pledge(&request, pledge, &signed.path, rules)?,
            Inner::Voucher(_) | Inner::Absent => {
                check_nonceless(&request, rules)?;
                false
            }
        };
        let pinnable: Vec<Certificate> = signed
            .path
            .iter()
            .filter(|certificate| signed.certificates.contains(certificate))
            .cloned()
            .collect();
        let (pledge, prior_voucher) = match inner {
            Inner::Pledge(pledge) => (Some(pledge), None),
            Inner::Voucher(voucher) => {
                check_renewal(&request, &voucher, &signed.path)?;
                (None, Some(voucher))
            }
            Inner::Absent => (None, None),
        };
        Ok(RegistrarVoucherRequest {
            request,
            encoding,
            registrar,
            registrar_path: signed.path,
            pinnable,
            registrar_known: matches!(rules.registrar, RegistrarTrust::Known(_)),
            pledge,
            prior_voucher,
            proximity,
        })
    })
}

/// The certificates that a request carries, signer first if it is known: for looking up revocation
/// lists and customers. Proves nothing.
///
/// # Errors
/// Bytes that are no signed message of this encoding.
pub fn registrar_chain(
    bytes: &[u8],
    encoding: Encoding,
    compatibility: &Compatibility,
) -> Result<Vec<Certificate>, Error> {
    let envelope = envelope::open(bytes, encoding, Artifact::RegistrarRequest, compatibility)?;
    let signer = envelope.claimed_signer();
    let others = envelope
        .certificates()
        .iter()
        .filter(|certificate| Some(*certificate) != signer);
    Ok(signer.into_iter().chain(others).cloned().collect())
}

/// Which domain CA to pin (RFC 8995 §5.5.2, cBRSKI §8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pin {
    /// The CA nearest to the registrar; the registrar itself where the request carried no CA.
    #[default]
    LowestCa,
    /// The highest CA that the request carried, so that registrars may change during a long
    /// life. Only for vouchers without nonce; others get the lowest.
    HighestCa,
    /// The registrar's own certificate.
    Registrar,
}

/// What the MASA decided about a voucher.
#[derive(Debug, Clone, Copy)]
pub struct VoucherTerms {
    /// The time.
    pub created_on: Timestamp,
    /// How long a voucher without nonce is valid; never past the registrar's certificate.
    pub lifetime: SignedDuration,
    /// Whether the MASA knows that this domain owns the device: asserts `verified`.
    pub ownership_verified: bool,
    /// What to pin.
    pub pin: Pin,
    /// Until when a voucher without nonce will be renewed.
    pub last_renewal: Option<Timestamp>,
}

/// A voucher as it leaves the MASA.
#[derive(Debug, Clone)]
pub struct IssuedVoucher {
    /// What it says.
    pub voucher: Voucher,
    /// How it is written.
    pub encoding: Encoding,
    /// The signed bytes.
    pub bytes: Vec<u8>,
}

/// Step 3: makes and signs the voucher (RFC 8995 §5.6). `masa_chain` has the signer's certificate first.
///
/// # Errors
/// [`Refusal::NothingToPin`], [`Refusal::LifetimeUnavailable`], or a signer that fails.
pub fn issue_voucher(
    request: &Verified<RegistrarVoucherRequest>,
    terms: &VoucherTerms,
    encoding: Encoding,
    masa_chain: &[Certificate],
    signer: &dyn Signer,
    compatibility: &Compatibility,
) -> Result<IssuedVoucher, Error> {
    let nonced = request.request.nonce.is_some();
    let pinned = pin(request, terms.pin, nonced).ok_or(Refusal::NothingToPin)?;
    let voucher = Voucher {
        created_on: terms.created_on,
        expires_on: expiry(request, terms, nonced)?,
        // RFC 8995 §5.5.5: only a proximity that was checked is asserted.
        assertion: if terms.ownership_verified {
            Assertion::Verified
        } else if request.proximity {
            Assertion::Proximity
        } else {
            Assertion::Logged
        },
        serial_number: request.request.serial_number.clone(),
        idevid_issuer: request.request.idevid_issuer.clone(),
        pinned_domain_cert: Some(pinned.der().to_vec()),
        pinned_domain_pubk: None,
        pinned_domain_pubk_sha256: None,
        // RFC 8995 §5.6: a pledge in bootstrap reaches no revocation list.
        domain_cert_revocation_checks: None,
        // RFC 8995 §5.5.6: the nonce is copied as it is.
        nonce: request.request.nonce.clone(),
        last_renewal_date: terms.last_renewal.filter(|_| !nonced),
        additional_configuration_url: None,
        est_domain: None,
        other: Vec::new(),
    };
    let bytes = envelope::sign(
        Module::Voucher,
        &voucher.leaves(),
        &Signing {
            encoding,
            certificates: masa_chain,
            signing_time: Some(terms.created_on),
            cose_certificates: true,
        },
        signer,
        compatibility,
    )?;
    Ok(IssuedVoucher {
        voucher,
        encoding,
        bytes,
    })
}

fn pin(request: &RegistrarVoucherRequest, pin: Pin, nonced: bool) -> Option<&Certificate> {
    let chain = &request.pinnable;
    match pin {
        Pin::Registrar => chain.first(),
        Pin::HighestCa if !nonced => chain.iter().rev().find(|certificate| certificate.is_ca()),
        Pin::HighestCa | Pin::LowestCa => lowest_ca(chain),
    }
    .or_else(|| chain.first())
}

fn lowest_ca(chain: &[Certificate]) -> Option<&Certificate> {
    chain.iter().skip(1).find(|certificate| certificate.is_ca())
}

/// RFC 8366 §5.3: expires-on exactly where there is no nonce; RFC 8995 §5.6: before the registrar's
/// certificate ends, and not after what the registrar asked for.
fn expiry(
    request: &RegistrarVoucherRequest,
    terms: &VoucherTerms,
    nonced: bool,
) -> Result<Option<Timestamp>, Error> {
    if nonced {
        return Ok(None);
    }
    let end = terms
        .created_on
        .checked_add(terms.lifetime)
        .unwrap_or(Timestamp::MAX);
    let end = request
        .registrar_path
        .iter()
        .map(Certificate::not_after)
        .chain(request.request.expires_on)
        .fold(end, Timestamp::min);
    if end <= terms.created_on {
        return Err(Refusal::LifetimeUnavailable.into());
    }
    Ok(Some(end))
}

/// The carried certificate above which nothing more was carried.
fn top_of_chain(envelope: &Unverified) -> Result<Certificate, Error> {
    let mut top = envelope
        .claimed_signer()
        .ok_or(Refusal::NothingToPin)?
        .clone();
    let carried = envelope.certificates();
    // Each step uses another certificate, so there are at most as many steps as certificates.
    for _ in carried {
        if top.is_self_issued() {
            break;
        }
        match carried
            .iter()
            .find(|candidate| candidate.subject() == top.issuer())
        {
            Some(issuer) => top = issuer.clone(),
            None => break,
        }
    }
    Ok(top)
}

/// RFC 8995 §5.5.3, §5.5.4: names the two reasons that operators ask about most.
fn registrar_refused(source: EnvelopeError) -> Error {
    match source {
        EnvelopeError::Path(PathError::Expired { .. } | PathError::NotYetValid { .. }) => {
            Refusal::RegistrarExpired.into()
        }
        EnvelopeError::Path(PathError::Revoked { .. }) => Refusal::RegistrarRevoked.into(),
        source => envelope::refused(Artifact::RegistrarRequest, source),
    }
}

/// RFC 8995 §5.5.4: the signer is a registration authority; §5.5: it names no proximity certificate of its own.
fn check_registrar(
    request: &VoucherRequest,
    registrar: &Certificate,
    rules: &RegistrarRequestRules<'_>,
) -> Result<(), Refusal> {
    if !registrar.has_extended_key_usage(&oid::CMC_RA)
        && !rules.compatibility.accept_registrar_without_cmcra
    {
        return Err(Refusal::RegistrarNotAuthorized);
    }
    if request.proximity_registrar_cert.is_some()
        || request.proximity_registrar_pubk.is_some()
        || request.proximity_registrar_pubk_sha256.is_some()
    {
        return Err(Refusal::RegistrarProximityForbidden);
    }
    Ok(())
}

/// RFC 8995 §5.4: the TLS client is the signer, or another member of the signer's domain.
fn check_tls_client(
    registrar_path: &[Certificate],
    rules: &RegistrarRequestRules<'_>,
) -> Result<(), Refusal> {
    let (Some(client), Some(registrar), Some(anchor)) = (
        rules.tls_client,
        registrar_path.first(),
        registrar_path.last(),
    ) else {
        return Ok(());
    };
    if client.public_key() == registrar.public_key() {
        return Ok(());
    }
    verify_path(
        client,
        registrar_path,
        &Anchors::one(anchor.clone()),
        &PathRules::strict(rules.now, Usage::Any),
    )
    .map(|_| ())
    .map_err(|_| Refusal::RegistrarNotTlsClient)
}

fn check_registrar_dates(
    request: &VoucherRequest,
    rules: &RegistrarRequestRules<'_>,
) -> Result<(), Error> {
    // RFC 8366 §5.3: the two exclude each other.
    if request.nonce.is_some() && request.expires_on.is_some() {
        return Err(Refusal::NonceWithExpiry.into());
    }
    // RFC 8995 §5.5: created-on is the registrar's time.
    let created_on = request.created_on.ok_or(Malformed::CreatedOnMissing)?;
    if later(created_on, rules.now, rules.skew) {
        return Err(Refusal::RequestFromFuture.into());
    }
    if rules.now.duration_since(created_on) > rules.max_age {
        return Err(Refusal::RequestStale.into());
    }
    Ok(())
}

/// What a registrar's request holds.
enum Inner {
    Pledge(PledgeVoucherRequest),
    Voucher(Voucher),
    Absent,
}

/// RFC 8995 §5.5.5: the request inside is signed by a device of this manufacturer;
/// RFC 8366bis §10.1: or it is a voucher of ours.
fn check_prior(
    request: &VoucherRequest,
    encoding: Encoding,
    carried: &[Certificate],
    rules: &RegistrarRequestRules<'_>,
) -> Result<Inner, Error> {
    let Some(prior) = &request.prior_signed_voucher_request else {
        return Ok(Inner::Absent);
    };
    let malformed = |_| Error::from(Refusal::PriorRequestMalformed);
    // The encodings agree as a rule (RFC 8995 §5.5); the bytes decide.
    let encoding = Encoding::detect(prior).unwrap_or(encoding);
    let envelope = envelope::open(
        prior,
        encoding,
        Artifact::PledgeRequest,
        rules.compatibility,
    )
    .map_err(malformed)?;
    let (module, leaves) =
        envelope::read(envelope.content(), encoding).map_err(|_| Refusal::PriorRequestMalformed)?;
    // A request without nonce of its own can only hold the voucher that it wants renewed.
    if module == Module::Voucher && request.nonce.is_none() {
        let voucher = Voucher::from_leaves(leaves).map_err(malformed)?;
        let at = voucher.created_on;
        envelope
            .verify(rules.vouchers, &PathRules::strict(at, Usage::Any))
            .ok()
            .filter(|signed| check_voucher_signer(signed).is_ok())
            .ok_or(Refusal::PriorVoucherUntrusted)?;
        return Ok(Inner::Voucher(voucher));
    }
    if module == Module::Voucher && !rules.compatibility.accept_voucher_name_in_request {
        return Err(Refusal::PriorRequestMalformed.into());
    }
    let inner = VoucherRequest::from_leaves(leaves).map_err(malformed)?;
    let path_rules = idevid::path_rules(rules.idevid, rules.now);
    let verified = if envelope.claimed_signer().is_some() {
        envelope.verify(rules.manufacturer, &path_rules)
    } else {
        // COSE: the pledge's certificate stands beside the registrar's, or is known here.
        let device = carried
            .iter()
            .chain(rules.devices)
            .find(|candidate| {
                candidate.subject_serial_number() == Some(inner.serial_number.as_str())
                    && !candidate.is_ca()
            })
            .ok_or(Refusal::PriorRequestUntrusted)?;
        verify_path(device, carried, rules.manufacturer, &path_rules)
            .map_err(EnvelopeError::from)
            .and_then(|path| envelope.verify_by(&path))
    };
    let signed = verified
        .map_err(|_| Refusal::PriorRequestUntrusted)?
        .into_inner();
    check_pledge_content(&inner, &signed.signer, encoding)?;
    Ok(Inner::Pledge(PledgeVoucherRequest {
        request: inner,
        encoding,
        bytes: prior.clone(),
        idevid: signed.signer,
        idevid_path: signed.path,
    }))
}

/// RFC 8995 §5.5.5, §5.5.6: the registrar asks what the pledge asked. Returns whether the pledge saw
/// this very registrar.
fn check_pledge(
    request: &VoucherRequest,
    pledge: &PledgeVoucherRequest,
    registrar_path: &[Certificate],
    rules: &RegistrarRequestRules<'_>,
) -> Result<bool, Refusal> {
    if request.serial_number != pledge.request.serial_number {
        return Err(Refusal::PriorSerialMismatch);
    }
    match (&request.nonce, &pledge.request.nonce) {
        (Some(ours), Some(theirs)) if ours.matches(theirs) => {}
        // RFC 8995 §5.5.6: a nonce may be dropped, never changed; without one the registrar
        // must be known.
        (None, _) => check_nonceless(request, rules)?,
        (Some(_), _) => return Err(Refusal::PriorNonceMismatch),
    }
    check_issuer(request, &pledge.idevid, rules.compatibility)?;
    let seen = saw_registrar(&pledge.request, registrar_path);
    if seen == Some(false) && rules.proximity_mismatch == ProximityMismatch::Refuse {
        return Err(Refusal::ProximityMismatch);
    }
    Ok(seen == Some(true))
}

/// RFC 8366bis §6.1: the registrar names the issuer of the device's certificate, and no other.
fn check_issuer(
    request: &VoucherRequest,
    idevid: &Certificate,
    compatibility: &Compatibility,
) -> Result<(), Refusal> {
    match &request.idevid_issuer {
        Some(issuer) if !idevid::issuer_matches(issuer, idevid, compatibility) => {
            Err(Refusal::IdevidIssuerMismatch)
        }
        None if !compatibility.accept_missing_idevid_issuer => Err(Refusal::IdevidIssuerMissing),
        _ => Ok(()),
    }
}

/// Whether what the pledge saw is a key of the registrar's chain; `None` if it did not say.
fn saw_registrar(pledge: &VoucherRequest, registrar_path: &[Certificate]) -> Option<bool> {
    let mut keys = registrar_path.iter().map(Certificate::public_key);
    if let Some(der) = &pledge.proximity_registrar_cert {
        let Ok(seen) = Certificate::from_der(der) else {
            return Some(false);
        };
        return Some(keys.any(|key| key == seen.public_key()));
    }
    if let Some(spki) = &pledge.proximity_registrar_pubk {
        return Some(keys.any(|key| key.spki_der() == spki.as_slice()));
    }
    let digest = pledge.proximity_registrar_pubk_sha256.as_ref()?;
    Some(keys.any(|key| key.sha256() == digest.as_slice()))
}

/// RFC 8995 §5.5.4: "The MASA MUST" authenticate the registrar where no nonce proves freshness.
fn check_nonceless(
    request: &VoucherRequest,
    rules: &RegistrarRequestRules<'_>,
) -> Result<(), Refusal> {
    // RFC 8995 §5.5.5: a nonce can only come from a pledge.
    if request.nonce.is_some() {
        return Err(Refusal::PriorRequestMissing);
    }
    match rules.registrar {
        RegistrarTrust::Known(_) => Ok(()),
        RegistrarTrust::Presented => Err(Refusal::RegistrarUnknown),
    }
}

/// RFC 8366bis §10.1: the same device, and a domain that the old voucher already named.
fn check_renewal(
    request: &VoucherRequest,
    old: &Voucher,
    registrar_path: &[Certificate],
) -> Result<(), Error> {
    let same_domain = old.pinned_domain_cert.as_ref().is_some_and(|pinned| {
        Certificate::from_der(pinned).is_ok_and(|pinned| {
            registrar_path
                .iter()
                .any(|certificate| certificate.public_key() == pinned.public_key())
        })
    });
    if old.serial_number != request.serial_number || !same_domain {
        return Err(Refusal::PriorVoucherMismatch.into());
    }
    Ok(())
}
