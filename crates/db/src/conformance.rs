//! What every database does, as tests: [`check`] runs them all on databases that `make` opens empty.

use std::collections::BTreeMap;
use std::time::Duration;

use ow_types::{
    Durability, Egress, ExecutionId, KillReason, OnTimeout, PauseMode, Resources, SandboxId,
    Settings, SnapshotId, SnapshotRef, State, TeamId, Timestamp, Tokens,
};

use crate::{
    Answer, Claim, Counts, Cursor, Database, DbError, KeyRecord, ListQuery, Order, SandboxRecord,
};

/// A running sandbox that started at `started_at` milliseconds.
#[must_use]
pub fn running(team: &TeamId, started_at: u64) -> SandboxRecord {
    let at = Timestamp::from_unix_millis(started_at);
    SandboxRecord {
        id: SandboxId::random(),
        team: team.clone(),
        template: "base".to_owned(),
        state: State::Running { execution: ExecutionId::random() },
        revision: 0,
        created_at: at,
        started_at: at,
        end_at: at.after(Duration::from_secs(300)),
        settings: Settings {
            timeout: Duration::from_secs(300),
            on_timeout: OnTimeout::Kill,
            pause_mode: PauseMode::Full,
            auto_resume: false,
        },
        metadata: BTreeMap::new(),
        env_vars: BTreeMap::new(),
        resources: Resources::default(),
        tokens: Tokens { envd: None, traffic: "traffic".to_owned() },
        egress: Egress::default(),
        snapshot: None,
        previous_snapshot: None,
        guest_unresponsive_at_pause: false,
        last_transition: None,
    }
}

/// A paused sandbox that was paused at the moment it started.
#[must_use]
pub fn paused(team: &TeamId, paused_at: u64) -> SandboxRecord {
    let snapshot = SnapshotRef::begun(1, PauseMode::Full);
    SandboxRecord {
        state: State::Paused { snapshot: snapshot.clone() },
        end_at: Timestamp::from_unix_millis(paused_at),
        snapshot: Some(snapshot),
        ..running(team, paused_at)
    }
}

/// Runs the suite.
///
/// # Panics
///
/// If the database breaks a promise.
pub async fn check(make: impl AsyncFn() -> Box<dyn Database>) {
    records_are_kept_and_removed(&*make().await).await;
    a_stale_write_is_refused(&*make().await).await;
    lists_are_filtered(&*make().await).await;
    pages_follow_one_another(&*make().await).await;
    what_is_killed_is_not_shown(&*make().await).await;
    unsettled_records_are_found(&*make().await).await;
    old_pauses_are_found_oldest_first(&*make().await).await;
    every_snapshot_is_named_once(&*make().await).await;
    keys_are_found_by_their_hash(&*make().await).await;
    a_request_is_claimed_once(&*make().await).await;
    what_is_less_safe_is_found(&*make().await).await;
}

/// Both kinds, newest first.
fn everything() -> ListQuery {
    ListQuery { running: true, paused: true, limit: 100, ..ListQuery::default() }
}

async fn listed(db: &dyn Database, team: &TeamId, query: &ListQuery) -> Vec<SandboxId> {
    let page = db.list(team, query).await.expect("a list is read");
    page.into_iter().map(|record| record.id).collect()
}

async fn inserted(db: &dyn Database, record: SandboxRecord) -> SandboxRecord {
    db.insert(&record).await.expect("a new record is written");
    record
}

async fn records_are_kept_and_removed(db: &dyn Database) {
    let mut record = running(&TeamId::random(), 1);
    record.metadata.insert("ключ".to_owned(), "\"quoted\" \\ value".to_owned());
    record.tokens.envd = Some("token".to_owned());
    let record = inserted(db, record).await;
    assert_eq!(db.get(&record.id).await.expect("read").as_ref(), Some(&record));
    assert!(matches!(db.insert(&record).await, Err(DbError::Conflict { .. })));
    let found = db.find_by_envd_token("token").await.expect("read");
    assert_eq!(found.as_ref(), Some(&record.id));
    assert_eq!(db.find_by_envd_token("other").await.expect("read"), None);
    db.remove(&record.id).await.expect("removed");
    db.remove(&record.id).await.expect("removing what is not there is no error");
    assert_eq!(db.get(&record.id).await.expect("read"), None);
    assert_eq!(db.find_by_envd_token("token").await.expect("read"), None);
}

async fn a_stale_write_is_refused(db: &dyn Database) {
    let first = inserted(db, running(&TeamId::random(), 1)).await;
    let second = SandboxRecord { template: "changed".to_owned(), ..first.clone() };
    assert_eq!(db.update(&second).await.expect("written"), 1);
    assert!(matches!(db.update(&first).await, Err(DbError::Conflict { .. })));
    let stored = db.get(&first.id).await.expect("read").expect("there");
    assert_eq!((stored.template.as_str(), stored.revision), ("changed", 1));
    db.remove(&first.id).await.expect("removed");
    assert!(matches!(db.update(&stored).await, Err(DbError::Conflict { .. })));
}

