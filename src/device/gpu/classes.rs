//! Cross-entropy of a linear layer that comes in blocks of classes, on a GPU: rows stay on the device
//! with what is known of them while the blocks pass, twice if there are gradients.

use super::{OwnedGpu, Pooled};
use crate::clock::Clock;
use crate::device::timings::Timings;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::gpu::plan::Role;
use crate::gpu::{
    LinearCrossEntropyBuffers, MatrixBuffer, Record as _, TargetsBuffer, UpstreamBuffer,
    VectorBuffer, WindowedCall,
};
use crate::matrix::{Array, Matrix, Values};
use crate::op::{KeptLabels, LinearCrossEntropy, Metrics, RowTargets, Upstream};

/// Rows of a batch that wait for blocks of a layer. Ignored rows stay behind: what comes to the device
/// is kept.
#[derive(Debug)]
pub(crate) struct ClassBlocks<'a> {
    gpu: &'a OwnedGpu,
    /// With losses one by one.
    op: LinearCrossEntropy,
    classes: usize,
    labels: KeptLabels,
    /// Of kept rows.
    hidden: Array,
    width: usize,
    /// There from the first block on.
    resident: Option<Resident<'a>>,
    timings: Timings,
}

/// What rows come to.
#[derive(Debug)]
pub(crate) struct BlockRows {
    pub(crate) losses: Array,
    pub(crate) lse: Array,
    pub(crate) dhidden: Option<Array>,
    pub(crate) metrics: Option<Metrics>,
}

/// What is on the device for all blocks.
#[derive(Debug)]
struct Resident<'a> {
    call: WindowedCall,
    /// How the weights and `hidden` are stored.
    stored: Dtype,
    block: BlockBuffers<'a>,
    dhidden: Option<Pooled<'a>>,
    /// What the call reads: not to be used for anything else before it is through.
    _inputs: Vec<Pooled<'a>>,
}

/// What blocks are uploaded to, and where their gradients go.
#[derive(Debug)]
struct BlockBuffers<'a> {
    /// Classes that there is room for.
    room: u64,
    weight: Pooled<'a>,
    bias: Pooled<'a>,
    dweight: Option<Pooled<'a>>,
    dbias: Option<Pooled<'a>>,
}

impl<'a> ClassBlocks<'a> {
    /// Rows of a layer of `classes`; `op` has losses one by one.
    pub(crate) fn new(
        gpu: &'a OwnedGpu,
        op: LinearCrossEntropy,
        classes: usize,
        hidden: Matrix<'_>,
        of_rows: &RowTargets<'_>,
        upstream: Upstream<'_>,
    ) -> Self {
        let labels = KeptLabels::new(of_rows, upstream);
        Self {
            gpu,
            classes,
            hidden: labels.kept.gather(&hidden),
            width: hidden.columns(),
            labels,
            op,
            resident: None,
            timings: Timings::default(),
        }
    }

    /// How long stages took since this was asked last.
    pub(crate) fn take_timings(&mut self) -> Timings {
        std::mem::take(&mut self.timings)
    }

    /// The next block in the first pass, from the class `first` on; the last of them finishes the rows.
    pub(crate) async fn see(
        &mut self,
        first: usize,
        weight: Matrix<'_>,
        bias: Option<Values<'_>>,
    ) -> Result<()> {
        let classes = [first as u64, weight.rows() as u64];
        let is_last = first + weight.rows() == self.classes;
        let Some(resident) = self.upload(weight, bias).await? else { return Ok(()) };
        let clock = Clock::start();
        resident.call.sweep_classes(classes).await?;
        if is_last {
            resident.call.finish_rows().await?;
        }
        self.timings.compute += clock.elapsed();
        Ok(())
    }

