//! Cross-entropy of a linear layer, bound to buffers.

use super::{Builder, Description, Part, Record, mask_buffer_option, unasked};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::gpu::buffers::{MaskBuffer, MatrixBuffer, TargetsBuffer, UpstreamBuffer, VectorBuffer};
use crate::gpu::kernel::TargetType;
use crate::gpu::ops::RowOp;
use crate::gpu::plan::{Destination, Ignored, Layer, Region, Role, chunk_region};
use crate::op::LinearCrossEntropy;

/// What [`LinearCrossEntropy`] binds on a GPU.
///
/// Rows whose target is ignored, or that a mask leaves out, are left out on the device, which moves the
/// others together: they are neither multiplied nor read, whatever stands in them, their probabilities
/// included.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LinearCrossEntropyBuffers<'a> {
    hidden: MatrixBuffer<'a>,
    weight: MatrixBuffer<'a>,
    targets: TargetsBuffer<'a>,
    bias: Option<VectorBuffer<'a>>,
    upstream: UpstreamBuffer<'a>,
    dhidden: Option<MatrixBuffer<'a>>,
    dweight: Option<MatrixBuffer<'a>>,
    dbias: Option<VectorBuffer<'a>>,
    mask: Option<MaskBuffer<'a>>,
}

impl<'a> LinearCrossEntropyBuffers<'a> {
    /// What the layer reads `[rows, hidden]`, the layer `[classes, hidden]`, both of one type, and class
    /// indices, or probabilities `[rows, classes]` of f32.
    pub fn new(
        hidden: MatrixBuffer<'a>,
        weight: MatrixBuffer<'a>,
        targets: TargetsBuffer<'a>,
    ) -> Self {
        let upstream = UpstreamBuffer::default();
        let (bias, dhidden, dweight, dbias, mask) = (None, None, None, None, None);
        Self { hidden, weight, targets, bias, upstream, dhidden, dweight, dbias, mask }
    }

    /// The bias, `[classes]` of f32.
    #[must_use]
    pub fn with_bias(mut self, bias: VectorBuffer<'a>) -> Self {
        self.bias = Some(bias);
        self
    }

    /// The gradient from above; 1 unless set.
    #[must_use]
    pub fn with_upstream(mut self, upstream: UpstreamBuffer<'a>) -> Self {
        self.upstream = upstream;
        self
    }

    /// Where the gradient of `hidden` goes: f32, in a buffer that nothing else of the call is in, like
    /// the other gradients. Needed if the operation has it, and only then.
    #[must_use]
    pub fn with_dhidden(mut self, dhidden: MatrixBuffer<'a>) -> Self {
        self.dhidden = Some(dhidden);
        self
    }

    /// Where the gradient of the layer goes, f32. It is not added to what is there; a batch without
    /// rows leaves that as it is. Needed if the operation has it, and only then.
    #[must_use]
    pub fn with_dweight(mut self, dweight: MatrixBuffer<'a>) -> Self {
        self.dweight = Some(dweight);
        self
    }

    /// Where the gradient of the bias goes, `[classes]` of f32. Needed if the operation has it and there
    /// is a bias, and only then.
    #[must_use]
    pub fn with_dbias(mut self, dbias: VectorBuffer<'a>) -> Self {
        self.dbias = Some(dbias);
        self
    }

    /// The layer without its gradients.
    fn layer(&self, scratch_bytes: u64) -> Result<Layer> {
        self.hidden.validate("hidden")?;
        self.weight.validate("weight")?;
        if self.weight.classes != self.hidden.classes {
            return Err(Error::ShapeMismatch {
                what: "weight",
                expected: format!("[classes, {}], as many columns as hidden", self.hidden.classes),
                found: format!("[{}, {}]", self.weight.rows, self.weight.classes),
            });
        }
        if self.weight.rows == 0 {
            let reason = "has no rows: there are no classes".to_owned();
            return Err(Error::InvalidBuffer { name: "weight", reason });
        }
        if self.weight.region.dtype != self.hidden.region.dtype {
            let reason = format!("is not {}, as hidden is", self.hidden.region.dtype);
            return Err(Error::InvalidBuffer { name: "weight", reason });
        }
        if let Some(bias) = self.bias {
            bias.validate("bias", self.weight.rows, 4)?;
        }
        Ok(Layer {
            width: self.hidden.classes,
            hidden: self.hidden.region,
            weight: self.weight.region,
            bias: self.bias.map(vector_region),
            dhidden: None,
            dweight: None,
            dbias: None,
            scratch_bytes,
            ignored: Ignored::Multiplied,
        })
    }
}

mask_buffer_option!(LinearCrossEntropyBuffers, "rows");

fn vector_region(vector: VectorBuffer<'_>) -> Region {
    Region { offset: vector.offset, row_stride: 0, dtype: Dtype::F32 }
}