async fn lists_are_filtered(db: &dyn Database) {
    let (team, other) = (TeamId::random(), TeamId::random());
    let mut one = running(&team, 1);
    one.metadata = BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]);
    let mut two = paused(&team, 2);
    two.metadata = BTreeMap::from([("a".into(), "1".into())]);
    two.template = "special".to_owned();
    let (one, two) = (inserted(db, one).await, inserted(db, two).await);
    inserted(db, running(&other, 3)).await;

    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let with = |pairs: &[(String, String)]| ListQuery {
        metadata: pairs.iter().cloned().collect(),
        ..everything()
    };
    assert_eq!(listed(db, &team, &everything()).await, [two.id.clone(), one.id.clone()]);
    let only_paused = ListQuery { running: false, ..everything() };
    assert_eq!(listed(db, &team, &only_paused).await, std::slice::from_ref(&two.id));
    let only_running = ListQuery { paused: false, ..everything() };
    assert_eq!(listed(db, &team, &only_running).await, std::slice::from_ref(&one.id));
    let neither = ListQuery { running: false, paused: false, ..everything() };
    assert!(listed(db, &team, &neither).await.is_empty());
    let both = with(&[pair("a", "1"), pair("b", "2")]);
    assert_eq!(listed(db, &team, &both).await, std::slice::from_ref(&one.id));
    assert_eq!(listed(db, &team, &with(&[pair("a", "1")])).await.len(), 2);
    assert!(listed(db, &team, &with(&[pair("a", "2")])).await.is_empty());
    let of_template = ListQuery { template: Some("special".to_owned()), ..everything() };
    assert_eq!(listed(db, &team, &of_template).await, std::slice::from_ref(&two.id));
    let late = ListQuery { started_after: Some(one.started_at), ..everything() };
    assert_eq!(listed(db, &team, &late).await, std::slice::from_ref(&two.id));
    assert_eq!(db.count_running(&team).await.expect("counted"), 1);
    assert_eq!(db.counts().await.expect("counted"), Counts { running: 2, paused: 1 });

    let changed = SandboxRecord { metadata: BTreeMap::from([pair("c", "3")]), ..one.clone() };
    db.update(&changed).await.expect("written");
    assert_eq!(listed(db, &team, &with(&[pair("c", "3")])).await, [one.id]);
    assert!(listed(db, &team, &both).await.is_empty());
}

async fn pages_follow_one_another(db: &dyn Database) {
    let team = TeamId::random();
    // Several that started in the same millisecond, so that the id must decide.
    for number in 0..10 {
        inserted(db, running(&team, number / 4)).await;
    }
    for order in [Order::Ascending, Order::Descending] {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let query = ListQuery { order, cursor, limit: 3, ..everything() };
            let page = db.list(&team, &query).await.expect("a list is read");
            let Some(last) = page.last() else { break };
            cursor = Some(Cursor { started_at: last.started_at, id: last.id.clone() });
            seen.extend(page.into_iter().map(|record| (record.started_at, record.id)));
        }
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        if order == Order::Descending {
            sorted.reverse();
        }
        assert_eq!(seen.len(), 10, "{order:?}");
        assert_eq!(seen, sorted, "{order:?}");
    }
}

async fn what_is_killed_is_not_shown(db: &dyn Database) {
    let team = TeamId::random();
    let mut record = running(&team, 1);
    record.tokens.envd = Some("secret".to_owned());
    let mut record = inserted(db, record).await;
    record.state = State::Killing { reason: KillReason::Requested };
    db.update(&record).await.expect("written");
    assert!(listed(db, &team, &everything()).await.is_empty());
    assert_eq!(db.count_running(&team).await.expect("counted"), 0);
    assert_eq!(db.find_by_envd_token("secret").await.expect("read"), None);
    assert_eq!(db.unsettled().await.expect("read").len(), 1);
}

async fn unsettled_records_are_found(db: &dyn Database) {
    let team = TeamId::random();
    let one = inserted(db, running(&team, 1)).await;
    inserted(db, paused(&team, 2)).await;
    assert_eq!(db.unsettled().await.expect("read"), [one]);
}

async fn old_pauses_are_found_oldest_first(db: &dyn Database) {
    let team = TeamId::random();
    let late = inserted(db, paused(&team, 30)).await;
    let early = inserted(db, paused(&team, 10)).await;
    inserted(db, running(&team, 1)).await;
    let before = async |moment, limit| {
        db.paused_before(Timestamp::from_unix_millis(moment), limit).await.expect("read")
    };
    assert_eq!(before(31, 10).await, [early.id.clone(), late.id]);
    assert_eq!(before(u64::MAX, 1).await, std::slice::from_ref(&early.id));
    assert_eq!(before(30, 10).await, [early.id]);
    assert!(before(10, 10).await.is_empty());
}

