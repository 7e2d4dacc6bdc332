//! `/files` as clients use it.

#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

mod common;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::TestGuest;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn get(guest: &TestGuest, path: &Path) -> RequestBuilder {
    guest.http.get(format!("{}/files", guest.envd)).query(&[("path", path)])
}

fn post(guest: &TestGuest, path: &Path) -> RequestBuilder {
    guest
        .http
        .post(format!("{}/files", guest.envd))
        .query(&[("path", path)])
        .header("content-type", "application/octet-stream")
}

async fn json_of(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("the answer is JSON"))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut child = std::process::Command::new("gzip")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("gzip is installed");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), text).expect("write");
    let mut zipped = Vec::new();
    child.stdout.take().expect("piped").read_to_end(&mut zipped).expect("read");
    child.wait().expect("gzip ends");
    zipped
}

#[tokio::test]
async fn a_file_is_written_with_its_directories_and_read_back() {
    let guest = TestGuest::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/ü file");
    let answer = post(&guest, &path).body("content").send().await.unwrap();
    let expected = json!([{ "name": "ü file", "type": "file", "path": path }]);
    assert_eq!(json_of(answer).await, (200, expected));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    let parent = path.parent().unwrap().metadata().unwrap();
    assert_eq!(parent.permissions().mode() & 0o777, 0o755);
    let answer = get(&guest, &path).send().await.unwrap();
    assert_eq!(answer.headers()["content-length"], "7");
    assert_eq!(answer.text().await.unwrap(), "content");
    // A shorter one leaves nothing of the longer.
    post(&guest, &path).body("x").send().await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x");
}

#[tokio::test]
async fn a_form_writes_several_files_to_their_own_names() {
    let guest = TestGuest::start().await;
    let dir = tempfile::tempdir().unwrap();
    let part = |name: &str, content: &str| {
        let path = dir.path().join(name).to_str().unwrap().to_owned();
        format!(
            "--limit\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{path}\"\r\n\r\n\
             {content}\r\n"
        )
    };
    let send = async |body: String| {
        let request = guest
            .http
            .post(format!("{}/files", guest.envd))
            .header("content-type", "multipart/form-data; boundary=limit")
            .body(body);
        json_of(request.send().await.unwrap()).await
    };
    let body = part("one", "1") + &part("sub/two", "2") + "--limit--\r\n";
    let (status, written) = send(body).await;
    assert_eq!((status, written.as_array().unwrap().len()), (200, 2), "{written}");
    assert_eq!(fs::read(dir.path().join("sub/two")).unwrap(), b"2");
    let (status, error) = send(part("one", "1") + &part("one", "2") + "--limit--\r\n").await;
    assert_eq!(status, 400, "{error}");
    let (status, error) = send(part("one", "1") + "--limi").await;
    assert_eq!((status, &error["code"]), (400, &json!(400)));
}

#[tokio::test]
async fn zipped_bodies_are_unpacked_and_answers_zipped_if_wanted() {
    let guest = TestGuest::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let text = "zip".repeat(100_000);
    let request = post(&guest, &path).header("content-encoding", "gzip");
    assert_eq!(request.body(gzip(text.as_bytes())).send().await.unwrap().status(), 200);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let answer = get(&guest, &path).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let zipped = answer.bytes().await.unwrap();
    assert!(zipped.starts_with(&[0x1f, 0x8b]) && zipped.len() < text.len() / 10);
    // What httpx sends of its own accord is no wish.
    let answer =
        get(&guest, &path).header("accept-encoding", "gzip, deflate, br").send().await.unwrap();
    assert_eq!(answer.headers().get("content-encoding"), None);
    assert_eq!(answer.headers()["content-length"], "300000");
    assert_eq!(answer.text().await.unwrap(), text);
    let answer = get(&guest, &path).header("accept-encoding", "br, *;q=0").send().await.unwrap();
    assert_eq!(json_of(answer).await.0, 406);
    let request = post(&guest, &path).header("content-encoding", "gzip").body("no gzip");
    assert_eq!(json_of(request.send().await.unwrap()).await.0, 400);
}

