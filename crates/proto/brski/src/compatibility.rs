//! Named departures from the current specifications, for peers that follow older or other texts.

/// What is tolerated when reading and what is done differently when writing. The default
/// writes the current form and reads every documented one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compatibility {
    /// Write CMS content as `id-data` instead of `id-ct-animaJSONVoucher`, as RFC 8995 appendix C
    /// does. Both are always read. Default: no.
    pub write_id_data: bool,
    /// Read a CMS body that is base64 text, though RFC 8995 §6 says binary. Default: no.
    pub accept_base64_body: bool,
    /// Read a voucher request whose top-level name is that of a voucher. Default: no.
    pub accept_voucher_name_in_request: bool,
    /// Read a registrar's request without `idevid-issuer`, mandatory only since RFC 8366bis §6.1.
    /// Default: yes, since the device's signed request names its issuer anyway.
    pub accept_missing_idevid_issuer: bool,
    /// Read `idevid-issuer` without the OCTET STRING's tag and length, or as the bare key
    /// identifier (before erratum 7263 to RFC 8995). Default: yes.
    pub accept_bare_idevid_issuer: bool,
    /// Read a voucher with both nonce and expires-on, which RFC 8366 §5.3 forbids and
    /// RFC 8366bis §8.4 no longer does. Both are then checked. Default: no.
    pub accept_nonce_with_expires_on: bool,
    /// Read a registrar's request whose signer lacks cmcRA. Default: no.
    pub accept_registrar_without_cmcra: bool,
}

impl Default for Compatibility {
    fn default() -> Self {
        Self {
            write_id_data: false,
            accept_base64_body: false,
            accept_voucher_name_in_request: false,
            accept_missing_idevid_issuer: true,
            accept_bare_idevid_issuer: true,
            accept_nonce_with_expires_on: false,
            accept_registrar_without_cmcra: false,
        }
    }
}
