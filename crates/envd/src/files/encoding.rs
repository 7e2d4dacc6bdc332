//! The `Accept-Encoding` header. Source: RFC 9110, section 12.5.3.

/// How a client takes the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encoding {
    pub(super) gzip: bool,
    pub(super) identity: bool,
    /// Whether others were named too, as client libraries do by themselves.
    names_others: bool,
}

impl Encoding {
    /// Reads the header, if there is one; none if we offer nothing that the client takes.
    pub(super) fn accepted(header: Option<&str>) -> Option<Self> {
        let (mut gzip, mut identity, mut any) = (None, None, None);
        let mut names_others = false;
        for item in header.unwrap_or_default().split(',') {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
            let is_accepted = weight.is_ok_and(|weight| weight > 0.0);
            match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => gzip = Some(is_accepted),
                "identity" => identity = Some(is_accepted),
                "*" => any = Some(is_accepted),
                "" => {}
                _ => names_others = true,
            }
        }
        let encoding = Self {
            gzip: gzip.unwrap_or(false)
                || (gzip.is_none() && any == Some(true) && identity == Some(false)),
            identity: identity.or(any).unwrap_or(true),
            names_others,
        };
        (encoding.gzip || encoding.identity).then_some(encoding)
    }

    /// Whether the client asked for gzip, and not its library for whatever it can unpack.
    ///
    /// The SDKs' `gzip=True` names gzip alone, while httpx, fetch and browsers always send a list that
    /// holds it. Packing what nobody asked to have packed makes a download three times as slow.
    pub(super) const fn prefers_gzip(self) -> bool {
        self.gzip && !(self.identity && self.names_others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_ask_for_it_or_take_nothing_else() {
        for (header, gzip, identity, prefers_gzip) in [
            (None, false, true, false),
            (Some("gzip"), true, true, true),
            (Some("gzip;q=1.0, identity; q=0.5"), true, true, true),
            (Some("gzip, deflate"), true, true, false),
            (Some("gzip, deflate, br, zstd"), true, true, false),
            (Some("gzip, br, identity;q=0"), true, false, true),
            (Some("gzip;q=0"), false, true, false),
            (Some("*"), false, true, false),
            (Some("*, identity;q=0"), true, false, true),
            (Some("br"), false, true, false),
        ] {
            let encoding = Encoding::accepted(header).unwrap();
            let found = (encoding.gzip, encoding.identity, encoding.prefers_gzip());
            assert_eq!(found, (gzip, identity, prefers_gzip), "{header:?}");
        }
    }

    #[test]
    fn who_takes_neither_gets_neither() {
        for header in ["identity;q=0", "br, *;q=0", "gzip;q=0, identity;q=0"] {
            assert_eq!(Encoding::accepted(Some(header)), None, "{header}");
        }
    }
}
