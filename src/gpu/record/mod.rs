//! From an operation and its buffers to a [`Call`].

use std::ops::Range;

use crate::dtype::Dtype;
use crate::error::{Error, Result};
mod linear;
mod loss;
mod transform;

pub use linear::LinearCrossEntropyBuffers;
pub use loss::{CrossEntropyBuffers, DivergenceBuffers, ElementwiseBuffers};
pub(crate) use loss::{divergence, elementwise};
pub use transform::{BackwardBuffers, RowBackwardBuffers, RowResultBuffers, TransformBuffers};

use crate::gpu::buffers::{MaskBuffer, MatrixBuffer, OutputBuffer, UpstreamBuffer, VectorBuffer};
use crate::gpu::call::{Call, Roles};
use crate::gpu::context::Gpu;
use crate::gpu::fragment::Slot;
use crate::gpu::kernel::{Sharing, TargetType};
use crate::gpu::ops::RowOp;
use crate::gpu::plan::{
    Destination, ElementMask, LabelMask, Layer, LossNumbers, Pass, Problem, Region, Role, RowMask,
    TargetRegion, UpstreamRegion,
};
use crate::op::{Reduction, sealed};

/// The builder's method for the mask of a call, `$each` of which it has a byte for.
macro_rules! mask_buffer_option {
    ($type:ident, $each:literal) => {
        impl<'a> $type<'a> {
            #[doc = concat!("Which ", $each, " count, a byte each; all unless set.")]
            #[must_use]
            pub fn with_mask(mut self, mask: impl Into<Option<MaskBuffer<'a>>>) -> Self {
                self.mask = mask.into();
                self
            }
        }
    };
}
use mask_buffer_option;

/// An operation that can be recorded into a command encoder, with the buffers that it needs.
///
/// The trait is sealed; the operations of this crate are its only implementations.
pub trait Record: sealed::Sealed {
    /// The buffers that it reads and writes.
    type Buffers<'a>;

    #[doc(hidden)]
    fn describe<'a>(&self, buffers: Self::Buffers<'a>) -> Result<Description<'a>>;
}

/// An operation with its buffers, in the form that all of them share.
#[doc(hidden)]
#[derive(Debug)]
pub struct Description<'a> {
    pub(crate) name: &'static str,
    pub(crate) problem: Problem,
    pub(crate) roles: Roles<'a>,
    /// The weight of each class, where there are any.
    pub(crate) weights: Option<Vec<f32>>,
    /// What makes the logits, where they are not the caller's.
    pub(crate) layer: Option<Layer>,
}

impl Gpu {
    /// Binds an operation to buffers: validates, plans, compiles what is not compiled yet, and
    /// allocates what the operation needs besides the caller's buffers.
    ///
    /// # Errors
    /// [`Error::InvalidBuffer`] if a buffer lacks bytes or the usage `STORAGE`, if a range is both
    /// read and written, or if matrices differ in their type; [`Error::ShapeMismatch`];
    /// [`Error::TooLarge`] if a row does not fit a binding; [`Error::DeviceTooSmall`] if the device
    /// lacks bindings; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub async fn prepare<O: Record>(&self, op: &O, buffers: O::Buffers<'_>) -> Result<Call> {
        Call::new(self, op.describe(buffers)?).await
    }

    /// [`Self::prepare`], blocking.
    ///
    /// # Errors
    /// As there.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn prepare_blocking<O: Record>(&self, op: &O, buffers: O::Buffers<'_>) -> Result<Call> {
        pollster::block_on(self.prepare(op, buffers))
    }
}

/// The parts of a description, gathered and checked one by one.
struct Builder<'a> {
    name: &'static str,
    problem: Problem,
    parts: Vec<Part<'a>>,
    weights: Option<Vec<f32>>,
}

/// What a caller's buffer is in a call, and which bytes of it.
struct Part<'a> {
    role: Role,
    buffer: &'a wgpu::Buffer,
    range: Range<u64>,
}

