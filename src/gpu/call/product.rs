//! A product by itself, for tests and measurements.

use super::{Call, Owned, Roles, dispatches, pipelines};
use crate::error::Result;
use crate::gpu::context::Gpu;
use crate::gpu::plan::{Product, Role};

impl Gpu {
    /// Binds a product of matrices to buffers.
    ///
    /// # Errors
    /// As [`Product::steps`]; and as [`Self::prepare`].
    #[doc(hidden)]
    pub async fn prepare_product(
        &self,
        product: &Product,
        buffers: &[(Role, &wgpu::Buffer)],
    ) -> Result<Call> {
        let steps = product.steps(self.caps(), self.tuning_ref())?;
        let pipelines = pipelines(self, &steps).await?;
        let (owned, roles): (_, Roles<'_>) = (Owned::default(), buffers.iter().copied().collect());
        let dispatches = self
            .scoped("a product", |gpu| {
                dispatches(gpu, (&steps, &(0..0)), pipelines, &owned, &roles)
            })
            .await??;
        Ok(Call {
            gpu: self.clone(),
            name: "product",
            dispatches,
            rows: product.rows,
            classes: product.columns,
            stats_row: 0,
            has_targets: false,
            stats: None,
            summary: None,
        })
    }
}
