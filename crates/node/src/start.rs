//! Starting a run of a template.

use std::sync::Arc;

use async_trait::async_trait;
use ow_node_api::{NodeError, Start, Started};
use ow_types::Phases;

use crate::begin::{Beginning, Origin, begin_once};
use crate::errors;
use crate::inner::Inner;
use crate::place::Placed;
use crate::run::Run;
use crate::warm::{self, WarmImage};

/// Starts a run.
pub(crate) async fn start(inner: &Arc<Inner>, start: Start) -> Result<Started, NodeError> {
    let template = inner.template(&start.identity.template)?;
    let rules = inner.rules(&start.egress)?;
    let mut wanted = inner.wanted(&template);
    wanted.resources = start.resources;
    let (execution, sandbox) = (start.execution.clone(), start.identity.sandbox.clone());
    begin_once(inner, Run::new(execution, sandbox), async |run| {
        let image = warm::image_for(inner, &template, &wanted).await;
        let reseed = image.is_some();
        let (wanted, rules, identity) = (&wanted, &rules, &start.identity);
        let beginning = Beginning { inner, run, wanted, rules, identity, reseed, lap: "place" };
        beginning.begin(&FromTemplate { inner, run, image }).await
    })
    .await
}

/// A guest that boots, or is restored from its template's image.
struct FromTemplate<'a> {
    inner: &'a Inner,
    run: &'a Run,
    image: Option<WarmImage>,
}

#[async_trait]
impl Origin for FromTemplate<'_> {
    type Known = ();

    async fn look(&self) -> Result<(), NodeError> {
        Ok(())
    }

    async fn boot(&self, placed: &Placed, (): ()) -> Result<Phases, NodeError> {
        let booted = match &self.image {
            Some(image) => image.restore(self.inner, &placed.place).await,
            None => self.inner.engine.start(&placed.place).await,
        };
        booted.map_err(|error| errors::engine(&self.run.execution, &error))
    }
}