    /// The next block in the second pass: the gradients of its weights and of its bias.
    pub(crate) async fn gradient(
        &mut self,
        first: usize,
        weight: Matrix<'_>,
        bias: Option<Values<'_>>,
    ) -> Result<[Option<Array>; 2]> {
        let (gpu, classes) = (self.gpu, [first as u64, weight.rows() as u64]);
        let counts = [weight.values().len(), weight.rows()];
        let asked = [self.op.has_weight_gradient(), self.op.has_bias_gradient() && bias.is_some()];
        let Some(resident) = self.upload(weight, bias).await? else {
            let zeros = |of: usize| asked[of].then(|| Array::F32(vec![0.0; counts[of]]));
            return Ok([zeros(0), zeros(1)]);
        };
        let clock = Clock::start();
        resident.call.class_gradients(classes).await?;
        let compute = clock.elapsed();
        let clock = Clock::start();
        let mut gradients = [None, None];
        let buffers = [&resident.block.dweight, &resident.block.dbias];
        for (of, buffer) in buffers.into_iter().enumerate() {
            if let (Some(buffer), true) = (buffer, asked[of]) {
                let piece = buffer.start(4 * counts[of] as u64);
                gradients[of] = Some(gpu.download(piece, [Dtype::F32; 2]).await?);
            }
        }
        self.timings.compute += compute;
        self.timings.download += clock.elapsed();
        Ok(gradients)
    }

    /// What the rows come to, once all blocks were there as often as they have to.
    pub(crate) async fn results(&mut self) -> Result<BlockRows> {
        let (rows, width) = (self.labels.targets.len(), self.width);
        let of_rows = |of: Vec<f32>| Array::F32(self.labels.kept.spread(of, 0.0));
        let mut dhidden =
            self.op.has_hidden_gradient().then(|| Array::zeroed(self.hidden.dtype(), 0));
        let Some(resident) = &self.resident else {
            let metrics = self.op.loss().has_metrics();
            let metrics = metrics.then(|| Metrics::new(Vec::new(), 0, 0.0, 0));
            let dhidden = dhidden.map(|none| self.labels.kept.spread_array(none, width));
            let (losses, lse) = (of_rows(Vec::new()), of_rows(Vec::new()));
            return Ok(BlockRows { losses, lse, dhidden, metrics });
        };
        let clock = Clock::start();
        let stats = resident.call.read_stats(0, rows as u64).await?;
        let (losses, lse) = stats.into_iter().map(|[loss, lse]| (loss, lse)).unzip();
        if let Some(of_kept) = &resident.dhidden {
            let piece = of_kept.start(4 * (rows * width) as u64);
            let of_kept = self.gpu.download(piece, [Dtype::F32, self.hidden.dtype()]).await?;
            dhidden = Some(self.labels.kept.spread_array(of_kept, width));
        }
        let metrics = resident.call.read_metrics().await?;
        let (losses, lse) = (of_rows(losses), of_rows(lse));
        self.timings.download += clock.elapsed();
        Ok(BlockRows { losses, lse, dhidden, metrics })
    }

