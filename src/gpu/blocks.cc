#include "gpu/blocks.h"

#include "base/error.h"
#include "device/kernels/all_kernels.h"

namespace throng::gpu {
namespace {

using device::KernelId;

void Refuse(bool refused, const std::string& where, const char* what, const device::Device& device) {
  if (refused)
    throw MakeError(ErrorCode::kUnsupported, "{}: {} does not compute {}", where, device.Name(), what);
}

size_t Elements(int rows, int width) { return static_cast<size_t>(rows) * static_cast<size_t>(width); }

// Of heads: one for all of them.
bool IsOfEachHead(const model::Norm& norm, int head_dim) {
  const auto size = static_cast<size_t>(head_dim);
  return (norm.weight.empty() || norm.weight.size() == size) &&
         (norm.bias.empty() || norm.bias.size() == size);
}

}  // namespace

Pass::Pass(device::Device& of)
    : device(of),
      multiplier(of),
      tables(of),
      append(of),
      seals(of),
      q(of),
      k(of),
      v(of),
      attended(of),
      split_max(of),
      split_sum(of),
      split_out(of),
      gate(of),
      up(of),
      scores(of),
      gathered(of),
      slot_weights(of),
      slot_rows(of),
      slot_places(of) {}

DeviceAttention::DeviceAttention(device::Device& device, const model::AttentionBlock& block,
                                 const std::string& where)
    : config_(block.Config()) {
  const model::AttentionBlock::Weights& weights = block.GetWeights();
  Refuse(!config_.owns_cache || weights.v.rows == 0 || config_.key_dim != config_.value_dim, where,
         "keys and values that are shared or differ in size", device);
  Refuse(config_.key_dim != 64 && config_.key_dim != 128, where, "heads of other sizes than 64 and 128",
         device);
  Refuse(config_.num_heads / config_.num_kv_heads > device::kGroupRows, where,
         "more than 8 query heads for a KV head", device);
  Refuse(config_.score_cap != 0.0f || config_.temperature.scale != 0.0f, where,
         "caps and temperatures of scores", device);
  Refuse(config_.gated, where, "gated attention", device);
  Refuse(config_.norms_after_rope || weights.norms_rows || weights.v_norm ||
             !IsOfEachHead(weights.q_norm, config_.key_dim) || !IsOfEachHead(weights.k_norm, config_.key_dim),
         where, "norms of queries, keys and values other than one for all heads before rotation", device);
  q_ = DeviceMatrix(device, weights.q, where + " queries");
  k_ = DeviceMatrix(device, weights.k, where + " keys");
  v_ = DeviceMatrix(device, weights.v, where + " values");
  output_ = DeviceMatrix(device, weights.output, where + " output");
  q_bias_ = Upload(device, weights.q_bias);
  k_bias_ = Upload(device, weights.k_bias);
  v_bias_ = Upload(device, weights.v_bias);
  output_bias_ = Upload(device, weights.output_bias);
  sinks_ = Upload(device, weights.sinks);
  q_norm_ = DeviceNorm(device, weights.q_norm);
  k_norm_ = DeviceNorm(device, weights.k_norm);
}

void DeviceAttention::Project(Pass& pass, const float* in) const {
  device::Device& device = pass.device;
  const int rows = pass.rows;
  float* const q = pass.q.Reserve(Elements(rows, QueryDim()));
  float* const k = pass.k.Reserve(Elements(rows, KvDim()));
  float* const v = pass.v.Reserve(Elements(rows, KvDim()));
  pass.multiplier.SetRows(in, rows, q_.Cols());
  // Fine, as on the processor: the softmax multiplies errors of queries and keys.
  pass.multiplier.Multiply(q_, q, QueryDim(), true);
  pass.multiplier.Multiply(k_, k, KvDim(), true);
  pass.multiplier.Multiply(v_, v, KvDim());
  AddBias(device, q_bias_, q, rows, QueryDim());
  AddBias(device, k_bias_, k, rows, KvDim());
  AddBias(device, v_bias_, v, rows, KvDim());
  if (q_norm_) q_norm_.Apply(device, q, rows * config_.num_heads, config_.key_dim, q);
  if (k_norm_) k_norm_.Apply(device, k, rows * config_.num_kv_heads, config_.key_dim, k);
}

// Rotates queries and keys, and writes rows to open blocks.
void DeviceAttention::Append(Pass& pass) const {
  const model::Rope* rope = config_.rope;
  const device::AppendArgs args{
      .tokens = pass.append.Data(),
      .queries = pass.q.Data(),
      .keys = pass.k.Data(),
      .values = pass.v.Data(),
      .cos_sin = rope == nullptr ? nullptr : pass.cos_sin[rope->index].Data(),
      .pairs = rope == nullptr ? 0 : static_cast<int>(rope->Pairs()),
      .halves = rope != nullptr && rope->rotation.halves ? 1 : 0,
      .group = config_.num_heads / config_.num_kv_heads,
      .kv_heads = config_.num_kv_heads,
      .open = OpenPlaces(*pass.layout, config_.cache_layer),
  };
  pass.device.Launch(config_.key_dim == 64 ? KernelId::kAppendDim64 : KernelId::kAppendDim128,
                     {pass.rows, config_.num_kv_heads, 1}, &args);
}

// Seals the blocks that are complete.
void DeviceAttention::Seal(Pass& pass) const {
  if (!pass.codec->seal) {  // open pages become sealed ones as they are
    const device::Places open = OpenPlaces(*pass.layout, config_.cache_layer);
    const device::Places sealed = SealedPlaces(*pass.layout, config_.cache_layer);
    const size_t bytes = static_cast<size_t>(2 * config_.num_kv_heads) * pass.codec->page_bytes;
    for (const Pass::Completed& block : pass.completed) {
      uint8_t* to = pass.layout->Slides(config_.cache_layer) ? block.sliding : block.base;
      pass.device.Copy(to + sealed.keys, block.open + open.keys, bytes);
    }
    return;
  }
  if (pass.num_seals == 0) return;
  const device::SealArgs seals{
      .jobs = pass.seals.Data() + static_cast<ptrdiff_t>(config_.cache_layer) * pass.num_seals,
      .start = pass.seal_start,
  };
  pass.device.Launch(*pass.codec->seal, {pass.num_seals, 1, 1}, &seals);
}

void DeviceAttention::Attend(Pass& pass) const {
  const int view_index = pass.view_of[static_cast<size_t>(config_.cache_layer)];
  const Pass::View& view = pass.views[static_cast<size_t>(view_index)];
  const device::AttentionArgs attention{
      .queries = pass.q.Data(),
      .out = pass.attended.Reserve(Elements(pass.rows, QueryDim())),
      .sinks = sinks_ ? sinks_->Data() : nullptr,
      .scale = config_.scale,
      .group = config_.num_heads / config_.num_kv_heads,
      .kv_heads = config_.num_kv_heads,
      .sealed = SealedPlaces(*pass.layout, config_.cache_layer),
      .open = OpenPlaces(*pass.layout, config_.cache_layer),
  };
  if (pass.num_tiles > 0) {
    const device::PrefillArgs args{
        .attention = attention,
        .tiles = view.tiles.Data(),
        .first_visible = view.first_visible.Data(),
        .thresholds = view.thresholds.Data(),
    };
    pass.device.Launch(pass.attention.prefill, {pass.num_tiles, config_.num_kv_heads, 1}, &args);
  }
  if (pass.num_tokens == 0) return;
  const size_t partial = Elements(pass.num_tokens, config_.num_kv_heads) *
                         static_cast<size_t>(pass.max_splits) * device::kGroupRows;
  const device::DecodeArgs args{
      .attention = attention,
      .sequences = view.tokens.Data(),
      .split_max = pass.split_max.Reserve(partial),
      .split_sum = pass.split_sum.Reserve(partial),
      .split_out = pass.split_out.Reserve(partial * static_cast<size_t>(config_.key_dim)),
      .max_splits = pass.max_splits,
  };
  pass.device.Launch(pass.attention.decode, {pass.max_splits, config_.num_kv_heads, pass.num_tokens}, &args);
  pass.device.Launch(pass.attention.merge, {config_.num_kv_heads, pass.num_tokens, 1}, &args);
}

void DeviceAttention::Run(Pass& pass, const float* in, float* out) const {
  Project(pass, in);
  Append(pass);
  Seal(pass);
  Attend(pass);
  pass.multiplier.SetRows(pass.attended.Data(), pass.rows, output_.Cols());
  pass.multiplier.Multiply(output_, out, output_.Outputs());
  AddBias(pass.device, output_bias_, out, pass.rows, output_.Outputs());
}

DeviceFeedForward::DeviceFeedForward(device::Device& device, const model::FeedForwardBlock& block,
                                     const std::string& where)
    : activation_(block.GetActivation()) {
  const model::FeedForwardWeights& weights = block.GetWeights();
  Refuse(weights.outliers.has_value() || weights.result_gate.rows != 0, where,
         "feed-forward blocks that keep outliers or gate results", device);
  if (weights.gate.rows != 0) gate_ = DeviceMatrix(device, weights.gate, where + " gate");
  up_ = DeviceMatrix(device, weights.up, where + " up");
  down_ = DeviceMatrix(device, weights.down, where + " down");
  gate_bias_ = Upload(device, weights.gate_bias);
  up_bias_ = Upload(device, weights.up_bias);
  down_bias_ = Upload(device, weights.down_bias);
}

void DeviceFeedForward::Run(Pass& pass, const float* in, float* out) const {
  const int width = up_.Outputs();
  const size_t elements = Elements(pass.rows, width);
  const auto count = static_cast<int64_t>(elements);
  float* const up = pass.up.Reserve(elements);
  float* inner = up;
  pass.multiplier.SetRows(in, pass.rows, up_.Cols());
  pass.multiplier.Multiply(up_, up, width);
  AddBias(pass.device, up_bias_, up, pass.rows, width);
  if (gate_) {
    inner = pass.gate.Reserve(elements);
    pass.multiplier.Multiply(gate_, inner, width);
    AddBias(pass.device, gate_bias_, inner, pass.rows, width);
    Map(pass.device, GateOp(activation_), inner, count, up, count);
  } else {
    Map(pass.device, ActivateOp(activation_), up, count, nullptr, 1);
  }
  pass.multiplier.SetRows(inner, pass.rows, down_.Cols());
  pass.multiplier.Multiply(down_, out, down_.Outputs());
  AddBias(pass.device, down_bias_, out, pass.rows, down_.Outputs());
}

}  // namespace throng::gpu
