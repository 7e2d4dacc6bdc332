//! The verbs of a sandbox's life, with the statuses and bodies that clients decide by.

use http::{Method, Request, StatusCode};
use ow_api::Config;
use ow_types::{Clock as _, SystemClock, Timestamp};
use serde_json::{Value, json};
use support::Server;

mod support;

fn seconds_left(details: &Value) -> u64 {
    let end = Timestamp::parse(details["endAt"].as_str().expect("it is a text")).expect("a time");
    end.since(SystemClock.now()).as_secs()
}

#[tokio::test]
async fn a_new_sandbox_has_all_that_clients_need() {
    let server = Server::start().await;
    let answer = server.post("/v2/sandboxes", json!({ "templateID": "base" })).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    for field in ["templateID", "sandboxID", "clientID", "envdVersion", "envdAccessToken"] {
        assert!(!answer.text(field).is_empty(), "{field}");
    }
    assert!(!answer.text("clientID").contains('-'));
    assert!(answer.body.get("domain").is_none());
    assert!(answer.body.get("trafficAccessToken").is_none());

    let details = server.get(&format!("/sandboxes/{}", answer.text("sandboxID"))).await;
    assert_eq!(details.status, StatusCode::OK);
    assert_eq!(details.body["state"], "running");
    assert_eq!(details.body["lifecycle"], json!({ "autoResume": false, "onTimeout": "kill" }));
    assert_eq!(details.body["envdAccessToken"], answer.body["envdAccessToken"]);
    assert!((290..=300).contains(&seconds_left(&details.body)), "{}", details.body);
    for field in ["startedAt", "cpuCount", "memoryMB", "diskSizeMB", "metadata", "network"] {
        assert!(details.body.get(field).is_some(), "{field}");
    }
}

#[tokio::test]
async fn the_first_version_is_short_and_unsecured_unless_told() {
    let server = Server::start().await;
    let answer = server.post("/sandboxes", json!({ "templateID": "base" })).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert!(answer.body.get("envdAccessToken").is_none());
    let details = server.get(&format!("/sandboxes/{}", answer.text("sandboxID"))).await;
    assert!((5..=15).contains(&seconds_left(&details.body)), "{}", details.body);
    let answer = server.post("/sandboxes", json!({ "templateID": "base", "secure": true })).await;
    assert!(!answer.text("envdAccessToken").is_empty());
}

#[tokio::test]
async fn the_public_domain_is_told_with_its_port() {
    let config = Config { domain: Some("sbx.test:8443".to_owned()), ..Config::default() };
    let server = Server::with(config, ow_lifecycle::Config::default()).await;
    let answer = server.post("/v2/sandboxes", json!({ "templateID": "base" })).await;
    assert_eq!(answer.text("domain"), "sbx.test:8443");
}

#[tokio::test]
async fn pause_and_connect_tell_what_they_found() {
    let server = Server::start().await;
    let id = server.create().await;
    let path = |verb: &str| format!("/sandboxes/{id}/{verb}");

    let answer = server.post(&path("connect"), json!({ "timeout": 10 })).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let answer = server.post(&path("pause"), Value::Null).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("overwinter-durability"), "durable-local");
    let answer = server.post(&path("pause"), json!({})).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    let message = format!("Error pausing sandbox - sandbox '{id}' is already paused");
    assert_eq!(answer.text("message"), message);

    let details = server.get(&format!("/sandboxes/{id}")).await;
    assert_eq!(details.body["state"], "paused");
    assert_eq!(details.body["lastTransition"]["kind"], "paused");
    assert_eq!(details.body["lastTransition"]["durability"], "durable-local");
    assert_eq!(details.body["lastTransition"]["generation"], 1);
    assert!(details.body["lastTransition"]["phases"].is_array());

    let answer = server.post(&format!("/v2/sandboxes/{id}/connect"), Value::Null).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let details = server.get(&format!("/sandboxes/{id}")).await;
    assert!((290..=300).contains(&seconds_left(&details.body)), "{}", details.body);
}