impl Record for LinearCrossEntropy {
    type Buffers<'a> = LinearCrossEntropyBuffers<'a>;

    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>> {
        let (rows, classes) = (buffers.hidden.rows, buffers.weight.rows);
        let mut layer = buffers.layer(self.scratch_bytes())?;
        self.validate_options(classes)?;
        let chunk = chunk_region(classes);
        if buffers.weight.held.is_none() {
            self.rows_in_scratch(chunk.bytes(classes), 0)?;
        }
        let (shape, loss) = ((rows, classes), self.loss());
        let are_probs = matches!(buffers.targets, TargetsBuffer::Probs(_));
        let op = if are_probs { RowOp::LabelCrossEntropy } else { RowOp::CrossEntropy };
        let builder = Builder::over(op, "linear cross-entropy", shape, chunk)
            .cross_entropy(loss, are_probs)?;
        let ignored = loss.ignore_index();
        let builder = match buffers.targets {
            TargetsBuffer::I32(vector) => builder.targets(vector, TargetType::I32, ignored)?,
            TargetsBuffer::I64(vector) => builder.targets(vector, TargetType::I64, ignored)?,
            TargetsBuffer::Probs(matrix) => builder.second("targets", matrix)?,
        };
        let builder = builder.row_mask(buffers.mask)?;
        // Without index targets and without a mask the device counts nothing.
        let is_counted = builder.problem.is_counted();
        let mean_of = (!is_counted).then(|| loss.normalizer().unwrap_or(rows as f64));
        let mut builder = builder.reduction(loss.reduction(), mean_of, buffers.upstream)?;
        builder.insert(Role::Hidden, buffers.hidden.buffer, buffers.hidden.range());
        builder.insert(Role::Weight, buffers.weight.buffer, buffers.weight.range());
        if let Some(bias) = buffers.bias {
            builder.insert(Role::Bias, bias.buffer, bias.range(classes, 4));
        }
        self.gradients(&mut layer, &mut builder, &buffers)?;
        if ignored.is_some() && !are_probs || buffers.mask.is_some() {
            layer.ignored = Ignored::LeftOut;
        }
        if self.has_gradient() {
            for pass in &mut builder.problem.passes {
                pass.output = Destination::InPlace;
            }
        }
        Ok(Description { layer: Some(layer), ..builder.finish()? })
    }
}

impl LinearCrossEntropy {
    /// Where the gradients go.
    fn gradients<'a>(
        &self,
        layer: &mut Layer,
        builder: &mut Builder<'a>,
        buffers: &LinearCrossEntropyBuffers<'a>,
    ) -> Result<()> {
        let (rows, classes) = (buffers.hidden.rows, buffers.weight.rows);
        let matrices = [
            (Role::Dhidden, "dhidden", self.has_hidden_gradient(), buffers.dhidden, rows),
            (Role::Dweight, "dweight", self.has_weight_gradient(), buffers.dweight, classes),
        ];
        for (role, name, asked, matrix, rows) in matrices {
            let Some(matrix) = of_asked(name, asked, matrix)? else { continue };
            matrix.validate(name)?;
            if matrix.region.dtype != Dtype::F32 {
                let reason = format!("is {}; here it has to be f32", matrix.region.dtype);
                return Err(Error::InvalidBuffer { name, reason });
            }
            if (matrix.rows, matrix.classes) != (rows, layer.width) {
                return Err(Error::ShapeMismatch {
                    what: name,
                    expected: format!("[{rows}, {}]", layer.width),
                    found: format!("[{}, {}]", matrix.rows, matrix.classes),
                });
            }
            let region = Some(matrix.region);
            *(if role == Role::Dhidden { &mut layer.dhidden } else { &mut layer.dweight }) = region;
            builder.insert(role, matrix.buffer, matrix.range());
        }
        let asked = self.has_bias_gradient() && buffers.bias.is_some();
        if let Some(dbias) = of_asked("dbias", asked, buffers.dbias)? {
            dbias.validate("dbias", classes, 4)?;
            layer.dbias = Some(vector_region(dbias));
            builder.insert(Role::Dbias, dbias.buffer, dbias.range(classes, 4));
        }
        let is_written =
            |part: &Part<'_>| [Role::Dhidden, Role::Dweight, Role::Dbias].contains(&part.role);
        for part in builder.parts.iter().filter(|part| is_written(part)) {
            let is_shared =
                |other: &Part<'_>| other.role != part.role && other.buffer == part.buffer;
            if builder.parts.iter().any(is_shared) {
                let reason = "something else of the call is in its buffer".to_owned();
                return Err(Error::InvalidBuffer { name: "gradient", reason });
            }
        }
        Ok(())
    }
}

/// What was asked for has to have a place, and what was not, none.
fn of_asked<T>(name: &'static str, asked: bool, place: Option<T>) -> Result<Option<T>> {
    if asked == place.is_some() { Ok(place) } else { Err(unasked(asked, name)) }
}
