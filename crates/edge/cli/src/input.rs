//! Arguments that several commands share.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::DeserializeOwned;
use vouchsafe_api::{Page, PageQuery, Version};

use crate::failure::Failure;
use crate::output::Printer;

/// Largest file that is read, in bytes: a manifest of 100,000 devices with its journals.
const MAX_FILE: u64 = 256 << 20;

/// Which part of a list.
#[derive(Debug, Clone, Args)]
pub(crate) struct PageArgs {
    /// Items at most, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = PageQuery::DEFAULT_LIMIT)]
    limit: u32,
    /// Items behind this one: `next` of the page before
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    /// All pages in one
    #[arg(long, conflicts_with = "after")]
    all: bool,
}

impl PageArgs {
    /// Fetches one page, or all of them as one.
    pub(crate) async fn fetch<T, F, E>(
        &self,
        mut page: impl FnMut(PageQuery) -> F,
    ) -> Result<Page<T>, Failure>
    where
        F: Future<Output = Result<Page<T>, E>>,
        Failure: From<E>,
    {
        let mut query = PageQuery {
            limit: Some(if self.all {
                PageQuery::MAX_LIMIT
            } else {
                self.limit
            }),
            after: self.after.clone(),
        };
        let mut whole = page(query.clone()).await?;
        while self.all && whole.next.is_some() {
            query.after = whole.next.take();
            let more = page(query.clone()).await?;
            whole.items.extend(more.items);
            whole.next = more.next;
        }
        Ok(whole)
    }
}

/// Says how to see the rest of a list.
pub(crate) fn note_more<T>(page: &Page<T>, printer: Printer) {
    if let Some(next) = &page.next {
        printer.note(&format!("there is more: --after {next}, or --all"));
    }
}

/// Why something is done, and to which version of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Why {
    /// Why; goes into the journal
    #[arg(long)]
    pub(crate) reason: String,
    /// Only if this is still its version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<i64>,
}

impl Why {
    pub(crate) fn version(&self) -> Option<Version> {
        self.if_version.map(Version)
    }
}

/// Reads one of these words as the value that JSON has under it.
pub(crate) fn words<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    words: &'static [&'static str],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words)
        .try_map(|word| serde_json::from_value::<T>(serde_json::Value::String(word)))
}

/// Reads a file of bounded size; `-` is standard input.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(MAX_FILE + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::file(file, error))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::file(
            file,
            format!("is larger than {MAX_FILE} bytes"),
        ));
    }
    Ok(bytes)
}

/// As [`read`], as text.
pub(crate) fn read_text(file: &Path) -> Result<String, Failure> {
    String::from_utf8(read(file)?).map_err(|_| Failure::file(file, "is not UTF-8 text"))
}

/// Writes a file of mode 0600 that is whole or absent.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    vouchsafe_keystore::write_file(file, bytes).map_err(|error| Failure::file(file, error))
}

/// Makes sure that `file` can be written before something is asked for that comes only once, such as a secret.
pub(crate) fn writable(file: &Path) -> Result<(), Failure> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let beside = file.with_file_name(format!(".{name}.{}", std::process::id()));
    std::fs::write(&beside, b"")
        .and_then(|()| std::fs::remove_file(&beside))
        .map_err(|error| {
            Failure::file(file, error).next_step("nothing was asked for yet; name another file")
        })
}

/// PEM files joined to one text.
pub(crate) fn join_pem(files: &[PathBuf]) -> Result<String, Failure> {
    let mut whole = String::new();
    for file in files {
        for certificate in crate::remote::read_certificates(file)? {
            whole.push_str(&certificate.pem());
        }
    }
    Ok(whole)
}
