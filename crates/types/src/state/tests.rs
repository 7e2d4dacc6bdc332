use proptest::prelude::*;

use super::*;
use crate::PauseMode;

fn snapshot() -> SnapshotRef {
    SnapshotRef::begun(1, PauseMode::Full)
}

fn any_state() -> impl Strategy<Value = State> {
    let execution = ExecutionId::random;
    let reason = KillReason::Requested;
    prop_oneof![
        Just(State::Starting { execution: execution() }),
        Just(State::Running { execution: execution() }),
        any::<bool>().prop_map(|acknowledged| State::Pausing {
            execution: ExecutionId::random(),
            snapshot: snapshot(),
            acknowledged,
        }),
        Just(State::Paused { snapshot: snapshot() }),
        Just(State::Resuming { execution: execution(), snapshot: snapshot() }),
        Just(State::Killing { reason }),
        Just(State::Killed { reason }),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Started),
        Just(Event::PauseBegun(snapshot())),
        Just(Event::Frozen),
        Just(Event::PauseDone),
        Just(Event::PauseFailed),
        Just(Event::TakenBack),
        Just(Event::ResumeBegun(ExecutionId::random(), snapshot())),
        Just(Event::ResumeFailed(snapshot())),
        Just(Event::FellBack(snapshot())),
        Just(Event::KillBegun(KillReason::Requested)),
        Just(Event::KillDone),
    ]
}

/// The event by which the work for an admitted request begins.
fn beginning(request: Request) -> Event {
    match request {
        Request::Pause => Event::PauseBegun(snapshot()),
        Request::Resume => Event::ResumeBegun(ExecutionId::random(), snapshot()),
        Request::Kill => Event::KillBegun(KillReason::Requested),
    }
}

proptest! {
    #[test]
    fn what_may_begin_can_begin_and_nothing_else(
        state in any_state(),
        request in prop_oneof![Just(Request::Pause), Just(Request::Resume), Just(Request::Kill)],
    ) {
        let may = state.admit(request) == Ok(Admission::Begin);
        prop_assert_eq!(may, state.apply(beginning(request)).is_ok());
    }

    #[test]
    fn what_was_acknowledged_runs_only_when_it_is_taken_back(event in any_event()) {
        let execution = ExecutionId::random();
        let frozen = State::Pausing { execution, snapshot: snapshot(), acknowledged: true };
        prop_assert_eq!(frozen.admit(Request::Resume), Ok(Admission::TakeBack));
        let taken_back = event == Event::TakenBack;
        let runs = matches!(frozen.apply(event), Ok(State::Running { .. }));
        prop_assert_eq!(runs, taken_back);
    }

    #[test]
    fn kill_is_denied_only_when_nothing_is_left(state in any_state()) {
        let denied = state.admit(Request::Kill).is_err();
        prop_assert_eq!(denied, matches!(state, State::Killed { .. }));
    }

    #[test]
    fn every_state_but_the_last_has_a_way_out(state in any_state()) {
        let events = [
            Event::Started, Event::PauseDone, Event::KillDone,
            Event::KillBegun(KillReason::Requested), Event::PauseBegun(snapshot()),
        ];
        let moves = events.into_iter().any(|event| state.clone().apply(event).is_ok());
        prop_assert_eq!(moves, !matches!(state, State::Killed { .. }));
    }

    #[test]
    fn a_refused_event_leaves_the_state(state in any_state(), event in any_event()) {
        if let Err(refused) = state.clone().apply(event) {
            prop_assert_eq!(refused.state, state);
        }
    }

    #[test]
    fn a_paused_sandbox_is_left_only_by_resume_or_kill(event in any_event()) {
        let paused = State::Paused { snapshot: snapshot() };
        if let Ok(next) = paused.apply(event) {
            let left = matches!(next, State::Resuming { .. } | State::Killing { .. });
            prop_assert!(left, "{:?}", next);
        }
    }
}
