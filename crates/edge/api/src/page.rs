//! Lists, page by page.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which page of a list is asked for.
///
/// Pages follow the key of the last item (keyset), so a list that grows meanwhile neither repeats
/// nor skips what was there, and the millionth page costs as much as the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageQuery {
    /// Items per page; 1 to [`PageQuery::MAX_LIMIT`], by default [`PageQuery::DEFAULT_LIMIT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// `next` of the page before. Opaque: made by the server, handed back as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl PageQuery {
    /// Items per page when nothing is said.
    pub const DEFAULT_LIMIT: u32 = 100;
    /// Items per page at most; a larger wish is cut to this.
    pub const MAX_LIMIT: u32 = 1000;

    /// The number of items to return, within bounds.
    #[must_use]
    pub fn effective_limit(&self) -> u32 {
        self.limit
            .unwrap_or(Self::DEFAULT_LIMIT)
            .clamp(1, Self::MAX_LIMIT)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the order of their keys.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::PageQuery;

    #[test]
    fn limits_hold() {
        let limit = |limit| PageQuery { limit, after: None }.effective_limit();
        assert_eq!(limit(None), PageQuery::DEFAULT_LIMIT);
        assert_eq!(limit(Some(0)), 1);
        assert_eq!(limit(Some(u32::MAX)), PageQuery::MAX_LIMIT);
    }
}