#[tokio::test]
async fn a_connect_of_the_first_version_must_say_for_how_long() {
    let server = Server::start().await;
    let id = server.create().await;
    for body in [json!({}), json!({ "timeout": null }), json!({ "timeout": -1 })] {
        let answer = server.post(&format!("/sandboxes/{id}/connect"), body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_resume_is_only_for_paused_ones_and_leaves_auto_pause_as_it_was() {
    let server = Server::start().await;
    let id = server.create_with(json!({ "autoPause": true })).await;
    let resume = format!("/sandboxes/{id}/resume");
    let answer = server.post(&resume, json!({ "autoPause": false })).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    server.post(&format!("/sandboxes/{id}/pause"), Value::Null).await;
    let answer = server.post(&resume, json!({ "autoPause": false, "timeout": 60 })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let details = server.get(&format!("/sandboxes/{id}")).await;
    assert_eq!(details.body["lifecycle"]["onTimeout"], "pause");
}

#[tokio::test]
async fn kill_is_once_and_also_for_paused_ones() {
    let server = Server::start().await;
    for id in [server.create().await, server.create_paused().await] {
        let path = format!("/sandboxes/{id}");
        let answer = server.delete(&path).await;
        assert_eq!((answer.status, answer.body), (StatusCode::NO_CONTENT, Value::Null));
        let answer = server.delete(&path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        let text = format!("Sandbox \"{id}\" doesn't exist or you don't have access to it");
        assert_eq!(answer.body, json!({ "code": 404, "message": text }));
    }
}

#[tokio::test]
async fn timeouts_shorten_and_extend_and_refreshes_only_extend() {
    let server = Server::start().await;
    let id = server.create().await;
    let timeout = format!("/sandboxes/{id}/timeout");
    let refresh = format!("/sandboxes/{id}/refreshes");
    for (path, body, range) in [
        (&timeout, json!({ "timeout": 100 }), 90..=100),
        (&refresh, json!({ "duration": 20 }), 90..=100),
        (&refresh, Value::Null, 80..=100),
        (&refresh, json!({ "duration": 500 }), 490..=500),
        (&timeout, json!({ "timeout": 600.5 }), 590..=601),
        (&timeout, Value::Null, 590..=601),
    ] {
        let answer = server.post(path, body.clone()).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path} {body}: {}", answer.body);
        let details = server.get(&format!("/sandboxes/{id}")).await;
        assert!(range.contains(&seconds_left(&details.body)), "{path} {body}: {}", details.body);
    }
    let answer = server.post(&timeout, json!({ "timeout": 1_000_000 })).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.text("message"), "Timeout cannot be greater than 24 hours");
}

#[tokio::test]
async fn a_paused_sandbox_has_no_timeout_to_set() {
    let server = Server::start().await;
    let id = server.create_paused().await;
    let answer = server.post(&format!("/sandboxes/{id}/timeout"), json!({ "timeout": 60 })).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn composite_ids_are_read_everywhere() {
    let server = Server::start().await;
    let id = server.create().await;
    let composite = format!("/sandboxes/{id}-ce30bc46");
    assert_eq!(server.get(&composite).await.status, StatusCode::OK);
    let answer = server.post(&format!("{composite}/pause"), Value::Null).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let answer = server.post(&format!("/v2{composite}/connect"), json!({})).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(server.delete(&composite).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_pause_of_files_only_is_named_so() {
    let server = Server::start().await;
    let id = server.create().await;
    let answer = server.post(&format!("/sandboxes/{id}/pause"), json!({ "memory": false })).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    let details = server.get(&format!("/sandboxes/{id}")).await;
    assert_eq!(details.body["pauseMode"], "filesystem");
    // There is no memory to leave out.
    let connect = format!("/v2/sandboxes/{id}/connect");
    let answer = server.post(&connect, json!({ "memory": false })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
}

#[tokio::test]
async fn memory_that_was_saved_is_not_dropped_silently() {
    let server = Server::start().await;
    let id = server.create_paused().await;
    let connect = format!("/v2/sandboxes/{id}/connect");
    let answer = server.post(&connect, json!({ "memory": false })).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text("message").contains("memory"), "{}", answer.body);
}

#[tokio::test]
async fn durability_is_asked_for_by_name() {
    let server = Server::start().await;
    let id = server.create().await;
    let ask = |level: &str| {
        Request::post(format!("/sandboxes/{id}/pause")).header("Overwinter-Durability", level)
    };
    let answer = server.send(ask("eternal"), "".into()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    // There is no object store: it is refused before anything happens.
    let answer = server.send(ask("durable-remote"), "".into()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text("message").contains("object store"), "{}", answer.body);
    let answer = server.send(ask("captured"), "".into()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    assert_eq!(answer.header("overwinter-durability"), "captured");
}

#[tokio::test]
async fn what_is_only_frozen_is_shown_as_paused_and_connects() {
    let server = Server::start().await;
    let id = server.create().await;
    let request =
        Request::post(format!("/sandboxes/{id}/pause")).header("Overwinter-Durability", "frozen");
    let answer = server.send(request, "".into()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    assert_eq!(answer.header("overwinter-durability"), "frozen");
    let details = server.get(&format!("/sandboxes/{id}")).await;
    assert_eq!(details.text("state"), "paused");
    let answer =
        server.post(&format!("/v2/sandboxes/{id}/connect"), json!({ "timeout": 60 })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let details = server.get(&format!("/sandboxes/{id}")).await;
    assert_eq!(details.text("state"), "running");
}

#[tokio::test]
async fn a_repeated_create_is_answered_with_the_same_sandbox() {
    let server = Server::start().await;
    let send = async |path: &str, body: &Value| {
        let request = Request::post(path).header("Idempotency-Key", "order-7");
        server.send(request, body.to_string().into()).await
    };
    let body = json!({ "templateID": "base", "timeout": 60 });
    let first = send("/v2/sandboxes", &body).await;
    let second = send("/v2/sandboxes", &body).await;
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(first.text("sandboxID"), second.text("sandboxID"));
    let other = send("/v2/sandboxes", &json!({ "templateID": "base", "timeout": 61 })).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);

    let request = Request::post("/v2/sandboxes").header("Idempotency-Key", "NOT ALLOWED");
    let answer = server.send(request, body.to_string().into()).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn networks_are_read_replaced_and_shown() {
    let server = Server::start().await;
    let network = json!({
        "allowPublicTraffic": false, "allowOut": ["8.8.8.8"], "denyOut": ["0.0.0.0/0"],
        "maskRequestHost": "localhost:${PORT}", "rules": {}, "dnsServers": [], "egressProxy": null,
    });
    let body = json!({ "templateID": "base", "network": network, "allow_internet_access": false });
    let answer = server.post("/v2/sandboxes", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    assert!(!answer.text("trafficAccessToken").is_empty());
    let path = format!("/sandboxes/{}", answer.text("sandboxID"));
    let details = server.get(&path).await.body;
    assert_eq!(details["allowInternetAccess"], false);
    assert_eq!(details["network"]["allowOut"], json!(["8.8.8.8/32"]));

    let body = json!({ "denyOut": ["10.0.0.0/8"] });
    let answer = server.call(Method::PUT, &format!("{path}/network"), body).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    let details = server.get(&path).await.body;
    assert_eq!(details["allowInternetAccess"], true);
    assert_eq!(details["network"]["allowOut"], json!([]));
    assert_eq!(details["network"]["denyOut"], json!(["10.0.0.0/8"]));
    assert_eq!(details["network"]["allowPublicTraffic"], false);
    assert_eq!(details["network"]["maskRequestHost"], "localhost:${PORT}");
}