    /// Brings a block to the device; the first brings the rows. None if there are no rows.
    async fn upload(
        &mut self,
        weight: Matrix<'_>,
        bias: Option<Values<'_>>,
    ) -> Result<Option<&Resident<'a>>> {
        if self.labels.targets.is_empty() {
            return Ok(None);
        }
        let clock = Clock::start();
        let resident = if let Some(resident) = &mut self.resident {
            resident
        } else {
            let resident = self.begin(weight).await?;
            self.resident.insert(resident)
        };
        if weight.rows() as u64 > resident.block.room {
            resident.block = BlockBuffers::new(self.gpu, &self.op, weight).await?;
            resident.block.replace_in(&mut resident.call);
        }
        self.gpu.upload_to(&resident.block.weight.buffer, weight.values(), resident.stored).await?;
        let zeros: Vec<f32>;
        let bias = if let Some(bias) = bias {
            bias
        } else {
            zeros = vec![0.0; weight.rows()];
            (&zeros).into()
        };
        self.gpu.upload_to(&resident.block.bias.buffer, bias, Dtype::F32).await?;
        self.timings.upload += clock.elapsed();
        Ok(self.resident.as_ref())
    }

    /// Uploads the rows, and does what comes before the first block.
    async fn begin(&self, weight: Matrix<'_>) -> Result<Resident<'a>> {
        let (gpu, op) = (self.gpu, &self.op);
        let stored = gpu.storage([self.hidden.dtype(), weight.dtype()]);
        let hidden = gpu.upload(self.hidden.values(), stored).await?;
        let (targets, _) = gpu.upload_indices((&self.labels.targets).into()).await?;
        let upstream = self.labels.upstream();
        let dloss = match upstream {
            Upstream::Each(dloss) => Some(gpu.upload(dloss, Dtype::F32).await?),
            Upstream::Scalar(_) => None,
        };
        let elements = self.hidden.values().len() as u64;
        let dhidden =
            if op.has_hidden_gradient() { Some(gpu.take(elements * 4).await?) } else { None };
        let block = BlockBuffers::new(gpu, op, weight).await?;

        let (rows, width) = (self.labels.targets.len() as u64, self.width as u64);
        let classes = self.classes as u64;
        let mut buffers = LinearCrossEntropyBuffers::new(
            MatrixBuffer::new(&hidden.buffer, rows, width).with_dtype(stored),
            block.matrix(&block.weight, classes, width).with_dtype(stored),
            TargetsBuffer::I64(VectorBuffer::new(&targets.buffer)),
        )
        .with_bias(block.vector(&block.bias))
        .with_upstream(UpstreamBuffer::of_rows(
            upstream,
            dloss.as_ref().map(|dloss| VectorBuffer::new(&dloss.buffer)),
        ));
        if let Some(dhidden) = &dhidden {
            buffers = buffers.with_dhidden(MatrixBuffer::new(&dhidden.buffer, rows, width));
        }
        if let Some(dweight) = &block.dweight {
            buffers = buffers.with_dweight(block.matrix(dweight, classes, width));
        }
        if let Some(dbias) = &block.dbias {
            buffers = buffers.with_dbias(block.vector(dbias));
        }
        let call = WindowedCall::begin_classes(gpu.context(), op.describe(buffers)?).await?;
        let inputs = [Some(hidden), Some(targets), dloss].into_iter().flatten().collect();
        Ok(Resident { call, stored, block, dhidden, _inputs: inputs })
    }
}

impl<'a> BlockBuffers<'a> {
    /// As much room as a block needs.
    async fn new(gpu: &'a OwnedGpu, op: &LinearCrossEntropy, weight: Matrix<'_>) -> Result<Self> {
        let room = weight.rows() as u64;
        let elements = weight.values().len() as u64;
        let asked = [op.has_weight_gradient(), op.has_bias_gradient()];
        Ok(Self {
            room,
            weight: gpu.take(elements * 4).await?,
            bias: gpu.take(room * 4).await?,
            dweight: if asked[0] { Some(gpu.take(elements * 4).await?) } else { None },
            dbias: if asked[1] { Some(gpu.take(room * 4).await?) } else { None },
        })
    }

    /// Some of so many classes.
    fn matrix<'b>(&self, of: &'b Pooled<'_>, classes: u64, width: u64) -> MatrixBuffer<'b> {
        MatrixBuffer::new(&of.buffer, classes, width).with_room(self.room)
    }

    fn vector<'b>(&self, of: &'b Pooled<'_>) -> VectorBuffer<'b> {
        VectorBuffer::new(&of.buffer).with_room(self.room)
    }

    /// Has a call use these instead of smaller ones.
    fn replace_in(&self, call: &mut WindowedCall) {
        let parts = [
            (Role::Weight, Some(&self.weight)),
            (Role::Bias, Some(&self.bias)),
            (Role::Dweight, self.dweight.as_ref()),
            (Role::Dbias, self.dbias.as_ref()),
        ];
        for (role, pooled) in parts {
            if let Some(pooled) = pooled {
                call.replace(role, pooled.buffer.clone());
            }
        }
    }
}
