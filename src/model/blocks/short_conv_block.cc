#include "model/blocks/short_conv_block.h"

#include "model/row_ops.h"

namespace throng::model {
namespace {

struct ShortConvRows {
  Rows before, after, input;  // [rows, channels]
  Rows convolved;             // [rows, channels]
};

}  // namespace

ShortConvBlock::ShortConvBlock(int state_layer, Weights weights)
    : state_layer_(state_layer), weights_(std::move(weights)) {}

void ShortConvBlock::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  visit(weights_.before);
  visit(weights_.after);
  visit(weights_.input);
  visit(weights_.output);
}

void ShortConvBlock::MixTokens(Step& step, const Rows& in) const {
  ShortConvRows& rows = step.GetBuffers().Of<ShortConvRows>();
  const size_t channels = weights_.conv.Channels();
  for (Rows* part : {&rows.before, &rows.after, &rows.input}) part->Resize(step.NumRows(), channels);
  const Product products[] = {{weights_.before, rows.before[0], channels},
                              {weights_.after, rows.after[0], channels},
                              {weights_.input, rows.input[0], channels}};
  step.Multiply(in, products);
  step.ForRows(channels / 8, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) MultiplyBy(rows.input[r], rows.before[r], channels);
  });
  weights_.conv.Run(step, state_layer_, 0, rows.input, rows.convolved);
  if (!step.OnlyLast()) return;
  step.Carry(rows.after);
  step.Carry(rows.convolved);
}

void ShortConvBlock::Finish(Step& step, const Rows&, Rows& out) const {
  ShortConvRows& rows = step.GetBuffers().Of<ShortConvRows>();
  const size_t channels = weights_.conv.Channels();
  step.ForRows(channels / 8, [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) MultiplyBy(rows.convolved[r], rows.after[r], channels);
  });
  const Product product{weights_.output, out[0], out.Width()};
  step.Multiply(rows.convolved, {&product, 1});
}

}  // namespace throng::model
