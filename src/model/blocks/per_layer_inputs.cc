#include "model/blocks/per_layer_inputs.h"

#include <cmath>

#include "model/matmul/block_formats.h"
#include "model/row_ops.h"

namespace throng::model {
namespace {

struct PerLayerRows {
  Rows inputs;  // [rows, layers * width]
  Rows gate;    // [rows, width]
};

}  // namespace

PerLayerInputs::PerLayerInputs(Weights weights, int width)
    : weights_(std::move(weights)), width_(static_cast<size_t>(width)) {}

void PerLayerInputs::Run(Step& step, bool) const {
  Buffers& buffers = step.GetBuffers();
  Rows& inputs = buffers.Of<PerLayerRows>().inputs;
  const size_t all = weights_.projection.rows;
  inputs.Resize(step.NumRows(), all);
  const Product product{weights_.projection, inputs[0], all};
  step.Multiply(buffers.stream, {&product, 1});
  buffers.beside.Resize(step.NumRows(), all);
  const float of_projection = 1.0f / std::sqrt(static_cast<float>(buffers.stream.Width()));
  const float of_table = std::sqrt(static_cast<float>(width_));
  step.ForEachItemRow(all, [&](size_t item, size_t r) {
    float* input = inputs[r];
    Scale(input, of_projection, all);
    for (size_t at = 0; at < all; at += width_) weights_.norm.Apply(input + at, width_, input + at);
    const auto token = static_cast<size_t>(step.Items()[item].tokens[r - step.FirstRow(item)]);
    const Matrix& table = weights_.table;
    float* embedding = buffers.beside[r];
    DequantizeRow(table.type, table.data + token * table.RowBytes(), all, embedding);
    AddScaled(input, embedding, of_table, all);
    Scale(input, std::sqrt(0.5f), all);
  });
  step.Carry(inputs);
}

PerLayerInputBlock::PerLayerInputBlock(int layer, Matrix gate, Matrix projection)
    : layer_(static_cast<size_t>(layer)), gate_(gate), projection_(projection) {}

void PerLayerInputBlock::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  visit(gate_);
  visit(projection_);
}

void PerLayerInputBlock::Finish(Step& step, const Rows& in, Rows& out) const {
  PerLayerRows& rows = step.GetBuffers().Of<PerLayerRows>();
  const size_t width = gate_.rows;
  rows.gate.Resize(step.NumRows(), width);
  const Product gate{gate_, rows.gate[0], width};
  step.Multiply(in, {&gate, 1});
  const Activation activation = step.Computed(Activation::kGeluTanh);
  step.ForRows(width, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      Gate(activation, rows.gate[r], rows.inputs[r] + layer_ * width, width);
    }
  });
  const Product projection{projection_, out[0], out.Width()};
  step.Multiply(rows.gate, {&projection, 1});
}

}  // namespace throng::model
