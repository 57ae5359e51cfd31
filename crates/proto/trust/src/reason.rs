//! How protocols say why they refuse.

/// One enum of reasons: each variant with its stable code, the section that says so, and its text.
///
/// The protocol crates write their reasons with it, so that each can be found by its code, cited, and
/// counted by a test that wants every one of them covered.
#[macro_export]
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($variant:ident: $code:literal, $section:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!($text, " (", $section, ").")] $variant,)*
        }

        impl $name {
            /// Every reason, for documentation and for tests that want each one covered.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable kebab-case name.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// The section that says so.
            #[must_use]
            pub fn section(self) -> &'static str {
                match self { $(Self::$variant => $section),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),* })
            }
        }
    };
}