#[tokio::test]
async fn parts_of_a_file_can_be_asked_for() {
    let guest = TestGuest::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "0123456789").unwrap();
    let range = async |range: &str| get(&guest, &path).header("range", range).send().await.unwrap();
    let answer = range("bytes=2-4").await;
    assert_eq!(answer.status(), 206);
    assert_eq!(answer.headers()["content-range"], "bytes 2-4/10");
    assert_eq!(answer.text().await.unwrap(), "234");
    let answer = range("bytes=20-").await;
    assert_eq!(answer.headers()["content-range"], "bytes */10");
    assert_eq!(json_of(answer).await.0, 416);
    let answer = range("bytes=0-1,-2").await;
    assert_eq!(answer.status(), 206);
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap().to_owned();
    let text = answer.text().await.unwrap();
    let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
    assert!(parts[1].contains("Content-Range: bytes 0-1/10\r\n\r\n01\r\n"), "{text}");
    assert!(parts[2].contains("Content-Range: bytes 8-9/10\r\n\r\n89\r\n"), "{text}");
    assert_eq!(parts[3], "--\r\n");

    let etag = get(&guest, &path).send().await.unwrap().headers()["etag"].clone();
    let same = get(&guest, &path).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(same.status(), 304);
    let other = get(&guest, &path).header("range", "bytes=0-0").header("if-range", "\"other\"");
    assert_eq!(other.send().await.unwrap().text().await.unwrap(), "0123456789");
}

#[tokio::test]
async fn files_of_the_kernel_are_read_to_their_end() {
    let guest = TestGuest::start().await;
    let boot_id = get(&guest, Path::new("/proc/sys/kernel/random/boot_id")).send().await.unwrap();
    assert_eq!(boot_id.text().await.unwrap().trim().len(), 36);
    let cpus = get(&guest, Path::new("/proc/cpuinfo")).send().await.unwrap();
    assert_eq!(
        cpus.text().await.unwrap().lines().count(),
        fs::read_to_string("/proc/cpuinfo").unwrap().lines().count()
    );
}

#[tokio::test]
async fn mistakes_are_told_by_their_codes() {
    let guest = TestGuest::start().await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for (path, status) in [(dir.path().join("missing"), 404), (dir.path().to_owned(), 400)] {
        let (found, body) = json_of(get(&guest, &path).send().await.unwrap()).await;
        assert_eq!((found, &body["code"]), (status, &json!(status)));
    }
    for path in [dir.path().to_owned(), dir.path().join("file/below")] {
        let answer = post(&guest, &path).body("x").send().await.unwrap();
        assert_eq!(json_of(answer).await.0, 400, "{}", path.display());
    }
    let stranger = get(&guest, Path::new("/etc/passwd")).query(&[("username", "no-one-at-all")]);
    assert_eq!(json_of(stranger.send().await.unwrap()).await.0, 401);
    let untyped = guest.http.post(format!("{}/files?path=x", guest.envd)).body("x");
    assert_eq!(json_of(untyped.send().await.unwrap()).await.0, 400);
}

#[tokio::test]
async fn a_full_disk_is_told_after_the_whole_body_was_taken() {
    let guest = TestGuest::start().await;
    for _ in 0..5 {
        let pieces = (0..200).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 64 << 10]));
        let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
        let answer = post(&guest, Path::new("/dev/full")).body(body).send().await.unwrap();
        let (status, error) = json_of(answer).await;
        assert_eq!(status, 507, "{error}");
        assert!(error["message"].as_str().unwrap().contains("not enough disk space available"));
    }
}

#[tokio::test]
async fn two_uploads_to_one_path_do_not_mix() {
    let guest = TestGuest::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let upload = async |letter: u8| {
        let pieces = (0..64).map(move |_| Ok::<_, std::io::Error>(vec![letter; 16 << 10]));
        let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
        assert_eq!(post(&guest, &path).body(body).send().await.unwrap().status(), 200);
    };
    futures::future::join_all((b'a'..b'i').map(upload)).await;
    let content = fs::read(&path).unwrap();
    assert_eq!(content.len(), 1 << 20);
    assert!(content.iter().all(|byte| *byte == content[0]), "mixed");
}