async fn every_snapshot_is_named_once(db: &dyn Database) {
    let team = TeamId::random();
    let new = |generation| SnapshotRef::begun(generation, PauseMode::Full);
    let (first, second, third) = (new(1), new(2), new(3));
    let mut record = running(&team, 1);
    record.snapshot = Some(second.clone());
    record.previous_snapshot = Some(first.clone());
    record.state = State::Pausing {
        execution: ExecutionId::random(),
        snapshot: third.clone(),
        acknowledged: false,
    };
    inserted(db, record).await;
    let settled = inserted(db, paused(&team, 2)).await;
    let mut expected = vec![first.id, second.id, third.id];
    expected.extend(settled.snapshot.map(|snapshot| snapshot.id));
    expected.sort();
    let named = db.snapshots().await.expect("read");
    let mut found: Vec<SnapshotId> = named.into_iter().map(|(_, snapshot)| snapshot.id).collect();
    found.sort();
    assert_eq!(found, expected);
}

async fn keys_are_found_by_their_hash(db: &dyn Database) {
    let key = |byte: u8, name: &str| KeyRecord {
        hash: [byte; 32],
        name: name.to_owned(),
        team: TeamId::random(),
        created_at: Timestamp::from_unix_millis(u64::from(byte)),
    };
    let (one, two) = (key(1, "ci"), key(2, "laptop"));
    db.insert_key(&two).await.expect("written");
    db.insert_key(&one).await.expect("written");
    assert!(db.insert_key(&one).await.is_err());
    assert_eq!(db.find_key(&[1; 32]).await.expect("read").as_ref(), Some(&one));
    assert_eq!(db.find_key(&[9; 32]).await.expect("read"), None);
    assert_eq!(db.keys().await.expect("read"), [one, two.clone()]);
    assert_eq!(db.remove_keys("ci").await.expect("removed"), 1);
    assert_eq!(db.remove_keys("ci").await.expect("removed"), 0);
    assert_eq!(db.keys().await.expect("read"), [two]);
}

async fn a_request_is_claimed_once(db: &dyn Database) {
    let (team, other_team) = (TeamId::random(), TeamId::random());
    let at = Timestamp::from_unix_millis(5);
    let claim = |name: &str| Claim { name: name.to_owned(), request: [7; 32], at };
    let first = running(&team, 1);
    let answer = Answer { request: [7; 32], sandbox: first.id.clone(), at };
    assert_eq!(db.find_claim(&team, "a").await.expect("read"), None);
    assert_eq!(db.insert_claimed(&first, &claim("a")).await.expect("written"), None);
    assert_eq!(db.find_claim(&team, "a").await.expect("read").as_ref(), Some(&answer));
    assert!(db.get(&first.id).await.expect("read").is_some());

    let second = running(&team, 2);
    let before = db.insert_claimed(&second, &claim("a")).await.expect("answered");
    assert_eq!(before.as_ref(), Some(&answer));
    assert_eq!(db.get(&second.id).await.expect("read"), None, "the record came without its claim");
    let of_other = running(&other_team, 3);
    assert_eq!(db.insert_claimed(&of_other, &claim("a")).await.expect("written"), None);

    let taken = db.insert_claimed(&first, &claim("b")).await;
    assert!(matches!(taken, Err(DbError::Conflict { .. })), "{taken:?}");
    assert_eq!(db.find_claim(&team, "b").await.expect("read"), None, "a claim without its record");

    db.give_up_claim(&first.id).await.expect("given up");
    db.give_up_claim(&first.id).await.expect("nothing to give up is no error");
    assert_eq!(db.find_claim(&team, "a").await.expect("read"), None);
    assert_eq!(db.insert_claimed(&second, &claim("a")).await.expect("written"), None);

    db.forget_claims(at).await.expect("forgotten");
    assert!(db.find_claim(&team, "a").await.expect("read").is_some(), "it is not old yet");
    db.forget_claims(Timestamp::from_unix_millis(6)).await.expect("forgotten");
    assert_eq!(db.find_claim(&team, "a").await.expect("read"), None, "an old claim stays");
}

async fn what_is_less_safe_is_found(db: &dyn Database) {
    let team = TeamId::random();
    let mut ids = Vec::new();
    for (number, durability) in (1..).zip(Durability::ALL) {
        let mut record = paused(&team, number);
        record.state.snapshot_mut().expect("it is paused").durability = durability;
        ids.push(inserted(db, record).await.id);
    }
    inserted(db, running(&team, 9)).await;
    let less_safe_than = async |level| {
        let mut found = db.less_safe_than(level, 10).await.expect("read");
        found.sort_by_key(|id| ids.iter().position(|known| known == id));
        found
    };
    assert_eq!(less_safe_than(Durability::DurableLocal).await, ids[..2]);
    assert_eq!(less_safe_than(Durability::DurableRemote).await, ids[..3]);
    assert_eq!(db.less_safe_than(Durability::DurableRemote, 1).await.expect("read").len(), 1);
}