impl<'a> Builder<'a> {
    fn new(
        op: RowOp,
        name: &'static str,
        slot: &'static str,
        input: MatrixBuffer<'a>,
    ) -> Result<Self> {
        input.validate(slot)?;
        let mut builder = Self::over(op, name, (input.rows, input.classes), input.region);
        builder.insert(Role::Slot(Slot::Input), input.buffer, input.range());
        Ok(builder)
    }

    /// Over an input that is not in a buffer of the caller's.
    fn over(op: RowOp, name: &'static str, (rows, classes): (u64, u64), input: Region) -> Self {
        let main = Pass { op, output: Destination::None, role: Role::Slot(Slot::Output) };
        let problem = Problem {
            passes: vec![main],
            rows,
            classes,
            input,
            second: None,
            factors: None,
            targets: None,
            row_mask: None,
            element_mask: None,
            upstream: UpstreamRegion::Scalar(1.0),
            sharing: Sharing::Apart,
            reduction: Reduction::None,
            loss: LossNumbers::default(),
        };
        Self { name, problem, parts: Vec::new(), weights: None }
    }

    /// A matrix like the input.
    fn matrix(&self, name: &'static str, matrix: MatrixBuffer<'a>) -> Result<MatrixBuffer<'a>> {
        self.matrix_of(name, matrix, self.problem.input.dtype)
    }

    fn matrix_of(
        &self,
        name: &'static str,
        matrix: MatrixBuffer<'a>,
        dtype: Dtype,
    ) -> Result<MatrixBuffer<'a>> {
        matrix.validate(name)?;
        if matrix.region.dtype != dtype {
            let reason = format!("is {}; here it has to be {dtype}", matrix.region.dtype);
            return Err(Error::InvalidBuffer { name, reason });
        }
        let (rows, classes) = (self.problem.rows, self.problem.classes);
        if (matrix.rows, matrix.classes) == (rows, classes) {
            return Ok(matrix);
        }
        Err(Error::ShapeMismatch {
            what: name,
            expected: format!("[{rows}, {classes}]"),
            found: format!("[{}, {}]", matrix.rows, matrix.classes),
        })
    }

    fn insert(&mut self, role: Role, buffer: &'a wgpu::Buffer, range: Range<u64>) {
        self.parts.push(Part { role, buffer, range });
    }

    fn insert_matrix(&mut self, slot: Slot, matrix: MatrixBuffer<'a>) {
        self.insert(Role::Slot(slot), matrix.buffer, matrix.range());
    }

    fn second(mut self, name: &'static str, matrix: MatrixBuffer<'a>) -> Result<Self> {
        self.problem.second = Some(self.matrix(name, matrix)?.region);
        self.insert_matrix(Slot::Second, matrix);
        Ok(self)
    }

    fn factors(mut self, name: &'static str, matrix: MatrixBuffer<'a>) -> Result<Self> {
        self.problem.factors = Some(self.matrix(name, matrix)?.region);
        self.insert_matrix(Slot::Factors, matrix);
        Ok(self)
    }

    /// Where the columns of the last pass go.
    fn output(mut self, name: &'static str, output: OutputBuffer<'a>) -> Result<Self> {
        let last = self.problem.passes.last();
        let dtype = last.map_or(self.problem.input.dtype, |pass| self.columns_dtype(pass.op));
        let destination = match output {
            OutputBuffer::InPlace if dtype == self.problem.input.dtype => Destination::InPlace,
            OutputBuffer::InPlace => {
                let reason = format!("are {dtype}: they cannot take the place of the input");
                return Err(Error::InvalidBuffer { name, reason });
            }
            OutputBuffer::Separate(matrix) => {
                let matrix = self.matrix_of(name, matrix, dtype)?;
                self.insert_matrix(Slot::Output, matrix);
                Destination::Separate(matrix.region)
            }
        };
        if let Some(pass) = self.problem.passes.last_mut() {
            pass.output = destination;
        }
        Ok(self)
    }

    /// A loss is f32, whatever it is the loss of.
    fn columns_dtype(&self, op: RowOp) -> Dtype {
        if matches!(op, RowOp::ElementLosses(_)) { Dtype::F32 } else { self.problem.input.dtype }
    }

    /// A pass before the others, with a matrix of its own for its columns if it has any.
    fn before(
        mut self,
        op: RowOp,
        aside: Option<(&'static str, MatrixBuffer<'a>)>,
    ) -> Result<Self> {
        let output = match aside {
            None => Destination::None,
            Some((name, matrix)) => {
                let matrix = self.matrix_of(name, matrix, self.columns_dtype(op))?;
                self.insert(Role::Aside, matrix.buffer, matrix.range());
                Destination::Separate(matrix.region)
            }
        };
        self.problem.passes.insert(0, Pass { op, output, role: Role::Aside });
        Ok(self)
    }

    fn targets(
        mut self,
        vector: VectorBuffer<'a>,
        width: TargetType,
        ignore_index: Option<i64>,
    ) -> Result<Self> {
        vector.validate("targets", self.problem.rows, width.bytes())?;
        self.problem.targets = Some(TargetRegion { offset: vector.offset, width, ignore_index });
        let range = vector.range(self.problem.rows, width.bytes());
        self.insert(Role::Slot(Slot::Targets), vector.buffer, range);
        Ok(self)
    }

    /// Which rows count, beside what index targets there are.
    fn row_mask(mut self, mask: Option<MaskBuffer<'a>>) -> Result<Self> {
        let Some(mask) = mask else { return Ok(self) };
        let range = mask.range(self.problem.rows)?;
        for part in self.parts.iter_mut().filter(|part| part.role == Role::Slot(Slot::Targets)) {
            part.role = Role::OwnTargets;
        }
        self.insert(Role::Slot(Slot::Mask), mask.buffer, range);
        let own = self.problem.targets;
        self.problem.row_mask = Some(RowMask { offset: mask.offset, targets: own });
        // Where no value is ignored, one that is no class stands for the mask.
        let ignored = own.and_then(|own| own.ignore_index).unwrap_or(i64::MIN);
        let width = TargetType::I64;
        self.problem.targets = Some(TargetRegion { offset: 0, width, ignore_index: Some(ignored) });
        Ok(self)
    }

    /// Which elements count: those of a mask, if there is one, whose label is not the ignored one.
    fn element_mask(
        mut self,
        mask: Option<MaskBuffer<'a>>,
        ignored: Option<f64>,
        is_counted: bool,
    ) -> Result<Self> {
        let (rows, classes) = (self.problem.rows, self.problem.classes);
        // Labels are f32 at most: no other number is one of them.
        let ignored = ignored.map(|label| label as f32).filter(|&l| Some(f64::from(l)) == ignored);
        let own = match mask {
            Some(mask) => Some((mask, mask.range(rows.saturating_mul(classes))?)),
            None if ignored.is_none() => return Ok(self),
            None => None,
        };
        let offset = own.as_ref().map(|(mask, _)| mask.offset);
        let role = if ignored.is_some() { Role::OwnMask } else { Role::Slot(Slot::Mask) };
        if let Some((mask, range)) = own {
            self.insert(role, mask.buffer, range);
        }
        self.problem.element_mask = Some(match ignored {
            Some(ignored) => ElementMask {
                offset: 0,
                row_stride: classes.next_multiple_of(4),
                labels: Some(LabelMask { ignored, mask: offset }),
                is_counted,
            },
            None => ElementMask {
                offset: offset.unwrap_or(0),
                row_stride: classes,
                labels: None,
                is_counted,
            },
        });
        Ok(self)
    }

    /// The reduction, with what a mean divides by (`None`: what the device counts, or the normalizer
    /// among the loss's numbers), and the upstream gradient, with the unit and what a mean divides by
    /// taken into a number.
    fn reduction(
        mut self,
        reduction: Reduction,
        mean_of: Option<f64>,
        upstream: UpstreamBuffer<'a>,
    ) -> Result<Self> {
        self.problem.reduction = reduction;
        if let (Some(divisor), Reduction::Mean) = (mean_of, reduction) {
            self.problem.loss.normalizer = divisor as f32;
        }
        let scalar = matches!(upstream, UpstreamBuffer::Scalar(_));
        if !scalar && reduction != Reduction::None {
            return Err(Error::InvalidInput {
                what: "upstream",
                reason: format!("reduction {reduction} takes one number, not one for each loss"),
            });
        }
        let by_element = self.problem.passes.iter().any(|pass| pass.op.is_elementwise());
        let fits = match upstream {
            UpstreamBuffer::Scalar(_) => true,
            UpstreamBuffer::Rows(_) => !by_element,
            UpstreamBuffer::Elements(_) => by_element,
        };
        if !fits {
            let what = if by_element { "element" } else { "row" };
            let reason = format!("{} has a loss for each {what}", self.name);
            return Err(Error::InvalidInput { what: "upstream", reason });
        }
        let unit = self.problem.loss.unit;
        let divisor = match (mean_of, reduction) {
            (Some(divisor), Reduction::Mean) => divisor as f32,
            _ => 1.0,
        };
        match upstream {
            UpstreamBuffer::Scalar(dloss) => {
                self.problem.upstream = UpstreamRegion::Scalar(dloss * unit / divisor);
                Ok(self)
            }
            UpstreamBuffer::Rows(vector) => self.row_upstream("upstream", vector),
            UpstreamBuffer::Elements(matrix) => {
                let matrix = self.matrix_of("upstream", matrix, Dtype::F32)?;
                self.problem.upstream = UpstreamRegion::Elements(matrix.region);
                self.insert_matrix(Slot::Dloss, matrix);
                Ok(self)
            }
        }
    }

    fn row_upstream(mut self, name: &'static str, vector: VectorBuffer<'a>) -> Result<Self> {
        vector.validate(name, self.problem.rows, 4)?;
        let range = vector.range(self.problem.rows, 4);
        self.insert(Role::Slot(Slot::Dloss), vector.buffer, range);
        self.problem.upstream = UpstreamRegion::Rows(vector.offset);
        Ok(self)
    }

    /// An output that was asked for has to have a place, and one that was not, none.
    fn output_if(
        self,
        asked: bool,
        name: &'static str,
        output: Option<OutputBuffer<'a>>,
    ) -> Result<Self> {
        match (asked, output) {
            (true, Some(output)) => self.output(name, output),
            (false, None) => Ok(self),
            (asked, _) => Err(unasked(asked, name)),
        }
    }

    /// What is written must not be read as anything else. It may lie in a buffer that is: then
    /// everything is bound for reading and writing, because wgpu cannot bind one buffer for reading
    /// and for writing in one dispatch.
    fn finish(mut self) -> Result<Description<'a>> {
        let written = |part: &Part<'_>| {
            self.problem.passes.iter().any(|pass| match pass.output {
                Destination::Separate(_) => part.role == pass.role,
                Destination::InPlace => part.role == Role::Slot(Slot::Input),
                Destination::None => false,
            })
        };
        for part in self.parts.iter().filter(|part| written(part)) {
            let others = self.parts.iter().filter(|other| other.role != part.role);
            for other in others.filter(|other| other.buffer == part.buffer) {
                if part.range.start < other.range.end && other.range.start < part.range.end {
                    return Err(Error::InvalidBuffer {
                        name: "output",
                        reason: format!(
                            "bytes {:?} overlap bytes {:?} that are also bound; write in place, or \
                             where nothing else is",
                            part.range, other.range
                        ),
                    });
                }
                self.problem.sharing = Sharing::Shared;
            }
        }
        let roles = self.parts.iter().map(|part| (part.role, part.buffer)).collect();
        let Self { name, problem, weights, .. } = self;
        Ok(Description { name, problem, roles, weights, layer: None })
    }
}

fn unasked(asked: bool, name: &'static str) -> Error {
    let reason = if asked {
        "the operation has it; say where it goes"
    } else {
        "the operation was built without it"
    };
    Error::InvalidInput { what: name, reason: reason.to_owned() }
}
