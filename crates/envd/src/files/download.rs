//! `GET /files`.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use async_compression::tokio::bufread::GzipEncoder;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use futures::stream::StreamExt as _;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, RANGE, VARY,
};
use http::{Response as HttpResponse, StatusCode};
use tokio::io::BufReader;
use tokio_util::io::ReaderStream;

use super::access::{self, FileQuery};
use super::encoding::Encoding;
use super::pieces::{self, Pieces};
use super::range::{self, Ranges};
use super::signature::Operation;
use crate::act::perform;
use crate::filesystem::blocking;
use crate::guest::Guest;
use crate::http_error::HttpError;
use crate::paths;
use crate::users::User;

/// How much of a file without a known size, or to be packed, is read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// A file that is open for reading.
struct Source {
    file: File,
    path: PathBuf,
    /// None if the kernel makes the content up as it is read.
    size: Option<u64>,
    etag: String,
    modified: Option<String>,
}

pub(super) async fn download(
    State(guest): State<Guest>,
    query: Result<Query<FileQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let Query(query) = query.map_err(|error| HttpError::bad_request(error.body_text()))?;
    access::check(&guest, &headers, &query, Operation::Read)?;
    let user = access::user(&guest, query.username.as_deref())?;
    let path = paths::resolve(query.path.as_deref().unwrap_or_default(), &user)
        .map_err(|error| HttpError::bad_request(format!("error resolving path: {error}")))?;
    let encoding = Encoding::accepted(header(&headers, &ACCEPT_ENCODING)).ok_or_else(|| {
        let words = "no acceptable encoding: gzip and identity are offered";
        HttpError::new(StatusCode::NOT_ACCEPTABLE, words)
    })?;
    let source = blocking(move || open(path, &user)).await?;
    let etag = header(&headers, &IF_NONE_MATCH);
    if etag.is_some_and(|etag| etag == "*" || etag.contains(&source.etag)) {
        return Ok(describe(&source, StatusCode::NOT_MODIFIED).body(Body::empty()).into_response());
    }
    let ranges = ranges(&headers, &source);
    match (ranges, source.size) {
        (Ranges::Unsatisfiable, Some(size)) => {
            let mut error =
                HttpError::new(StatusCode::RANGE_NOT_SATISFIABLE, "no such range").into_response();
            set(error.headers_mut(), CONTENT_RANGE, &format!("bytes */{size}"));
            Ok(error)
        }
        (Ranges::Parts(parts), Some(size)) if encoding.identity => {
            Ok(partial(source, &parts, size))
        }
        _ if encoding.prefers_gzip() && header(&headers, &RANGE).is_none() => Ok(zipped(source)),
        _ if encoding.identity => Ok(whole(source)),
        _ => Ok(zipped(source)),
    }
}

fn open(path: PathBuf, user: &User) -> Result<Source, HttpError> {
    let shown = path.display().to_string();
    let opened = perform(user, &[&path], |_| {
        let metadata = path.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Not waiting for the other side of a pipe.
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path)
    });
    let file: File = opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            HttpError::new(StatusCode::NOT_FOUND, format!("path '{shown}' does not exist"))
        }
        io::ErrorKind::IsADirectory => {
            HttpError::bad_request(format!("path '{shown}' is a directory"))
        }
        _ => HttpError::from_io(&format!("error opening file '{shown}'"), &error),
    })?;
    let metadata = file
        .metadata()
        .map_err(|error| HttpError::from_io(&format!("error reading '{shown}'"), &error))?;
    // Files of /proc and /sys say 0, or a page, whatever there is to read.
    let is_made_up = !metadata.is_file() || metadata.len() == 0 || is_virtual(&path);
    let nanos = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
    Ok(Source {
        file,
        path,
        size: (!is_made_up).then_some(metadata.len()),
        etag: format!("\"{:x}-{nanos:x}-{:x}\"", metadata.ino(), metadata.len()),
        modified: metadata.modified().ok().and_then(|time| {
            let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
            http_date(seconds.try_into().ok()?)
        }),
    })
}

fn is_virtual(path: &Path) -> bool {
    path.canonicalize().is_ok_and(|path| path.starts_with("/proc") || path.starts_with("/sys"))
}

fn http_date(unix: i64) -> Option<String> {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    time::OffsetDateTime::from_unix_timestamp(unix).ok()?.format(format).ok()
}

