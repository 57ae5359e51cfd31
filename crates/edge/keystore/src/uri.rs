//! Addresses of key stores. They may be printed: a PIN or key in one is refused, and the value of
//! a parameter that is not known is never repeated.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Permissions, UriProblem};

/// A checked address of a key store; see the crate page for the forms.
///
/// `%XX` escapes are decoded in every value, so a path may hold `?`, `&`, `;` and `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUri {
    /// Sealed files.
    File {
        /// The folder of the sealed files.
        folder: PathBuf,
        /// The sealing key; absent means the default place.
        sealing_key: Option<PathBuf>,
        /// Who may read the sealing key.
        permissions: Permissions,
    },
    /// A PKCS#11 token.
    Pkcs11 {
        /// Path of the module, or a bare name such as `softhsm2` to look for.
        module: PathBuf,
        /// The label of the token.
        token: String,
        /// The file that holds the user PIN.
        pin_file: PathBuf,
        /// Who may read the PIN file.
        permissions: Permissions,
    },
    /// A TPM 2.0.
    Tpm {
        /// The TCTI configuration, such as `device:/dev/tpmrm0`.
        tcti: String,
        /// The folder of the wrapped key blobs.
        keys: PathBuf,
    },
}

const FILE_FORM: &str = "file:DIR[?sealing-key=FILE][&permissions=any]";
const PKCS11_FORM: &str = "pkcs11:module=M;token=T;pin-file=F[;permissions=any]";
const TPM_FORM: &str = "tpm:TCTI?keys=DIR";

impl StoreUri {
    /// Takes relative paths from `folder`, so that a data folder can be moved with its keys.
    pub fn resolve_from(&mut self, folder: &std::path::Path) {
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        match self {
            Self::File {
                folder,
                sealing_key,
                ..
            } => {
                resolve(folder);
                sealing_key.iter_mut().for_each(resolve);
            }
            // A bare module name is looked for, so it stays as it is.
            Self::Pkcs11 { pin_file, .. } => resolve(pin_file),
            Self::Tpm { keys, .. } => resolve(keys),
        }
    }
}

impl FromStr for StoreUri {
    type Err = UriProblem;

    fn from_str(text: &str) -> Result<Self, UriProblem> {
        let (scheme, rest) = text.split_once(':').ok_or(UriProblem::Scheme)?;
        match scheme {
            "file" => file(rest),
            "pkcs11" => pkcs11(rest),
            "tpm" => tpm(rest),
            _ => Err(UriProblem::Scheme),
        }
    }
}

impl fmt::Display for StoreUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                folder,
                sealing_key,
                permissions,
            } => {
                write!(f, "file:{}", escape(&folder.to_string_lossy()))?;
                let mut separator = '?';
                if let Some(path) = sealing_key {
                    write!(
                        f,
                        "{separator}sealing-key={}",
                        escape(&path.to_string_lossy())
                    )?;
                    separator = '&';
                }
                write_permissions(f, separator, *permissions)
            }
            Self::Pkcs11 {
                module,
                token,
                pin_file,
                permissions,
            } => {
                let module = module.to_string_lossy();
                let pin_file = pin_file.to_string_lossy();
                write!(
                    f,
                    "pkcs11:module={};token={};pin-file={}",
                    escape(&module),
                    escape(token),
                    escape(&pin_file)
                )?;
                write_permissions(f, ';', *permissions)
            }
            Self::Tpm { tcti, keys } => {
                write!(
                    f,
                    "tpm:{}?keys={}",
                    escape(tcti),
                    escape(&keys.to_string_lossy())
                )
            }
        }
    }
}