#[tokio::test]
async fn metadata_stays_with_a_file() {
    let guest = TestGuest::start().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    if xattr::set(dir.path(), "user.e2b.probe", b"x").is_err() {
        println!("skipped: the file system of {} keeps no attributes", dir.path().display());
        return;
    }
    let request = post(&guest, &path).header("X-Metadata-Author", "me").body("x");
    let (status, written) = json_of(request.send().await.unwrap()).await;
    assert_eq!((status, &written[0]["metadata"]), (200, &json!({ "author": "me" })));
    let (_, stat) = guest.call("filesystem.Filesystem/Stat", &json!({ "path": path })).await;
    assert_eq!(stat["entry"]["metadata"], json!({ "author": "me" }));
}

#[tokio::test]
async fn parts_are_put_together_and_gone_afterwards() {
    let guest = TestGuest::start().await;
    let dir = tempfile::tempdir().unwrap();
    let parts: Vec<_> = (0..3).map(|n| dir.path().join(format!("part{n}"))).collect();
    for (number, part) in parts.iter().enumerate() {
        fs::write(part, number.to_string()).unwrap();
    }
    let destination = dir.path().join("new/whole");
    let compose = async |body: Value| {
        let request = guest.http.post(format!("{}/files/compose", guest.envd)).json(&body);
        json_of(request.send().await.unwrap()).await
    };
    let body = json!({ "source_paths": parts, "destination": destination });
    let (status, answer) = compose(body.clone()).await;
    assert_eq!((status, &answer["path"]), (200, &json!(destination)), "{answer}");
    assert_eq!(fs::read(&destination).unwrap(), b"012");
    assert!(parts.iter().all(|part| !part.exists()));
    assert_eq!(compose(body).await.0, 404, "the parts are gone");
    assert_eq!(fs::read(&destination).unwrap(), b"012", "a failure leaves what was there");
    for wrong in [json!([]), json!({}), json!({ "source_paths": ["/x"], "destination": "/x" })] {
        assert_eq!(compose(wrong).await.0, 400);
    }
}

#[tokio::test]
async fn a_signature_opens_one_file_for_a_while() {
    use base64::Engine as _;
    let guest = TestGuest::start_with(json!({ "accessToken": "secret" })).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "content").unwrap();
    let sign = |operation: &str, expires: i64| {
        let text = format!("{}:{operation}::secret:{expires}", path.display());
        let digest = base64::engine::general_purpose::STANDARD_NO_PAD.encode(Sha256::digest(text));
        format!("v1_{digest}")
    };
    let read = async |signature: Option<String>, expires: i64| {
        let mut request = get(&guest, &path).query(&[("signature_expiration", expires)]);
        if let Some(signature) = signature {
            request = request.query(&[("signature", signature)]);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let later = 4_000_000_000;
    assert_eq!(read(Some(sign("read", later)), later).await, (200, "content".into()));
    for (signature, expires, words) in [
        (None, later, "missing signature query parameter"),
        (Some(sign("write", later)), later, "invalid signature"),
        (Some(sign("read", later)), later + 1, "invalid signature"),
        (Some(sign("read", 1)), 1, "signature is already expired"),
    ] {
        let (status, body) = read(signature, expires).await;
        assert_eq!(status, 401);
        assert!(body.contains(words), "{body}");
    }
    let wrong = get(&guest, &path).header("x-access-token", "wrong").send().await.unwrap();
    let (status, body) = json_of(wrong).await;
    assert_eq!(status, 401);
    assert_eq!(body["message"], "access token present in header but does not match");
    let right = get(&guest, &path).header("x-access-token", "secret").send().await.unwrap();
    assert_eq!(right.status(), 200);
}
