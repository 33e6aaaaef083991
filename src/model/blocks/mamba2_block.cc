#include "model/blocks/mamba2_block.h"

#include <cmath>

#include "base/check.h"
#include "model/blocks/recurrent_state.h"
#include "model/row_ops.h"

namespace throng::model {
namespace {

struct Mamba2Rows {
  Rows gates;      // [rows, width]
  Rows mixed;      // [rows, channels of the convolution]
  Rows convolved;  // likewise; then x, B and C
  Rows steps;      // [rows, heads]: as the product gives them, then the weights of x
  Rows read;       // [rows, width]
};

}  // namespace

Mamba2Block::Mamba2Block(const Mamba2Config& config, Weights weights)
    : config_(config), head_{config.state_size, config.head_dim}, weights_(std::move(weights)) {
  THRONG_CHECK(config.num_heads % config.num_groups == 0);
}

size_t Mamba2Block::StateFloats(const Mamba2Config& config, const CausalConv& conv) {
  return config.num_heads * StateShape{config.state_size, config.head_dim}.Floats() + conv.StateFloats();
}

void Mamba2Block::ForEachMatrix(const std::function<void(Matrix&)>& visit) {
  visit(weights_.gate);
  visit(weights_.mixed);
  visit(weights_.step);
  visit(weights_.output);
}

void Mamba2Block::Project(Step& step, const Rows& in) const {
  Mamba2Rows& rows = step.GetBuffers().Of<Mamba2Rows>();
  rows.gates.Resize(step.NumRows(), config_.Width());
  rows.mixed.Resize(step.NumRows(), weights_.mixed.rows);
  rows.steps.Resize(step.NumRows(), config_.num_heads);
  // Errors of decays grow with the distance between tokens.
  constexpr bool kFine = true;
  const Product products[] = {{weights_.gate, rows.gates[0], rows.gates.Width()},
                              {weights_.mixed, rows.mixed[0], rows.mixed.Width()},
                              {weights_.step, rows.steps[0], rows.steps.Width(), kFine}};
  step.Multiply(in, products);
}

void Mamba2Block::Recur(Step& step) const {
  Mamba2Rows& rows = step.GetBuffers().Of<Mamba2Rows>();
  const size_t heads = config_.num_heads;
  const size_t dim = config_.head_dim;
  rows.read.Resize(step.NumRows(), config_.Width());
  const bool pays = step.NumRows() * heads * head_.Floats() > 50000;
  step.ForEach(step.Items().size() * heads, pays, [&](size_t i) {
    const BatchItem& item = step.Items()[i / heads];
    const size_t h = i % heads;
    const size_t group = h / (heads / config_.num_groups);
    const StatePart part{config_.state_layer, h * head_.Floats(), head_.Floats()};
    float* state = part.Of(item);
    UpdateState(item, part, [&](size_t first, size_t count) {
      for (size_t r = step.FirstRow(i / heads) + first, end = r + count; r < end; ++r) {
        const float* x = rows.convolved[r];
        const float* b = x + config_.Width() + group * config_.state_size;
        const float* c = b + config_.num_groups * config_.state_size;
        const float weight = rows.steps[r][h];
        DecayStep(head_, std::exp(weights_.rate[h] * weight), weight, weights_.skip[h], c, b, x + h * dim,
                  state, rows.read[r] + h * dim);
      }
    });
  });
}

void Mamba2Block::MixTokens(Step& step, const Rows& in) const {
  Mamba2Rows& rows = step.GetBuffers().Of<Mamba2Rows>();
  Project(step, in);
  weights_.conv.Run(step, config_.state_layer, config_.num_heads * head_.Floats(), rows.mixed, rows.convolved);
  step.ForRows(rows.convolved.Width(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      Activate(Activation::kSilu, rows.convolved[r], rows.convolved.Width());
      for (size_t h = 0; h < config_.num_heads; ++h) {
        rows.steps[r][h] = Softplus(rows.steps[r][h] + weights_.step_bias[h]);
      }
    }
  });
  Recur(step);
  if (!step.OnlyLast()) return;
  step.Carry(rows.gates);
  step.Carry(rows.read);
}

void Mamba2Block::Finish(Step& step, const Rows&, Rows& out) const {
  Mamba2Rows& rows = step.GetBuffers().Of<Mamba2Rows>();
  const size_t group = config_.Width() / config_.num_groups;
  step.ForRows(config_.Width(), [&](size_t first, size_t count) {
    for (size_t r = first; r < first + count; ++r) {
      float* gated = rows.gates[r];
      Gate(Activation::kSilu, gated, rows.read[r], config_.Width());
      for (size_t g = 0; g < weights_.norms.size(); ++g) {
        weights_.norms[g].Apply(gated + g * group, group, gated + g * group);
      }
    }
  });
  const Product product{weights_.output, out[0], out.Width()};
  step.Multiply(rows.gates, {&product, 1});
}

}  // namespace throng::model
