#include "gpu/experts.h"

#include <numeric>

#include "base/error.h"
#include "device/kernels/all_kernels.h"

namespace throng::gpu {
namespace {

using device::KernelId;

// The matrices of all experts as one, of which DeviceMatrix::Rows is each.
model::Matrix AllOf(model::Matrix matrix) {
  matrix.parts = 1;
  return matrix;
}

int Blocks(int count, int of_block) { return (count + of_block - 1) / of_block; }

// Adds one row of biases [any, width] to `rows` rows of x; nothing if there are none.
void AddBiasRow(device::Device& device, const Floats& biases, int64_t row, float* x, int rows, int width) {
  if (biases == nullptr) return;
  Map(device, device::RowOp::kAdd, x, int64_t{rows} * width, biases->Data() + row * width, width);
}

}  // namespace

DeviceExperts::DeviceExperts(device::Device& device, const model::ExpertsBlock& block,
                             const std::string& where)
    : router_(block.Router()),
      options_(block.GetOptions()),
      selection_bias_(block.GetWeights().selection_bias) {
  const model::ExpertsWeights& weights = block.GetWeights();
  if (weights.router_norm || weights.input_norm || options_.weighs_inputs) {
    throw MakeError(ErrorCode::kUnsupported,
                    "{}: {} does not compute experts with norms or weights of their own inputs", where,
                    device.Name());
  }
  scores_ = DeviceMatrix(device, weights.router, where + " router");
  if (weights.gate.rows != 0) gate_ = DeviceMatrix(device, AllOf(weights.gate), where + " gates");
  up_ = DeviceMatrix(device, AllOf(weights.up), where + " ups");
  down_ = DeviceMatrix(device, AllOf(weights.down), where + " downs");
  dim_ = down_.Outputs() / router_.num_experts;
  ffn_dim_ = down_.Cols();
  router_bias_ = Upload(device, weights.router_bias);
  gate_bias_ = Upload(device, weights.gate_bias);
  up_bias_ = Upload(device, weights.up_bias);
  down_bias_ = Upload(device, weights.down_bias);
}

DeviceMatrix DeviceExperts::GateOf(int expert) const {
  if (options_.fused_gate) return up_.Rows(2 * expert * ffn_dim_, ffn_dim_);
  return gate_.Rows(expert * ffn_dim_, ffn_dim_);
}

DeviceMatrix DeviceExperts::UpOf(int expert) const {
  if (options_.fused_gate) return up_.Rows((2 * expert + 1) * ffn_dim_, ffn_dim_);
  return up_.Rows(expert * ffn_dim_, ffn_dim_);
}

DeviceExperts::Slots DeviceExperts::Choose(Pass& pass, const float* in) const {
  const auto experts = static_cast<size_t>(router_.num_experts);
  const auto chosen = static_cast<size_t>(router_.num_chosen);
  const auto rows = static_cast<size_t>(pass.rows);
  float* const on_device = pass.scores.Reserve(rows * experts);
  pass.multiplier.SetRows(in, pass.rows, dim_);
  pass.multiplier.Multiply(scores_, on_device, router_.num_experts);
  AddBias(pass.device, router_bias_, on_device, pass.rows, router_.num_experts);
  std::vector<float> scores(rows * experts);
  pass.device.CopyFrom(scores.data(), on_device, scores.size() * sizeof(float));
  std::vector<model::ExpertsBlock::Choice> choices(rows * chosen);
  for (size_t row = 0; row < rows; ++row) {
    model::ExpertsBlock::Choose(router_, selection_bias_, scores.data() + row * experts,
                                choices.data() + row * chosen);
  }
  Slots slots;
  slots.first.assign(experts + 1, 0);
  for (const auto& choice : choices) ++slots.first[static_cast<size_t>(choice.expert) + 1];
  std::partial_sum(slots.first.begin(), slots.first.end(), slots.first.begin());
  slots.rows.resize(choices.size());
  std::vector<int> next(slots.first.begin(), slots.first.end() - 1);
  for (size_t i = 0; i < choices.size(); ++i) {
    const int slot = next[static_cast<size_t>(choices[i].expert)]++;
    slots.rows[static_cast<size_t>(slot)] = static_cast<int32_t>(i / chosen);
    slots.places.push_back(slot);
    slots.weights.push_back(choices[i].weight);
  }
  return slots;
}

void DeviceExperts::Run(Pass& pass, const float* in, float* out) const {
  const Slots slots = Choose(pass, in);
  const int count = static_cast<int>(slots.rows.size());
  const auto inner = static_cast<int64_t>(count) * ffn_dim_;
  constexpr int kThreads = device::GatherRows::kThreads;
  float* const gathered = pass.gathered.Reserve(slots.rows.size() * static_cast<size_t>(dim_));
  float* const gate = pass.gate.Reserve(static_cast<size_t>(inner));
  float* const up = pass.up.Reserve(static_cast<size_t>(inner));
  const device::GatherArgs gather{
      .x = in, .rows = pass.slot_rows.Fill(slots.rows), .out = gathered, .width = dim_};
  pass.device.Launch(KernelId::kGatherRows, {Blocks(dim_, kThreads), count, 1}, &gather);
  const auto for_each_expert = [&](const auto& visit) {
    for (int expert = 0; expert < router_.num_experts; ++expert) {
      const int first = slots.first[static_cast<size_t>(expert)];
      const int of_expert = slots.first[static_cast<size_t>(expert) + 1] - first;
      if (of_expert > 0) visit(expert, int64_t{first}, of_expert);
    }
  };
  for_each_expert([&](int expert, int64_t first, int of_expert) {
    pass.multiplier.SetRows(gathered + first * dim_, of_expert, dim_);
    pass.multiplier.Multiply(GateOf(expert), gate + first * ffn_dim_, ffn_dim_);
    pass.multiplier.Multiply(UpOf(expert), up + first * ffn_dim_, ffn_dim_);
    AddBiasRow(pass.device, gate_bias_, expert, gate + first * ffn_dim_, of_expert, ffn_dim_);
    AddBiasRow(pass.device, up_bias_, expert, up + first * ffn_dim_, of_expert, ffn_dim_);
  });
  Map(pass.device, GateOp(options_.activation), gate, inner, up, inner);
  // What was gathered is not needed any more: results take its place.
  for_each_expert([&](int expert, int64_t first, int of_expert) {
    pass.multiplier.SetRows(gate + first * ffn_dim_, of_expert, ffn_dim_);
    pass.multiplier.Multiply(down_.Rows(expert * dim_, dim_), gathered + first * dim_, dim_);
    AddBiasRow(pass.device, down_bias_, expert, gathered + first * dim_, of_expert, dim_);
  });
  const device::CombineArgs combine{.x = gathered,
                                    .places = pass.slot_places.Fill(slots.places),
                                    .weights = pass.slot_weights.Fill(slots.weights),
                                    .out = out,
                                    .width = dim_,
                                    .terms = router_.num_chosen};
  pass.device.Launch(KernelId::kCombineRows, {Blocks(dim_, kThreads), pass.rows, 1}, &combine);
}

}  // namespace throng::gpu