fn file(rest: &str) -> Result<StoreUri, UriProblem> {
    let (folder, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut parameters = Parameters::parse(
        query,
        '&',
        &["sealing-key", "permissions"],
        "sealing-key, permissions",
    )?;
    Ok(StoreUri::File {
        folder: required(Some(unescape(folder)?), "DIR", FILE_FORM)?.into(),
        sealing_key: match parameters.take("sealing-key") {
            None => None,
            path => Some(required(path, "sealing-key", FILE_FORM)?.into()),
        },
        permissions: parameters.permissions()?,
    })
}

fn pkcs11(rest: &str) -> Result<StoreUri, UriProblem> {
    let mut parameters = Parameters::parse(
        rest,
        ';',
        &["module", "token", "pin-file", "permissions"],
        "module, token, pin-file, permissions",
    )?;
    Ok(StoreUri::Pkcs11 {
        module: required(parameters.take("module"), "module", PKCS11_FORM)?.into(),
        token: required(parameters.take("token"), "token", PKCS11_FORM)?,
        pin_file: required(parameters.take("pin-file"), "pin-file", PKCS11_FORM)?.into(),
        permissions: parameters.permissions()?,
    })
}

fn tpm(rest: &str) -> Result<StoreUri, UriProblem> {
    let (tcti, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut parameters = Parameters::parse(query, '&', &["keys"], "keys")?;
    Ok(StoreUri::Tpm {
        tcti: required(Some(unescape(tcti)?), "TCTI", TPM_FORM)?,
        keys: required(parameters.take("keys"), "keys", TPM_FORM)?.into(),
    })
}

struct Parameters(BTreeMap<&'static str, String>);

impl Parameters {
    fn parse(
        text: &str,
        separator: char,
        allowed: &'static [&'static str],
        known: &'static str,
    ) -> Result<Self, UriProblem> {
        let mut parameters = BTreeMap::new();
        for parameter in text
            .split(separator)
            .filter(|parameter| !parameter.is_empty())
        {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if matches!(name, "pin" | "pin-value") {
                return Err(UriProblem::PinInAddress);
            }
            let Some(name) = allowed.iter().find(|allowed| **allowed == name) else {
                // Without a "=" the whole may be a value that got here by mistake.
                let shown = if parameter.contains('=') { name } else { "" };
                let name = shown.chars().take(40).collect();
                return Err(UriProblem::UnknownParameter { name, known });
            };
            if parameters.insert(*name, unescape(value)?).is_some() {
                return Err(UriProblem::Repeated { name });
            }
        }
        Ok(Self(parameters))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn permissions(&mut self) -> Result<Permissions, UriProblem> {
        match self.take("permissions").as_deref() {
            None => Ok(Permissions::OwnerOnly),
            Some("any") => Ok(Permissions::Any),
            Some(_) => Err(UriProblem::Value {
                name: "permissions",
                allowed: "any",
            }),
        }
    }
}

fn required(
    value: Option<String>,
    name: &'static str,
    form: &'static str,
) -> Result<String, UriProblem> {
    value
        .filter(|value| !value.is_empty())
        .ok_or(UriProblem::Missing { name, form })
}

fn unescape(text: &str) -> Result<String, UriProblem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || {
                let digit = rest
                    .next()
                    .map(char::from)
                    .and_then(|digit| digit.to_digit(16));
                digit
                    .and_then(|digit| u8::try_from(digit).ok())
                    .ok_or(UriProblem::Escape)
            };
            let high = digit()?;
            bytes.push(high << 4 | digit()?);
        } else {
            bytes.push(byte);
        }
    }
    // A NUL would end the path or label early in the libraries below.
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or(UriProblem::Escape)
}

fn escape(text: &str) -> String {
    text.chars().fold(
        String::with_capacity(text.len()),
        |mut escaped, character| {
            match character {
                '%' | '?' | '&' | ';' => {
                    escaped.push_str(&format!("%{:02X}", u32::from(character)))
                }
                _ => escaped.push(character),
            }
            escaped
        },
    )
}

fn write_permissions(
    f: &mut fmt::Formatter<'_>,
    separator: char,
    permissions: Permissions,
) -> fmt::Result {
    match permissions {
        Permissions::OwnerOnly => Ok(()),
        Permissions::Any => write!(f, "{separator}permissions=any"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were_written() {
        for text in [
            "file:/var/lib/vouchsafe/keys",
            "file:keys?sealing-key=/etc/vouchsafe/sealing.key&permissions=any",
            "file:a%3Fb?permissions=any",
            "pkcs11:module=softhsm2;token=factory line;pin-file=/run/pin",
            "pkcs11:module=/lib/m.so;token=a%3Bb;pin-file=p;permissions=any",
            "tpm:device:/dev/tpmrm0?keys=/var/lib/vouchsafe/tpm",
            "tpm:swtpm:host=localhost,port=2321?keys=k",
        ] {
            let uri: StoreUri = text.parse().unwrap();
            assert_eq!(uri.to_string(), text);
        }
    }

    #[test]
    fn anything_unknown_missing_or_repeated_is_refused_without_repeating_values() {
        let refused = |text: &str| text.parse::<StoreUri>().unwrap_err();
        assert_eq!(refused("vault:x"), UriProblem::Scheme);
        assert_eq!(refused("/var/keys"), UriProblem::Scheme);
        assert_eq!(
            refused("pkcs11:module=m;token=t;pin-value=1234"),
            UriProblem::PinInAddress
        );
        assert_eq!(
            refused("pkcs11:module=m;token=t;pin=1234"),
            UriProblem::PinInAddress
        );
        for text in [
            "file:d?seal=s3cret",
            "file:d?s3cret",
            "tpm:t?keys=k&password=s3cret",
        ] {
            let problem = refused(text);
            assert!(
                matches!(problem, UriProblem::UnknownParameter { .. }),
                "{problem:?}"
            );
            assert!(!format!("{problem:?} {problem}").contains("s3cret"));
        }
        assert_eq!(
            refused("file:d?sealing-key=a&sealing-key=b"),
            UriProblem::Repeated {
                name: "sealing-key"
            }
        );
        assert!(matches!(
            refused("file:"),
            UriProblem::Missing { name: "DIR", .. }
        ));
        assert!(matches!(
            refused("file:d?sealing-key="),
            UriProblem::Missing { .. }
        ));
        assert!(matches!(
            refused("pkcs11:module=m;token=t"),
            UriProblem::Missing { .. }
        ));
        assert!(matches!(
            refused("tpm:device"),
            UriProblem::Missing { name: "keys", .. }
        ));
        assert!(matches!(
            refused("file:d?permissions=0644"),
            UriProblem::Value { .. }
        ));
        for text in ["file:%", "file:%4", "file:%zz", "file:%ff", "file:a%00b"] {
            assert_eq!(refused(text), UriProblem::Escape, "{text}");
        }
    }
}