fn header<'headers>(headers: &'headers HeaderMap, name: &HeaderName) -> Option<&'headers str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The part that is asked for, unless the file is another than the client thinks.
fn ranges(headers: &HeaderMap, source: &Source) -> Ranges {
    let (Some(range), Some(size)) = (header(headers, &RANGE), source.size) else {
        return Ranges::Whole;
    };
    let is_same = header(headers, &IF_RANGE).is_none_or(|condition| {
        condition == source.etag || Some(condition) == source.modified.as_deref()
    });
    if is_same { range::parse(range, size) } else { Ranges::Whole }
}

fn describe(source: &Source, status: StatusCode) -> Described {
    let mut headers = HeaderMap::new();
    set(&mut headers, CONTENT_TYPE, content_type(&source.path));
    set(&mut headers, ETAG, &source.etag);
    set(&mut headers, VARY, "Accept-Encoding");
    if let Some(modified) = &source.modified {
        set(&mut headers, LAST_MODIFIED, modified);
    }
    if source.size.is_some() {
        set(&mut headers, ACCEPT_RANGES, "bytes");
    }
    let name = source.path.file_name().unwrap_or_default().to_string_lossy();
    let plain = !name.contains(|c: char| c.is_control() || c == '"' || c == '\\' || !c.is_ascii());
    if plain {
        set(&mut headers, CONTENT_DISPOSITION, &format!("inline; filename=\"{name}\""));
    }
    Described { status, headers }
}

/// An answer without its body.
struct Described {
    status: StatusCode,
    headers: HeaderMap,
}

impl Described {
    fn body(self, body: Body) -> HttpResponse<Body> {
        let mut response = HttpResponse::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        set(&mut self.headers, name, value);
        self
    }
}

/// What browsers show by themselves; anything else is bytes.
fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "txt" | "log" | "md" | "py" | "rs" | "sh" => "text/plain; charset=utf-8",
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "webp" => "image/webp",
        "zip" => "application/zip",
        _ => "application/octet-stream",
    }
}

fn whole(source: Source) -> Response {
    let described = describe(&source, StatusCode::OK);
    let body = match source.size {
        Some(size) => {
            let described = described.with(CONTENT_LENGTH, &size.to_string());
            let pieces = pieces::read(Arc::new(source.file), 0..size);
            return described.body(Body::from_stream(pieces)).into_response();
        }
        None => {
            let file = tokio::fs::File::from_std(source.file);
            Body::from_stream(ReaderStream::with_capacity(file, PIECE_BYTES))
        }
    };
    described.body(body).into_response()
}

fn zipped(source: Source) -> Response {
    let described = describe(&source, StatusCode::OK).with(CONTENT_ENCODING, "gzip");
    let file = tokio::fs::File::from_std(source.file);
    let reader = BufReader::with_capacity(PIECE_BYTES, file);
    let encoder = GzipEncoder::with_quality(reader, async_compression::Level::Fastest);
    let body = Body::from_stream(ReaderStream::with_capacity(encoder, PIECE_BYTES));
    described.body(body).into_response()
}

fn partial(source: Source, parts: &[Range<u64>], size: u64) -> Response {
    let described = describe(&source, StatusCode::PARTIAL_CONTENT);
    let file = Arc::new(source.file);
    if let [range] = parts {
        let described = described
            .with(CONTENT_RANGE, &content_range(range, size))
            .with(CONTENT_LENGTH, &(range.end - range.start).to_string());
        let body = Body::from_stream(pieces::read(file, range.clone()));
        return described.body(body).into_response();
    }
    let boundary = format!("{:032x}", rand::random::<u128>());
    let kind = content_type(&source.path);
    let mut length = 0;
    let mut bodies: Vec<Pieces> = Vec::new();
    for range in parts {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {}\r\n\r\n",
            content_range(range, size)
        );
        length += head.len() as u64 + (range.end - range.start);
        bodies.push(pieces::text(head));
        bodies.push(pieces::read(Arc::clone(&file), range.clone()));
    }
    let tail = format!("\r\n--{boundary}--\r\n");
    length += tail.len() as u64;
    bodies.push(pieces::text(tail));
    let body = Body::from_stream(futures::stream::iter(bodies).flatten());
    described
        .with(CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"))
        .with(CONTENT_LENGTH, &length.to_string())
        .body(body)
        .into_response()
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}
